//! P-36: a worker is told when nobody waits any more.

use crate::stage::Stage;
use hera_testkit::http::Request;
use std::time::{Duration, Instant};

#[test]
fn worker_is_told_when_the_caller_leaves() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (caller, call) = stage.call(&mut worker, Request::get("/x"));

    drop(caller);

    let (params, _) = worker.notified("cancel");
    assert_eq!(params["id"], call.id);
    // What it says for that id from here on is dropped.
    worker.answer(call.id, 200, &[], b"for nobody");
    worker.ping();
    stage.broker.wait_log("the call's line", |line| line.contains("\"status\":499"));
    stage.canary.must_answer();
}

#[test]
fn worker_is_told_at_the_deadline_and_the_caller_gets_504() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let begun = Instant::now();
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x").header("Hera-Timeout", "300ms"));
    let left = call.params["timeout_ms"].as_u64().unwrap();

    let response = caller.response();
    let took = begun.elapsed();
    let (params, _) = worker.notified("cancel");

    assert!((1..=300).contains(&left), "{left}");
    assert_eq!((response.status, response.code().as_str()), (504, "deadline_exceeded"));
    assert_eq!(response.executed(), Some("maybe"));
    assert!((Duration::from_millis(290)..Duration::from_millis(1300)).contains(&took), "{took:?}");
    assert_eq!(params["id"], call.id);
    stage.stands_and_logged_once(&["deadline_exceeded", "\"status\":504"]);
}

#[test]
fn endpoints_own_timeout_holds_and_a_caller_cannot_lengthen_it() {
    let stage = Stage::new();
    let mut worker = stage.broker.worker("raw", &[]);
    worker.declare_with(serde_json::json!([{"endpoint": "GET /x", "timeout_ms": 200}]));
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x").header("Hera-Timeout", "60s"));

    assert!(call.params["timeout_ms"].as_u64().unwrap() <= 200);
    assert_eq!(caller.response().code(), "deadline_exceeded");
}
