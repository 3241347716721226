//! Peak-EWMA latency of one worker on one route, small enough for one `AtomicU64`.
//!
//! A rise is believed at once, a fall only as time passes: one slow answer is a warning, one fast answer is luck. A worker that gets no
//! calls for a bad past forgets it as fast, so it is tried again. Source: the peak-EWMA of Finagle's and Linkerd's balancers.

/// After this long a latency counts a third (1/e) of what it was.
pub const DECAY_MS: f64 = 10_000.0;

/// How far behind a stamp `now` may be because two threads read the clock in another order than they wrote.
const BEHIND_MS_MAX: u32 = 60_000;

/// A latency in seconds and when it was noted, in milliseconds on the caller's clock.
///
/// The stamp is a `u32` that wraps after 49.7 days. Elapsed time is taken modulo that, so a wrap is no event; a latency left alone for
/// nearly a whole round may seem younger than it is, which costs one detour.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    // 0 is unknown, so that the bits 0 of a fresh atomic are; a measured 0 is stored as the least positive number.
    seconds: f32,
    stamp_ms: u32,
}

impl Latency {
    /// Nothing was observed yet. Its bits are 0.
    pub const UNKNOWN: Latency = Latency { seconds: 0.0, stamp_ms: 0 };

    /// What `to_bits` packed. Bits of no latency (negative, NaN, infinite) are unknown.
    pub fn from_bits(bits: u64) -> Latency {
        let seconds = f32::from_bits((bits >> 32) as u32);
        if seconds.is_finite() && seconds > 0.0 {
            Latency { seconds, stamp_ms: bits as u32 }
        } else {
            Latency::UNKNOWN
        }
    }

    /// Seconds as `f32` in the upper half, the stamp in the lower.
    pub fn to_bits(self) -> u64 {
        u64::from(self.seconds.to_bits()) << 32 | u64::from(self.stamp_ms)
    }

    /// The latency after an answer that took `seconds`. What is not finite or negative is ignored.
    #[must_use]
    pub fn observe(self, now_ms: u32, seconds: f32) -> Latency {
        if !seconds.is_finite() || seconds < 0.0 {
            return self;
        }
        let seconds = seconds.max(f32::MIN_POSITIVE);
        if self.is_unknown() || seconds >= self.seconds {
            return Latency { seconds, stamp_ms: now_ms };
        }
        let elapsed_ms = self.elapsed_ms(now_ms);
        let kept = weight(elapsed_ms);
        let mixed = f64::from(self.seconds) * kept + f64::from(seconds) * (1.0 - kept);
        // A thread that is behind must not turn the stamp back: the time between would decay twice.
        let stamp_ms = self.stamp_ms.wrapping_add(elapsed_ms);
        Latency { seconds: (mixed as f32).max(f32::MIN_POSITIVE), stamp_ms }
    }

    /// Whether nothing was observed yet; the caller then has a first estimate.
    pub fn is_unknown(self) -> bool {
        self == Latency::UNKNOWN
    }

    /// The latency as it counts now, in seconds: above 0, or 0 while it is unknown.
    ///
    /// It decays towards 0 while nothing is observed, so that a worker nobody calls is tried again. Nothing is changed by reading.
    pub fn read(self, now_ms: u32) -> f32 {
        if self.is_unknown() {
            return 0.0;
        }
        let decayed = f64::from(self.seconds) * weight(self.elapsed_ms(now_ms));
        (decayed as f32).max(f32::MIN_POSITIVE)
    }

    fn elapsed_ms(self, now_ms: u32) -> u32 {
        let behind = self.stamp_ms.wrapping_sub(now_ms);
        if behind <= BEHIND_MS_MAX { 0 } else { now_ms.wrapping_sub(self.stamp_ms) }
    }
}

/// What remains of the past after `elapsed_ms`, 1 to 0.
fn weight(elapsed_ms: u32) -> f64 {
    (-f64::from(elapsed_ms) / DECAY_MS).exp()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn near(actual: f32, expected: f32) {
        assert!((actual - expected).abs() < expected * 1e-3, "{actual} is not {expected}");
    }

    #[test]
    fn fresh_bits_are_unknown() {
        assert_eq!(Latency::UNKNOWN.to_bits(), 0);
        assert!(Latency::from_bits(0).is_unknown());
        assert_eq!(Latency::UNKNOWN.read(5), 0.0);
        for seconds in [f32::NAN, f32::INFINITY, -1.0] {
            assert_eq!(Latency::from_bits(u64::from(seconds.to_bits()) << 32), Latency::UNKNOWN);
        }
    }

    #[test]
    fn a_rise_counts_at_once_and_a_fall_decays() {
        let first = Latency::UNKNOWN.observe(1_000, 0.1);
        near(first.read(1_000), 0.1);

        let risen = first.observe(1_001, 2.0);
        near(risen.read(1_001), 2.0);

        let at_once = risen.observe(1_001, 0.1);
        near(at_once.read(1_001), 2.0);
        let later = risen.observe(11_001, 0.1);
        near(later.read(11_001), 2.0 * 0.36788 + 0.1 * 0.63212);
    }

    #[test]
    fn a_bad_past_is_forgotten_while_nothing_is_observed() {
        let latency = Latency::UNKNOWN.observe(0, 1.0);
        near(latency.read(10_000), 0.36788);
        near(latency.read(46_052), 0.01);
        assert!(latency.read(4_000_000_000) > 0.0);
    }

    #[test]
    fn the_stamp_wraps_without_notice() {
        let latency = Latency::UNKNOWN.observe(u32::MAX - 4_999, 1.0);
        near(latency.read(5_000), 0.36788);
        near(latency.observe(5_000, 0.5).read(5_000), 0.36788 + 0.5 * 0.63212);
    }

    #[test]
    fn a_clock_read_a_little_earlier_changes_nothing() {
        let latency = Latency::UNKNOWN.observe(3, 1.0);
        near(latency.read(u32::MAX), 1.0);
        let latency = latency.observe(u32::MAX, 0.5);
        near(latency.read(3), 1.0);
        near(latency.read(10_003), 0.36788);
    }

    #[test]
    fn a_measured_zero_is_known() {
        let latency = Latency::UNKNOWN.observe(7, 0.0);
        assert!(!latency.is_unknown() && latency.read(7) > 0.0);
        assert_eq!(Latency::from_bits(latency.to_bits()), latency);
    }

    #[test]
    fn what_is_no_latency_is_ignored() {
        let latency = Latency::UNKNOWN.observe(7, 0.2);
        for seconds in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.001] {
            assert_eq!(latency.observe(8, seconds), latency);
            assert_eq!(Latency::UNKNOWN.observe(8, seconds), Latency::UNKNOWN);
        }
    }

    proptest! {
        #[test]
        fn any_history_gives_a_latency_between_nothing_and_its_peak(
            bits in any::<u64>(),
            history in proptest::collection::vec((any::<u32>(), any::<f32>()), 1..20),
            now_ms in any::<u32>(),
        ) {
            let mut latency = Latency::from_bits(bits);
            let mut peak = latency.seconds;
            for (at_ms, seconds) in history {
                latency = latency.observe(at_ms, seconds);
                if seconds.is_finite() {
                    peak = peak.max(seconds.max(f32::MIN_POSITIVE));
                }
                prop_assert_eq!(Latency::from_bits(latency.to_bits()), latency);
            }
            let seconds = latency.read(now_ms);
            prop_assert!(seconds <= peak && (seconds > 0.0) != latency.is_unknown(), "{} over {}", seconds, peak);
        }
    }
}
