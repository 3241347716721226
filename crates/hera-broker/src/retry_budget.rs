//! The retry budget of a route: 20 % of its calls and 10 a second (D1), so that retries cannot double a load that is too much already.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// Tenths of a retry: a call earns two, a retry costs ten.
const PER_CALL: i64 = 2;
const PER_RETRY: i64 = 10;
const PER_SECOND: i64 = 10 * PER_RETRY;
/// What can be saved: ten seconds' worth.
const SAVED_MAX: i64 = 10 * PER_SECOND;

/// A bucket that calls and time fill and retries empty.
#[derive(Debug)]
pub struct RetryBudget {
    saved: AtomicI64,
    filled_ms: AtomicU64,
}

impl Default for RetryBudget {
    fn default() -> RetryBudget {
        RetryBudget { saved: AtomicI64::new(PER_SECOND), filled_ms: AtomicU64::new(0) }
    }
}

impl RetryBudget {
    /// Notes a call.
    pub fn call(&self) {
        if self.saved.load(Ordering::Relaxed) < SAVED_MAX {
            self.saved.fetch_add(PER_CALL, Ordering::Relaxed);
        }
    }

    /// Whether a call may be tried a second time now.
    pub fn try_retry(&self, now_ms: u64) -> bool {
        let last = self.filled_ms.load(Ordering::Relaxed);
        let passed = now_ms.saturating_sub(last);
        let earned = (passed.min(10_000) as i64) * PER_SECOND / 1000;
        let fills = earned > 0
            && self.filled_ms.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if fills {
            let saved = self.saved.load(Ordering::Relaxed);
            self.saved.fetch_add(earned.min(SAVED_MAX - saved).max(0), Ordering::Relaxed);
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
        assert_eq!((0..100).filter(|_| budget.try_retry(0)).count(), 10);

        (0..100).for_each(|_| budget.call());
        assert_eq!((0..100).filter(|_| budget.try_retry(0)).count(), 20);

        assert_eq!((0..100).filter(|_| budget.try_retry(2_000)).count(), 20);
        assert_eq!((0..1000).filter(|_| budget.try_retry(1_000_000)).count(), 100);
    }
}
