//! A remote call in flight: what its session tells it, and what its task asks.

use crate::alarm::Alarm;
use crate::core::Core;
use crate::exchange::Exchange;
use crate::worker::session::Session;
use bytes::Bytes;
use hera_protocol::Attachment;
use hera_protocol::message::stream::Granted;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::task::{Context, Poll};

/// A remote call in flight, as its session and its task see it.
#[derive(Debug)]
pub struct Remote {
    /// Where it came from.
    pub session: Rc<Session>,
    /// The worker's own id for it.
    pub id: u64,
    /// Address of the worker.
    pub caller_ip: Rc<str>,
    pub(super) exchange: Rc<Exchange>,
    core: Rc<Core>,
    pub(super) gone: Cell<bool>,
    pub(super) body: RefCell<Received>,
    pub(super) stall: Alarm,
    pub(super) credit: Cell<u64>,
    pub(super) unwanted: Cell<bool>,
}

/// What came of the call's body and was not sent on yet.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) pieces: VecDeque<Bytes>,
    granted: Granted,
    pub(super) ended: bool,
    pub(super) cut: bool,
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.core.remove_exchange(self.exchange.key);
    }
}

impl Remote {
    pub(super) fn open(core: &Rc<Core>, session: &Rc<Session>, id: u64) -> Rc<Remote> {
        let [deadline, stall] = core.alarms.group();
        Rc::new(Remote {
            session: session.clone(),
            id,
            caller_ip: session.peer(),
            exchange: Exchange::open(core, deadline),
            core: core.clone(),
            gone: Cell::new(false),
            body: RefCell::default(),
            stall,
            credit: Cell::new(0),
            unwanted: Cell::new(false),
        })
    }

    // ---- what the session tells ----------------------------------------------------------------------------

    /// The worker cancelled it, or is gone.
    pub fn leave(&self) {
        self.gone.set(true);
        self.exchange.wake();
    }

    /// More bytes of its body; false when they were not granted.
    pub fn chunk(&self, bytes: Attachment) -> bool {
        let mut body = self.body.borrow_mut();
        let granted = body.granted.take(bytes.len() as u64);
        // What comes behind the end, within its grant, is nobody's.
        if !body.ended {
            body.pieces.extend(bytes.into_pieces());
        }
        self.exchange.wake();
        granted
    }

    /// Its body is whole, or cut short.
    pub fn end(&self, cut: bool) {
        let mut body = self.body.borrow_mut();
        body.ended = true;
        body.cut = cut;
        self.exchange.wake();
    }

    /// The worker takes so many more bytes of the answer.
    pub fn credit(&self, bytes: u32) {
        self.credit.set(self.credit.get().saturating_add(bytes.into()));
        self.exchange.wake();
    }

    /// The worker wants no more of the answer.
    pub fn unwanted(&self) {
        self.unwanted.set(true);
        self.exchange.wake();
    }

    // ---- what its task asks --------------------------------------------------------------------------------

    /// Ready when the worker wants no answer any more.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.gone.get() { Poll::Ready(()) } else { self.exchange.park(cx) }
    }

    /// Ready with the bytes of the answer that may be sent; `None` when no more are wanted.
    pub(super) fn poll_credit(&self, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        match self.credit.get() {
            _ if self.gone.get() || self.unwanted.get() => Poll::Ready(None),
            0 => self.exchange.park(cx),
            bytes => Poll::Ready(Some(bytes)),
        }
    }

    pub(super) fn grant(&self, bytes: u64) {
        let mut body = self.body.borrow_mut();
        if !body.ended {
            body.granted.add(bytes);
            self.session.remote_credit(self.id, bytes as u32);
        }
    }
}

/// The remote calls of a session.
#[derive(Debug, Default)]
pub struct Remotes(RefCell<HashMap<u64, Rc<Remote>>>);

impl Remotes {
    /// One more.
    pub fn insert(&self, remote: Rc<Remote>) {
        self.0.borrow_mut().insert(remote.id, remote);
    }

    /// The one with this id, while it is in flight.
    pub fn get(&self, id: u64) -> Option<Rc<Remote>> {
        self.0.borrow().get(&id).cloned()
    }

    /// It is over.
    pub fn remove(&self, id: u64) {
        self.0.borrow_mut().remove(&id);
    }

    /// How many are in flight.
    pub fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Nobody waits for any of them.
    pub fn leave_all(&self) {
        let all: Vec<Rc<Remote>> = self.0.borrow_mut().drain().map(|(_, remote)| remote).collect();
        all.iter().for_each(|remote| remote.leave());
    }
}
