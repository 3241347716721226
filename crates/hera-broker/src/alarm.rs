//! Coarse alarms: one tick for a whole core instead of a timer for each call.
//!
//! A call sets and clears two or three time limits and nearly always keeps them; a timer wheel would be touched each time. Here setting an alarm
//! writes one number, and every 20 ms the core looks through all of them. An alarm is late by up to one tick, which every limit of
//! Hera allows (the tightest promise is a deadline + 1 s).

use crate::slots::{SlotKey, Slots};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How often a core looks at its alarms.
pub const TICK: Duration = Duration::from_millis(20);
const OFF: u64 = u64::MAX;

/// All alarms of one core.
#[derive(Debug)]
pub struct Alarms {
    start: Instant,
    set: RefCell<Slots<Rc<State>>>,
}

#[derive(Debug)]
struct State {
    at_ms: Cell<u64>,
    rung: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Alarms {
    /// None are set; time counts from `start`.
    pub fn new(start: Instant) -> Rc<Alarms> {
        Rc::new(Alarms { start, set: RefCell::default() })
    }

    /// A new alarm, not set.
    pub fn alarm(self: &Rc<Alarms>) -> Alarm {
        let state =
            Rc::new(State { at_ms: Cell::new(OFF), rung: Cell::new(false), waker: RefCell::default() });
        let key = self.set.borrow_mut().insert(state.clone());
        Alarm { alarms: self.clone(), key, state }
    }

    /// Rings every alarm whose time has come.
    pub fn tick(&self, now: Instant) {
        let now = self.since_start(now);
        for state in self.set.borrow().iter() {
            if state.at_ms.get() <= now {
                state.at_ms.set(OFF);
                state.rung.set(true);
                // Waking only schedules the task; it does not run here, so the borrow above is safe.
                if let Some(waker) = state.waker.borrow_mut().take() {
                    waker.wake();
                }
            }
        }
    }

    fn since_start(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.start).as_millis() as u64
    }
}

/// One time limit; dropping it clears it.
#[derive(Debug)]
pub struct Alarm {
    alarms: Rc<Alarms>,
    key: SlotKey,
    state: Rc<State>,
}

impl Alarm {
    /// Rings at `at`; an earlier setting is forgotten.
    pub fn set(&self, at: Instant) {
        self.state.rung.set(false);
        self.state.at_ms.set(self.alarms.since_start(at));
    }

    /// Does not ring.
    pub fn clear(&self) {
        self.state.rung.set(false);
        self.state.at_ms.set(OFF);
    }

    /// Whether it is set, or has rung.
    pub fn is_set(&self) -> bool {
        self.state.rung.get() || self.state.at_ms.get() != OFF
    }

    /// Ready once it rang; stays so until it is set or cleared.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.rung.get() {
            return Poll::Ready(());
        }
        let mut waker = self.state.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.alarms.set.borrow_mut().remove(self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarm_rings_once_its_time_has_come_and_not_after_it_was_cleared() {
        let start = Instant::now();
        let alarms = Alarms::new(start);
        let (kept, cleared) = (alarms.alarm(), alarms.alarm());
        let mut cx = Context::from_waker(Waker::noop());
        kept.set(start + Duration::from_millis(50));
        cleared.set(start + Duration::from_millis(50));
        cleared.clear();

        alarms.tick(start + Duration::from_millis(49));
        assert!(kept.poll(&mut cx).is_pending());

        alarms.tick(start + Duration::from_millis(50));
        assert!(kept.poll(&mut cx).is_ready());
        assert!(cleared.poll(&mut cx).is_pending());

        kept.set(start + Duration::from_millis(90));
        assert!(kept.poll(&mut cx).is_pending());
    }
}
