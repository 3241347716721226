//! The worker wire against a real broker: whatever a peer does wrong is named to it, logged in one line, and hurts no other session.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod answers;
mod cancel;
mod declaration;
mod drain;
mod frames;
mod handshake;
mod load;
mod raw_answers;
mod refusals;
mod remote_calls;
mod remote_streams;
mod replies;
mod revocation;
mod stage;
mod streams;
