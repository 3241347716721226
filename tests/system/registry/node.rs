//! A broker's own node: whose it is, and when it stands (R-5 to R-7; faults A9, Z4, Z5, Z8).

use crate::layout::credentials;
use crate::zk::Stranger;
use hera_testkit::http::Request;
use hera_testkit::{TestCluster, wait_at_most, wait_until};
use std::time::{Duration, Instant};

#[test]
fn node_says_where_the_broker_is() {
    let cluster = TestCluster::start();
    let broker = cluster.broker();
    let stranger = Stranger::at(&cluster);

    let data = stranger.read(&format!("/brokers/{}", broker.id())).unwrap();

    let node: serde_json::Value = serde_json::from_slice(&data).unwrap();
    assert_eq!(node["id"], broker.id());
    assert_eq!(node["name"], "brokers");
    assert_eq!(node["port"], broker.workers().port());
    assert_eq!(node["address"], "127.0.0.1");
    assert_eq!(node["protocols"], serde_json::json!(["hera/1+tcp"]));
    assert_eq!(node["http"], format!("http://{}", broker.http()));
    assert_ne!(stranger.owner(&format!("/brokers/{}", broker.id())), Some(0));
}

#[test]
fn drained_broker_leaves_before_it_ends() {
    let cluster = TestCluster::start();
    let broker = cluster.broker();
    let stranger = Stranger::at(&cluster);

    broker.sigterm();

    wait_at_most(Duration::from_secs(1), "the node to be gone", || {
        stranger.list("/brokers").unwrap().is_empty()
    });
    assert!(broker.is_running(), "it still answers");
    assert_eq!(broker.ask(&Request::get("/-/ready")).status, 404);
    assert_eq!(broker.wait_exit(), 0);
}

#[test]
fn broker_told_twice_or_in_its_first_moment_leaves_no_node() {
    let cluster = TestCluster::start();
    let stranger = Stranger::at(&cluster);
    let broker = cluster.broker();
    broker.sigterm();
    broker.sigterm();
    assert_eq!(broker.wait_exit(), 0);
    assert!(stranger.list("/brokers").unwrap().is_empty());

    // At moments all over its start: before it reads its files, while it registers, after.
    for delay_ms in [0, 5, 20, 40, 60, 80, 100, 150, 250] {
        let (code, begun) = cluster.builder().run_and_signal(Duration::from_millis(delay_ms));
        // Before a handler stands the system ends it: nothing was made by then.
        assert!(code == 0 || code == -1 && !begun, "{delay_ms} ms: {code}");
        assert!(stranger.list("/brokers").unwrap().is_empty(), "{delay_ms} ms");
    }
}

#[test]
fn expired_session_is_replaced_and_the_node_is_back_while_workers_stay() {
    let cluster = TestCluster::start();
    let broker = cluster.broker();
    let token = cluster.token(&["GET /0/**"]);
    let worker = broker.worker("ads", &["GET /0/x"]);
    let _serving = worker.serve(|_| hera_testkit::Reply::ok("{}"));
    let stranger = Stranger::at(&cluster);
    let path = format!("/brokers/{}", broker.id());
    let before = stranger.owner(&path).unwrap();

    broker.signal("STOP");
    wait_at_most(Duration::from_secs(5), "the session to expire", || stranger.owner(&path).is_none());
    broker.signal("CONT");
    let woke = Instant::now();

    wait_at_most(Duration::from_secs(3), "the node to be back", || stranger.owner(&path).is_some());
    assert!(woke.elapsed() < Duration::from_secs(3));
    assert_ne!(stranger.owner(&path), Some(before));
    assert_eq!(
        broker.ask(&Request::get("/0/x").token(&token)).status,
        200,
        "the worker's connection was kept"
    );
}

#[test]
fn node_removed_by_hand_is_made_again() {
    let cluster = TestCluster::start();
    let broker = cluster.broker();
    let operator = Stranger::at(&cluster).with_credentials(credentials(&cluster).as_bytes());
    let path = format!("/brokers/{}", broker.id());

    operator.delete(&path).unwrap();

    wait_at_most(Duration::from_secs(2), "the node to be back", || operator.owner(&path).is_some());
}

#[test]
fn broker_restarted_in_the_life_of_its_old_session_replaces_its_node_without_a_gap() {
    let cluster = TestCluster::start();
    let builder = cluster
        .builder()
        .with_env("HERA_REGISTRY__SESSION_TIMEOUT", "4s")
        .with_env("HERA_BROKER__ID", "b-same");
    let mut broker = builder.start();
    let stranger = Stranger::at(&cluster);
    let before = stranger.owner("/brokers/b-same").unwrap();

    broker.restart();

    let after = stranger.owner("/brokers/b-same").unwrap();
    assert_ne!(after, before);
    // The old session dies within 4 s; its end must not take the new node with it.
    let until = Instant::now() + Duration::from_secs(6);
    while Instant::now() < until {
        assert_eq!(stranger.owner("/brokers/b-same"), Some(after));
    }
    assert_eq!(cluster.registered(), ["b-same"]);
}

#[test]
fn name_that_a_stranger_has_is_waited_out_and_then_refused() {
    let cluster = TestCluster::start();
    let first = cluster.builder().with_env("HERA_BROKER__ID", "b-same").start();

    let second = cluster.builder().with_env("HERA_BROKER__ID", "b-same").run();

    assert_eq!(second.code, 78, "{}", second.stderr);
    assert!(second.stderr.contains("b-same") && second.stderr.contains("broker.id"), "{}", second.stderr);
    assert_eq!(cluster.registered(), ["b-same"]);

    // Of a broker that died, whose data dir is lost, the name is free once its session is over.
    first.kill();
    let heir = cluster.builder().with_env("HERA_BROKER__ID", "b-same").start();
    wait_until("the heir to be registered", || cluster.registered() == [heir.id()]);
}
