//! The monotonic clock: what all of the broker measures and limits time by.

use rustix::time::{ClockId, clock_gettime};
use std::ops::{Add, Sub};
use std::time::Duration;

/// A time on the monotonic clock, in nanoseconds; its zero means nothing.
///
/// One word. `std::time::Instant` is two, of seconds and nanoseconds, and the dozen differences that a call takes cost more there than its four looks at the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Now.
    pub fn now() -> Moment {
        let now = clock_gettime(ClockId::Monotonic);
        Moment(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64)
    }

    /// What has gone since `before`; nothing, if that is later.
    pub fn since(self, before: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(before.0))
    }

    /// What has gone since then.
    pub fn elapsed(self) -> Duration {
        Moment::now().since(self)
    }
}

fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos().into())
}

impl Add<Duration> for Moment {
    type Output = Moment;

    /// At most the end of the clock, 584 years after its zero.
    fn add(self, time: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(time)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Moment;

    /// At least the zero of the clock.
    fn sub(self, time: Duration) -> Moment {
        Moment(self.0.saturating_sub(nanos(time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_and_its_ends_hold() {
        let before = Moment::now();
        let second = Duration::from_secs(1);
        assert!(Moment::now() >= before);
        assert_eq!((before + second).since(before), second);
        assert_eq!((before + second) - second, before);
        assert_eq!(before.since(before + second), Duration::ZERO);
        assert_eq!(Moment(0) - second, Moment(0));
        assert_eq!(before + Duration::MAX, Moment(u64::MAX));
    }
}
