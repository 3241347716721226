//! P-33 to P-35: what a worker may say, and what of it reaches a caller.

use crate::stage::{Stage, is_bad_reply};
use hera_testkit::http::Request;
use serde_json::{Value, json};

/// Every answer is refused as a whole, and the caller's connection goes on.
fn each_is_a_bad_reply(results: &[Value]) {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let mut caller = stage.broker.caller();
    for result in results {
        let logged = stage.broker.log().matching(|line| line.contains("bad reply from a worker")).len();
        caller.send(&Request::get("/x").token(&stage.token).bytes());
        let call = worker.call();

        worker.answer_with(call.id, result.clone(), b"evil body");

        let response = caller.response();
        is_bad_reply(&response);
        let seen = [response.raw_head.clone(), response.body.clone()].concat();
        let seen = String::from_utf8_lossy(&seen).to_lowercase();
        assert!(!seen.contains("evil"), "{seen}");
        assert!(!response.closes(), "{response:?}");
        stage.broker.wait_log("a bad reply", |line| line.contains("bad reply from a worker"));
        hera_testkit::wait_until("its log line", || {
            stage.broker.log().matching(|line| line.contains("bad reply from a worker")).len() == logged + 1
        });
    }
    caller.send(&Request::get("/x").token(&stage.token).bytes());
    let call = worker.call();
    worker.answer(call.id, 200, &[], b"good again");
    assert_eq!(caller.response().text(), "good again");
    stage.canary.must_answer();
}

#[test]
fn status_that_no_handler_may_choose_is_a_bad_reply() {
    let status = [0, 99, 100, 101, 103, 199, 425, 600, 999, 1000, 70_000];
    let odd = [json!("200"), json!(200.5), json!(null), json!(-200), json!([200]), json!(true)];
    let results: Vec<Value> = status
        .iter()
        .map(|status| json!(status))
        .chain(odd)
        .map(|status| json!({"status": status, "headers": []}))
        .collect();
    each_is_a_bad_reply(&results);
}

#[test]
fn headers_that_could_split_an_answer_are_a_bad_reply() {
    let header =
        |name: &str, value: &str| json!({"status": 200, "headers": [["x-good", "1"], [name, value]]});
    each_is_a_bad_reply(&[
        header("x-evil", "a\r\nset-cookie: evil=1"),
        header("x-evil", "a\nevil: 1"),
        header("x-evil", "a\revil"),
        header("x-evil", "evil\u{0}"),
        header("x-evil", "\u{7f}evil"),
        header("x-evil", "\u{1b}[31mevil"),
        header("x-evil", "evil\u{100}"),
        header("x-evil", "evil\u{10d}\u{10a}"),
        header("x evil", "1"),
        header("x-evil:", "1"),
        header("x-evil\r\nevil", "1"),
        header("", "evil"),
        header("x-\u{e9}vil", "evil"),
        header("content-length", "5, 5"),
        header("content-length", "-1"),
        header("content-length", "evil"),
    ]);
}

#[test]
fn too_many_headers_and_too_large_ones_are_a_bad_reply() {
    let many = |count: usize, value: &str| {
        let headers: Vec<_> = (0..count).map(|n| (format!("evil-{n}"), value.to_owned())).collect();
        json!({"status": 200, "headers": headers})
    };
    each_is_a_bad_reply(&[
        many(101, "1"),
        many(10_000, "1"),
        many(1, &"evil".repeat(16_500)),
        many(60, &"evil".repeat(1000)),
    ]);
}

#[test]
fn result_of_another_form_is_a_bad_reply() {
    each_is_a_bad_reply(&[
        json!(null),
        json!("evil"),
        json!([200, []]),
        json!({}),
        json!({"status": 200}),
        json!({"headers": []}),
        json!({"status": 200, "headers": {"evil": "1"}}),
        json!({"status": 200, "headers": [["evil"]]}),
        json!({"status": 200, "headers": [["evil", "1", "2"]]}),
        json!({"status": 200, "headers": [["evil", 1]]}),
        json!({"status": 200, "headers": [], "more": "evil"}),
    ]);
}

