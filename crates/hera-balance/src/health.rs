//! Whether a worker may be asked on a route: ejection of those that fail, slow start of those that just came (design section 6).
//!
//! Health is a value of eight bytes, so that cores share it in one atomic. What counts as a failure is the caller's to say: a lost call,
//! a refusal, a time-out, a bad reply, a 503; never an application's own error.

use std::time::Duration;

/// Failures in a row that eject.
pub const IN_A_ROW: u8 = 5;
/// Calls over which the share of failures is taken.
pub const WINDOW_CALLS: u8 = 20;
/// Failures of a window below which nobody is ejected for their share: one error among good neighbours is chance.
pub const WINDOW_FAILURES_MIN: u8 = 5;
/// A worker is ejected for so long at first, and longer by as much each time.
pub const EJECTED_FOR: Duration = Duration::from_secs(5);
/// But no longer than this; and who stayed well for as long begins anew.
pub const EJECTED_FOR_MAX: Duration = Duration::from_secs(60);
/// A worker that joined gets its full share only after this.
pub const SLOW_START: Duration = Duration::from_secs(10);
/// The least share of a worker that just joined.
const SHARE_MIN: f64 = 0.1;

/// What is remembered of one worker on one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    in_row: u8,
    calls: u8,
    failures: u8,
    /// Ejections so far.
    ejections: u8,
    /// Milliseconds on the broker's clock until which it is ejected; 0 when it never was.
    until_ms: u32,
}

/// What a failure makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It goes on.
    Fine,
    /// Five failures in a row: it is to be ejected.
    Row,
    /// A window is full, with so many failures: it is to be ejected if that is over twice the share of the others.
    Share(u8),
}

impl Health {
    /// For an atomic.
    pub fn to_bits(self) -> u64 {
        let [a, b, c, d] = self.until_ms.to_le_bytes();
        u64::from_le_bytes([self.in_row, self.calls, self.failures, self.ejections, a, b, c, d])
    }

    /// From an atomic; every number is a health.
    pub fn from_bits(bits: u64) -> Health {
        let [in_row, calls, failures, ejections, a, b, c, d] = bits.to_le_bytes();
        Health { in_row, calls, failures, ejections, until_ms: u32::from_le_bytes([a, b, c, d]) }
    }

    /// Whether it is ejected at `now_ms`.
    pub fn is_ejected(self, now_ms: u32) -> bool {
        // The clock wraps after 49 days: only what lies within the longest ejection ahead is ahead.
        let left = self.until_ms.wrapping_sub(now_ms);
        self.until_ms != 0 && left > 0 && left <= millis(EJECTED_FOR_MAX)
    }

    /// Notes a call, and says what it makes of the worker.
    #[must_use]
    pub fn observe(mut self, failed: bool) -> (Health, Judgement) {
        self.in_row = if failed { self.in_row.saturating_add(1) } else { 0 };
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(u8::from(failed));
        let full = self.calls >= WINDOW_CALLS;
        let failures = self.failures;
        if full {
            (self.calls, self.failures) = (0, 0);
        }
        let judgement = if self.in_row >= IN_A_ROW {
            Judgement::Row
        } else if full && failures >= WINDOW_FAILURES_MIN {
            Judgement::Share(failures)
        } else {
            Judgement::Fine
        };
        (self, judgement)
    }

    /// Calls and failures of the window that is being filled.
    pub fn window(self) -> (u32, u32) {
        (self.calls.into(), self.failures.into())
    }

    /// Ejects it at `now_ms`: 5 s at the first time, 5 s more at each further one, 60 s at most.
    #[must_use]
    pub fn ejected(mut self, now_ms: u32) -> Health {
        let well_for = now_ms.wrapping_sub(self.until_ms);
        if self.until_ms == 0 || well_for >= millis(EJECTED_FOR_MAX) {
            self.ejections = 0;
        }
        self.ejections = self.ejections.saturating_add(1);
        let time = millis(EJECTED_FOR).saturating_mul(self.ejections.into()).min(millis(EJECTED_FOR_MAX));
        Health { in_row: 0, calls: 0, failures: 0, until_ms: now_ms.wrapping_add(time), ..self }
    }
}

