//! One connection after the other, and many requests on one.

use crate::stage::Stage;
use hera_testkit::http::Request;

#[test]
fn pipelined_requests_are_answered_in_order() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /p/{n}", "POST /p/{n}"]);
    let mut caller = stage.broker.caller();
    let requests = (0..30).flat_map(|n| match n % 3 {
        0 => Request::get(&format!("/p/{n}")).token(&stage.token).bytes(),
        1 => Request::post(&format!("/p/{n}"), vec![b'x'; n]).token(&stage.token).bytes(),
        _ => Request::get(&format!("/nowhere/{n}")).token(&stage.token).bytes(),
    });

    caller.send(&requests.collect::<Vec<u8>>());

    for n in 0..30 {
        let response = caller.response();
        match n % 3 {
            2 => assert_eq!((response.status, response.code().as_str()), (404, "not_found")),
            _ => assert_eq!(response.json()["params"]["path_params"]["n"], n.to_string()),
        }
    }
}

#[test]
fn connection_goes_on_after_an_early_error_with_a_small_body() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    for size in [0, 1, 1000, 65_536] {
        let mut caller = stage.send(Request::post("/nowhere", vec![b'G'; size]));
        let response = caller.response();
        assert_eq!((response.status, response.closes()), (404, false), "{size}");
        caller.send(&Request::get("/x").token(&stage.token).bytes());
        assert_eq!(caller.response().status, 200, "{size}");
    }
}

#[test]
fn connection_ends_after_an_early_error_with_a_large_body() {
    let stage = Stage::new();
    for size in [65_537, 3_000_000] {
        let mut caller = stage.broker.caller();
        // The broker need not take all of it.
        caller.try_send(&Request::post("/nowhere", vec![b'G'; size]).token(&stage.token).bytes());
        let response = caller.response();
        assert_eq!(
            (response.status, response.code().as_str(), response.closes()),
            (404, "not_found", true),
            "{size}"
        );
        assert!(caller.is_closed());
    }
}

#[test]
fn bytes_of_an_unread_body_are_no_request() {
    let stage = Stage::new();
    let worker = stage.mirror(&["GET /smuggled"]);
    let smuggled = Request::get("/smuggled").token(&stage.token).bytes();

    let mut caller = stage.broker.caller();
    caller.send(&Request::post("/nowhere", smuggled.clone()).token(&stage.token).bytes());
    assert_eq!(caller.response().status, 404);
    caller.send(&Request::post("/x", smuggled).bytes());
    assert_eq!(caller.response().status, 401);

    assert_eq!(worker.calls(), 0);
    caller.finish();
    assert!(caller.is_closed());
}

#[test]
fn connection_ends_when_the_caller_says_so() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let mut caller = stage.send(Request::get("/x").header("Connection", "close"));
    assert!(caller.response().closes());
    assert!(caller.is_closed());
}

#[test]
fn old_http_is_answered_and_closed_unless_it_asks_otherwise() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let head = |more: &str| {
        format!("GET /x HTTP/1.0\r\nHost: h\r\nHera-Token: {}\r\n{more}\r\n", stage.token).into_bytes()
    };

    let mut caller = stage.broker.caller();
    caller.send(&head(""));
    let response = caller.response();
    assert_eq!((response.status, response.is_whole), (200, true));
    assert!(caller.is_closed());

    let mut caller = stage.broker.caller();
    for _ in 0..2 {
        caller.send(&head("Connection: keep-alive\r\n"));
        let response = caller.response();
        assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
    }
}

#[test]
fn streamed_answer_to_old_http_ends_with_the_connection() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let mut caller = stage.broker.caller();
    caller.send(
        format!(
            "GET /x HTTP/1.0\r\nHost: h\r\nHera-Token: {}\r\nConnection: keep-alive\r\n\r\n",
            stage.token
        )
        .as_bytes(),
    );
    let call = worker.call();

    worker.answer_with(call.id, serde_json::json!({"status": 200, "headers": [], "more": true}), b"begin ");
    worker.notify("chunk", serde_json::json!({"id": call.id, "body": "reply"}), b"end");
    worker.notify("end", serde_json::json!({"id": call.id, "body": "reply"}), b"");

    let response = caller.response();
    assert_eq!((response.text(), response.header("transfer-encoding")), ("begin end", None));
}

#[test]
fn caller_that_leaves_is_noticed_at_once() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (caller, call) = stage.call(&mut worker, Request::get("/x"));
    drop(caller);
    assert_eq!(worker.notified("cancel").0["id"], call.id);
}

#[test]
fn own_pages_are_ready_and_nothing_else() {
    let stage = Stage::new();
    hera_testkit::wait_until("readiness", || stage.broker.ask(&Request::get("/-/ready")).status == 200);
    for path in ["/-/metrics", "/-/", "/-", "/-/ready/x", "/metrics", "/v1/tokens", "/healthz"] {
        let response = stage.broker.ask(&Request::get(path));
        assert!(matches!(response.status, 401 | 404), "{path}: {response:?}");
    }
    assert_eq!(stage.ask(Request::get("/metrics")).status, 404);
}
