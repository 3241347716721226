//! When what is read arrived, of a core that may have been frozen (D3).
//!
//! A process that was stopped, or starved of its processor, reads on waking what has waited for it, and nobody knows how long each byte
//! had. The worst is taken: since the tick before. So no call is begun whose caller has given up long ago.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Ticks come every 20 ms; one so late means that the core did not run.
const LATE: Duration = Duration::from_millis(500);

/// The ticks of one core.
#[derive(Debug)]
pub struct Pulse {
    last: Cell<Instant>,
    /// While the turn after a late tick lasts: the tick before.
    late_from: Cell<Option<Instant>>,
}

impl Pulse {
    /// Ticks from `now` on.
    pub fn new(now: Instant) -> Pulse {
        Pulse { last: Cell::new(now), late_from: Cell::new(None) }
    }

    /// A tick. What is read until the next one counts from the tick before, if this one was late.
    pub fn tick(&self, now: Instant) {
        let last = self.last.replace(now);
        self.late_from.set((now.saturating_duration_since(last) > LATE).then_some(last));
    }

    /// When something that is read at `now` arrived, if not now. Tasks that run before the late tick itself are told the same.
    pub fn late_arrival(&self, now: Instant) -> Option<Instant> {
        let last = self.last.get();
        if now.saturating_duration_since(last) > LATE { Some(last) } else { self.late_from.get() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waited_out_a_freeze_counts_from_the_tick_before() {
        let start = Instant::now();
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
        assert_eq!(pulse.late_arrival(at(30_022)), None);
    }
}
