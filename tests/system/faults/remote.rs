//! Chains of three remote calls while workers and brokers are killed and restarted (A1, A5, A7, A8). The innermost call is the one that counts as run.

use crate::stage::{Stage, failed, is_long, record, wait_calls};
use hera_ledger::{Method, Mix, Pace, Plan, Swarm, Terms};
use hera_testkit::wait_until;
use hera_tests::worker_process::Language::{Java, Node, Rust};
use hera_tests::worker_process::WorkerProcess;
use std::time::Duration;

const DEPTH: u32 = 3;
/// A broker that is drained stays at most so long.
const DRAIN_MAX: Duration = Duration::from_secs(30);

fn plan(stage: &Stage, address: std::net::SocketAddr) -> Plan {
    Plan { mix: Mix::deep(DEPTH), ..stage.plan(address) }
}

/// What may not run again, and was with the process that went.
fn honest(method: Method, label: &str) -> bool {
    !method.is_idempotent() && label.starts_with("502 maybe")
}

#[test]
fn killed_worker_costs_of_its_chains_only_what_may_not_run_again() {
    let stage = Stage::of(1);
    let [dying, _rust, _node, _java] =
        stage.workers([(Rust, "dying"), (Rust, "rust"), (Node, "node"), (Java, "java")]);

    let swarm = Swarm::start(Plan { connections: 100, ..plan(&stage, stage.brokers[0].http()) });
    wait_calls(&swarm, 1_000);
    wait_until("it to have its share", || in_flight(&stage, &dying) > 10);
    dying.kill();
    wait_calls(&swarm, 1_000);
    let (verdict, calls) = stage.judge(swarm, Terms::default());

    verdict.must_be_clean();
    assert_eq!(verdict.failures(), verdict.count_of(honest), "{:?}\n{verdict}", failed(&calls).next());
    assert!(verdict.failures() > 0, "some chains went through it: {verdict}");
}

#[test]
fn killed_broker_costs_of_its_chains_only_what_may_not_run_again() {
    let stage = Stage::of(3);
    let _workers = stage.workers([(Rust, "rust"), (Node, "node"), (Java, "java")]);
    let haproxy = stage.haproxy();

    let swarm = Swarm::start(plan(&stage, haproxy.address()));
    wait_calls(&swarm, 500);
    stage.brokers[0].kill();
    wait_calls(&swarm, 1_000);
    let (verdict, calls) = stage.judge(swarm, Terms::default());

    verdict.must_be_clean();
    assert_eq!(verdict.failures(), verdict.count_of(honest), "{:?}\n{verdict}", failed(&calls).next());
    // Each of 16 callers had one chain under way.
    assert!(verdict.failures() <= 16, "{verdict}");
}

#[test]
fn rolling_restart_of_brokers_loses_no_chain() {
    let (count, calls, rate) = if is_long() { (10, 30_000, 200.0) } else { (3, 3_000, 100.0) };
    let mut stage = Stage::of(count);
    let workers = stage.workers([(Rust, "rust"), (Node, "node"), (Java, "java")]);
    let haproxy = stage.haproxy();

    let plan = Plan { pace: Pace::Open(rate), connections: 64, ..plan(&stage, haproxy.address()) };
    let swarm = Swarm::start(plan);
    wait_calls(&swarm, 300);
    for n in 0..count {
        stage.brokers[n].sigterm();
        assert_eq!(stage.brokers[n].wait_exit_within(DRAIN_MAX), 0);
        stage.brokers[n].restart();
        for worker in &workers {
            stage.wait_serving(worker);
        }
        stage.wait_all_up(&haproxy);
    }
    hera_testkit::wait_at_most(Duration::from_secs(600), "all calls of the plan", || swarm.ended() >= calls);
    let (verdict, calls) = stage.judge(swarm, Terms::default());

    verdict.must_be_clean();
    assert_eq!(verdict.failures(), 0, "{:?}\n{verdict}", failed(&calls).next());
}

#[test]
fn rolling_restart_of_workers_loses_no_chain() {
    let stage = Stage::of(2);
    let haproxy = stage.haproxy();
    let mut workers: Vec<WorkerProcess> = [(Rust, "rust"), (Node, "node"), (Java, "java")]
        .map(|(language, name)| stage.worker(language, name))
        .into();

    let swarm = Swarm::start(plan(&stage, haproxy.address()));
    wait_calls(&swarm, 500);
    for round in 0..2 {
        for (worker, language) in workers.iter_mut().zip([Rust, Node, Java]) {
            let next = stage.worker(language, &format!("{language:?}-{round}").to_lowercase());
            let old = std::mem::replace(worker, next);
            old.sigterm();
            assert_eq!(old.wait_exit().code(), Some(0), "{}", old.log());
            wait_calls(&swarm, 200);
        }
    }
    let (verdict, calls) = stage.judge(swarm, Terms::default());

    verdict.must_be_clean();
    assert_eq!(verdict.failures(), 0, "{:?}\n{verdict}", failed(&calls).next());
}

fn in_flight(stage: &Stage, worker: &WorkerProcess) -> u64 {
    record(&stage.brokers[0], worker).and_then(|record| record["in_flight"].as_u64()).unwrap_or(0)
}
