//! What waits to be written on one connection.
//!
//! ```text
//!   replies, pongs, credit ──> [ frames ........ ]──┐
//!                                                   ├──> turn: one vectored write
//!   body A ──> [c][c][end] ─┐                       │
//!   body B ──> [c][c]      ─┴─ round robin, 256 KiB─┘
//! ```
//!
//! A turn takes every frame that waits, then chunks of the bodies in turn up to 256 KiB; so a small frame never waits behind more than
//! that, and no body behind another (P-42). The lock guards plain memory and is never held across an await.

use crate::lock::lock;
use crate::outgoing::{Item, Outgoing};
use bytes::{Buf, Bytes, BytesMut};
use hera_protocol::Code;
use hera_protocol::frame::put_head;
use hera_protocol::limits::Limits;
use hera_protocol::message::stream::Reset;
use hera_protocol::message::{self, HeadWriter, failure, method};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Bytes of chunks that one turn takes.
const TURN_CHUNK_BYTES: usize = 256 * 1024;
/// Attachments up to this size are copied behind their head: one more slice costs more than the copy.
const COPIED_BYTES_MAX: usize = 8 * 1024;
/// Room that is made for frames, again and again: one buffer that grew would be copied each time that it does.
const TAIL_BYTES: usize = 16 * 1024;
/// A buffer with less room left is full: nearly every frame fits.
const FRAME_ROOM: usize = 2 * 1024;
/// Bytes of answers to the broker's own control requests, above which the reader waits: a broker that asks and does not
/// read must not fill our memory.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The outgoing side of a connection; handlers, bodies and the reader put in, the writer takes out.
pub(crate) struct Outlet {
    state: Mutex<State>,
    wake: Notify,
    room: Notify,
    limits: Limits,
}

#[derive(Default)]
struct State {
    /// Turns that the writer took.
    turns: u64,
    frames: Frames,
    answer_bytes: usize,
    ready: VecDeque<Arc<Outgoing>>,
    finishing: bool,
    closed: bool,
}

/// What became of a frame that was put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Put {
    /// It leaves in the turn after so many.
    After(u64),
    /// Its head is over the limit.
    TooLarge,
    /// The connection is gone.
    Closed,
}

/// What the writer does next.
pub(crate) enum Step {
    /// Write all of this.
    Write(Turn),
    /// Everything was taken and nothing will come.
    Finished,
}

impl Outlet {
    /// An empty outlet under the limits that both sides agreed on.
    pub(crate) fn new(limits: Limits) -> Outlet {
        Outlet { state: Mutex::default(), wake: Notify::new(), room: Notify::new(), limits }
    }

    /// Largest attachment of a frame.
    pub(crate) fn attachment_bytes_max(&self) -> usize {
        self.limits.attachment_bytes_max
    }

