//! The canonical form of a request path (P-46, P-47).
//!
//! Ambiguity is refused and never repaired: whatever two parsers on the way could read differently is an error, and all
//! the rest has one spelling. The result stays percent-encoded, so a `/` in it always separates segments.

use std::borrow::Cow;
use thiserror::Error;

/// Why a path has no canonical form; the caller is answered `bad_path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
pub enum BadPath {
    /// The path does not begin with `/`; an empty one too.
    #[error("path does not begin with `/`")]
    NotAbsolute,
    /// `//`: servers disagree whether it is one slash.
    #[error("path has an empty segment (`//`)")]
    EmptySegment,
    /// `.` or `..` as a whole segment, raw or encoded.
    #[error("path has a dot segment (`.` or `..`, raw or encoded)")]
    DotSegment,
    /// `%2F`, which some servers split at and others do not.
    #[error("path has an encoded slash (`%2F`)")]
    EncodedSlash,
    /// `\` or `%5C`, which some servers take for a slash.
    #[error("path has a backslash, raw or encoded")]
    Backslash,
    /// A control byte, raw or encoded; `%00` too.
    #[error("path has a control byte, raw or encoded")]
    Control,
    /// `%` without two hex digits after it.
    #[error("path has a `%` without two hex digits after it")]
    BadEscape,
    /// Bytes that are not UTF-8 once decoded; overlong forms and surrogates too.
    #[error("path is not UTF-8 after decoding")]
    NotUtf8,
    /// `#`: a fragment never belongs into a request.
    #[error("path has a fragment (`#`)")]
    Fragment,
}

/// Gives the canonical form of a raw path without its query; one trailing slash is dropped.
///
/// A path that is canonical already is borrowed, also without its trailing slash: one pass, no allocation, as every call goes
/// through here. Doing it twice changes nothing. Errors: P-47; of several faults any one is named. Source: P-46.
pub fn canonical(raw: &[u8]) -> Result<Cow<'_, str>, BadPath> {
    if raw.first() != Some(&b'/') {
        return Err(BadPath::NotAbsolute);
    }
    // `rewritten` stays empty, and unallocated, while `raw[copied..at]` needs no change.
    let mut rewritten = Vec::new();
    let mut copied = 0;
    let mut segment = Seen::default();
    let mut at = 1;
    while let Some(&byte) = raw.get(at) {
        match CLASS[usize::from(byte)] {
            Class::Plain => {
                segment.other = true;
                at += raw[at..].iter().take_while(|&&byte| is_plain(byte)).count();
            }
            Class::Slash => {
                segment.end()?;
                segment = Seen::default();
                at += 1;
            }
            Class::Dot => {
                segment.dots += 1;
                at += 1;
            }
            Class::Refused => return Err(refusal(byte)),
            Class::Percent | Class::Rewritten => {
                let (character, next) = character(raw, at)?;
                if !is_spelled_so(&raw[at..next], character.bytes()) {
                    rewritten.extend_from_slice(&raw[copied..at]);
                    character.spell(&mut rewritten);
                    copied = next;
                }
                match character.bytes() {
                    b"." => segment.dots += 1,
                    _ => segment.other = true,
                }
                at = next;
            }
        }
    }
    let end = if raw.len() > 1 && raw.ends_with(b"/") {
        // The slash before it was judged with the segment that it ended, so what is dropped is exactly one.
        raw.len() - 1
    } else {
        if raw.len() > 1 {
            segment.end()?;
        }
        raw.len()
    };
    if copied == 0 {
        return std::str::from_utf8(&raw[..end]).map(Cow::Borrowed).map_err(|_| BadPath::NotUtf8);
    }
    rewritten.extend_from_slice(&raw[copied..end]);
    String::from_utf8(rewritten).map(Cow::Owned).map_err(|_| BadPath::NotUtf8)
}

/// Gives the text that a segment of a canonical path stands for, percent-decoded once: `a%252F` becomes `a%2F`.
///
/// Borrowed when nothing is encoded. It never fails: what is no escape stays as it is, and a canonical path is UTF-8 (P-47).
pub fn decode(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return Cow::Borrowed(segment);
    }
    let raw = segment.as_bytes();
    let mut decoded = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        match (raw[at] == b'%').then(|| escaped(raw, at)).flatten() {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(raw[at]);
                at += 1;
            }
        }
    }
    Cow::Owned(match String::from_utf8(decoded) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    })
}

/// What a segment held so far, which is all that is needed to know an empty or a dot segment.
#[derive(Default)]
struct Seen {
    dots: usize,
    other: bool,
}

impl Seen {
    fn end(&self) -> Result<(), BadPath> {
        match self {
            Seen { other: true, .. } => Ok(()),
            Seen { dots: 0, .. } => Err(BadPath::EmptySegment),
            Seen { dots: 1 | 2, .. } => Err(BadPath::DotSegment),
            Seen { .. } => Ok(()),
        }
    }
}

/// One decoded character: its UTF-8 bytes.
struct Character {
    bytes: [u8; 4],
    len: usize,
}

impl Character {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn spell(&self, out: &mut Vec<u8>) {
        for &byte in self.bytes() {
            if is_unreserved(byte) {
                out.push(byte);
            } else {
                out.extend_from_slice(&escape(byte));
            }
        }
    }
}

