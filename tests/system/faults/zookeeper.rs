//! ZooKeeper that loses its leader, its quorum, or a session, under brokers and workers at work (Z1 to Z5).

use crate::stage::{Stage, failed, is_long, wait_calls};
use hera_ledger::{Call, Pace, Plan, Swarm, Terms};
use hera_testkit::http::Request;
use hera_testkit::{Haproxy, Harm, Harms, Relay, TestBroker, TestCluster, wait_at_most};
use hera_tests::worker_process::Language::{Node, Rust};
use hera_tests::worker_process::WorkerProcess;
use std::time::{Duration, Instant};

/// Sessions of the fixture time out after 1 s, and servers elect a leader within a few.
const NOTICED: Duration = Duration::from_secs(20);
/// Z4: a node is back so soon after its session expired.
const BACK: Duration = Duration::from_secs(3);
/// HAProxy's `slowstart`.
const SLOW: Duration = Duration::from_secs(10);
/// A broker that is drained stays at most so long.
const DRAIN_MAX: Duration = Duration::from_secs(30);
/// Steady, and light enough for two cores that also run three ZooKeeper servers.
const RATE: f64 = 300.0;

/// A stream that had begun goes with its broker; all else holds.
const BROKER_GONE: Terms = Terms { cut_answers: true, ..Terms::PROMISES };

#[test]
fn killed_leader_is_noticed_by_no_request() {
    let mut stage = Stage::on_zookeeper(3, 3);
    let _workers = stage.workers([(Rust, "rust"), (Node, "node")]);
    let haproxy = stage.haproxy();
    let swarm = steady(&stage, &haproxy);
    wait_calls(&swarm, 500);

    let leader = stage.cluster().zookeeper.leader();
    stage.cluster().zookeeper.kill(leader);
    // A leader that died is known for dead when the others have another one.
    stage.cluster().zookeeper.leader();
    wait_in_sync(&stage);
    let token = stage.cluster().token(&["GET /0/**"]);
    wait_known(&stage, &token);
    wait_calls(&swarm, 500);
    stage.cluster().zookeeper.restart(leader);
    let (_, calls) = stage.judge(swarm, Terms::default());

    none_failed(&calls, &haproxy);
}

#[test]
fn lost_quorum_costs_no_call_with_a_known_token_and_brings_no_herd() {
    let mut stage = Stage::on_zookeeper(3, 3);
    let workers = stage.workers([(Rust, "rust"), (Node, "node")]);
    let crowd = stage.crowd(50);
    let haproxy = stage.haproxy();
    let swarm = steady(&stage, &haproxy);
    wait_calls(&swarm, 500);
    let joined = joins(&stage);

    let lost = lose_quorum(&mut stage);
    let gone = Instant::now();
    for broker in &stage.brokers {
        assert_eq!(ask(broker, &unknown_token()), 503);
    }
    let time = Duration::from_secs(if is_long() { 600 } else { 8 });
    wait_at_most(time * 2, "the outage to last", || gone.elapsed() >= time);
    for server in lost {
        stage.cluster().zookeeper.begin(server);
    }
    wait_in_sync(&stage);
    wait_registered(&mut stage);
    wait_calls(&swarm, 500);
    let (_, calls) = stage.judge(swarm, Terms::default());

    none_failed(&calls, &haproxy);
    assert_eq!(joins(&stage), joined, "no worker dialled anew");
    assert!(workers.iter().all(WorkerProcess::runs) && crowd.runs());
}

#[test]
fn every_broker_and_worker_is_restarted_without_a_quorum_and_no_call_fails() {
    let mut stage = Stage::on_zookeeper(3, 3);
    let mut workers = Vec::from(stage.workers([(Rust, "rust"), (Node, "node")]));
    let haproxy = stage.haproxy();
    wait_saved(&stage);
    let swarm = steady(&stage, &haproxy);
    wait_calls(&swarm, 500);

    let lost = lose_quorum(&mut stage);
    let gone = Instant::now();
    for n in 0..stage.brokers.len() {
        stage.brokers[n].sigterm();
        assert_eq!(stage.brokers[n].wait_exit_within(DRAIN_MAX), 0);
        stage.brokers[n].restart();
        workers.iter().for_each(|worker| stage.wait_serving(worker));
        stage.wait_all_up(&haproxy);
    }
    for (language, name) in [(Rust, "rust-2"), (Node, "node-2")] {
        let next = stage.worker(language, name);
        let old = workers.remove(0);
        old.sigterm();
        assert_eq!(old.wait_exit().code(), Some(0));
        workers.push(next);
    }
    let time = Duration::from_secs(if is_long() { 180 } else { 0 });
    wait_at_most(time * 2 + NOTICED, "the outage to last", || gone.elapsed() >= time);
    wait_calls(&swarm, 500);
    for server in lost {
        stage.cluster().zookeeper.begin(server);
    }
    wait_registered(&mut stage);
    let (_, calls) = stage.judge(swarm, Terms::default());

    none_failed(&calls, &haproxy);
}

