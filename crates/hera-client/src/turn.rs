//! When what is read in one turn of the reader arrived (P-37).

use std::time::{Duration, Instant};

/// How often the reader's loop ticks.
pub(crate) const TICK: Duration = Duration::from_millis(100);
/// A tick this long after the one before came late: the process was frozen or blocked.
const LATE: Duration = Duration::from_millis(200);

/// The reader's ticks.
#[derive(Debug)]
pub(crate) struct Ticks {
    last: Instant,
}

/// One turn of the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// From when the time of the calls in this turn counts.
    pub(crate) arrival: Instant,
    /// Whether the tick came late.
    pub(crate) late: bool,
}

impl Ticks {
    /// Ticks from `now` on.
    pub(crate) fn new(now: Instant) -> Ticks {
        Ticks { last: now }
    }

    /// Begins a turn at `now`. After a freeze nobody knows how long the bytes had waited, so the worst is taken: since the tick before.
    pub(crate) fn turn(&mut self, now: Instant) -> Turn {
        let since = now.saturating_duration_since(self.last);
        let late = since > LATE;
        let arrival = if late { self.last } else { now };
        if since >= TICK {
            self.last = now;
        }
        Turn { arrival, late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn time_counts_from_now_while_ticks_are_punctual() {
        let start = Instant::now();
        let mut ticks = Ticks::new(start);

        for ms in [5, 50, 101, 150, 203, 330] {
            assert_eq!(ticks.turn(at(start, ms)), Turn { arrival: at(start, ms), late: false });
        }
    }

    #[test]
    fn time_counts_from_the_tick_before_after_a_freeze() {
        let start = Instant::now();
        let mut ticks = Ticks::new(start);
        ticks.turn(at(start, 100));

        assert_eq!(ticks.turn(at(start, 5_100)), Turn { arrival: at(start, 100), late: true });
        assert_eq!(ticks.turn(at(start, 5_101)), Turn { arrival: at(start, 5_101), late: false });
    }
}
