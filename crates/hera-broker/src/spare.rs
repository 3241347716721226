//! Buffers that a core's connections use one after the other.
//!
//! A connection needs a buffer while it reads a head or writes one, and none while it waits, which is nearly all of the time. One of each kind
//! stays warm in the cache however many connections there are; who finds it taken makes one of its own.

use bytes::BytesMut;
use std::cell::Cell;

/// Bytes of a body that are copied rather than shared: up to here a copy costs less than the second piece of a write, and than the buffer that a share of it keeps alive.
pub const COPIED_BYTES_MAX: usize = 4 * 1024;
/// Larger ones are given back to the allocator: a core is not to keep what one large message needed.
const KEPT_BYTES_MAX: usize = 16 * 1024;

/// One buffer to read into and one to write from, unless they are in use.
#[derive(Default)]
pub struct Spare {
    input: Cell<BytesMut>,
    head: Cell<Vec<u8>>,
}

impl std::fmt::Debug for Spare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Spare")
    }
}

impl Spare {
    /// An empty buffer to read into, perhaps without room.
    pub fn take_input(&self) -> BytesMut {
        self.input.take()
    }

    /// Takes a buffer back; it holds nothing that is still needed.
    pub fn give_input(&self, mut buffer: BytesMut) {
        buffer.clear();
        if (1..=KEPT_BYTES_MAX).contains(&buffer.capacity()) {
            self.input.set(buffer);
        }
    }

    /// An empty buffer for a head, perhaps without room.
    pub fn take_head(&self) -> Vec<u8> {
        self.head.take()
    }

    /// Takes a buffer back.
    pub fn give_head(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        if buffer.capacity() <= KEPT_BYTES_MAX {
            self.head.set(buffer);
        }
    }
}