#[test]
fn brokers_and_workers_killed_without_a_quorum_come_back_by_what_they_saved() {
    let mut stage = Stage::on_zookeeper(3, 2);
    let workers = stage.workers([(Rust, "rust"), (Node, "node")]);
    let haproxy = stage.haproxy();
    wait_saved(&stage);
    let swarm = steady(&stage, &haproxy);
    wait_calls(&swarm, 500);

    lose_quorum(&mut stage);
    for n in 0..2 {
        stage.brokers[n].restart();
        workers.iter().for_each(|worker| stage.wait_serving(worker));
        stage.wait_all_up(&haproxy);
        // Until then HAProxy gives it few connections, and the other one's calls would find no room.
        wait_at_most(3 * SLOW, "the broker to have all its calls", || {
            haproxy.servers().iter().all(|state| !state.is_slow)
        });
    }
    // One of the two always serves.
    let again = [(Rust, "rust-2"), (Node, "node-2")].map(|(language, name)| {
        let killed = workers.iter().find(|worker| name.starts_with(worker.name())).unwrap();
        killed.kill();
        let again = stage.worker(language, name);
        wait_calls(&swarm, 200);
        again
    });
    assert!(again.iter().all(WorkerProcess::runs));
    let (verdict, _) = stage.judge(swarm, BROKER_GONE);

    verdict.must_be_clean();
    let idempotent = verdict.count_of(|method, label| method.is_idempotent() && !label.starts_with('2'));
    assert_eq!(idempotent, 0, "{verdict}");
}

#[test]
fn expired_session_is_replaced_in_three_seconds_and_no_call_notices() {
    let cluster = TestCluster::start();
    let relay = Relay::to(cluster.zookeeper.address(0));
    let over = format!("zk://{}{}", relay.address(), cluster.path(""));
    // The last word counts: this broker, and no other, reaches ZooKeeper over a line that can be cut.
    let mut stage =
        Stage::on(
            cluster,
            2,
            |n, builder| if n == 0 { builder.with_args(["--registry", &over]) } else { builder },
        );
    let _workers = stage.workers([(Rust, "rust"), (Node, "node")]);
    let haproxy = stage.haproxy();
    let swarm = steady(&stage, &haproxy);
    wait_calls(&swarm, 500);
    let joined = joins(&stage);
    let registered = |stage: &mut Stage| stage.cluster().registered();

    let hole = Harm { hole: true, ..Harm::default() };
    relay.set(Harms { up: hole, down: hole });
    wait_at_most(NOTICED, "the session to expire", || registered(&mut stage) == ["b-2"]);
    relay.set(Harms::default());
    let healed = Instant::now();
    wait_at_most(BACK, "the node to be back", || registered(&mut stage) == ["b-1", "b-2"]);
    eprintln!("the node was back {:?} after the line", healed.elapsed());
    wait_calls(&swarm, 500);
    let (_, calls) = stage.judge(swarm, Terms::default());

    none_failed(&calls, &haproxy);
    assert_eq!(joins(&stage), joined, "no connection was lost");
}

#[test]
fn broker_killed_and_started_at_once_takes_its_old_node_over() {
    let mut stage = Stage::on(TestCluster::start(), 2, |_, builder| {
        builder.with_env("HERA_REGISTRY__SESSION_TIMEOUT", "4s")
    });
    let workers = stage.workers([(Rust, "rust"), (Node, "node")]);
    let haproxy = stage.haproxy();
    let swarm = steady(&stage, &haproxy);
    wait_calls(&swarm, 500);

    stage.brokers[0].restart();
    let restarted = Instant::now();
    workers.iter().for_each(|worker| stage.wait_serving(worker));
    // The old session dies within these; the new node must outlive it, in every look.
    while restarted.elapsed() < Duration::from_secs(6) {
        assert_eq!(stage.cluster().registered(), ["b-1", "b-2"]);
    }
    stage.wait_all_up(&haproxy);
    wait_calls(&swarm, 300);
    let (verdict, _) = stage.judge(swarm, BROKER_GONE);

    verdict.must_be_clean();
    let idempotent = verdict.count_of(|method, label| method.is_idempotent() && !label.starts_with('2'));
    assert_eq!(idempotent, 0, "{verdict}");
}