    /// Queues one frame. False when its head is over the limit; nothing was queued then.
    pub(crate) fn frame(
        &self,
        attachment: Bytes,
        head: impl FnOnce(HeadWriter<'_>) -> serde_json::Result<()>,
    ) -> bool {
        self.put(attachment, head) != Put::TooLarge
    }

    /// The same, for who wants to know whether it left.
    pub(crate) fn put(
        &self,
        attachment: Bytes,
        head: impl FnOnce(HeadWriter<'_>) -> serde_json::Result<()>,
    ) -> Put {
        let mut state = lock(&self.state);
        if state.closed {
            return Put::Closed;
        }
        let fits = state.frames.put(self.limits.head_bytes_max, attachment, head);
        let turns = state.turns;
        drop(state);
        self.wake.notify_one();
        if fits { Put::After(turns) } else { Put::TooLarge }
    }

    /// Whether the writer has taken a frame that was put in after so many turns.
    pub(crate) fn has_taken(&self, turns: u64) -> bool {
        lock(&self.state).turns > turns
    }

    /// Queues the reader's answer to a control request, which counts against [`Outlet::room`].
    pub(crate) fn answer(&self, head: impl FnOnce(HeadWriter<'_>) -> serde_json::Result<()>) {
        let mut state = lock(&self.state);
        if state.closed {
            return;
        }
        let before = state.frames.bytes;
        state.frames.put(self.limits.head_bytes_max, Bytes::new(), head);
        state.answer_bytes += state.frames.bytes - before;
        drop(state);
        self.wake.notify_one();
    }

    /// Queues an error response.
    pub(crate) fn failure(&self, id: Option<u64>, code: Code, text: &str) {
        self.answer(|out| failure::write(out, id, code, text, &[]));
    }

    /// Queues a notification without an attachment.
    pub(crate) fn notify<P: serde::Serialize>(&self, method: &str, params: &P) {
        self.frame(Bytes::new(), |out| message::write_notification(out, method, params));
    }

    /// Puts a body that has something to send into the round.
    pub(crate) fn ready(&self, body: Arc<Outgoing>) {
        let mut state = lock(&self.state);
        if !state.closed {
            state.ready.push_back(body);
            drop(state);
            self.wake.notify_one();
        }
    }

    /// Waits until the answers that wait are few enough to read on.
    pub(crate) async fn room(&self) {
        loop {
            let room = self.room.notified();
            if lock(&self.state).answer_bytes <= ANSWER_BYTES_MAX {
                return;
            }
            room.await;
        }
    }

    /// Nothing new will come: the writer ends when all is written.
    pub(crate) fn finish(&self) {
        lock(&self.state).finishing = true;
        self.wake.notify_one();
    }

    /// The connection is gone: what waits is dropped, and so is what comes later.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        *state = State { closed: true, turns: state.turns, ..State::default() };
        drop(state);
        self.wake.notify_one();
        self.room.notify_waiters();
    }

    /// The next turn, when there is something to write.
    pub(crate) async fn next(&self) -> Step {
        loop {
            {
                let mut state = lock(&self.state);
                let turn = state.turn(self.limits.head_bytes_max);
                self.room.notify_waiters();
                if turn.has_remaining() {
                    state.turns += 1;
                    return Step::Write(turn);
                }
                if state.finishing || state.closed {
                    return Step::Finished;
                }
            }
            self.wake.notified().await;
            // Handlers that became ready in the same wake-up put their replies in first, so that all go in one write.
            tokio::task::yield_now().await;
        }
    }
}

impl State {
    fn turn(&mut self, head_max: usize) -> Turn {
        self.answer_bytes = 0;
        let mut chunk_bytes = 0;
        while chunk_bytes < TURN_CHUNK_BYTES {
            let Some(body) = self.ready.pop_front() else { break };
            let Some((of, item, more)) = body.take() else { continue };
            match item {
                Item::Chunk(bytes) => {
                    chunk_bytes += bytes.len();
                    self.frames
                        .put(head_max, bytes, |out| message::write_notification(out, method::CHUNK, &of));
                }
                Item::End => {
                    self.frames.put(head_max, Bytes::new(), |out| {
                        message::write_notification(out, method::END, &of)
                    });
                }
                Item::Reset(code) => {
                    let reset = Reset { id: of.id, body: of.body, code: code.into(), remote: of.remote };
                    self.frames.put(head_max, Bytes::new(), |out| {
                        message::write_notification(out, method::RESET, &reset)
                    });
                }
            }
            if more {
                self.ready.push_back(body);
            }
        }
        self.frames.take()
    }
}

/// Frames in order, as slices to write: heads gathered in one buffer, large attachments as they are.
#[derive(Default)]
struct Frames {
    slices: VecDeque<Bytes>,
    tail: BytesMut,
    bytes: usize,
}

impl Frames {
    fn put(
        &mut self,
        head_max: usize,
        attachment: Bytes,
        head: impl FnOnce(HeadWriter<'_>) -> serde_json::Result<()>,
    ) -> bool {
        if self.tail.capacity() - self.tail.len() < FRAME_ROOM {
            self.end_slice();
            self.tail.reserve(TAIL_BYTES);
        }
        let before = self.tail.len();
        if put_head(&mut self.tail, head_max, attachment.len(), head).is_none() {
            return false;
        }
        self.bytes += self.tail.len() - before + attachment.len();
        if attachment.len() <= COPIED_BYTES_MAX {
            self.tail.extend_from_slice(&attachment);
        } else {
            self.end_slice();
            self.slices.push_back(attachment);
        }
        true
    }

    fn end_slice(&mut self) {
        if !self.tail.is_empty() {
            self.slices.push_back(self.tail.split().freeze());
        }
    }

    fn take(&mut self) -> Turn {
        self.end_slice();
        Turn { slices: std::mem::take(&mut self.slices), bytes: std::mem::take(&mut self.bytes) }
    }
}

/// The bytes of one write, in slices.
#[derive(Debug)]
pub(crate) struct Turn {
    slices: VecDeque<Bytes>,
    bytes: usize,
}

impl Buf for Turn {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.slices.front().map_or(&[], |slice| &slice[..])
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let both = slices.iter_mut().zip(&self.slices);
        both.map(|(out, slice)| *out = IoSlice::new(slice)).count()
    }

    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(slice) = self.slices.front_mut() {
            if count < slice.len() {
                slice.advance(count);
                return;
            }
            count -= slice.len();
            self.slices.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hera_protocol::Decoder;
    use hera_protocol::message::stream::BodyRef;

    fn heads(turn: Turn) -> Vec<(String, usize)> {
        let mut decoder = Decoder::for_handshake();
        decoder.open();
        let mut turn = turn;
        while turn.has_remaining() {
            let chunk = turn.chunk().to_vec();
            decoder.buffer().extend_from_slice(&chunk);
            turn.advance(chunk.len());
        }
        let mut heads = Vec::new();
        while let Some(frame) = decoder.next().unwrap() {
            heads.push((String::from_utf8(frame.head.to_vec()).unwrap(), frame.attachment.len()));
        }
        heads
    }

    async fn turn(outlet: &Outlet) -> Turn {
        match outlet.next().await {
            Step::Write(turn) => turn,
            Step::Finished => panic!("the outlet is not finished"),
        }
    }

    fn body(outlet: &Arc<Outlet>, id: u64, chunks: usize) -> Arc<Outgoing> {
        let body = Arc::new(Outgoing::default());
        body.attach(Arc::clone(outlet), BodyRef { id, body: message::stream::Body::Reply, remote: false });
        (0..chunks).for_each(|_| body.put_for_test(Bytes::from(vec![id as u8; 64 * 1024])));
        body
    }

    #[tokio::test]
    async fn small_frame_goes_before_chunks_and_bodies_take_turns() {
        let outlet = Arc::new(Outlet::new(Limits::default()));
        let _first = body(&outlet, 1, 6);
        let _second = body(&outlet, 2, 2);
        outlet.notify("late", &message::Empty {});

        let heads = heads(turn(&outlet).await);

        assert!(heads[0].0.contains("late"));
        let ids: Vec<bool> = heads[1..].iter().map(|(head, _)| head.contains(r#""id":1"#)).collect();
        assert_eq!(ids, [true, false, true, false], "two bodies alternate, 256 KiB in all");
    }

    #[tokio::test]
    async fn frame_put_while_a_body_waits_is_in_the_next_turn() {
        let outlet = Arc::new(Outlet::new(Limits::default()));
        let _body = body(&outlet, 1, 20);
        turn(&outlet).await;

        outlet.notify("late", &message::Empty {});

        assert!(heads(turn(&outlet).await)[0].0.contains("late"));
    }

    #[tokio::test]
    async fn head_over_the_limit_is_refused_and_leaves_no_byte() {
        let outlet = Outlet::new(Limits { head_bytes_max: 40, ..Limits::default() });

        assert!(!outlet.frame(Bytes::new(), |out| message::write_result(out, 1, &"x".repeat(100))));
        assert!(outlet.frame(Bytes::new(), |out| message::write_result(out, 1, &1)));

        assert_eq!(heads(turn(&outlet).await).len(), 1);
    }

    #[tokio::test]
    async fn slices_survive_partial_writes() {
        let outlet = Outlet::new(Limits::default());
        outlet.frame(Bytes::from(vec![7; 9_000]), |out| message::write_result(out, 1, &1));
        outlet.frame(Bytes::from_static(b"abc"), |out| message::write_result(out, 2, &2));

        let mut turn = turn(&outlet).await;
        let mut bytes = Vec::new();
        while turn.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 4];
            let count = turn.chunks_vectored(&mut slices);
            let all: Vec<u8> = slices[..count].iter().flat_map(|slice| slice.to_vec()).collect();
            assert_eq!(all.len(), turn.remaining());
            let some = all.len().min(100);
            bytes.extend_from_slice(&all[..some]);
            turn.advance(some);
        }

        assert!(bytes.ends_with(b"abc"));
    }

    #[tokio::test]
    async fn closed_outlet_takes_nothing_and_ends_the_writer() {
        let outlet = Outlet::new(Limits::default());
        outlet.close();
        outlet.notify("late", &message::Empty {});

        assert!(matches!(outlet.next().await, Step::Finished));
    }
}
