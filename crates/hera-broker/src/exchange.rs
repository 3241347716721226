//! The caller's side of a call in flight: what sessions tell it arrives here.

use crate::alarm::Alarm;
use crate::core::Core;
use crate::mail::{CallAddr, Event, Failure};
use crate::slots::SlotKey;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

/// One per caller connection, used for one call after the other, and one per remote call. Who opens it removes it.
///
/// `attempt` grows with each try; letters for an earlier one are dropped, so an answer that comes late can never reach another call.
#[derive(Debug)]
pub struct Exchange {
    /// Its address on its core.
    pub key: SlotKey,
    /// Rings at the deadline of its call.
    pub deadline: Alarm,
    attempt: Cell<u64>,
    events: RefCell<Events>,
    credit: Cell<u64>,
    enough: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// Events in order. Most calls have one, an answer, which so needs no list.
#[derive(Debug, Default)]
struct Events {
    first: Option<Event>,
    more: VecDeque<Event>,
}

impl Events {
    fn push(&mut self, event: Event) {
        if self.first.is_none() {
            self.first = Some(event);
        } else {
            self.more.push_back(event);
        }
    }

    fn pop(&mut self) -> Option<Event> {
        let first = self.first.take()?;
        if !self.more.is_empty() {
            self.first = self.more.pop_front();
        }
        Some(first)
    }

    fn clear(&mut self) {
        self.first = None;
        self.more.clear();
    }
}

impl Exchange {
    /// An exchange on this core, with nothing in flight.
    pub fn open(core: &Core, deadline: Alarm) -> Rc<Exchange> {
        core.add_exchange(|key| Exchange {
            key,
            deadline,
            attempt: Cell::new(0),
            events: RefCell::default(),
            credit: Cell::new(0),
            enough: Cell::new(false),
            waker: RefCell::default(),
        })
    }

    /// Begins the next attempt; whatever comes for the last one is dropped from here on.
    pub fn begin(&self) -> u64 {
        self.attempt.set(self.attempt.get() + 1);
        self.events.borrow_mut().clear();
        self.credit.set(0);
        self.enough.set(false);
        self.attempt.get()
    }

    /// Takes a letter; one of an earlier attempt is dropped.
    pub fn deliver(&self, to: CallAddr, event: Event) {
        if to.attempt != self.attempt.get() {
            return;
        }
        match event {
            Event::Credit(bytes) => self.credit.set(self.credit.get().saturating_add(u64::from(bytes))),
            Event::Enough => self.enough.set(true),
            event => self.events.borrow_mut().push(event),
        }
        self.wake();
    }

    /// Ends whatever is in flight.
    pub fn fail(&self, failure: Failure) {
        self.events.borrow_mut().push(Event::Failed(failure));
        self.wake();
    }

    /// The next event of the answer.
    pub fn poll_event(&self, cx: &mut Context<'_>) -> Poll<Event> {
        match self.events.borrow_mut().pop() {
            Some(event) => Poll::Ready(event),
            None => self.park(cx),
        }
    }

    /// Ready with the bytes that may be sent, at least 1; `None` when the worker wants no more.
    pub fn poll_credit(&self, cx: &mut Context<'_>) -> Poll<Option<u64>> {
        match (self.enough.get(), self.credit.get()) {
            (true, _) => Poll::Ready(None),
            (false, 0) => self.park(cx),
            (false, bytes) => Poll::Ready(Some(bytes)),
        }
    }

    /// Takes credit that was used.
    pub fn spend(&self, bytes: u64) {
        self.credit.set(self.credit.get().saturating_sub(bytes));
    }

    /// Wakes the task of the call.
    // The waker stays: the same task waits for the next call too, and a clone for each would be counted by all cores.
    pub fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Has the task of the call woken by what comes next.
    // Sending and receiving of one call run in one task, so one waker serves both.
    pub fn park<T>(&self, cx: &mut Context<'_>) -> Poll<T> {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}
