//! JSON as it is written on the path of a call: member by member, into a buffer that is there. Everything else goes by serde.

use std::time::Duration;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte of `word` that a string literal cannot hold as it is (RFC 8259, 7): a control byte, `"` or `\\`.
///
/// Right for the first such byte from below; those above it may be marked though they are fine, so only "none" is to be read from it.
fn escaped(word: u64) -> u64 {
    let is_zero = |word: u64| word.wrapping_sub(LOW) & !word;
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (control | is_zero(word ^ (LOW * u64::from(b'"'))) | is_zero(word ^ (LOW * u64::from(b'\\')))) & HIGH
}

/// Whether all of `bytes` stand in a string literal as they are, and with `ascii` are ASCII too.
///
/// Eight bytes at a time, in few instructions: the strings of a call are short, and nearly none needs an escape.
fn is_plain(bytes: &[u8], ascii: bool) -> bool {
    let beyond = if ascii { HIGH } else { 0 };
    // The last eight overlap the word before them; a text shorter than that is filled up.
    let last = bytes
        .last_chunk()
        .copied()
        .unwrap_or_else(|| std::array::from_fn(|at| bytes.get(at).copied().unwrap_or(b' ')));
    let marks = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        escaped(word) | (word & beyond)
    };
    bytes.as_chunks().0.iter().fold(marks(&last), |all, word| all | marks(word)) == 0
}

fn quoted(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    out.extend_from_slice(bytes);
    out.push(b'"');
}

/// Writes a string literal of a text that is known to need no escape: an id, a code, a method, a canonical path.
pub fn plain(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    let text = text.as_ref();
    debug_assert!(is_plain(text, false), "{:?} needs an escape", text.escape_ascii().to_string());
    quoted(out, text);
}

/// Writes a string literal.
pub fn string(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes(), false) {
        quoted(out, text.as_bytes());
    } else {
        // Writing text to memory does not fail.
        let _ = serde_json::to_writer(out, text);
    }
}

/// Writes bytes as Latin-1: each is the code point of its number.
pub fn latin1(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes, true) {
        quoted(out, bytes);
    } else {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        string(out, &text);
    }
}

/// Writes a string literal, or `null`.
pub fn optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => string(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// Writes a number.
pub fn number(out: &mut Vec<u8>, number: u64) {
    let digit = |of: u64| b'0' + (number / of % 10) as u8;
    match number {
        0..10 => return out.push(digit(1)),
        10..100 => return out.extend_from_slice(&[digit(10), digit(1)]),
        100..1000 => return out.extend_from_slice(&[digit(100), digit(10), digit(1)]),
        _ => {}
    }
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Writes a time in milliseconds, with three digits after the point.
pub fn millis(out: &mut Vec<u8>, time: Duration) {
    let micros = time.as_secs() * 1_000_000 + u64::from(time.subsec_micros());
    let (whole, part) = (micros / 1000, (micros % 1000) as u32);
    let [a, b, c] = [part / 100, part / 10 % 10, part % 10].map(|digit| b'0' + digit as u8);
    // Most times of a call are some milliseconds at most, and written at once.
    match whole {
        0..10 => out.extend_from_slice(&[b'0' + whole as u8, b'.', a, b, c]),
        10..100 => {
            let [tens, ones] = [whole / 10, whole % 10].map(|digit| b'0' + digit as u8);
            out.extend_from_slice(&[tens, ones, b'.', a, b, c]);
        }
        _ => {
            number(out, whole);
            out.extend_from_slice(&[b'.', a, b, c]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn strings_are_read_back(text in any::<String>(), plain in "[ -~]{0,80}") {
            for text in [&text, &plain] {
                let json = written(|out| string(out, text));
                prop_assert_eq!(&serde_json::from_str::<String>(&json).unwrap(), text);
                prop_assert_eq!(json, serde_json::to_string(text).unwrap());
            }
        }

        #[test]
        fn bytes_are_read_back_as_latin1(bytes in any::<Vec<u8>>()) {
            let read: String = serde_json::from_str(&written(|out| latin1(out, &bytes))).unwrap();
            prop_assert_eq!(read.chars().map(|c| c as u32 as u8).collect::<Vec<_>>(), bytes);
        }

        #[test]
        fn numbers_and_times_are_read_back(given in any::<u64>(), micros in 0..u64::from(u32::MAX)) {
            prop_assert_eq!(written(|out| number(out, given)), given.to_string());
            let time: f64 = written(|out| millis(out, Duration::from_micros(micros))).parse().unwrap();
            prop_assert!((time - micros as f64 / 1000.0).abs() < 1e-6);
        }
    }

    #[test]
    fn every_byte_that_needs_an_escape_gets_one() {
        for byte in 0..=0x7f_u8 {
            let text = format!("before{}after", char::from(byte));
            assert_eq!(written(|out| string(out, &text)), serde_json::to_string(&text).unwrap());
            assert_eq!(written(|out| latin1(out, text.as_bytes())), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn millis_have_three_digits_after_the_point() {
        for (micros, text) in
            [(0, "0.000"), (7, "0.007"), (1_500, "1.500"), (98_760, "98.760"), (12_345_678, "12345.678")]
        {
            assert_eq!(written(|out| millis(out, Duration::from_micros(micros))), text);
        }
    }
}
