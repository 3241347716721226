//! Spellings of paths that try to climb from `/0/public` to `/0/secret`, made from a seed.
//!
//! Shared by the tests of this crate and those that send the same paths to a broker. Every variant has a number and is made from the seed and
//! that number alone, so any of them can be made again, on any thread.

/// What separates segments, for some reader.
const SLASHES: &[&[u8]] = &[
    b"/",
    b"/",
    b"/",
    b"//",
    b"///",
    b"%2f",
    b"%2F",
    b"\\",
    b"%5c",
    b"%5C",
    b"/\\",
    b"%252f",
    b"%252F",
    b"%255c",
    b"%25252f",
    b"%25%32%66",
    b"%c0%af",
    b"%C0%AF",
    b"%e0%80%af",
    b"%f0%80%80%af",
    b"%c1%9c",
    b"\xc0\xaf",
    b"%ef%bc%8f",
    b"\xef\xbc\x8f",
    b"%ef%bc%bc",
    b"%e2%88%95",
    b"%e2%81%84",
    b"%u002f",
    b"%u2215",
    b"/./",
    b"/%2e/",
    b"/;/",
    b";/",
    b"/;x=y/",
    b"%00/",
    b"/%00",
    b"/%20/",
    b"%0d%0a/",
    b"%09/",
    b"?/",
    b"#/",
    b"%3f/",
    b"%23/",
    b"/*/",
];

/// What climbs, for some reader.
const CLIMBS: &[&[u8]] = &[
    b"..",
    b"..",
    b"%2e%2e",
    b"%2E%2e",
    b"%2E%2E",
    b".%2e",
    b"%2e.",
    b".%2E",
    b"%252e%252e",
    b"%252E.",
    b"%25252e%25252e",
    b"%%32%65%%32%65",
    b"%25%32%65%25%32%65",
    b"%c0%ae%c0%ae",
    b"\xc0\xae\xc0\xae",
    b"%e0%80%ae.",
    b"%ef%bc%8e%ef%bc%8e",
    b"\xef\xbc\x8e\xef\xbc\x8e",
    b"%e2%80%a4%e2%80%a4",
    b"%u002e%u002e",
    b"%uff0e%uff0e",
    b"..;",
    b"..;x",
    b"..;x=y",
    b";..",
    b"%2e%2e;x=y",
    b"..%3b",
    b"..%3bx=y",
    b"...",
    b"....",
    b"..%00",
    b"%00..",
    b".%00.",
    b"..%20",
    b".. ",
    b"%20..",
    b"..%09",
    b"..%0d%0a",
    b"..%ff",
    b"..%c0%80",
    b"..\0",
    b".\\.",
    b"..\\",
    b"..%5c",
    b"..%2f",
    b"..%3f",
    b"..#",
    b"..%23",
    b"..+",
    b"..~",
    b"..%e2%80%8b",
    b"..%ef%bb%bf",
    b"..%c2%a0",
    b"..%c2%85",
    b".",
    b"%2e",
    b"*",
    b"..*",
    b"..,",
    b"..:",
    b"..@",
    b"~",
    b"",
];

/// Segments that are, or look like, those of the table.
const NAMES: &[&[u8]] = &[
    b"0",
    b"%30",
    b"public",
    b"public",
    b"secret",
    b"secret",
    b"publicity",
    b"public.",
    b"public..",
    b"public%20",
    b"public%00",
    b"public;x",
    b"public;/../secret",
    b"Public",
    b"PUBLIC",
    b"pub%6cic",
    b"p%75blic",
    b"%70%75%62%6C%69%63",
    b"publi%43",
    b"pub%256cic",
    b"secret.",
    b"SECRET",
    b"%73ecret",
    b"%53ecret",
    b"%ef%bd%93ecret",
    b"%c5%bfecret",
    b"s%E2%80%8Becret",
    b"secret%00.html",
    b"secret;public",
    b"x",
    b"keys",
    b"-",
];

/// Behind everything.
const ENDS: &[&[u8]] = &[
    b"",
    b"",
    b"",
    b"/",
    b"//",
    b".",
    b"..",
    b"/.",
    b"/..",
    b";x",
    b"/;",
    b"%20",
    b"%00",
    b"?x=/0/public",
    b"#",
    b"#/0/public",
    b"%23",
    b"%3f",
    b".json",
    b"~",
    b"%",
    b"%2",
];

