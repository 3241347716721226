//! SIGTERM again, and SIGTERM before the process has begun (A9).

use crate::stage::{Stage, wait_calls};
use hera_ledger::{Plan, Swarm, Terms};
use hera_testkit::{BrokerBuilder, TestBroker, command, signal, wait_at_most, wait_until};
use hera_tests::worker_process::Language::{self, Node, Rust};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Within the time that a broker has for its drain.
const GRACE: Duration = Duration::from_secs(30);
/// A second signal does not wait for anything.
const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn second_sigterm_on_a_broker_under_load_ends_it_with_0_and_honest_answers() {
    let stage = Stage::of(1);
    let workers = stage.workers([(Rust, "rust"), (Node, "node")]);
    let broker = &stage.brokers[0];

    let swarm = Swarm::start(Plan { connections: 8, ..stage.plan(broker.http()) });
    wait_calls(&swarm, 200);
    broker.sigterm();
    wait_until("the broker to drain", || broker.log().lines().iter().any(|line| line.contains("draining")));
    broker.sigterm();
    let begun = Instant::now();
    let code = broker.wait_exit();
    let took = begun.elapsed();
    // The listener that the callers are connected to is gone.
    let (verdict, _) = stage.judge(swarm, Terms { lost_connections: true, ..Terms::default() });

    verdict.must_be_clean();
    assert_eq!(code, 0);
    assert!(took < AT_ONCE, "the second signal took {took:?}");
    assert!(workers.iter().all(|worker| worker.runs()), "a worker outlives its broker");
}

#[test]
fn sigterm_during_the_start_of_a_broker_ends_it_with_0_and_leaves_nothing() {
    let first = TestBroker::start();
    let dir = tempfile::tempdir().unwrap();
    for after_ms in [0, 1, 2, 5, 10, 20, 50] {
        let mut broker = command();
        broker.args([
            "broker",
            "--http",
            "127.0.0.1:0",
            "--workers",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        broker.arg("--data-dir").arg(dir.path().join("data"));
        broker.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = broker.spawn().unwrap();
        let caught = wait_caught(&mut child);
        wait_at_most(GRACE, "the time of the signal", || caught.elapsed() >= Duration::from_millis(after_ms));
        signal("TERM", child.id());
        let code = wait_end(&mut child);
        assert_eq!(code, Some(0), "SIGTERM {after_ms} ms after it can be caught");
    }

    // The data dir and its lock are free, and the records whole.
    let again =
        BrokerBuilder::default().with_args(["--data-dir", dir.path().join("data").to_str().unwrap()]).start();
    assert!(again.is_running() && first.is_running());
}

#[test]
fn worker_ends_with_0_by_a_second_sigterm_and_while_it_has_no_broker_yet() {
    for language in [Rust, Node] {
        let mut stage = Stage::of(1);
        let worker = stage.worker(language, "worker");
        worker.sigterm();
        worker.sigterm();
        assert_eq!(worker.wait_exit().code(), Some(0), "{language:?}: {}", worker.log());
        wait_until("the broker to have forgotten it", || {
            crate::stage::record(&stage.brokers[0], &worker).is_none()
        });

        stage.brokers[0].kill();
        let early = stage.begin_worker(language, "early");
        wait_until("the worker to dial", || dials(language, &early.log()));
        early.sigterm();
        assert_eq!(early.wait_exit().code(), Some(0), "{language:?}: {}", early.log());
        stage.brokers.clear();
    }
}

/// Both clients tell of the first dial that fails.
fn dials(language: Language, log: &str) -> bool {
    match language {
        Rust => log.contains("broker is away"),
        Node | Language::Java => log.contains("cannot dial"),
    }
}

/// When the process began to catch SIGTERM: before that the kernel ends it, and no program can do anything about it.
fn wait_caught(child: &mut Child) -> Instant {
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
        // Signal 15 is bit 14.
        mask & (1 << 14) != 0
    };
    wait_until("SIGTERM to be caught", caught);
    Instant::now()
}

fn wait_end(child: &mut Child) -> Option<i32> {
    let mut status = None;
    wait_at_most(GRACE, "the broker's end", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.and_then(|status| status.code())
}