/// Reads the character at `at`, whose bytes may be raw, escaped or both, and says where the next one begins.
fn character(raw: &[u8], at: usize) -> Result<(Character, usize), BadPath> {
    let (first, mut next) = octet(raw, at)?;
    // 0x80 to 0xC1 and above 0xF4 begin no character; `from_utf8` finds the rest: overlong, surrogate, cut short.
    let len = match first {
        0x00..=0x7F => 1,
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return Err(BadPath::NotUtf8),
    };
    let mut bytes = [first, 0, 0, 0];
    for slot in &mut bytes[1..len] {
        if next == raw.len() {
            return Err(BadPath::NotUtf8);
        }
        (*slot, next) = octet(raw, next)?;
    }
    match std::str::from_utf8(&bytes[..len]) {
        Ok(_) => Ok((Character { bytes, len }, next)),
        Err(_) => Err(BadPath::NotUtf8),
    }
}

/// Reads one byte at `at`, raw or escaped, refusing what may not stand in a path encoded.
fn octet(raw: &[u8], at: usize) -> Result<(u8, usize), BadPath> {
    if raw[at] != b'%' {
        return Ok((raw[at], at + 1));
    }
    match escaped(raw, at).ok_or(BadPath::BadEscape)? {
        b'/' => Err(BadPath::EncodedSlash),
        b'\\' => Err(BadPath::Backslash),
        byte if byte.is_ascii_control() => Err(BadPath::Control),
        byte => Ok((byte, at + 3)),
    }
}

/// The byte that `%XX` at `at` stands for.
fn escaped(raw: &[u8], at: usize) -> Option<u8> {
    let digit = |offset: usize| char::from(*raw.get(at + offset)?).to_digit(16);
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

/// Whether `raw` is already how the canonical form writes these bytes; it is read from a `%` or a byte that must be escaped.
fn is_spelled_so(raw: &[u8], bytes: &[u8]) -> bool {
    raw.len() == 3 * bytes.len()
        && bytes.iter().zip(raw.chunks(3)).all(|(&byte, text)| !is_unreserved(byte) && text == escape(byte))
}

fn escape(byte: u8) -> [u8; 3] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_plain(byte: u8) -> bool {
    matches!(CLASS[usize::from(byte)], Class::Plain)
}

fn refusal(byte: u8) -> BadPath {
    match byte {
        b'\\' => BadPath::Backslash,
        b'#' => BadPath::Fragment,
        _ => BadPath::Control,
    }
}

#[derive(Clone, Copy)]
enum Class {
    /// Stays as it is.
    Plain,
    Slash,
    Dot,
    Percent,
    /// Has to be escaped: not allowed raw in a path by RFC 3986.
    Rewritten,
    Refused,
}

const CLASS: [Class; 256] = {
    let mut class = [Class::Rewritten; 256];
    let mut byte = 0u8;
    loop {
        class[byte as usize] = match byte {
            b'/' => Class::Slash,
            b'.' => Class::Dot,
            b'%' => Class::Percent,
            0x00..=0x1F | 0x7F | b'\\' | b'#' => Class::Refused,
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => Class::Plain,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' => {
                Class::Plain
            }
            _ => Class::Rewritten,
        };
        if byte == 255 {
            break class;
        }
        byte += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_path_is_borrowed() {
        for path in ["/", "/a", "/0/users/42", "/caf%C3%A9/%F0%9F%98%80", "/a;x=1+b/..;y", "/a/%25/%20"] {
            assert!(matches!(canonical(path.as_bytes()), Ok(Cow::Borrowed(same)) if same == path), "{path}");
        }
    }

    #[test]
    fn a_trailing_slash_is_dropped_without_a_copy() {
        assert!(matches!(canonical(b"/a/b/"), Ok(Cow::Borrowed("/a/b"))));
        assert_eq!(canonical(b"/%61/").unwrap(), "/a");
        assert_eq!(canonical(b"/a//"), Err(BadPath::EmptySegment));
        assert_eq!(canonical(b"//"), Err(BadPath::EmptySegment));
    }

    #[test]
    fn a_character_may_mix_raw_and_escaped_bytes_and_has_one_spelling() {
        for path in [&b"/\xC3\xA9"[..], b"/%c3%a9", b"/\xC3%A9", b"/%C3\xA9"] {
            assert_eq!(canonical(path).unwrap(), "/%C3%A9");
        }
    }

    #[test]
    fn characters_cut_short_or_overlong_are_refused() {
        for path in
            ["/%C3", "/%C3/%A9", "/%C0%AF", "/%E0%80%AF", "/%ED%A0%80", "/%F4%90%80%80", "/%80", "/%C3a"]
        {
            assert_eq!(canonical(path.as_bytes()), Err(BadPath::NotUtf8), "{path}");
        }
    }

    #[test]
    fn a_segment_is_decoded_once() {
        assert!(matches!(decode("abc"), Cow::Borrowed("abc")));
        assert_eq!(decode("caf%C3%A9%20+"), "caf\u{e9} +");
        assert_eq!(decode("%252F"), "%2F");
        assert_eq!(decode("100%"), "100%");
    }
}
