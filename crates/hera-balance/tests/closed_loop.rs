//! Whole runs in simulated time: a fixed number of callers, each of whom calls again as soon as it is answered.

use hera_balance::{Latency, Load, Rng, busy, cost, factor, pick};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// A worker as it is, and what it says of itself.
#[derive(Clone, Copy)]
struct Worker {
    /// Milliseconds that a call takes it while it has no more of them than places.
    service_ms: f64,
    /// Calls that it runs at once; more share them and take longer.
    places: f64,
    reported: Load,
    /// Refuses each call at once.
    fails: bool,
}

const HONEST: Worker = Worker { service_ms: 20.0, places: 1e9, reported: idle(), fails: false };
/// A failure counts as this latency: `max(1 s, 10 x the route's median)`.
const FAILURE_SECONDS: f32 = 1.0;
const FIRST_ESTIMATE_SECONDS: f32 = 0.03;

const fn idle() -> Load {
    at_cpu(0.0)
}

const fn at_cpu(cpu: f64) -> Load {
    Load { cpu: Some(cpu), delay_ms: None, rss_bytes: None, rss_limit_bytes: None, in_flight: None }
}

/// Runs `calls` calls of `callers` callers and gives each worker's share of them.
fn shares(workers: &[Worker], callers: usize, calls: usize) -> Vec<f64> {
    let mut rng = Rng::new(2024);
    let mut latencies = vec![Latency::UNKNOWN; workers.len()];
    let mut in_flight = vec![0u32; workers.len()];
    let mut counts = vec![0usize; workers.len()];
    // The ends of calls in microseconds: when, of which worker, begun when. A caller's first call has no worker yet.
    let mut ends: BinaryHeap<Reverse<(u64, Option<usize>, u64)>> =
        (0..callers as u64).map(|caller| Reverse((caller * 100, None, 0))).collect();

    for _ in 0..calls {
        let Some(Reverse((now_us, answered, begun_us))) = ends.pop() else { break };
        let now_ms = (now_us / 1_000) as u32;
        if let Some(index) = answered {
            in_flight[index] -= 1;
            let seconds =
                if workers[index].fails { FAILURE_SECONDS } else { (now_us - begun_us) as f32 / 1e6 };
            latencies[index] = latencies[index].observe(now_ms, seconds);
        }
        let costs = |i: usize| {
            let load = workers[i].reported;
            let measured = latencies[i];
            let latency = if measured.is_unknown() { FIRST_ESTIMATE_SECONDS } else { measured.read(now_ms) };
            let factor = load.cpu.map_or(1.0, factor);
            busy(&load, Duration::ZERO).is_none().then(|| cost(f64::from(latency), in_flight[i], factor))
        };
        let picked = pick(costs, workers.len(), &mut rng, None).expect("a worker takes calls");
        counts[picked] += 1;
        in_flight[picked] += 1;
        let Worker { service_ms, places, fails, .. } = workers[picked];
        let crowding = (f64::from(in_flight[picked]) / places).max(1.0);
        // A spread of half to one and a half, so that callers do not march in step.
        let spread = 0.5 + rng.below(1_000) as f64 / 1_000.0;
        let took_ms = if fails { 0.2 } else { service_ms * crowding * spread };
        ends.push(Reverse((now_us + (took_ms * 1_000.0) as u64, Some(picked), now_us)));
    }
    let all: usize = counts.iter().sum();
    counts.into_iter().map(|count| count as f64 / all as f64).collect()
}

#[test]
fn equal_workers_share_evenly() {
    let shares = shares(&[HONEST; 4], 16, 40_000);
    assert!(shares.iter().all(|share| (0.22..0.28).contains(share)), "{shares:?}");
}

#[test]
fn a_worker_at_full_cpu_gets_under_a_third_of_two() {
    let busy_one = Worker { reported: at_cpu(1.0), ..HONEST };
    let shares = shares(&[HONEST, busy_one], 12, 40_000);
    assert!(shares[1] > 0.0 && shares[1] < 1.0 / 3.0, "{shares:?}");
}

#[test]
fn a_worker_at_half_speed_gets_less_than_one_at_full_speed() {
    let slow = Worker { service_ms: 40.0, places: 2.0, ..HONEST };
    let shares = shares(&[Worker { places: 4.0, ..HONEST }, slow], 8, 40_000);
    assert!(shares[1] > 0.02 && shares[1] < 0.4, "{shares:?}");
}

#[test]
fn a_liar_gains_at_most_twice_its_fair_share() {
    for workers in [2, 3, 5, 10] {
        for cpu in [0.0, 0.9, 1.0] {
            let mut all = vec![Worker { reported: at_cpu(cpu), ..HONEST }; workers];
            all[0].reported = idle();
            let shares = shares(&all, 4 * workers, 40_000);
            assert!(shares[0] <= 2.0 / workers as f64 + 0.01, "{workers} workers at {cpu}: {shares:?}");
        }
    }
}

#[test]
fn a_liar_that_is_slow_loses_by_what_is_measured() {
    let mut all = vec![Worker { reported: at_cpu(0.9), ..HONEST }; 4];
    all[0] = Worker { service_ms: 500.0, reported: idle(), ..HONEST };
    let shares = shares(&all, 16, 40_000);
    assert!(shares[0] < 0.25, "{shares:?}");
}

#[test]
fn a_worker_that_fails_fast_does_not_look_idle() {
    let mut all = vec![HONEST; 4];
    all[0].fails = true;
    let shares = shares(&all, 16, 40_000);
    assert!(shares[0] < 0.05, "{shares:?}");
}

#[test]
fn a_worker_that_reports_what_cannot_be_gets_nothing() {
    for cpu in [f64::NAN, -1.0, f64::INFINITY] {
        let shares = shares(&[HONEST, Worker { reported: at_cpu(cpu), ..HONEST }], 8, 2_000);
        assert_eq!(shares, [1.0, 0.0]);
    }
}
