//! Random bytes: nonces and instance names.

use aws_lc_rs::rand;

/// `N` bytes from the system's generator; panics on a system without one, where no proof would be worth anything.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).expect("the system gives random bytes");
    bytes
}
