//! What one broker learns, all know.

use hera_testkit::http::Request;
use hera_testkit::{RawWorker, Reply, TestCluster, refusal, wait_at_most, wait_until};
use std::time::Duration;

/// Z10: what is decided holds everywhere so soon.
const SOON: Duration = Duration::from_secs(2);

#[test]
fn token_made_rotated_and_revoked_is_seen_by_every_broker_on_open_connections() {
    let cluster = TestCluster::start();
    let brokers = [cluster.broker(), cluster.broker()];
    let token = cluster.token(&["GET /0/**"]);
    let mut callers: Vec<_> = brokers.iter().map(|broker| broker.caller()).collect();
    let mut ask = |token: &str, at: usize| {
        callers[at].send(&Request::get("/0/x").token(token).bytes());
        callers[at].response().status
    };

    for at in 0..2 {
        wait_at_most(SOON, "the token to be known", || ask(&token, at) == 404);
    }
    let rotated = brokers[0].cli(["token", "rotate", "token-1"]).stdout.trim().to_owned();
    for at in 0..2 {
        wait_at_most(SOON, "the new token to be known", || ask(&rotated, at) == 404);
        wait_at_most(SOON, "the old token to be refused", || ask(&token, at) == 401);
    }
    assert_eq!(cluster.cli(["token", "revoke", "token-1"]).code, 0);
    for at in 0..2 {
        wait_at_most(SOON, "the token to be refused", || ask(&rotated, at) == 401);
    }
}

#[test]
fn worker_of_a_revoked_key_is_cut_by_every_broker() {
    let cluster = TestCluster::start();
    let brokers = [cluster.broker(), cluster.broker()];
    let key = cluster.key("ads", &["/0/**"]);
    let mut workers: Vec<RawWorker> = brokers
        .iter()
        .map(|broker| {
            let known = || broker.ask_admin(Request::get("/v1/keys")).text().contains("ads");
            wait_at_most(SOON, "the key to be known", known);
            let mut worker = RawWorker::join(broker.workers(), &key);
            worker.declare(&["GET /0/x"]);
            worker
        })
        .collect();

    assert_eq!(cluster.cli(["key", "revoke", "ads"]).code, 0);

    for worker in &mut workers {
        let (head, _) = worker.read_until(|head| head["error"].is_object());
        assert_eq!(refusal(&head), "unauthenticated");
    }
}

#[test]
fn endpoint_that_one_broker_serves_is_no_404_at_another() {
    let cluster = TestCluster::start();
    let (here, there) = (cluster.broker(), cluster.broker());
    let token = cluster.token(&["* /0/**"]);
    let worker = here.worker("ads", &["GET /0/x", "POST /0/x/{id}"]);
    let _serving = worker.serve(|_| Reply::ok("{}"));
    let ask = |method: &str, path: &str| there.ask(&Request::new(method, path).token(&token));

    wait_at_most(SOON, "the endpoint to be known", || ask("GET", "/0/x").status == 503);

    let refused = ask("GET", "/0/x");
    assert_eq!((refused.code().as_str(), refused.executed()), ("no_worker", Some("no")));
    assert!(refused.header("retry-after").is_some());
    let peer = there.ask(&Request::get("/0/x").token(&token).header("Hera-Peer", "retry-425"));
    assert_eq!((peer.status, peer.code().as_str()), (425, "no_worker"));
    assert_eq!(ask("GET", "/0/other").status, 404);
    assert_eq!(ask("DELETE", "/0/x").status, 405);
    assert_eq!(here.ask(&Request::get("/0/x").token(&token)).status, 200);
}

#[test]
fn endpoint_forgotten_by_command_is_a_404_everywhere_once_nobody_serves_it() {
    let cluster = TestCluster::start();
    let (here, there) = (cluster.broker(), cluster.broker());
    let token = cluster.token(&["* /0/**"]);
    let worker = here.worker("ads", &["GET /0/x"]);
    let status = |broker: &hera_testkit::TestBroker| broker.ask(&Request::get("/0/x").token(&token)).status;
    wait_at_most(SOON, "the endpoint to be known", || status(&there) == 503);
    worker.leave();
    wait_until("the worker to be gone", || status(&here) == 503);

    assert_eq!(cluster.cli(["endpoints", "forget", "GET /0/x"]).code, 0);

    for broker in [&here, &there] {
        wait_at_most(SOON, "the endpoint to be forgotten", || status(broker) == 404);
    }
    assert_ne!(cluster.cli(["endpoints", "forget", "GET /0/x"]).code, 0);
}

#[test]
fn any_broker_names_all() {
    let cluster = TestCluster::start();
    let brokers = [cluster.broker(), cluster.broker(), cluster.broker()];
    let mut ids: Vec<&str> = brokers.iter().map(|broker| broker.id()).collect();
    ids.sort_unstable();

    assert_eq!(cluster.registered(), ids);
    wait_at_most(SOON, "each broker to know the others", || {
        brokers.iter().all(|broker| {
            let shown = broker.cli(["brokers"]).stdout;
            ids.iter().all(|id| shown.contains(id))
        })
    });
}

#[test]
fn endpoint_is_named_by_the_service_that_serves_it() {
    let cluster = TestCluster::start();
    let broker = cluster.broker();
    let (first, second) = (broker.worker("first", &["GET /0/x"]), broker.worker("second", &["GET /0/x"]));
    let shown = || broker.cli(["endpoints"]).stdout;
    wait_until("both to be known", || shown().contains("GET /0/x"));

    second.leave();
    wait_until("one to be gone", || broker.cli(["workers"]).stdout.lines().count() == 2);
    assert!(shown().contains("first") && !shown().contains("second"), "{}", shown());

    drop(first);
}
