//! P-35 and D1: what a worker could not do, and who tries again.

use crate::stage::Stage;
use hera_testkit::http::{Request, Response};
use hera_testkit::{Call, RawWorker};

/// Two equal workers; gives the one that the next call reached first, its call, and the other.
fn first_of(mut a: RawWorker, mut b: RawWorker) -> (RawWorker, Call, RawWorker) {
    a.stream().set_nonblocking(true).unwrap();
    b.stream().set_nonblocking(true).unwrap();
    // A call head is long; a status poll is short. Either is read by whoever has it.
    hera_testkit::wait_until("the call", || {
        [&a, &b].iter().any(|w| w.stream().peek(&mut [0; 256]).is_ok_and(|n| n > 200))
    });
    let has = |worker: &RawWorker| worker.stream().peek(&mut [0; 256]).is_ok_and(|bytes| bytes > 200);
    if !has(&a) {
        std::mem::swap(&mut a, &mut b);
    }
    a.stream().set_nonblocking(false).unwrap();
    b.stream().set_nonblocking(false).unwrap();
    let call = a.call();
    (a, call, b)
}

fn says(response: &Response) -> (u16, String, Option<&str>) {
    (response.status, response.code(), response.executed())
}

#[test]
fn handler_that_failed_is_500_without_its_text() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    for (number, code) in
        [(-32000, "handler_failed"), (-32603, "internal_error"), (-1, "of_tomorrow"), (42, "")]
    {
        let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

        worker.fail(call.id, number, code, "secret stack trace of the handler");

        let response = caller.response();
        assert_eq!(says(&response), (500, "handler_failed".into(), Some("maybe")));
        assert!(!response.text().contains("secret"), "{}", response.text());
    }
    stage.canary.must_answer();
    hera_testkit::wait_until("a log line for each", || {
        stage.broker.log().matching(|line| line.contains("\"code\":\"handler_failed\"")).len() == 4
    });
    assert!(stage.broker.log().matching(|line| line.contains("secret")).is_empty());
}

#[test]
fn error_objects_of_any_form_are_a_failed_handler() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    for error in ["null", "5", "\"busy\"", "[]", "{}", r#"{"code":"x"}"#, r#"{"code":1e400,"message":5}"#] {
        let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
        let head = format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, call.id);
        worker.send_frame(head.as_bytes(), b"");
        assert_eq!(says(&caller.response()), (500, "handler_failed".into(), Some("maybe")), "{error}");
    }
}

#[test]
fn call_that_was_refused_before_its_start_goes_to_the_other_worker() {
    for (number, code) in [(-32001, "busy"), (-32002, "draining")] {
        let stage = Stage::new();
        let (a, b) = (stage.worker(&["POST /x"]), stage.broker.worker("twin", &["POST /x"]));
        let mut caller = stage.send(Request::post("/x", "body"));
        let (mut refuser, call, mut other) = first_of(a, b);

        refuser.fail(call.id, number, code, "no");
        let again = other.call();
        other.answer(again.id, 200, &[], b"done by the other");

        assert_eq!(&again.body[..], b"body");
        assert_eq!(again.params["request_id"], call.params["request_id"]);
        assert_eq!(caller.response().text(), "done by the other", "{code}");
        let line = stage.broker.wait_log("the call's line", |line| line.contains("\"path\":\"/x\""));
        assert!(line.contains("\"attempts\":2"), "{line}");
    }
}

#[test]
fn call_that_every_worker_refuses_is_503_and_surely_not_run() {
    for (number, code) in [(-32001, "busy"), (-32002, "draining")] {
        let stage = Stage::new();
        let (a, b) = (stage.worker(&["POST /x"]), stage.broker.worker("twin", &["POST /x"]));
        let mut caller = stage.send(Request::post("/x", "body"));
        let (mut refuser, call, mut other) = first_of(a, b);

        refuser.fail(call.id, number, code, "no");
        let again = other.call();
        other.fail(again.id, number, code, "no");

        let response = caller.response();
        assert_eq!(says(&response), (503, "workers_busy".into(), Some("no")));
        assert!(response.header("retry-after").is_some());
        stage.canary.must_answer();
    }
}

#[test]
fn only_worker_that_refuses_is_not_asked_again() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

    worker.fail(call.id, -32001, "busy", "no");

    assert_eq!(says(&caller.response()), (503, "workers_busy".into(), Some("no")));
    // Nothing but the answer to a ping.
    let id = worker.request("ping", serde_json::json!({}));
    assert_eq!(worker.read().unwrap().0["id"], id);
}

#[test]
fn call_that_came_too_late_is_504_and_surely_not_run() {
    let stage = Stage::new();
    let (a, b) = (stage.worker(&["POST /x"]), stage.broker.worker("twin", &["POST /x"]));
    let mut caller = stage.send(Request::post("/x", "body"));
    let (mut refuser, call, mut other) = first_of(a, b);

    refuser.fail(call.id, -32003, "past_deadline", "frozen");

    assert_eq!(says(&caller.response()), (504, "past_deadline".into(), Some("no")));
    // No time is left for another worker: it has nothing to say but the answer to a ping.
    let id = other.request("ping", serde_json::json!({}));
    assert_eq!(other.read().unwrap().0["id"], id);
    stage.canary.must_answer();
}

#[test]
fn lost_call_is_run_again_only_where_that_is_safe() {
    for (method, retried) in
        [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false)]
    {
        let stage = Stage::new();
        let endpoint = format!("{method} /x");
        let (a, b) = (stage.worker(&[&endpoint]), stage.broker.worker("twin", &[&endpoint]));
        let mut caller = stage.send(Request::new(method, "/x"));
        let (lost, _, mut other) = first_of(a, b);

        lost.leave();
        if retried {
            let again = other.call();
            other.answer(again.id, 200, &[], b"second");
        }

        let response = caller.response();
        match retried {
            true => assert_eq!(response.text(), "second", "{method}"),
            false => assert_eq!(says(&response), (502, "worker_lost".into(), Some("maybe")), "{method}"),
        }
    }
}

#[test]
fn answer_that_breaks_the_protocol_is_never_tried_again() {
    let stage = Stage::new();
    let (a, b) = (stage.worker(&["GET /x"]), stage.broker.worker("twin", &["GET /x"]));
    let mut caller = stage.send(Request::get("/x"));
    let (mut bad, call, _other) = first_of(a, b);

    bad.answer(call.id, 99, &[], b"");

    assert_eq!(says(&caller.response()), (502, "bad_reply".into(), Some("maybe")));
    let line = stage.broker.wait_log("the call's line", |line| line.contains("\"path\":\"/x\""));
    assert!(line.contains("\"attempts\":1"), "{line}");
}
