//! Random bytes: nonces, instance names, jitter.

use aws_lc_rs::rand;

/// `N` bytes from the system's generator; panics on a system without one, where no proof would be worth anything.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}

/// A number from 0 up to and without 1.
pub(crate) fn share() -> f64 {
    // 53 bits are what an f64 holds exactly.
    (u64::from_be_bytes(bytes()) >> 11) as f64 / (1u64 << 53) as f64
}