#[test]
fn header_of_a_mebibyte_ends_the_session_and_its_call_is_lost() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::post("/x", "1"));
    let result = json!({"status": 200, "headers": [["x-evil", "a".repeat(1 << 20)]]});
    let head = json!({"jsonrpc": "2.0", "id": call.id, "result": result}).to_string();

    worker.try_send(&hera_testkit::frame_bytes(head.as_bytes(), b""));

    let response = caller.response();
    assert_eq!((response.status, response.executed()), (502, Some("maybe")));
    assert!(!String::from_utf8_lossy(&response.raw_head).contains("aaaa"));
    stage.stands_and_logged_once(&["session cut", "\"code\":\"frame_too_large\""]);
}

#[test]
fn headers_that_are_the_brokers_own_are_taken_out() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

    worker.answer(
        call.id,
        200,
        &[
            ("Content-Length", "3"),
            ("Transfer-Encoding", "chunked"),
            ("Connection", "close, x-named"),
            ("Keep-Alive", "timeout=1"),
            ("Upgrade", "websocket"),
            ("Trailer", "x"),
            ("TE", "trailers"),
            ("Proxy-Authenticate", "Basic"),
            ("Proxy-Status", "evil"),
            ("Hera-Executed", "no"),
            ("HERA-Broker", "evil"),
            ("hera-worker", "evil"),
            ("X-Request-Id", "evil"),
            ("Server-Timing", "evil"),
            ("X-Kept", "yes"),
        ],
        b"whole body",
    );

    let response = caller.response();
    assert_eq!(
        (response.status, response.text(), response.header("x-kept")),
        (200, "whole body", Some("yes"))
    );
    assert_eq!(response.all("content-length"), [b"10"]);
    assert_eq!(response.all("hera-broker"), [stage.broker.id().as_bytes()]);
    assert_eq!((response.all("x-request-id").len(), response.all("server-timing").len()), (1, 1));
    let head = String::from_utf8(response.raw_head).unwrap().to_lowercase();
    for gone in [
        "evil",
        "transfer-encoding",
        "connection:",
        "keep-alive",
        "upgrade",
        "trailer",
        "te:",
        "proxy-",
        "hera-executed",
    ] {
        assert!(!head.contains(&format!("\n{gone}")) && !head.contains("evil"), "{gone}: {head}");
    }
}

#[test]
fn answers_without_content_have_none_whatever_the_worker_sent() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let mut caller = stage.broker.caller();

    for (method, status) in [("GET", 204), ("GET", 304), ("HEAD", 200), ("HEAD", 404), ("HEAD", 204)] {
        caller.send(&Request::new(method, "/x").token(&stage.token).bytes());
        let call = worker.call();
        assert_eq!((call.endpoint.as_str(), &call.params["method"]), ("GET /x", &json!(method)));
        worker.answer(call.id, status, &[("x-a", "1")], b"HTTP/1.1 200 OK\r\nX-Evil: 1\r\n\r\n");
        let response = caller.response_to(method);
        assert_eq!((response.status, response.header("x-a")), (status, Some("1")));
        if method == "HEAD" && status != 204 {
            assert_eq!(response.header("content-length"), Some("30"));
        }
    }

    // Nothing of the bodies stands before the next answer.
    caller.send(&Request::get("/x").token(&stage.token).bytes());
    let call = worker.call();
    worker.answer(call.id, 200, &[], b"clean");
    assert_eq!(caller.response().text(), "clean");
}

#[test]
fn every_status_that_is_final_passes() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    for status in [200, 201, 299, 301, 400, 401, 404, 418, 429, 500, 503, 599] {
        let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
        worker.answer(call.id, status, &[("content-type", "text/x-own")], b"own");
        let response = caller.response();
        assert_eq!(
            (response.status, response.text(), response.header("content-type")),
            (status, "own", Some("text/x-own"))
        );
        assert_eq!(response.executed(), None, "a handler's own answer is no failure of the bus");
    }
}

#[test]
fn unknown_members_of_an_answer_are_ignored() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

    let result = json!({"status": 200, "headers": [], "later": [1], "load": {"cpu": 0.1, "moon": "full"}});
    worker.send_json(&json!({"jsonrpc": "2.0", "id": call.id, "result": result, "later": {}}), b"ok");

    assert_eq!(caller.response().text(), "ok");
}
