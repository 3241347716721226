//! The request id: the caller's, if it fits, else a UUIDv7 (RFC 9562).

use crate::core::Core;

const LENGTH_MAX: usize = 128;

/// The caller's id, if it is `[A-Za-z0-9._-]{1,128}`: it goes into logs and headers as it is.
pub fn accepted(given: &[u8]) -> Option<&str> {
    let fits = (1..=LENGTH_MAX).contains(&given.len())
        && given.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte));
    std::str::from_utf8(given).ok().filter(|_| fits)
}

/// A new one, of the time of the last tick. Its random bits come from the core's dice: it has to be unique, not secret.
pub fn fresh(core: &Core) -> String {
    let mut rng = core.rng.borrow_mut();
    uuid_v7(core.wall.recent_ms(), rng.next_u64(), rng.next_u64())
}

fn uuid_v7(unix_ms: u64, a: u64, b: u64) -> String {
    let high = (unix_ms << 16) | 0x7000 | (a & 0x0fff);
    let low = 0x8000_0000_0000_0000 | (b >> 2);
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let bits = u128::from(high) << 64 | u128::from(low);
    let mut digit = 32;
    for group in [0..8, 9..13, 14..18, 19..23, 24..36] {
        for place in &mut text[group] {
            digit -= 1;
            *place = DIGITS[(bits >> (4 * digit)) as usize & 15];
        }
    }
    String::from_utf8(text.into()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_are_version_7_and_variant_10() {
        let id = uuid_v7(0x0191_2345_6789, u64::MAX, 0);
        assert_eq!(id, "01912345-6789-7fff-8000-000000000000");
        assert_eq!(accepted(id.as_bytes()), Some(id.as_str()));
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert_eq!(accepted(b"a.B_c-9"), Some("a.B_c-9"));
        for given in [&b""[..], b"a b", b"a\xff", b"a/b", b"a\"", &[b'a'; 129]] {
            assert_eq!(accepted(given), None);
        }
    }
}