/// Variant number `n` of `seed`.
pub(crate) fn variant(seed: u64, n: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed, n);
    let mut path = if dice.below(8) == 0 { soup(&mut dice) } else { climb(&mut dice) };
    for _ in 0..dice.below(3) {
        mutate(&mut path, &mut dice);
    }
    if dice.below(2000) == 0 {
        lengthen(&mut path, &mut dice);
    }
    path
}

/// From under `/0/public`, some way up, and down again to the secret.
fn climb(dice: &mut Dice) -> Vec<u8> {
    // Most have one or two tricks: one with five is refused for the first of them, and shows nothing of the others.
    let plain = dice.below(4) > 0;
    let slash = |dice: &mut Dice| if plain || dice.below(2) == 0 { b"/" } else { dice.one_of(SLASHES) };
    let mut path = b"/0/public".to_vec();
    let (down, over) = (dice.below(3), dice.below(2));
    for _ in 0..down {
        path.extend_from_slice(slash(dice));
        path.extend_from_slice(dice.one_of(NAMES));
    }
    // Just as often as it takes to stand where the secret is, or one higher.
    for _ in 0..down + 1 + over {
        path.extend_from_slice(slash(dice));
        path.extend_from_slice(dice.one_of(CLIMBS));
    }
    path.extend_from_slice(slash(dice));
    path.extend_from_slice(if over == 0 { b"" } else { b"0/" });
    path.extend_from_slice(dice.one_of(&[b"secret", b"secret/x", b"secret/keys", b"%73ecret/x", b"SECRET"]));
    path.extend_from_slice(dice.one_of(ENDS));
    path
}

/// Any pieces in any order, under `/0` mostly.
fn soup(dice: &mut Dice) -> Vec<u8> {
    let mut path = dice.one_of(&[b"/0", b"/%30", b""]).to_vec();
    for _ in 0..1 + dice.below(4) {
        path.extend_from_slice(if dice.below(4) > 0 { b"/" } else { dice.one_of(SLASHES) });
        let pieces = if dice.below(4) == 0 { CLIMBS } else { NAMES };
        path.extend_from_slice(dice.one_of(pieces));
    }
    path.extend_from_slice(dice.one_of(ENDS));
    path
}

/// One small change anywhere.
fn mutate(path: &mut Vec<u8>, dice: &mut Dice) {
    let at = dice.below(path.len().max(1)).min(path.len());
    match dice.below(9) {
        // Spells a byte as an escape, the escape's own `%` too: that is double encoding.
        0..=2 => {
            if let Some(&byte) = path.get(at) {
                path.splice(at..=at, escape(byte, dice));
            }
        }
        3 => {
            if let Some(byte) = path.get_mut(at) {
                *byte ^= if byte.is_ascii_alphabetic() { 0x20 } else { 1 << dice.below(8) };
            }
        }
        4 => drop(path.splice(at..(at + 1).min(path.len()), [])),
        5 => path.insert(at, dice.below(256) as u8),
        6 => drop(path.splice(at..at, dice.one_of(SLASHES).iter().copied())),
        7 => drop(path.splice(at..at, dice.one_of(CLIMBS).iter().copied())),
        _ => {
            let from = dice.below(path.len().max(1)).min(at);
            let again = path[from..at].to_vec();
            path.splice(at..at, again);
        }
    }
}

/// Up to a little over the largest target that a broker takes.
fn lengthen(path: &mut Vec<u8>, dice: &mut Dice) {
    let piece = dice.one_of(&[b"/x", b"x", b"/%2e%2e", b"%25", b"/..;", b"/.x"]);
    let times = dice.below(8400 / piece.len());
    let at = dice.below(path.len() + 1);
    path.splice(at..at, piece.repeat(times));
}

fn escape(byte: u8, dice: &mut Dice) -> [u8; 3] {
    let mut digit = |value: u8| {
        let digits: &[u8; 16] = if dice.below(2) == 0 { b"0123456789abcdef" } else { b"0123456789ABCDEF" };
        digits[usize::from(value)]
    };
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

/// Splitmix64: small, and the same everywhere.
struct Dice(u64);

impl Dice {
    fn new(seed: u64, n: u64) -> Dice {
        Dice(seed ^ n.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn one_of<'a>(&mut self, choices: &[&'a [u8]]) -> &'a [u8] {
        choices[self.below(choices.len())]
    }
}

/// The seed of this run: `SEED` where it is set, else a new one. A test prints it, so that what it found can be found again.
pub(crate) fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    match std::env::var("SEED") {
        Ok(text) => text.parse().expect("SEED is a number"),
        Err(_) => RandomState::new().hash_one(()),
    }
}
