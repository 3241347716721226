//! How long to wait before an address is dialled again.

use std::time::Duration;

use crate::secret::random;

const FIRST: Duration = Duration::from_millis(100);
const MAX: Duration = Duration::from_secs(10);

/// Exponential back-off with full jitter: a thousand workers that lost one broker must not come back in step.
#[derive(Debug, Default)]
pub struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next wait: `share` (0 to 1, random) of 100 ms doubled with each attempt, of 10 s at most.
    pub fn next(&mut self, share: f64) -> Duration {
        let ceiling = FIRST.saturating_mul(1 << self.attempts.min(16)).min(MAX);
        self.attempts = self.attempts.saturating_add(1);
        ceiling.mul_f64(share.clamp(0.0, 1.0))
    }

    /// Begins again after a session that lived for `lived`.
    ///
    /// A broker that accepts and closes at once is no healthy broker, so only a life longer than the longest wait counts.
    pub fn reset_after(&mut self, lived: Duration) {
        if lived > MAX {
            self.attempts = 0;
        }
    }
}

/// A random number from 0 up to and without 1: the `share` of [`Backoff::next`].
pub fn share() -> f64 {
    // 53 bits are what an f64 holds exactly.
    (u64::from_be_bytes(random()) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ceiling_doubles_from_100_ms_to_10_s() {
        let mut backoff = Backoff::default();

        let waits: Vec<u128> = (0..9).map(|_| backoff.next(1.0).as_millis()).collect();

        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn jitter_takes_any_share_of_the_ceiling() {
        let mut backoff = Backoff::default();

        assert_eq!(backoff.next(0.0), Duration::ZERO);
        assert_eq!(backoff.next(0.5), Duration::from_millis(100));
    }

    #[test]
    fn short_session_does_not_reset_the_wait() {
        let mut backoff = Backoff::default();
        backoff.next(1.0);

        backoff.reset_after(Duration::from_secs(1));
        assert_eq!(backoff.next(1.0), Duration::from_millis(200));

        backoff.reset_after(Duration::from_secs(60));
        assert_eq!(backoff.next(1.0), Duration::from_millis(100));
    }

    #[test]
    fn thousands_of_attempts_stay_at_the_ceiling() {
        let mut backoff = Backoff { attempts: u32::MAX - 1 };

        assert_eq!(backoff.next(1.0), MAX);
        assert_eq!(backoff.next(1.0), MAX);
    }
}
