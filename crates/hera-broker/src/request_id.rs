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
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&hex((high >> 32) as u32));
    let [middle, low_half] = [high as u32, (low >> 32) as u32].map(hex);
    text[9..13].copy_from_slice(&middle[..4]);
    text[14..18].copy_from_slice(&middle[4..]);
    text[19..23].copy_from_slice(&low_half[..4]);
    text[24..28].copy_from_slice(&low_half[4..]);
    text[28..].copy_from_slice(&hex(low as u32));
    String::from_utf8(text.into()).unwrap_or_default()
}

/// The eight digits of a number, all at once: each half byte is moved into a byte of its own, and each byte becomes its digit.
fn hex(number: u32) -> [u8; 8] {
    let spread = |word: u64, by: u32, mask: u64| (word | word << by) & mask;
    let word = spread(u64::from(number), 16, 0x0000_ffff_0000_ffff);
    let word = spread(word, 8, 0x00ff_00ff_00ff_00ff);
    let word = spread(word, 4, 0x0f0f_0f0f_0f0f_0f0f);
    let is_letter = ((word + 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101;
    (word + 0x3030_3030_3030_3030 + is_letter * u64::from(b'a' - b'9' - 1)).to_be_bytes()
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
    fn digits_are_those_of_the_number() {
        for number in [0, 1, 0x0123_4567, 0x89ab_cdef, 0x9a9a_a9a9, u32::MAX] {
            assert_eq!(hex(number), *format!("{number:08x}").as_bytes());
        }
    }

    #[test]
    fn only_harmless_ids_are_taken_over() {
        assert_eq!(accepted(b"a.B_c-9"), Some("a.B_c-9"));
        for given in [&b""[..], b"a b", b"a\xff", b"a/b", b"a\"", &[b'a'; 129]] {
            assert_eq!(accepted(given), None);
        }
    }
}
