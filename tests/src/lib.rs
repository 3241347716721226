//! What the system tests share: worker processes, a caller that makes load, and the bytes of large bodies.

pub mod caller;
pub mod pattern;
pub mod worker_process;
