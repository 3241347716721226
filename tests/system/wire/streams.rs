//! P-38 to P-42: bodies in chunks, and credit.

use crate::stage::Stage;
use hera_testkit::http::Request;
use serde_json::json;

const WINDOW: usize = 262_144;

#[test]
fn answer_in_chunks_arrives_whole() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

    worker.answer_with(call.id, json!({"status": 200, "headers": [], "more": true}), b"begin ");
    let (granted, _) = worker.notified("credit");
    assert_eq!(
        (&granted["id"], &granted["body"], &granted["bytes"]),
        (&json!(call.id), &json!("reply"), &json!(WINDOW))
    );
    for part in ["middle ", "end"] {
        worker.notify("chunk", json!({"id": call.id, "body": "reply"}), part.as_bytes());
    }
    worker.notify("end", json!({"id": call.id, "body": "reply"}), b"");

    let response = caller.response();
    assert_eq!(
        (response.text(), response.header("transfer-encoding")),
        ("begin middle end", Some("chunked"))
    );
    assert!(response.is_whole);
}

#[test]
fn more_bytes_than_granted_end_the_session_and_cut_the_answer() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

    worker.answer_with(call.id, json!({"status": 200, "headers": [], "more": true}), b"");
    // The caller reads nothing yet, and what its connection takes unread, some megabytes, is granted anew: this is more than that.
    let chunk = vec![b'a'; WINDOW];
    let head =
        json!({"jsonrpc": "2.0", "method": "chunk", "params": {"id": call.id, "body": "reply"}}).to_string();
    let flood = hera_testkit::frame_bytes(head.as_bytes(), &chunk).repeat(64);
    worker.try_send(&flood);

    assert_eq!(worker.cut(), ["credit_exceeded"]);
    assert!(!caller.response().is_whole);
    assert!(caller.is_closed());
    stage.stands_and_logged_once(&["session cut", "\"code\":\"credit_exceeded\""]);
}

#[test]
fn reset_is_seen_as_a_cut_never_as_an_end() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

    worker.answer_with(call.id, json!({"status": 200, "headers": [], "more": true}), b"begin");
    worker.notify("reset", json!({"id": call.id, "body": "reply", "code": "internal_error"}), b"");

    let response = caller.response();
    assert_eq!((response.body.as_slice(), response.is_whole), (&b"begin"[..], false));
    assert!(caller.is_closed());
    worker.ping();
    stage.canary.must_answer();
}

#[test]
fn body_longer_or_shorter_than_its_length_is_cut() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    for body in ["four", "eleven byte"] {
        let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
        let result = json!({"status": 200, "headers": [["content-length", "10"]], "more": true});
        worker.answer_with(call.id, result, b"");
        worker.notify("chunk", json!({"id": call.id, "body": "reply"}), body.as_bytes());
        worker.notify("end", json!({"id": call.id, "body": "reply"}), b"");

        let response = caller.response();
        assert!(!response.is_whole, "{response:?}");
        assert!(caller.is_closed());
    }
    worker.ping();
    stage.canary.must_answer();
}

/// Nothing of the answer was sent yet, so the caller is told instead of cut off.
#[test]
fn beginning_longer_than_its_length_is_a_bad_reply() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
    let result = json!({"status": 200, "headers": [["content-length", "4"]], "more": true});
    worker.answer_with(call.id, result, b"seven b");

    let response = caller.response();
    assert_eq!((response.status, response.code().as_str()), (502, "bad_reply"));
    worker.ping();
    stage.canary.must_answer();
}

#[test]
fn chunks_of_no_body_are_dropped() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));

    // No such call, no answer yet, and after the end.
    worker.notify("chunk", json!({"id": 4711, "body": "reply"}), b"x");
    worker.notify("chunk", json!({"id": call.id, "body": "reply"}), b"x");
    worker.notify("end", json!({"id": call.id, "body": "reply"}), b"");
    worker.notify("reset", json!({"id": 4711, "body": "reply", "code": "cancelled"}), b"");
    worker.notify("credit", json!({"id": 4711, "body": "call", "bytes": 5}), b"");
    worker.answer(call.id, 200, &[], b"answer");
    worker.notify("chunk", json!({"id": call.id, "body": "reply"}), b"x");

    assert_eq!(caller.response().text(), "answer");
    worker.ping();
    stage.canary.must_answer();
}

#[test]
fn chunk_or_credit_of_wrong_form_is_an_invalid_request() {
    for (method, params, bytes) in [
        ("chunk", json!({"id": 1, "body": "reply"}), &b""[..]),
        ("chunk", json!({"id": 1, "body": "other"}), b"x"),
        ("chunk", json!({"id": "1", "body": "reply"}), b"x"),
        ("credit", json!({"id": 1, "body": "call", "bytes": 0}), b""),
        ("credit", json!({"id": 1, "body": "call", "bytes": -1}), b""),
        ("credit", json!({"id": 1, "body": "call", "bytes": 2_147_483_648u64}), b""),
        ("reset", json!({"id": 1}), b""),
        ("end", json!({}), b""),
    ] {
        let stage = Stage::new();
        let mut worker = stage.worker(&["GET /x"]);
        worker.notify(method, params.clone(), bytes);
        let (answer, _) = worker.read().unwrap();
        assert_eq!(hera_testkit::refusal(&answer), "invalid_request", "{method} {params}");
        stage.stands_and_logged_once(&["bad message from a worker", "\"code\":\"invalid_request\""]);
    }
}

#[test]
fn body_of_a_call_comes_in_chunks_as_credit_is_granted() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    let body: Vec<u8> = (0..400_000u32).map(|n| (n % 251) as u8).collect();
    let chunked = Request::new("POST", "/x").token(&stage.token).header("Transfer-Encoding", "chunked");
    let by_length = Request::post("/x", body.clone()).token(&stage.token).bytes();
    let by_chunks = [chunked.head_bytes(), hera_testkit::http::chunked(&body, 30_000)].concat();

    for request in [by_length, by_chunks] {
        let mut caller = stage.broker.caller();
        caller.send(&request);
        let call = worker.call();
        assert_eq!(call.params["more"], true);
        let mut got = call.body.to_vec();
        let mut granted = got.len();
        // Little by little, and in all exactly what comes; never may more come than was granted.
        while got.len() < body.len() {
            let step = 50_000.min(body.len() - got.len());
            granted += step;
            worker.notify("credit", json!({"id": call.id, "body": "call", "bytes": step}), b"");
            while got.len() < granted {
                let (params, chunk) = worker.notified("chunk");
                assert_eq!((&params["id"], &params["body"]), (&json!(call.id), &json!("call")));
                got.extend_from_slice(&chunk);
                assert!(got.len() <= granted);
            }
        }
        // The end needs no credit.
        worker.notified("end");
        worker.answer(call.id, 200, &[], b"got it");

        assert!(got == body);
        assert_eq!(caller.response().text(), "got it");
    }
}

#[test]
fn reader_of_a_cut_body_sees_a_reset() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    let mut caller = stage.broker.caller();
    let mut head =
        Request::new("POST", "/x").token(&stage.token).header("Content-Length", "500000").head_bytes();
    head.extend_from_slice(&[b'a'; 300_000]);
    caller.send(&head);
    let call = worker.call();
    worker.notify("credit", json!({"id": call.id, "body": "call", "bytes": 400_000}), b"");
    worker.notified("chunk");

    drop(caller);

    let (params, _) = worker.notified("reset");
    assert_eq!((&params["id"], &params["body"]), (&json!(call.id), &json!("call")));
    worker.ping();
    stage.canary.must_answer();
}
