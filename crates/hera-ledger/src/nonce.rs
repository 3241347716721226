//! The name of a call, which its worker and its answer repeat.

use std::fmt;

const MARK: &[u8] = b"n_";
const DIGITS: usize = 32;

/// 128 bits that no other call has; as text `n_` and 32 hex digits, so that it can be found in any bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Nonce(pub u128);

impl Nonce {
    /// The nonce that `text` is.
    pub fn parse(text: &str) -> Option<Nonce> {
        let digits = text.strip_prefix("n_").filter(|digits| digits.len() == DIGITS)?;
        let plain = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        plain.then(|| u128::from_str_radix(digits, 16).ok()).flatten().map(Nonce)
    }

    /// All nonces that stand somewhere in `bytes`.
    pub fn all_in(bytes: &[u8]) -> impl Iterator<Item = Nonce> + '_ {
        memchr::memmem::find_iter(bytes, MARK).filter_map(|at| {
            let text = bytes.get(at..at + MARK.len() + DIGITS)?;
            Nonce::parse(std::str::from_utf8(text).ok()?)
        })
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n_{:032x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back() {
        for value in [0, 1, u128::MAX, 0xabc << 64] {
            assert_eq!(Nonce::parse(&Nonce(value).to_string()), Some(Nonce(value)));
        }
        for text in
            ["", "n_", "n_12", "0123", &format!("n_{}", "A".repeat(32)), &format!("n_+{}", "0".repeat(31))]
        {
            assert_eq!(Nonce::parse(text), None, "{text}");
        }
    }

    #[test]
    fn nonces_are_found_in_any_bytes() {
        let text = format!("\u{ff}x{{\"a\":\"{}\",{}n_12", Nonce(7), Nonce(9));

        assert_eq!(Nonce::all_in(text.as_bytes()).collect::<Vec<_>>(), [Nonce(7), Nonce(9)]);
    }
}
