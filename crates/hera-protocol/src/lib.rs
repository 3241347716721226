//! The wire between Hera's brokers and workers, `hera/1`, as values.
//!
//! This crate has no socket, no task and no clock: bytes go in, frames and messages come out, and the other way round.
//! The contract is `spec/protocol.md`; the clauses (`P-12`) are cited where they are obeyed. Reading order:
//!
//! 1. [`frame`]: bytes to frames and back,
//! 2. [`message`]: the head of a frame, one file per message,
//! 3. [`handshake`]: who proves what to whom, with [`proof`] and [`key`],
//! 4. [`pending`]: requests in flight by id,
//! 5. [`limits`] and [`error`]: the numbers and the names that everything refers to.

pub mod error;
pub mod frame;
pub mod handshake;
pub mod id;
pub mod json;
pub mod key;
pub mod limits;
pub mod message;
pub mod pending;
pub mod proof;

pub use error::{Code, Executed};
pub use frame::{Attachment, Decoder, Frame};
pub use id::{CallIds, WireId};
pub use pending::{IdHasher, Pending, Taken};

/// The protocol version that this crate speaks (P-15).
pub const VERSION: u32 = 1;
