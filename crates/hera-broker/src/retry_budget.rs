//! The retry budget of a route (D1): 20 % of its calls and 10 a second, so that retries cannot double a load that is too much already.
//!
//! A lost connection has a reserve of its own (docs/adr/0006): it gives back all calls of one worker at one moment, as many as a session may
//! hold, and they are the very calls that a second try is for. The reserve fills within ten seconds, so workers that keep dying use it up.

use hera_protocol::limits::IN_FLIGHT_MAX;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Tenths of a retry: a call earns two, a retry costs ten.
const PER_CALL: i64 = 2;
const PER_RETRY: i64 = 10;
const PER_SECOND: i64 = 10 * PER_RETRY;
/// What can be saved: ten seconds' worth.
const SAVED_MAX: i64 = 10 * PER_SECOND;
const RESERVE_MAX: i64 = IN_FLIGHT_MAX as i64 * PER_RETRY;

/// How often calls of a route may be tried a second time.
#[derive(Debug)]
pub struct RetryBudget {
    ordinary: Bucket,
    reserve: Bucket,
}

#[derive(Debug)]
struct Bucket {
    saved: AtomicI64,
    max: i64,
    per_second: i64,
    filled_ms: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget {
            ordinary: Bucket::new(PER_SECOND, SAVED_MAX, PER_SECOND),
            reserve: Bucket::new(RESERVE_MAX, RESERVE_MAX, RESERVE_MAX / 10),
        }
    }
}

impl RetryBudget {
    /// Notes a call.
    pub fn call(&self) {
        self.ordinary.add(PER_CALL);
    }

    /// Whether a call may be tried a second time now; `lost` when its worker's connection was.
    pub fn try_retry(&self, now_ms: u64, lost: bool) -> bool {
        self.ordinary.take(now_ms) || (lost && self.reserve.take(now_ms))
    }
}

impl Bucket {
    fn new(saved: i64, max: i64, per_second: i64) -> Bucket {
        Bucket { saved: AtomicI64::new(saved), max, per_second, filled_ms: AtomicU64::new(0) }
    }

    fn add(&self, tenths: i64) {
        if self.saved.load(Ordering::Relaxed) < self.max {
            self.saved.fetch_add(tenths, Ordering::Relaxed);
        }
    }

    fn take(&self, now_ms: u64) -> bool {
        let last = self.filled_ms.load(Ordering::Relaxed);
        let passed = now_ms.saturating_sub(last).min(10_000) as i64;
        let earned = passed * self.per_second / 1000;
        let fills = earned > 0
            && self.filled_ms.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if fills {
            let saved = self.saved.load(Ordering::Relaxed);
            self.saved.fetch_add(earned.min(self.max - saved).max(0), Ordering::Relaxed);
        }
        if self.saved.fetch_sub(PER_RETRY, Ordering::Relaxed) >= PER_RETRY {
            return true;
        }
        self.saved.fetch_add(PER_RETRY, Ordering::Relaxed);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_a_fifth_of_the_calls_and_ten_a_second() {
        let budget = RetryBudget::default();
        let tried = |times: usize, now_ms| (0..times).filter(|_| budget.try_retry(now_ms, false)).count();
        assert_eq!(tried(100, 0), 10);

        (0..100).for_each(|_| budget.call());
        assert_eq!(tried(100, 0), 20);

        assert_eq!(tried(100, 2_000), 20);
        assert_eq!(tried(1000, 1_000_000), 100);
    }

    #[test]
    fn all_calls_of_one_lost_worker_are_tried_again_but_not_those_of_one_after_the_other() {
        let budget = RetryBudget::default();
        let tried = |now_ms| (0..5_000).filter(|_| budget.try_retry(now_ms, true)).count();
        assert_eq!(tried(0), 10 + IN_FLIGHT_MAX as usize);
        assert_eq!(tried(0), 0);
        assert_eq!(tried(1_000), 10 + 102);
        assert_eq!(tried(60_000), 100 + IN_FLIGHT_MAX as usize);
    }
}
