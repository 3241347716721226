//! Bytes that must not be shown, and where they come from.

use aws_lc_rs::{constant_time, rand};

/// 32 secret bytes: `Debug` prints `***`, and drop overwrites them.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes bytes that were read or derived.
    pub fn new(bytes: [u8; 32]) -> Secret {
        Secret(bytes)
    }

    /// Fresh random bytes.
    pub fn random() -> Secret {
        Secret(random())
    }

    /// The bytes themselves; the name is meant to be seen in a review.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Without a reader the compiler may leave the overwriting out.
        std::hint::black_box(&self.0);
    }
}

/// `N` random bytes from the cryptographic source.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    // It fails only where the operating system has no entropy at all; a secret made then would be worse than a stop.
    rand::fill(&mut bytes).expect("the system has a source of random bytes");
    bytes
}

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_is_never_shown() {
        let secret = Secret::new([0xab; 32]);

        assert_eq!(format!("{secret:?}"), "***");
    }

    #[test]
    fn equality_sees_one_bit_and_length() {
        assert!(equal(b"abc", b"abc"));
        assert!(!equal(b"abc", b"abb"));
        assert!(!equal(b"abc", b"ab"));
    }
}