/// Whether so many failures of a full window are over twice the share of the route's others, of whom `calls` and `failures` are known.
pub fn is_outlier(own_failures: u8, calls: u32, failures: u32) -> bool {
    let own = f64::from(own_failures) / f64::from(WINDOW_CALLS);
    let others = if calls == 0 { 0.0 } else { f64::from(failures) / f64::from(calls) };
    own > 2.0 * others
}

/// Whether one more worker may be ejected: never over half of a route's.
pub fn may_eject(ejected: usize, workers: usize) -> bool {
    (ejected + 1) * 2 <= workers
}

/// What the cost of a worker is multiplied by so long after it joined: 10 at first, 1 after [`SLOW_START`].
pub fn slow_start(age: Duration) -> f64 {
    if age >= SLOW_START { 1.0 } else { 1.0 / (age.as_secs_f64() / SLOW_START.as_secs_f64()).max(SHARE_MIN) }
}

fn millis(duration: Duration) -> u32 {
    duration.as_millis() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(mut health: Health, calls: &[bool]) -> (Health, Judgement) {
        let mut judgement = Judgement::Fine;
        for failed in calls {
            (health, judgement) = health.observe(*failed);
        }
        (health, judgement)
    }

    #[test]
    fn five_failures_in_a_row_eject_and_one_success_between_does_not() {
        assert_eq!(after(Health::default(), &[true; 5]).1, Judgement::Row);
        assert_eq!(after(Health::default(), &[true, true, true, true, false, true]).1, Judgement::Fine);
    }

    #[test]
    fn full_window_is_judged_by_its_share() {
        let calls: Vec<bool> = (0..20).map(|n| n % 4 == 0).collect();
        assert_eq!(after(Health::default(), &calls).1, Judgement::Share(5));
        let few: Vec<bool> = (0..20).map(|n| n % 5 == 0).collect();
        assert_eq!(after(Health::default(), &few).1, Judgement::Fine);

        assert!(is_outlier(5, 0, 0) && is_outlier(5, 100, 12));
        assert!(!is_outlier(5, 100, 13));
        assert!(!is_outlier(20, 100, 60), "all are ill: nobody is an outlier");
    }

    #[test]
    fn ejections_grow_to_a_minute_and_are_forgotten_after_one() {
        let mut health = Health::default();
        let mut now = 1_000;
        for n in 1..=20_u32 {
            health = health.ejected(now);
            let time = (5_000 * n).min(60_000);
            assert!(health.is_ejected(now + time - 1) && !health.is_ejected(now + time), "{n}");
            now += time + 1;
        }
        let later = now + 60_000;
        assert!(!health.ejected(later).is_ejected(later + 5_000));
    }

    #[test]
    fn clock_that_wraps_ejects_nobody_anew() {
        let health = Health::default().ejected(u32::MAX - 1_000);
        assert!(health.is_ejected(u32::MAX) && health.is_ejected(3_000) && !health.is_ejected(4_000));
        assert!(!health.is_ejected(u32::MAX / 2));
    }

    #[test]
    fn never_more_than_half_are_ejected() {
        for (ejected, workers, may) in
            [(0, 1, false), (0, 2, true), (1, 2, false), (1, 3, false), (1, 4, true), (0, 3, true)]
        {
            assert_eq!(may_eject(ejected, workers), may, "{ejected} of {workers}");
        }
    }

    #[test]
    fn newcomer_costs_ten_times_as_much_and_less_with_each_second() {
        let costs: Vec<f64> = [0, 1, 2, 5, 10, 100].map(|s| slow_start(Duration::from_secs(s))).to_vec();
        assert_eq!(costs, [10.0, 10.0, 5.0, 2.0, 1.0, 1.0]);
    }

    #[test]
    fn health_survives_its_bits() {
        let health = after(Health::default().ejected(7), &[true, false, true]).0;
        assert_eq!(Health::from_bits(health.to_bits()), health);
        assert_eq!(Health::from_bits(0), Health::default());
    }
}
