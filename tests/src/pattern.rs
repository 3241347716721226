//! The bytes of large bodies: cheap to make in every language, and no two blocks alike, so that a lost, doubled or swapped piece shows.
//!
//! Block `k` is 64 KiB: byte `j` is the low byte of `131 j + (j >> 8)`, but its first 8 bytes are `k`, big-endian.

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;

/// Bytes of a block; the last one of a body may be shorter.
pub const BLOCK_BYTES: usize = 64 * 1024;

/// The blocks of a body of `bytes` bytes.
pub fn blocks(bytes: u64) -> impl Iterator<Item = Bytes> + Send {
    let base: Vec<u8> = (0..BLOCK_BYTES).map(|j| (131 * j + (j >> 8)) as u8).collect();
    let whole = BLOCK_BYTES as u64;
    (0..bytes.div_ceil(whole)).map(move |k| {
        let mut block = base.clone();
        block[..8].copy_from_slice(&k.to_be_bytes());
        block.truncate((bytes - k * whole).min(whole) as usize);
        Bytes::from(block)
    })
}

/// SHA-256 of a body of `bytes` bytes, in lower-case hex.
pub fn sha256(bytes: u64) -> String {
    let mut hash = Context::new(&SHA256);
    blocks(bytes).for_each(|block| hash.update(&block));
    hex(hash)
}

/// A finished hash in lower-case hex.
pub fn hex(hash: Context) -> String {
    hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
