//! A body on its way out, of an answer or of a remote call: what waits, under the credit that the broker granted (P-39).

use crate::error::BodyError;
use crate::lock::lock;
use crate::outlet::Outlet;
use bytes::Bytes;
use hera_protocol::message::stream::BodyRef;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// Bytes of one chunk: four of them fill a turn of the writer, so bodies share it finely.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Bytes that wait in one body, whatever the credit: a broker's credit must not decide over our memory.
const QUEUED_BYTES_MAX: usize = 256 * 1024;
/// P-39: credit never adds up to more.
const CREDIT_BYTES_MAX: u64 = (1 << 31) - 1;

/// One thing to send.
#[derive(Debug)]
pub(crate) enum Item {
    /// Bytes, never none.
    Chunk(Bytes),
    /// That was all.
    End,
    /// Cut short, with a word why.
    Reset(&'static str),
}

/// Shared by the sender (a handler), the reader (credit) and the writer. Locks: the outlet's, then this one's, never the other way.
#[derive(Default)]
pub(crate) struct Outgoing {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    to: Option<(Arc<Outlet>, BodyRef)>,
    credit: u64,
    items: VecDeque<Item>,
    queued: usize,
    /// Whether the outlet's round has it.
    listed: bool,
    /// The sender ended or cut it.
    ended: bool,
    /// Its last item went to the writer.
    finished: bool,
    closed: Option<BodyError>,
}

impl Outgoing {
    /// Ties the body to the answer or the call that was just queued; until then nothing of it is sent.
    pub(crate) fn attach(self: &Arc<Self>, outlet: Arc<Outlet>, of: BodyRef) {
        let mut state = lock(&self.state);
        if state.closed.is_none() {
            state.to = Some((outlet, of));
            self.list(state);
            self.changed.notify_waiters();
        }
    }

    /// The broker lets more bytes come.
    pub(crate) fn credit(&self, bytes: u64) {
        let mut state = lock(&self.state);
        state.credit = state.credit.saturating_add(bytes).min(CREDIT_BYTES_MAX);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Nothing more can be sent, for this reason; what waits is dropped. The first reason holds.
    pub(crate) fn close(&self, reason: BodyError) {
        let mut state = lock(&self.state);
        state.closed.get_or_insert(reason);
        state.items.clear();
        state.queued = 0;
        state.to = None;
        drop(state);
        self.changed.notify_waiters();
    }

    /// Sends all of `bytes`, in as many chunks as it takes; waits for credit and for the writer.
    pub(crate) async fn send(self: &Arc<Self>, mut bytes: Bytes) -> Result<(), BodyError> {
        while !bytes.is_empty() {
            let changed = self.changed.notified();
            if !self.send_some(&mut bytes)? {
                changed.await;
            }
        }
        Ok(())
    }

    /// Queues what may go now; false when nothing may.
    fn send_some(self: &Arc<Self>, bytes: &mut Bytes) -> Result<bool, BodyError> {
        let mut state = lock(&self.state);
        if let Some(reason) = &state.closed {
            return Err(reason.clone());
        }
        if state.ended {
            return Err(BodyError::Ended);
        }
        let Some((outlet, _)) = &state.to else { return Ok(false) };
        let may = CHUNK_BYTES_MAX
            .min(outlet.attachment_bytes_max())
            .min(QUEUED_BYTES_MAX.saturating_sub(state.queued))
            .min(usize::try_from(state.credit).unwrap_or(usize::MAX))
            .min(bytes.len());
        if may == 0 {
            return Ok(false);
        }
        state.credit -= may as u64;
        state.queued += may;
        state.items.push_back(Item::Chunk(bytes.split_to(may)));
        self.list(state);
        Ok(true)
    }

    /// The sender is done. Later ends and cuts change nothing.
    pub(crate) fn end(self: &Arc<Self>) {
        self.last(Item::End);
    }

    /// The sender gives up: the caller sees an error, never an end (P-40). What waits is dropped.
    pub(crate) fn reset(self: &Arc<Self>, code: &'static str) {
        self.last(Item::Reset(code));
    }

    fn last(self: &Arc<Self>, item: Item) {
        let mut state = lock(&self.state);
        if state.ended || state.closed.is_some() {
            return;
        }
        if matches!(item, Item::Reset(_)) {
            state.items.clear();
            state.queued = 0;
        }
        state.ended = true;
        state.items.push_back(item);
        self.list(state);
    }

    /// Waits until its last item went to the writer, or it was closed.
    pub(crate) async fn done(&self) {
        loop {
            let changed = self.changed.notified();
            {
                let state = lock(&self.state);
                if state.finished || state.closed.is_some() {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Whether the reply has a broker to go to.
    pub(crate) fn is_attached(&self) -> bool {
        lock(&self.state).to.is_some()
    }

    /// The next item for the writer, which body it is of, and whether the body stays in the round.
    pub(crate) fn take(&self) -> Option<(BodyRef, Item, bool)> {
        let mut state = lock(&self.state);
        state.listed = false;
        let of = state.to.as_ref()?.1;
        let item = state.items.pop_front()?;
        match &item {
            Item::Chunk(bytes) => state.queued -= bytes.len(),
            Item::End | Item::Reset(_) => state.finished = true,
        }
        state.listed = !state.items.is_empty();
        let more = state.listed;
        drop(state);
        self.changed.notify_waiters();
        Some((of, item, more))
    }

    /// Puts itself into the outlet's round, once; the own lock is given back first.
    fn list(self: &Arc<Self>, mut state: std::sync::MutexGuard<'_, State>) {
        if state.listed || state.items.is_empty() {
            return;
        }
        let Some((outlet, _)) = &state.to else { return };
        let outlet = Arc::clone(outlet);
        state.listed = true;
        drop(state);
        outlet.ready(Arc::clone(self));
    }

    #[cfg(test)]
    pub(crate) fn put_for_test(self: &Arc<Self>, bytes: Bytes) {
        let mut state = lock(&self.state);
        state.queued += bytes.len();
        state.items.push_back(Item::Chunk(bytes));
        self.list(state);
    }
}