#[test]
fn rolling_restart_of_all_brokers_and_then_of_all_workers_loses_nothing() {
    let (count, pairs, calls) = if is_long() { (10, 10, 100_000) } else { (3, 2, 6_000) };
    let mut stage = Stage::on_zookeeper(1, count);
    let pair = |n: usize| [(Rust, format!("rust-{n}")), (Node, format!("node-{n}"))];
    let mut workers: Vec<_> = (0..pairs)
        .flat_map(pair)
        .map(|(language, name)| (language, stage.begin_worker(language, &name)))
        .collect();
    workers.iter().for_each(|(_, worker)| stage.wait_serving(worker));
    let haproxy = stage.haproxy();
    let swarm = steady(&stage, &haproxy);
    wait_calls(&swarm, 500);

    for n in 0..count {
        stage.brokers[n].sigterm();
        assert_eq!(stage.brokers[n].wait_exit_within(DRAIN_MAX), 0);
        stage.brokers[n].restart();
        workers.iter().for_each(|(_, worker)| stage.wait_serving(worker));
        stage.wait_all_up(&haproxy);
    }
    for (language, worker) in &mut workers {
        worker.sigterm();
        assert_eq!(worker.wait_exit().code(), Some(0), "{}", worker.log());
        *worker = stage.worker(*language, worker.name());
    }
    wait_at_most(Duration::from_secs(900), "all calls of the plan", || swarm.ended() >= calls);
    let (_, calls) = stage.judge(swarm, Terms::default());

    none_failed(&calls, &haproxy);
}

// ---- steps -------------------------------------------------------------------------------------------------

fn steady(stage: &Stage, haproxy: &Haproxy) -> Swarm {
    Swarm::start(Plan { pace: Pace::Open(RATE), connections: 64, ..stage.plan(haproxy.address()) })
}

/// Kills two of three; gives which, once every broker has noticed.
fn lose_quorum(stage: &mut Stage) -> [usize; 2] {
    let leader = stage.cluster().zookeeper.leader();
    let other = (leader + 1) % 3;
    stage.cluster().zookeeper.kill(leader);
    stage.cluster().zookeeper.kill(other);
    wait_at_most(NOTICED, "all brokers to notice", || !stage.brokers.iter().any(in_sync));
    [leader, other]
}

fn in_sync(broker: &TestBroker) -> bool {
    broker.metric("hera_registry_in_sync") == 1.0
}

fn wait_in_sync(stage: &Stage) {
    wait_at_most(NOTICED * 2, "all brokers to be in sync", || stage.brokers.iter().all(in_sync));
}

fn wait_registered(stage: &mut Stage) {
    wait_in_sync(stage);
    let count = stage.brokers.len();
    wait_at_most(NOTICED, "all brokers to be registered", || stage.cluster().registered().len() == count);
}

/// Waits until each broker's copy on disk has the key of the workers, and its catalogue what they serve.
fn wait_saved(stage: &Stage) {
    let holds = |broker: &TestBroker, file: &str, text: &str| {
        std::fs::read_to_string(broker.data_dir().join(file)).is_ok_and(|saved| saved.contains(text))
    };
    wait_at_most(NOTICED, "every copy to be saved", || {
        stage.brokers.iter().all(|broker| {
            holds(broker, "keys.json", "ledger") && holds(broker, "catalogue.json", "/0/ledger/now") && {
                holds(broker, "tokens.json", "token-1")
            }
        })
    });
}

fn ask(broker: &TestBroker, token: &str) -> u16 {
    broker.ask(&Request::get("/0/none").token(token)).status
}

fn wait_known(stage: &Stage, token: &str) {
    for broker in &stage.brokers {
        wait_at_most(Duration::from_secs(2), "a new token to be known", || ask(broker, token) == 404);
    }
}

/// A well-formed token that nobody made.
fn unknown_token() -> String {
    format!("hera_{}{}4a792563", "0123456789abcdef", "ab".repeat(32))
}

/// Workers' sessions that the brokers began so far.
fn joins(stage: &Stage) -> usize {
    let joined = |broker: &TestBroker| broker.log().matching(|line| line.contains("worker connected")).len();
    stage.brokers.iter().map(joined).sum()
}

fn none_failed(calls: &[Call], haproxy: &Haproxy) {
    let bad = failed(calls).next();
    let count = failed(calls).count();
    assert!(
        bad.is_none(),
        "{count} of {} calls failed; the first: {bad:?}\n{}",
        calls.len(),
        crate::brokers::haproxy_tail(haproxy)
    );
}
