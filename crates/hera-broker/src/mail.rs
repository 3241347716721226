//! What one core tells another.
//!
//! A caller's connection lives on one core, a worker's session on one core, mostly not the same. Neither reaches into the other: they post. Within
//! a core the letter is delivered at once by a function call; between cores it goes through the other core's inbox, which is drained in batches.
//!
//! ```text
//!   caller's core                              worker's core
//!   Exchange ──Submit, Chunk, End, Credit──> Session ──frames──> worker
//!            <──Event(Answer, Chunk, …)──────         <──frames──
//! ```
//!
//! The inboxes need no limit of their own: a call has at most a handful of letters on the way (its chunks are bounded by credit), and the number of
//! calls is bounded by `calls.in_flight_max`.

use crate::slots::SlotKey;
use bytes::{Bytes, BytesMut};
use hera_protocol::message::stream::Body;
use hera_protocol::{Attachment, Code};
use std::net::{IpAddr, TcpStream};

/// A worker's session on its core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionAddr {
    /// Which core.
    pub core: usize,
    /// Which session of that core.
    pub key: SlotKey,
}

/// A caller's exchange on its core. `attempt` tells one try of a call from the next, and one call of a connection from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallAddr {
    /// Which core.
    pub core: usize,
    /// Which exchange of that core.
    pub key: SlotKey,
    /// Which attempt of that exchange.
    pub attempt: u64,
}

/// A letter.
#[derive(Debug)]
pub enum Mail {
    /// To a session.
    Session(SessionAddr, ToSession),
    /// To a caller's exchange.
    Call(CallAddr, Event),
    /// A worker's connection that this core is to serve.
    Worker(TcpStream, IpAddr),
    /// Look at everything again: keys were revoked, or the broker drains.
    Review,
    /// The drain is over.
    Stop,
}

/// What a caller's side tells a session.
#[derive(Debug)]
pub enum ToSession {
    /// A call whose frame head is encoded already.
    Submit {
        /// The call's id on that session.
        id: u64,
        /// Who waits.
        call: CallAddr,
        /// Lengths and head of the frame.
        head: BytesMut,
        /// Its attachment.
        attachment: Attachment,
    },
    /// More of the call's body.
    Chunk(u64, Bytes),
    /// The call's body is whole.
    End(u64),
    /// The receiver of a reply took so many bytes.
    Credit(u64, u32),
    /// One body ends here.
    Reset(u64, Body, Code),
    /// Nobody waits any more.
    Cancel(u64),
}

/// What a session tells a caller's side.
#[derive(Debug)]
pub enum Event {
    /// The worker answered.
    Answer(Box<Answer>),
    /// More of the answer's body.
    Chunk(Attachment),
    /// The answer's body is whole.
    End,
    /// The answer's body is cut short.
    Reset,
    /// The worker takes so many more bytes of the call's body.
    Credit(u32),
    /// The worker wants no more of the call's body.
    Enough,
    /// There will be no answer.
    Failed(Failure),
}

/// Why there will be no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub code: Code,
    /// Whether the worker provably did not start (D1).
    pub not_started: bool,
}

/// A worker's answer that passed every rule; its headers are encoded for HTTP/1.1 already.
// Two whole lines of the cache. A block of 96 bytes is also what the allocator hands out most slowly: it makes room to align it.
#[derive(Debug)]
#[repr(align(64))]
pub struct Answer {
    /// 200 to 599.
    pub status: u16,
    /// `name: value\r\n` for each header.
    pub header_lines: Vec<u8>,
    /// What the worker said of the length of a body with `more`.
    pub content_length: Option<u64>,
    /// Whether it set `date` itself.
    pub has_date: bool,
    /// Whether the body is JSON without a content coding: what the wrapped form needs.
    pub is_plain_json: bool,
    /// The body, or its beginning.
    pub body: Attachment,
    /// Chunks follow.
    pub more: bool,
}
