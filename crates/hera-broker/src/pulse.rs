//! When what is read arrived, of a core that may have been frozen (D3).
//!
//! A process that was stopped, or starved of its processor, reads on waking what has waited for it, and nobody knows how long each byte
//! had. The worst is taken: since the tick before. So no call is begun whose caller has given up long ago.

use crate::moment::Moment;
use std::cell::Cell;
use std::time::Duration;

/// Ticks come every 20 ms; one so late means that the core did not run.
const LATE: Duration = Duration::from_millis(500);
/// A core that wakes needs so long to accept and read all that has waited, on a busy machine. What comes fresh meanwhile is taken for as old,
/// which costs a call only where the freeze was longer than its deadline.
const CATCHES_UP: Duration = Duration::from_millis(200);

/// The ticks of one core.
#[derive(Debug)]
pub struct Pulse {
    last: Cell<Moment>,
    /// After a late tick: the tick before it, and until when what is read counts from there.
    late: Cell<Option<(Moment, Moment)>>,
}

impl Pulse {
    /// Ticks from `now` on.
    pub fn new(now: Moment) -> Pulse {
        Pulse { last: Cell::new(now), late: Cell::new(None) }
    }

    /// A tick. If it is late, what is read from now on counts from the tick before, for a while.
    pub fn tick(&self, now: Moment) {
        let last = self.last.replace(now);
        if now.since(last) > LATE {
            self.late.set(Some((last, now + CATCHES_UP)));
        } else if self.late.get().is_some_and(|(_, until)| until <= now) {
            self.late.set(None);
        }
    }

    /// When something that is read at `now` arrived, if not now. Tasks that run before the late tick itself are told the same.
    pub fn late_arrival(&self, now: Moment) -> Option<Moment> {
        let last = self.last.get();
        if now.since(last) > LATE {
            return Some(last);
        }
        self.late.get().map(|(from, _)| from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_out_a_freeze_counts_from_the_tick_before() {
        let start = Moment::now();
        let at = |ms| start + Duration::from_millis(ms);
        let pulse = Pulse::new(start);
        for ms in [20, 40, 62, 300] {
            pulse.tick(at(ms));
            assert_eq!(pulse.late_arrival(at(ms + 5)), None);
        }

        assert_eq!(pulse.late_arrival(at(30_000)), Some(at(300)), "before the tick");
        pulse.tick(at(30_001));
        assert_eq!(pulse.late_arrival(at(30_010)), Some(at(300)), "in the turn of the tick");
        pulse.tick(at(30_021));
        assert_eq!(pulse.late_arrival(at(30_022)), Some(at(300)), "while it catches up");
        pulse.tick(at(30_202));
        assert_eq!(pulse.late_arrival(at(30_203)), None);
    }
}
