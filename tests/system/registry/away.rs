//! Life without ZooKeeper (D5, D6; faults Z2, Z3, Z7).

use crate::layout::credentials;
use crate::zk::Stranger;
use hera_testkit::http::Request;
use hera_testkit::{RawWorker, Reply, TestBroker, TestCluster, wait_at_most, wait_until};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn in_sync(broker: &TestBroker) -> bool {
    broker.metric("hera_registry_in_sync") == 1.0
}

/// A well-formed token that nobody made.
fn unknown_token() -> &'static str {
    concat!(
        "hera_0123456789abcdef",
        "abababababababababababababababababababababababababababababababab",
        "4a792563"
    )
}

#[test]
fn known_tokens_and_routes_outlive_zookeeper_and_unknown_ones_are_an_honest_503() {
    let mut cluster = TestCluster::start();
    let broker = cluster.broker();
    let token = cluster.token(&["* /0/**"]);
    let key = cluster.key("ads", &["/**"]);
    wait_until("the key to be known", || broker.ask_admin(Request::get("/v1/keys")).text().contains("ads"));
    let mut worker = RawWorker::join(broker.workers(), &key);
    worker.declare(&["GET /0/x"]);
    let _serving = worker.serve(|_| Reply::ok("{}"));
    let ask = |token: &str, path: &str| broker.ask(&Request::get(path).token(token));
    wait_until("the worker to serve", || ask(&token, "/0/x").status == 200);
    assert_eq!(ask(unknown_token(), "/0/x").status, 401);

    cluster.zookeeper.kill(0);
    wait_at_most(PATIENCE, "the broker to notice", || !in_sync(&broker));

    assert_eq!(ask(&token, "/0/x").status, 200);
    assert_eq!(ask(&token, "/0/none").status, 404, "the catalogue is loaded");
    let unknown = ask(unknown_token(), "/0/x");
    assert_eq!(
        (unknown.status, unknown.code().as_str(), unknown.executed()),
        (503, "registry_unavailable", Some("no"))
    );
    assert!(unknown.header("retry-after").is_some());
    assert_eq!(ask("hera_nonsense", "/0/x").status, 401, "a malformed token is no token anywhere");
    assert_eq!(broker.ask(&Request::get("/0/x")).status, 401);
    let again = RawWorker::join(broker.workers(), &key);
    drop(again);
    let verdict = broker.cli(["token", "create", "--name", "later"]);
    assert_eq!(verdict.code, 1);
    assert!(verdict.stderr.contains("out of reach"), "{}", verdict.stderr);

    cluster.zookeeper.restart(0);
    wait_at_most(PATIENCE, "the broker to be in sync again", || in_sync(&broker));
    let later = cluster.token(&["GET /0/**"]);
    wait_at_most(Duration::from_secs(2), "a new token to be known", || ask(&later, "/0/x").status == 200);
    wait_at_most(PATIENCE, "the broker to be registered", || cluster.registered() == [broker.id()]);
}

/// The bytes of all files in a folder and below it.
fn all_bytes(folder: &Path) -> Vec<u8> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths
        .flat_map(|path| if path.is_dir() { all_bytes(&path) } else { std::fs::read(path).unwrap() })
        .collect()
}

#[test]
fn broker_restarted_without_zookeeper_goes_by_its_saved_copy() {
    let mut cluster = TestCluster::start();
    let mut broker = cluster.broker();
    let token = cluster.token(&["* /0/**"]);
    let key = cluster.key("ads", &["/**"]);
    wait_until("the key to be known", || broker.ask_admin(Request::get("/v1/keys")).text().contains("ads"));
    let mut worker = RawWorker::join(broker.workers(), &key);
    worker.declare(&["GET /0/x"]);
    let saved = |name: &str, text: &str| {
        std::fs::read_to_string(broker.data_dir().join(name)).is_ok_and(|saved| saved.contains(text))
    };
    wait_until("the copy to be saved", || {
        saved("tokens.json", &token[5..21]) && saved("keys.json", "ads") && saved("catalogue.json", "/0/x")
    });
    let secret = &token[21..];
    assert!(!saved("tokens.json", secret), "hashes only");
    let written = all_bytes(&cluster.zookeeper.data_dir(0));
    let holds = |text: &str| written.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds(&token[5..21]) && holds("/0/x"), "the token's id and the catalogue are in ZooKeeper");
    assert!(!holds(secret) && !holds(&key[24..88]), "no secret is");

    cluster.zookeeper.kill(0);
    broker.restart();

    assert!(
        broker.wait_log("the saved copy to be told", |line| line.contains("saved copy")).contains("zk://")
    );
    let ask = |path: &str| broker.ask(&Request::get(path).token(&token));
    assert_eq!((ask("/0/x").status, ask("/0/x").code().as_str()), (503, "no_worker"));
    let mut worker = RawWorker::join(broker.workers(), &key);
    worker.declare(&["GET /0/x"]);
    let _serving = worker.serve(|_| Reply::ok("{}"));
    wait_until("the worker to serve", || ask("/0/x").status == 200);
    assert_eq!(broker.ask(&Request::get("/0/x").token(unknown_token())).status, 503);
    wait_at_most(PATIENCE, "the broker to be ready", || broker.ask(&Request::get("/-/ready")).status == 200);

    cluster.zookeeper.restart(0);
    wait_at_most(PATIENCE, "the broker to be registered", || cluster.registered() == [broker.id()]);
}

