//! Coarse alarms: one tick for a whole core instead of a timer for each call.
//!
//! A call sets and clears two or three time limits and nearly always keeps them; a timer wheel would be touched each time. Here setting an alarm
//! writes one number, and every 20 ms the core looks through all of them. An alarm is late by up to one tick, which every limit of
//! Hera allows (the tightest promise is a deadline + 1 s).

use crate::moment::Moment;
use crate::slots::{SlotKey, Slots};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How often a core looks at its alarms.
pub const TICK: Duration = Duration::from_millis(20);
/// Limits that a task may have together.
const LIMITS_MAX: usize = 3;
const OFF: u64 = u64::MAX;

/// All alarms of one core.
#[derive(Debug)]
pub struct Alarms {
    start: Moment,
    set: RefCell<Slots<Rc<State>>>,
}

/// Limits of one task, in one line of the cache.
#[derive(Debug)]
struct State {
    at_ms: [Cell<u64>; LIMITS_MAX],
    rung: [Cell<bool>; LIMITS_MAX],
    waker: RefCell<Option<Waker>>,
}

impl Alarms {
    /// None are set; time counts from `start`.
    pub fn new(start: Moment) -> Rc<Alarms> {
        Rc::new(Alarms { start, set: RefCell::default() })
    }

    /// A new alarm, not set.
    pub fn alarm(self: &Rc<Alarms>) -> Alarm {
        let [alarm] = self.group();
        alarm
    }

    /// Alarms, not set, that one task alone polls.
    pub fn group<const N: usize>(self: &Rc<Alarms>) -> [Alarm; N] {
        const { assert!(N <= LIMITS_MAX) };
        let state = Rc::new(State {
            at_ms: [const { Cell::new(OFF) }; LIMITS_MAX],
            rung: [const { Cell::new(false) }; LIMITS_MAX],
            waker: RefCell::default(),
        });
        let key = self.set.borrow_mut().insert(state.clone());
        std::array::from_fn(|which| Alarm { alarms: self.clone(), key, state: state.clone(), which })
    }

    /// Rings every alarm whose time has come.
    pub fn tick(&self, now: Moment) {
        let now = self.since_start(now);
        for state in self.set.borrow().iter() {
            for (at_ms, rung) in state.at_ms.iter().zip(&state.rung) {
                if at_ms.get() <= now {
                    at_ms.set(OFF);
                    rung.set(true);
                    // Waking only schedules the task; it does not run here, so the borrow above is safe.
                    if let Some(waker) = state.waker.borrow_mut().take() {
                        waker.wake();
                    }
                }
            }
        }
    }

    fn since_start(&self, at: Moment) -> u64 {
        at.since(self.start).as_millis() as u64
    }
}

/// One time limit; dropping it clears it.
#[derive(Debug)]
pub struct Alarm {
    alarms: Rc<Alarms>,
    key: SlotKey,
    state: Rc<State>,
    which: usize,
}

impl Alarm {
    /// Rings at `at`; an earlier setting is forgotten.
    pub fn set(&self, at: Moment) {
        self.rung().set(false);
        self.at_ms().set(self.alarms.since_start(at));
    }

    /// Does not ring.
    pub fn clear(&self) {
        self.rung().set(false);
        self.at_ms().set(OFF);
    }

    /// Whether it is set, or has rung.
    pub fn is_set(&self) -> bool {
        self.rung().get() || self.at_ms().get() != OFF
    }

    /// Ready once it rang; stays so until it is set or cleared.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.rung().get() {
            return Poll::Ready(());
        }
        let mut waker = self.state.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    fn at_ms(&self) -> &Cell<u64> {
        &self.state.at_ms[self.which]
    }

    fn rung(&self) -> &Cell<bool> {
        &self.state.rung[self.which]
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.clear();
        // The last of its group, beside the table itself.
        if Rc::strong_count(&self.state) == 2 {
            self.alarms.set.borrow_mut().remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarm_rings_once_its_time_has_come_and_not_after_it_was_cleared() {
        let start = Moment::now();
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

    #[test]
    fn alarms_of_a_group_ring_each_for_itself_and_leave_together() {
        let start = Moment::now();
        let alarms = Alarms::new(start);
        let [first, second, third] = alarms.group();
        let mut cx = Context::from_waker(Waker::noop());
        first.set(start + Duration::from_millis(10));
        second.set(start + Duration::from_millis(30));

        alarms.tick(start + Duration::from_millis(20));
        assert!(first.poll(&mut cx).is_ready());
        assert!(second.poll(&mut cx).is_pending() && third.poll(&mut cx).is_pending());

        drop((first, third));
        alarms.tick(start + Duration::from_millis(40));
        assert!(second.poll(&mut cx).is_ready());
        drop(second);
        assert!(alarms.set.borrow().is_empty());
    }
}
