//! JSON as it is written on the path of a call: member by member, into a buffer that is there. Everything else goes by serde.

use std::time::Duration;

/// Bytes that stand in a string literal as they are, for all of `bytes` (RFC 8259, 7).
///
/// Without a branch for each byte, so that it becomes vector instructions: nearly no string of a call needs an escape.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| plain & (*byte >= 0x20) & (*byte != b'"') & (*byte != b'\\'))
}

/// Writes a string literal of a text that is known to need no escape: an id, a code, a method, a canonical path.
pub fn plain(out: &mut Vec<u8>, text: &str) {
    debug_assert!(is_plain(text.as_bytes()), "{text:?} needs an escape");
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Writes a string literal.
pub fn string(out: &mut Vec<u8>, text: &str) {
    if is_plain(text.as_bytes()) {
        plain(out, text);
    } else {
        // Writing text to memory does not fail.
        let _ = serde_json::to_writer(out, text);
    }
}

/// Writes bytes as Latin-1: each is the code point of its number.
pub fn latin1(out: &mut Vec<u8>, bytes: &[u8]) {
    if is_plain(bytes) && bytes.is_ascii() {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
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
    if number < 10 {
        return out.push(b'0' + number as u8);
    }
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Writes a time in milliseconds, with three digits after the point.
pub fn millis(out: &mut Vec<u8>, time: Duration) {
    let micros = time.as_micros() as u64;
    number(out, micros / 1000);
    let digit = |of: u64| b'0' + (micros / of % 10) as u8;
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
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
        for (micros, text) in [(0, "0.000"), (7, "0.007"), (1_500, "1.500"), (12_345_678, "12345.678")] {
            assert_eq!(written(|out| millis(out, Duration::from_micros(micros))), text);
        }
    }
}
