//! Callers who take their time: every wait has an end, and it does not start anew with each byte.

use crate::stage::{Stage, says};
use hera_testkit::http::{HttpConnection, Request};
use hera_testkit::{RawWorker, wait_at_most};
use serde_json::json;
use std::time::{Duration, Instant};

/// Sends a byte whenever nothing came back for 100 ms, until something does, or `bytes` are sent.
fn dribble(caller: &mut HttpConnection, bytes: impl IntoIterator<Item = u8>) {
    caller.patience(Duration::from_millis(100));
    for byte in bytes {
        if caller.stream().peek(&mut [0]).is_ok() || !caller.try_send(&[byte]) {
            break;
        }
    }
    caller.patience(Duration::from_secs(15));
}

#[test]
fn head_that_comes_byte_by_byte_has_ten_seconds_in_all() {
    let stage = Stage::new();
    let worker = stage.mirror(&["GET /x"]);
    let begun = Instant::now();
    let mut caller = stage.broker.caller();
    let head = format!("GET /x HTTP/1.1\r\nHost: h\r\nX: {}", "a".repeat(1000));

    dribble(&mut caller, head.into_bytes());

    let response = caller.response();
    let took = begun.elapsed();
    assert_eq!(says(&response), (408, "request_timeout".into(), Some("no")));
    assert!(response.closes() && caller.is_closed());
    assert!((Duration::from_millis(9_900)..Duration::from_millis(12_000)).contains(&took), "{took:?}");
    assert_eq!(worker.calls(), 0);
}

#[test]
fn short_body_that_stalls_is_408_and_reaches_no_worker() {
    let stage = Stage::new();
    let worker = stage.mirror(&["POST /x"]);
    let begun = Instant::now();
    let heads = [
        Request::new("POST", "/x").header("Content-Length", "10"),
        Request::new("POST", "/x").header("Transfer-Encoding", "chunked"),
    ];
    let mut callers: Vec<HttpConnection> = heads
        .map(|head| {
            let mut caller = stage.broker.caller();
            caller.patience(Duration::from_secs(15));
            caller.send(&[head.token(&stage.token).head_bytes(), b"5\r\nhel".to_vec()].concat());
            caller
        })
        .into();

    for caller in &mut callers {
        let response = caller.response();
        assert_eq!(says(&response), (408, "request_timeout".into(), Some("no")));
        assert!(response.closes() && caller.is_closed());
    }
    let took = begun.elapsed();
    assert!((Duration::from_millis(9_900)..Duration::from_millis(12_000)).contains(&took), "{took:?}");
    assert_eq!(worker.calls(), 0);
}

#[test]
fn long_body_that_stalls_is_408_and_its_worker_is_told() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    let mut caller = stage.broker.caller();
    caller.patience(Duration::from_secs(15));
    let head = Request::new("POST", "/x").token(&stage.token).header("Content-Length", "300000");
    caller.send(&[head.head_bytes(), b"begin".to_vec()].concat());
    let call = worker.call();
    worker.patience(Some(Duration::from_secs(15)));
    worker.notify("credit", json!({"id": call.id, "body": "call", "bytes": 1 << 20}), b"");

    let (told, _) = worker.read_until(|head| head["method"] == "cancel" || head["method"] == "reset");

    assert_eq!(told["params"]["id"], call.id);
    let response = caller.response();
    assert_eq!((response.status, response.code().as_str()), (408, "request_timeout"));
    assert!(response.closes() && caller.is_closed());
}

#[test]
fn body_that_comes_byte_by_byte_has_until_the_deadline_of_its_call() {
    let stage = Stage::new();
    let worker = stage.mirror(&["POST /x"]);
    let begun = Instant::now();
    let mut caller = stage.broker.caller();
    let head = Request::new("POST", "/x").token(&stage.token).header("Content-Length", "1000");
    caller.send(&head.header("Hera-Timeout", "2s").head_bytes());

    dribble(&mut caller, vec![b'a'; 900]);

    let response = caller.response();
    let took = begun.elapsed();
    assert_eq!(says(&response), (504, "deadline_exceeded".into(), Some("no")));
    assert!((Duration::from_millis(1_950)..Duration::from_millis(4_000)).contains(&took), "{took:?}");
    assert_eq!(worker.calls(), 0);
}

/// A chunk whenever the broker has room for it, until the call is cancelled.
fn answers_without_end(worker: &mut RawWorker, id: u64) -> usize {
    let chunk = vec![b'x'; 64 * 1024];
    let mut sent = 0;
    worker.answer_with(id, json!({"status": 200, "headers": [], "more": true}), b"");
    loop {
        let (head, _) = worker.read_until(|head| head["method"] == "credit" || head["method"] == "cancel");
        if head["method"] == "cancel" {
            return sent;
        }
        let mut credit = head["params"]["bytes"].as_u64().unwrap() as usize;
        while credit > 0 {
            let bytes = credit.min(chunk.len());
            worker.notify("chunk", json!({"id": id, "body": "reply"}), &chunk[..bytes]);
            credit -= bytes;
            sent += bytes;
        }
    }
}

#[test]
fn caller_that_reads_nothing_is_cut_after_thirty_seconds_and_holds_little() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    worker.patience(Some(Duration::from_secs(45)));
    let before = stage.broker.rss_bytes();
    let begun = Instant::now();
    let (caller, call) = stage.call(&mut worker, Request::get("/x"));

    let sent = answers_without_end(&mut worker, call.id);

    let took = begun.elapsed();
    assert!((Duration::from_secs(29)..Duration::from_secs(36)).contains(&took), "{took:?}");
    // The sockets of both sides hold some MiB; the broker itself a window of credit.
    assert!(sent < 16 << 20, "{sent}");
    let grown = stage.broker.rss_bytes().saturating_sub(before);
    assert!(grown < 4 << 20, "{grown} bytes");
    wait_at_most(Duration::from_secs(5), "the log line", || {
        !stage.broker.log().matching(|line| line.contains("\"cut\":true")).is_empty()
    });
    drop(caller);
}
