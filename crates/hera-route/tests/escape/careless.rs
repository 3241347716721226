//! Where a path leads at a reader who repairs instead of refusing: deliberately naive, and written without a look at the product.
//!
//! What a path means to such a reader is what an attacker hopes for. [`lands`] with no habit is a reader who decodes once, as Hera's
//! clients do, and is careless in all else. The habits are more than that, and what they fall for is literal text by the specification (P-46,
//! P-47): a worker that has one of them reads something into a path that Hera does not.

/// A reader's bad habit, each about text that is literal here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Decodes again and again: `%252e` is a dot.
    DecodesAgain,
    /// Looks for query and fragment after decoding: `..%3F` climbs.
    CutsAfterDecoding,
    /// Cuts `;…` off each segment: `..;x=y` climbs.
    DropsParameters,
    /// Takes fullwidth and other look-alikes for the ASCII they resemble.
    FoldsLookAlikes,
    /// Cuts spaces off the ends of each segment: `..%20` climbs.
    TrimsSpaces,
}

impl Habit {
    /// All of them.
    pub(crate) const ALL: [Habit; 5] = [
        Habit::DecodesAgain,
        Habit::CutsAfterDecoding,
        Habit::DropsParameters,
        Habit::FoldsLookAlikes,
        Habit::TrimsSpaces,
    ];

    /// Whether a canonical path has what this habit falls for.
    pub(crate) fn finds_something_in(self, canonical: &str) -> bool {
        match self {
            Habit::DecodesAgain => canonical.contains("%25"),
            Habit::CutsAfterDecoding => canonical.contains("%3F") || canonical.contains("%23"),
            Habit::DropsParameters => canonical.contains(';') || canonical.contains("%3B"),
            // Every byte above ASCII is escaped, and its first digit says so.
            Habit::FoldsLookAlikes => {
                canonical.as_bytes().windows(2).any(|two| two[0] == b'%' && two[1] >= b'8')
            }
            Habit::TrimsSpaces => canonical.contains("%20"),
        }
    }
}

/// The path that a reader with these habits serves for `raw`, in lower case, with every segment led by `/`.
pub(crate) fn lands(raw: &[u8], habits: &[Habit]) -> Vec<u8> {
    let has = |habit| habits.contains(&habit);
    let is_end = |byte: &u8| matches!(byte, b'?' | b'#');
    let mut path = decode(raw.split(is_end).next().unwrap_or_default());
    if has(Habit::DecodesAgain) {
        for _ in 0..8 {
            path = decode(&path);
        }
    }
    path = overlong(&path);
    if has(Habit::FoldsLookAlikes) {
        path = fold(&path);
    }
    path.make_ascii_lowercase();
    let cuts = has(Habit::CutsAfterDecoding);
    if let Some(end) =
        path.iter().position(|byte| matches!(byte, 0 | b'\r' | b'\n') || (cuts && is_end(byte)))
    {
        path.truncate(end);
    }

    let mut served: Vec<&[u8]> = Vec::new();
    for mut segment in path.split(|byte| matches!(byte, b'/' | b'\\')) {
        if has(Habit::DropsParameters) {
            segment = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        }
        if has(Habit::TrimsSpaces) {
            segment = segment.trim_ascii();
        }
        match segment {
            b"" | b"." => {}
            b".." => drop(served.pop()),
            name => served.push(name),
        }
    }
    served.iter().flat_map(|name| [&b"/"[..], name]).flatten().copied().collect()
}

/// Every escape, `%uXXXX` too; what is none stays.
fn decode(raw: &[u8]) -> Vec<u8> {
    let number = |digits: Option<&[u8]>| u32::from_str_radix(std::str::from_utf8(digits?).ok()?, 16).ok();
    let mut decoded = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        if raw[at] == b'%' {
            if let Some(byte) = number(raw.get(at + 1..at + 3)) {
                decoded.push(byte as u8);
                at += 3;
                continue;
            }
            let wide = raw.get(at + 1).filter(|byte| byte.eq_ignore_ascii_case(&b'u'));
            if let Some(c) = wide.and_then(|_| number(raw.get(at + 2..at + 6))).and_then(char::from_u32) {
                decoded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                at += 6;
                continue;
            }
        }
        decoded.push(raw[at]);
        at += 1;
    }
    decoded
}

/// UTF-8 in more bytes than it needs is what it would be in one.
fn overlong(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let (byte, used) = match *rest {
            [lead @ 0xC0..=0xC1, next, ..] => ((lead & 1) << 6 | (next & 0x3F), 2),
            [0xE0, mid @ 0x80..=0x81, next, ..] => ((mid & 1) << 6 | (next & 0x3F), 3),
            [0xF0, 0x80, mid @ 0x80..=0x81, next, ..] => ((mid & 1) << 6 | (next & 0x3F), 4),
            [byte, ..] => (byte, 1),
            [] => break,
        };
        out.push(byte);
        at += used;
    }
    out
}

/// Fullwidth forms and a few look-alikes, as ASCII; white space that is none in ASCII vanishes.
fn fold(bytes: &[u8]) -> Vec<u8> {
    let folded = |c: char| match c {
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(c as u32 - 0xFEE0),
        '\u{2024}' => Some('.'),
        '\u{2215}' | '\u{2044}' => Some('/'),
        '\u{2216}' => Some('\\'),
        '\u{17F}' => Some('s'),
        '\u{200B}' | '\u{FEFF}' | '\u{A0}' | '\u{85}' => None,
        other => Some(other),
    };
    String::from_utf8_lossy(bytes).chars().filter_map(folded).collect::<String>().into_bytes()
}
