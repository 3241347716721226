//! What P-46 says of the canonical form, checked byte by byte without the product's help.

/// Panics unless `path` is in canonical form and means, decoded once, what `raw` means.
pub(crate) fn check(raw: &[u8], path: &str) {
    assert!(path.starts_with('/'), "{path}");
    assert!(path == "/" || !path.ends_with('/'), "{path}");
    let mut rest = path.as_bytes();
    while let [first, others @ ..] = rest {
        rest = match (first, others) {
            (b'%', [high, low, behind @ ..]) => {
                let byte = digit(*high) << 4 | digit(*low);
                assert!(!is_unreserved(byte), "{path} escapes {byte:#04x} without need");
                assert!(!matches!(byte, b'/' | b'\\' | 0x00..=0x1F | 0x7F), "{path} hides {byte:#04x}");
                behind
            }
            (b'%', _) => panic!("{path} ends within an escape"),
            (byte, behind) => {
                let raw_is_allowed = is_unreserved(*byte) || b"/!$&'()*+,;=:@".contains(byte);
                assert!(raw_is_allowed, "{path} has {byte:#04x} raw");
                behind
            }
        };
    }

    let meant = |path: &[u8]| path.split(|byte| *byte == b'/').map(once).collect::<Vec<_>>();
    let raw = if raw.len() > 1 { raw.strip_suffix(b"/").unwrap_or(raw) } else { raw };
    assert_eq!(meant(path.as_bytes()), meant(raw), "{path} means something else");
    for segment in path.split('/').skip(1).filter(|_| path != "/") {
        assert!(!matches!(segment, "" | "." | ".."), "{path}");
        assert_eq!(hera_route::decode(segment).as_bytes(), once(segment.as_bytes()), "{path}");
    }
}

/// Decodes every escape of a segment, once.
fn once(segment: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = segment;
    while let [first, others @ ..] = rest {
        rest = match (first, others) {
            (b'%', [high, low, behind @ ..]) => {
                decoded.push(hex(*high).unwrap() << 4 | hex(*low).unwrap());
                behind
            }
            (byte, behind) => {
                decoded.push(*byte);
                behind
            }
        };
    }
    decoded
}

/// The value of a digit of an escape, which must be in upper case.
fn digit(byte: u8) -> u8 {
    assert!(!byte.is_ascii_lowercase(), "an escape in lower case");
    hex(byte).unwrap()
}

fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}
