//! Everything is bounded, and sheds with a clear answer.

use crate::stage::{Stage, says};
use hera_testkit::TestBroker;
use hera_testkit::http::Request;
use serde_json::json;
use std::time::{Duration, Instant};

#[test]
fn call_waits_half_a_second_for_room_and_is_then_refused() {
    let stage = Stage::new();
    let mut a = stage.broker.worker("a", &[]);
    let mut b = stage.broker.worker("b", &[]);
    let endpoints = json!([{"endpoint": "POST /x", "concurrency": 1}]);
    a.declare_with(endpoints.clone());
    b.declare_with(endpoints);
    let mut first = stage.send(Request::post("/x", "1"));
    let mut second = stage.send(Request::post("/x", "2"));
    let (of_a, of_b) = (a.call(), b.call());

    let begun = Instant::now();
    let response = stage.ask(Request::post("/x", "3"));
    let took = begun.elapsed();

    assert_eq!(says(&response), (503, "workers_busy".into(), Some("no")));
    assert!(response.header("retry-after").is_some());
    assert!((Duration::from_millis(480)..Duration::from_millis(1500)).contains(&took), "{took:?}");
    // One that waits gets the place that becomes free.
    let mut waiting = stage.send(Request::post("/x", "4"));
    a.answer(of_a.id, 200, &[], b"done");
    let call = a.call();
    assert_eq!(&call.body[..], b"4");
    a.answer(call.id, 200, &[], b"waited");
    b.answer(of_b.id, 200, &[], b"done");
    assert_eq!(waiting.response().text(), "waited");
    assert_eq!((first.response().text(), second.response().text()), ("done", "done"));
}

#[test]
fn call_that_waits_for_room_takes_a_worker_that_joins_meanwhile() {
    let stage = Stage::new();
    let mut full = stage.broker.worker("full", &[]);
    let mut joining = stage.broker.worker("joining", &[]);
    let endpoints = json!([{"endpoint": "POST /x", "concurrency": 1}]);
    full.declare_with(endpoints.clone());
    let (_first, _held) = stage.call(&mut full, Request::post("/x", "1"));

    let mut waiting = stage.send(Request::post("/x", "2"));
    joining.declare_with(endpoints);
    let call = joining.call();
    joining.answer(call.id, 200, &[], b"joined");

    assert_eq!(waiting.response().text(), "joined");
}

#[test]
fn workers_over_their_limit_are_refused_though_they_declare_nothing() {
    let stage = Stage::of(TestBroker::with_config("[workers]\nconnections_max = 2\n"));
    let _two = (stage.broker.worker("a", &[]), stage.broker.worker("b", &[]));

    let mut third = hera_testkit::RawWorker::connect(stage.broker.workers());
    assert_eq!(third.cut_by(), "overloaded");
}

#[test]
fn limit_of_a_session_holds_as_its_hello_said() {
    let stage = Stage::new();
    let key = hera_protocol::key::WorkerKey::parse(&stage.broker.key("raw", &["/**"])).unwrap();
    let mut hello = hera_testkit::hello(&key);
    hello.limits.in_flight_max = 2;
    let mut worker = hera_testkit::RawWorker::connect(stage.broker.workers());
    worker.shake(&key, &hello);
    worker.declare(&["GET /x"]);
    let _two: Vec<_> = (0..2).map(|_| stage.call(&mut worker, Request::get("/x"))).collect();

    assert_eq!(stage.ask(Request::get("/x")).code(), "workers_busy");
}

#[test]
fn token_over_its_rate_is_told_when_to_come_back() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let token = stage.broker.token_with(&["--name", "slow", "--allow", "GET /x", "--rate", "2/m"]);
    let ask = || stage.broker.ask(&Request::get("/x").token(&token));

    let refused = (0..10).map(|_| ask()).find(|response| response.status != 200).unwrap();

    assert_eq!(says(&refused), (429, "rate_limited".into(), Some("no")));
    let seconds: u32 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(stage.ask(Request::get("/x")).status, 200, "other tokens are not touched");
}

#[test]
fn token_cannot_take_more_than_its_share_of_places() {
    let stage = Stage::of(TestBroker::with_config("[calls]\nin_flight_per_token_max = 2\n"));
    let mut worker = stage.worker(&["GET /x"]);
    let _two: Vec<_> = (0..2).map(|_| stage.call(&mut worker, Request::get("/x"))).collect();

    assert_eq!(says(&stage.ask(Request::get("/x"))), (429, "rate_limited".into(), Some("no")));
    let other = stage.broker.token(&["GET /x"]);
    let mut caller = stage.broker.caller();
    caller.send(&Request::get("/x").token(&other).bytes());
    let call = worker.call();
    worker.answer(call.id, 200, &[], b"let in");
    assert_eq!(caller.response().text(), "let in");
}

#[test]
fn broker_at_its_limit_of_calls_is_overloaded() {
    let stage = Stage::of(TestBroker::with_config("[calls]\nin_flight_max = 1\n"));
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

    assert_eq!(says(&stage.ask(Request::get("/x"))), (503, "overloaded".into(), Some("no")));
    worker.answer(call.id, 200, &[], b"done");
    assert_eq!(caller.response().text(), "done");
}