#[test]
fn wiped_zookeeper_revokes_nothing() {
    let mut cluster = TestCluster::start();
    let broker = cluster.broker();
    let token = cluster.token(&["GET /0/**"]);
    let status = || broker.ask(&Request::get("/0/x").token(&token)).status;
    wait_until("the token to be known", || status() == 404);

    cluster.zookeeper.wipe(0);
    wait_at_most(PATIENCE, "the broker to notice", || !in_sync(&broker));
    cluster.zookeeper.restart(0);
    broker.wait_log("the wiped registry to be told", |line| line.contains("no cluster lies in"));
    assert_eq!(status(), 404);

    // Made anew with the same key, it is another cluster all the same: its empty lists are not taken for ours.
    assert_eq!(cluster.cli(["cluster", "init"]).code, 0);
    broker.wait_log("the other cluster to be told", |line| line.contains("another cluster lies in"));
    assert_eq!(status(), 404);
    assert!(!in_sync(&broker));
}

#[test]
fn folder_that_vanishes_under_a_broker_revokes_nothing() {
    let cluster = TestCluster::start();
    let broker = cluster.broker();
    let token = cluster.token(&["GET /0/**"]);
    let status = || broker.ask(&Request::get("/0/x").token(&token)).status;
    wait_until("the token to be known", || status() == 404);
    let operator = Stranger::at(&cluster).with_credentials(credentials(&cluster).as_bytes());

    operator.delete("/config").unwrap();
    operator.delete("/services").unwrap();

    wait_at_most(PATIENCE, "the broker to notice", || !in_sync(&broker));
    assert_eq!(status(), 404);
}

#[test]
fn stale_copy_is_closed_where_the_operator_wants_it() {
    let mut cluster = TestCluster::start();
    let broker = cluster.builder().with_env("HERA_REGISTRY__MAX_STALE", "2s").start();
    let token = cluster.token(&["GET /0/**"]);
    let ask = || broker.ask(&Request::get("/0/x").token(&token));
    wait_until("the token to be known", || ask().status == 404);

    cluster.zookeeper.kill(0);

    wait_at_most(PATIENCE, "the broker to close", || ask().status == 503);
    assert_eq!(ask().code(), "registry_unavailable");
    assert_eq!(broker.ask(&Request::get("/-/ready")).status, 503);
    cluster.zookeeper.restart(0);
    wait_at_most(PATIENCE, "the broker to open again", || ask().status == 404);
}

#[test]
fn broker_without_copy_and_without_zookeeper_is_not_ready_and_says_neither_401_nor_404() {
    let mut cluster = TestCluster::start();
    let token = cluster.token(&["GET /0/**"]);
    cluster.zookeeper.kill(0);
    let starting = cluster.builder().begin();

    assert_eq!(starting.ask(&Request::get("/-/ready")).status, 503);
    for request in [Request::get("/0/x").token(&token), Request::get("/0/x")] {
        let refused = starting.ask(&request);
        assert_eq!((refused.status, refused.code().as_str()), (503, "registry_unavailable"));
    }

    cluster.zookeeper.restart(0);
    let broker = starting.ready();
    assert_eq!(broker.ask(&Request::get("/0/x").token(&token)).status, 404);
}

#[test]
fn change_is_seen_over_a_connection_that_the_same_session_made_anew() {
    let cluster = TestCluster::ensemble(3);
    let broker = cluster.builder().with_env("HERA_REGISTRY__SESSION_TIMEOUT", "10s").start();
    let stranger = Stranger::at(&cluster);
    let path = format!("/brokers/{}", broker.id());
    let session = stranger.owner(&path);
    let mut cluster = cluster;

    let leader = cluster.zookeeper.leader();
    cluster.zookeeper.kill(leader);
    wait_at_most(PATIENCE, "the broker to notice", || !in_sync(&broker));
    cluster.zookeeper.leader();
    wait_at_most(PATIENCE, "the broker to be in sync again", || in_sync(&broker));

    let token = cluster.token(&["GET /0/**"]);
    let known = || broker.ask(&Request::get("/0/x").token(&token)).status == 404;
    wait_at_most(Duration::from_secs(2), "a new token to be known", known);
    assert_eq!(stranger.owner(&path), session, "the session lived on");
}
