//! P-7, P-10, P-11: which answer belongs to which call.

use crate::stage::{Stage, is_bad_reply};
use hera_testkit::http::Request;
use hera_testkit::wait_until;
use serde_json::json;

#[test]
fn answers_to_ids_never_issued_are_dropped_and_the_hundredth_cuts() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);

    (0..99).for_each(|n| worker.answer(1_000_000 + n, 200, &[], b"for nobody"));
    worker.ping();
    assert!(stage.broker.metrics().contains("unknown"), "{}", stage.broker.metrics());
    stage.canary.must_answer();
    worker.answer(2_000_000, 200, &[], b"one too many");

    assert_eq!(worker.cut(), ["invalid_request"]);
    stage.stands_and_logged_once(&["session cut", "\"code\":\"invalid_request\"", "100 answers"]);
}

#[test]
fn second_answer_changes_nothing() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

    worker.answer(call.id, 200, &[], b"first");
    worker.answer(call.id, 500, &[], b"second");

    assert_eq!((caller.response().text(), true), ("first", true));
    // The connection carries the next call, and nothing of the second answer.
    caller.send(&Request::get("/x").token(&stage.token).bytes());
    let call = worker.call();
    worker.answer(call.id, 200, &[], b"next");
    assert_eq!(caller.response().text(), "next");
    stage.canary.must_answer();
}

#[test]
fn answer_after_the_deadline_reaches_nobody() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, late) = stage.call(&mut worker, Request::get("/x").header("Hera-Timeout", "50ms"));

    let response = caller.response();
    assert_eq!((response.code().as_str(), response.executed()), ("deadline_exceeded", Some("maybe")));
    caller.send(&Request::get("/x").token(&stage.token).bytes());
    let call = worker.call();
    assert!(call.id > late.id, "an id is never used again");
    worker.answer(late.id, 200, &[], b"too late");
    worker.answer(call.id, 200, &[], b"in time");

    assert_eq!(caller.response().text(), "in time");
    stage.canary.must_answer();
}

#[test]
fn answer_with_the_id_of_another_sessions_call_is_dropped() {
    let stage = Stage::new();
    let mut owner = stage.worker(&["GET /mine"]);
    let mut thief = stage.broker.worker("thief", &["GET /theirs"]);
    let (mut caller, call) = stage.call(&mut owner, Request::get("/mine"));

    (1..50).for_each(|id| thief.answer(id, 200, &[], b"stolen"));
    thief.ping();
    owner.answer(call.id, 200, &[], b"owned");

    assert_eq!(caller.response().text(), "owned");
    stage.canary.must_answer();
}

#[test]
fn only_the_exact_integer_answers() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
    let id = call.id;

    for id in [
        format!("\"{id}\""),
        format!("{id}.0"),
        format!("{id}e0"),
        format!("-{id}"),
        format!("{id}{id}{id}{id}"),
        "null".to_owned(),
        "9007199254740993".to_owned(),
        "-0".to_owned(),
        "true".to_owned(),
    ] {
        let head = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"status":500,"headers":[]}}}}"#);
        worker.send_frame(head.as_bytes(), b"wrong");
        worker.ping();
    }
    worker.answer(id, 200, &[], b"right");

    assert_eq!(caller.response().text(), "right");
    stage.canary.must_answer();
}

#[test]
fn answer_that_is_no_response_fails_its_call() {
    let bad = [
        ("id twice", r#"{"jsonrpc":"2.0","id":ID,"id":ID,"result":{"status":200,"headers":[]}}"#),
        (
            "result twice",
            r#"{"jsonrpc":"2.0","id":ID,"result":{"status":200,"headers":[]},"result":{"status":201,"headers":[]}}"#,
        ),
        (
            "both",
            r#"{"jsonrpc":"2.0","id":ID,"result":{"status":200,"headers":[]},"error":{"code":1,"message":"x"}}"#,
        ),
        ("neither", r#"{"jsonrpc":"2.0","id":ID}"#),
        ("no version", r#"{"id":ID,"result":{"status":200,"headers":[]}}"#),
        (
            "also a request",
            r#"{"jsonrpc":"2.0","id":ID,"method":"ping","result":{"status":200,"headers":[]}}"#,
        ),
    ];
    for (what, head) in bad {
        let stage = Stage::new();
        let mut worker = stage.worker(&["GET /x"]);
        let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

        worker.send_frame(head.replace("ID", &call.id.to_string()).as_bytes(), b"");

        is_bad_reply(&caller.response());
        let (answer, _) = worker.read_until(|head| head["error"].is_object());
        assert_eq!(hera_testkit::refusal(&answer), "invalid_request", "{what}");
        stage.stands_and_logged_once(&["bad message from a worker", "\"code\":\"invalid_request\""]);
        // The session serves on.
        let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
        worker.answer(call.id, 200, &[], b"good again");
        assert_eq!(caller.response().text(), "good again", "{what}");
    }
}

#[test]
fn answers_may_come_in_any_order() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x/{n}"]);
    let mut calls: Vec<_> =
        (0..20).map(|n| stage.call(&mut worker, Request::get(&format!("/x/{n}")))).collect();

    for (_, call) in calls.iter().rev() {
        let n = call.params["path_params"]["n"].as_str().unwrap().to_owned();
        worker.answer(call.id, 200, &[], n.as_bytes());
    }

    for (n, (caller, _)) in calls.iter_mut().enumerate() {
        assert_eq!(caller.response().text(), n.to_string());
    }
}

#[test]
fn calls_of_a_lost_session_are_answered_at_once() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    let mut calls: Vec<_> = (0..5).map(|_| stage.call(&mut worker, Request::post("/x", "{}")).0).collect();
    let begun = std::time::Instant::now();

    worker.leave();

    for caller in &mut calls {
        let response = caller.response();
        assert_eq!((response.code().as_str(), response.executed()), ("worker_lost", Some("maybe")));
        assert_eq!(response.json()["retry_safe"], "idempotent");
    }
    assert!(begun.elapsed().as_millis() < 1000);
    wait_until("the route to be known and unserved", || {
        stage.ask(Request::post("/x", "{}")).code() == "no_worker"
    });
    assert_eq!(stage.ask(Request::post("/x", "{}")).json()["executed"], json!("no"));
}
