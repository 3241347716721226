//! Brokers behind HAProxy that are killed, frozen, and restarted one by one (A5, A6, A7).

use crate::stage::{Stage, failed, is_long, wait_calls};
use hera_ledger::{Method, Pace, Plan, Swarm, Terms};
use hera_testkit::{Haproxy, wait_at_most};
use hera_tests::worker_process::Language::{Node, Rust};
use std::time::{Duration, Instant};

/// A broker that is drained stays at most so long.
const DRAIN_MAX: Duration = Duration::from_secs(30);

/// A stream that had begun goes with its broker; all else holds.
const BROKER_GONE: Terms = Terms { cut_answers: true, ..Terms::PROMISES };

#[test]
fn killed_broker_costs_no_idempotent_call_and_of_others_those_it_had() {
    let stage = Stage::of(3);
    let _workers = stage.workers([(Rust, "rust"), (Node, "node")]);
    let haproxy = stage.haproxy();

    let swarm = Swarm::start(stage.plan(haproxy.address()));
    wait_calls(&swarm, 500);
    stage.brokers[0].kill();
    let killed = Instant::now();
    wait_at_most(Duration::from_secs(1), "HAProxy to mark it down", || {
        haproxy.servers().iter().all(|state| state.server != "b1" || state.status == "DOWN")
    });
    eprintln!("marked down after {:?}", killed.elapsed());
    wait_calls(&swarm, 1_000);
    let (verdict, _) = stage.judge(swarm, BROKER_GONE);

    verdict.must_be_clean();
    assert_eq!(verdict.failures(), verdict.count_of(honest), "{verdict}");
    // Each of 16 callers had at most one call there.
    assert!(verdict.failures() <= 16, "{verdict}");
}

#[test]
fn frozen_broker_costs_no_idempotent_call_and_delays_them_for_a_moment() {
    let mut stage = Stage::of(3);
    let workers = stage.workers([(Rust, "rust"), (Node, "node")]);
    let haproxy = stage.haproxy();
    let frozen_for = Duration::from_secs(if is_long() { 30 } else { 9 });

    let timeout = Some(Duration::from_secs(5));
    let swarm = Swarm::start(Plan { timeout, ..stage.plan(haproxy.address()) });
    wait_calls(&swarm, 500);
    stage.brokers[0].signal("STOP");
    let frozen = Instant::now();
    wait_at_most(frozen_for * 2, "the time of the freeze", || frozen.elapsed() >= frozen_for);
    stage.brokers[0].signal("CONT");
    stage.wait_all_up(&haproxy);
    for worker in &workers {
        stage.wait_serving(worker);
    }
    wait_calls(&swarm, 1_000);
    let (verdict, _) = stage.judge(swarm, BROKER_GONE);

    verdict.must_be_clean();
    assert_eq!(verdict.failures(), verdict.count_of(honest), "{verdict}");
    assert!(verdict.failures() <= 16, "{verdict}");
    let worst = verdict.worst(Method::is_idempotent);
    assert!(worst <= Duration::from_millis(1_500), "an idempotent call took {worst:?}");
    stage.brokers.clear();
}

#[test]
fn rolling_restart_of_brokers_loses_nothing() {
    let (count, calls, rate) = if is_long() { (10, 100_000, 1_000.0) } else { (3, 10_000, 400.0) };
    let mut stage = Stage::of(count);
    let workers = stage.workers([(Rust, "rust-1"), (Node, "node-1"), (Rust, "rust-2"), (Node, "node-2")]);
    let haproxy = stage.haproxy();

    let plan = Plan { pace: Pace::Open(rate), connections: 64, ..stage.plan(haproxy.address()) };
    let swarm = Swarm::start(plan);
    wait_calls(&swarm, 500);
    for n in 0..count {
        stage.brokers[n].sigterm();
        assert_eq!(stage.brokers[n].wait_exit_within(DRAIN_MAX), 0);
        stage.brokers[n].restart();
        for worker in &workers {
            stage.wait_serving(worker);
        }
        stage.wait_all_up(&haproxy);
    }
    wait_at_most(Duration::from_secs(600), "all calls of the plan", || swarm.ended() >= calls);
    let (verdict, calls) = stage.judge(swarm, Terms::default());

    verdict.must_be_clean();
    let bad = failed(&calls).next();
    assert!(
        bad.is_none(),
        "{} calls failed; the first: {bad:?}\n{}",
        verdict.failures(),
        haproxy_tail(&haproxy)
    );
}

#[test]
fn calls_look_for_the_only_broker_that_has_their_worker() {
    let mut stage = Stage::of(3);
    // All brokers know the endpoints; one has a worker.
    let everywhere = stage.worker(Rust, "everywhere");
    let haproxy = stage.haproxy();
    let _alone = stage.worker_at(&stage.brokers[2], Node, "alone");
    everywhere.sigterm();
    assert_eq!(everywhere.wait_exit().code(), Some(0));

    let swarm = Swarm::start(Plan { calls: Some(600), ..stage.plan(haproxy.address()) });
    wait_at_most(DRAIN_MAX, "all calls to end", || swarm.is_done());
    let calls = swarm.finish();

    let (verdict, _) = stage.judge_calls(calls, Terms::default());
    verdict.must_be_clean();
    assert_eq!((verdict.calls(), verdict.runs_again), (600, 0));
    // HAProxy tries two more times, and may come to the same broker: about 2 of 9 calls find no worker, and may be sent again.
    let honest = |_, label: &str| label == "503 no no_worker by broker";
    assert_eq!(verdict.failures(), verdict.count_of(honest), "{verdict}");
    assert!(verdict.failures() < 300, "most calls find it: {verdict}");
    stage.brokers.clear();
}

#[test]
fn failures_without_worker_and_without_broker_are_labelled() {
    let mut stage = Stage::of(2);
    let worker = stage.worker(Rust, "worker");
    let haproxy = stage.haproxy();
    worker.sigterm();
    assert_eq!(worker.wait_exit().code(), Some(0));
    let ask = || {
        let swarm = Swarm::start(Plan { calls: Some(200), ..stage.plan(haproxy.address()) });
        wait_at_most(DRAIN_MAX, "all calls to end", || swarm.is_done());
        stage.judge_calls(swarm.finish(), Terms::default()).0
    };

    let no_worker = ask();
    stage.brokers[0].kill();
    stage.brokers[1].kill();
    let killed = ask();
    haproxy.wait_up(&[]);
    let no_broker = ask();

    for verdict in [&no_worker, &killed, &no_broker] {
        verdict.must_be_clean();
        assert_eq!((verdict.failures(), verdict.runs), (200, 0), "{verdict}");
    }
    assert_eq!(no_worker.count_of(|_, label| label == "503 no no_worker by broker"), 200, "{no_worker}");
    assert_eq!(no_broker.count_of(|_, label| label.starts_with("503 ")), 200, "{no_broker}");
    stage.brokers.clear();
}

/// How calls may end that a lost broker had: what may not run again is 502, what had begun to be answered breaks off.
fn honest(method: Method, label: &str) -> bool {
    label == "200 cut" || !method.is_idempotent() && label.starts_with("502 maybe")
}

/// What HAProxy said about calls that failed.
pub(crate) fn haproxy_tail(haproxy: &Haproxy) -> String {
    let failed = haproxy.log().matching(|line| !line.starts_with("request 2"));
    failed.iter().rev().take(40).rev().cloned().collect::<Vec<_>>().join("\n")
}
