//! What a worker reports of itself (P-25), and what it makes of it: a factor of its cost, and whether it is busy.

use std::fmt;
use std::time::Duration;

/// A load as it was reported: `None` is unknown, NaN stands for a value that no worker may send.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Share of the CPU that the process may use, 0 to 1.
    pub cpu: Option<f64>,
    /// Greatest event-loop or pool delay of the last 2 s.
    pub delay_ms: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<f64>,
    /// Limit of the resident memory; 0 is unknown too, as some systems say so where there is none.
    pub rss_limit_bytes: Option<f64>,
    /// Calls that it is running, over all its brokers.
    pub in_flight: Option<f64>,
}

/// Why a worker gets no new calls for now; its connection is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BusyReason {
    /// A value that is not a finite number at least 0.
    BadValue,
    /// No answer to `status` for [`PONG_MAX`].
    NoPong,
    /// The loop or the pool is late by more than [`DELAY_MS_MAX`].
    Delay,
    /// Memory over [`RSS_SHARE_MAX`] of its limit.
    Memory,
}

/// Longest event-loop or pool delay of a worker that takes calls.
pub const DELAY_MS_MAX: f64 = 200.0;
/// Largest share of its memory limit for a worker that takes calls.
pub const RSS_SHARE_MAX: f64 = 0.9;
/// Longest time without an answer to `status` (`pong_ms_max`).
pub const PONG_MAX: Duration = Duration::from_millis(4_500);
/// Largest factor, that of a CPU in full use: the most that a worker can gain by claiming to be idle.
pub const FACTOR_MAX: f64 = 5.0;
/// Latencies below are taken for this one. A worker that nobody called for a while reads as next to 0; without a floor
/// hundreds of calls at once would go to it before its first answer shows what it is like.
pub const LATENCY_SECONDS_MIN: f64 = 0.001;

/// Whether a worker is busy, and why. `since_pong` runs from its last answer to `status`, or from the start of its session.
pub fn busy(load: &Load, since_pong: Duration) -> Option<BusyReason> {
    let Load { cpu, delay_ms, rss_bytes, rss_limit_bytes, in_flight } = *load;
    let is_bad = |value: f64| !value.is_finite() || value < 0.0;
    if [cpu, delay_ms, rss_bytes, rss_limit_bytes, in_flight].into_iter().flatten().any(is_bad) {
        return Some(BusyReason::BadValue);
    }
    if since_pong > PONG_MAX {
        return Some(BusyReason::NoPong);
    }
    if delay_ms.is_some_and(|delay_ms| delay_ms > DELAY_MS_MAX) {
        return Some(BusyReason::Delay);
    }
    match (rss_bytes, rss_limit_bytes) {
        (Some(rss), Some(limit)) if limit > 0.0 && rss > limit * RSS_SHARE_MAX => Some(BusyReason::Memory),
        _ => None,
    }
}

/// What the CPU share multiplies the cost by: 1 up to three quarters, then rising to [`FACTOR_MAX`] at full use and beyond.
///
/// An unknown CPU share has factor 1; a value that cannot be counts as full use, as it makes the worker busy anyway.
pub fn factor(cpu: f64) -> f64 {
    if cpu >= 0.0 { 1.0 + (FACTOR_MAX - 1.0) * ((cpu.min(1.0) - 0.75).max(0.0) / 0.25) } else { FACTOR_MAX }
}

/// What one more call on a worker costs, for comparison alone: latency times calls, with the new one, times [`factor`].
///
/// `latency_seconds` is the peak-EWMA or its first estimate, raised to [`LATENCY_SECONDS_MIN`]; `in_flight` counts the worker's calls
/// of this broker. Never NaN: where an input is no number, the cost is the largest there is, not the smallest.
pub fn cost(latency_seconds: f64, in_flight: u32, factor: f64) -> f64 {
    let is_below = latency_seconds < LATENCY_SECONDS_MIN;
    let latency = if is_below { LATENCY_SECONDS_MIN } else { latency_seconds };
    let cost = latency * (f64::from(in_flight) + 1.0) * factor;
    if cost.is_finite() { cost } else { f64::MAX }
}

impl fmt::Display for BusyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BusyReason::BadValue => "reports a load that cannot be",
            BusyReason::NoPong => "did not answer status for 4.5 s",
            BusyReason::Delay => "loop or pool delay over 200 ms",
            BusyReason::Memory => "memory over 90 % of its limit",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    #[test]
    fn a_worker_that_says_nothing_of_itself_takes_calls() {
        assert_eq!(busy(&Load::default(), AT_ONCE), None);
    }

    #[test]
    fn each_bound_is_the_last_good_value() {
        let delay = |ms| busy(&Load { delay_ms: Some(ms), ..Load::default() }, AT_ONCE);
        assert_eq!((delay(200.0), delay(200.1)), (None, Some(BusyReason::Delay)));

        let memory = |rss, limit| {
            busy(&Load { rss_bytes: Some(rss), rss_limit_bytes: Some(limit), ..Load::default() }, AT_ONCE)
        };
        assert_eq!((memory(900.0, 1000.0), memory(901.0, 1000.0)), (None, Some(BusyReason::Memory)));
        assert_eq!(memory(900.0, 0.0), None);

        let pong = |ms| busy(&Load::default(), Duration::from_millis(ms));
        assert_eq!((pong(4_500), pong(4_501)), (None, Some(BusyReason::NoPong)));
    }

    #[test]
    fn a_value_that_cannot_be_makes_busy_wherever_it_stands() {
        let members: [fn(&mut Load, f64); 5] = [
            |load, value| load.cpu = Some(value),
            |load, value| load.delay_ms = Some(value),
            |load, value| load.rss_bytes = Some(value),
            |load, value| load.rss_limit_bytes = Some(value),
            |load, value| load.in_flight = Some(value),
        ];
        for member in members {
            for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
                let mut load = Load::default();
                member(&mut load, value);
                assert_eq!(busy(&load, AT_ONCE), Some(BusyReason::BadValue));
            }
        }
    }

    #[test]
    fn the_factor_rises_from_three_quarters_to_full_use() {
        for (cpu, expected) in [(0.0, 1.0), (0.75, 1.0), (0.875, 3.0), (1.0, 5.0), (1.7, 5.0), (1e308, 5.0)] {
            assert_eq!(factor(cpu), expected, "{cpu}");
        }
        for cpu in [f64::NAN, -0.1, f64::NEG_INFINITY] {
            assert_eq!(factor(cpu), FACTOR_MAX, "{cpu}");
        }
    }

    #[test]
    fn a_cost_is_latency_times_calls_times_factor() {
        assert_eq!(cost(0.5, 0, 1.0), 0.5);
        assert_eq!(cost(0.5, 3, 2.0), 4.0);
        assert_eq!(cost(0.0, 1, 1.0), 2.0 * LATENCY_SECONDS_MIN);
    }

    #[test]
    fn a_cost_that_cannot_be_is_the_largest() {
        for latency in [f64::NAN, f64::INFINITY] {
            assert_eq!(cost(latency, 0, 1.0), f64::MAX);
        }
        assert_eq!(cost(1.0, 0, f64::NAN), f64::MAX);
        assert!(cost(1e30, u32::MAX, FACTOR_MAX) > cost(1.0, 1, 1.0));
    }
}
