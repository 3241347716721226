//! Bodies: byte for byte, within their limit, asked for or not.

use crate::stage::{Stage, says};
use hera_testkit::http::{Request, chunked};
use hera_testkit::{RawWorker, curl};
use serde_json::json;

const KIB: usize = 1024;
const SIZES: [usize; 8] = [0, 1, 256, 255 * KIB, 256 * KIB, 256 * KIB + 1, 700_001, KIB * KIB];

/// Bytes of all values that no shift or cut leaves alike.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect()
}

/// The whole body of the next call, and the answer: the same bytes again, in chunks where they do not fit.
fn echo(worker: &mut RawWorker) -> Vec<u8> {
    let call = worker.call();
    let mut body = call.body.to_vec();
    if call.params["more"] == true {
        worker.notify("credit", json!({"id": call.id, "body": "call", "bytes": 1 << 30}), b"");
        loop {
            let (head, chunk) =
                worker.read_until(|head| head["method"] == "chunk" || head["method"] == "end");
            body.extend_from_slice(&chunk);
            if head["method"] == "end" {
                break;
            }
        }
    }
    let mut parts = body.chunks(256 * KIB);
    let first = parts.next().unwrap_or_default();
    let more = parts.len() > 0;
    worker.answer_with(
        call.id,
        json!({"status": 200, "headers": [["content-type", "x/bytes"]], "more": more}),
        first,
    );
    for part in parts {
        let (mut granted, mut sent) = (0, 0);
        while sent < part.len() {
            if granted == sent {
                granted += worker.notified("credit").0["bytes"].as_u64().unwrap() as usize;
            }
            let until = granted.min(part.len());
            worker.notify("chunk", json!({"id": call.id, "body": "reply"}), &part[sent..until]);
            sent = until;
        }
    }
    if more {
        worker.notify("end", json!({"id": call.id, "body": "reply"}), b"");
    }
    body
}

#[test]
fn body_with_a_length_arrives_and_returns_byte_for_byte() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    for size in SIZES {
        let sent = bytes(size);
        let mut caller = stage.send(Request::post("/x", sent.clone()));
        assert!(echo(&mut worker) == sent, "{size}");
        let response = caller.response();
        assert!(response.body == sent && response.is_whole, "{size}");
        assert_eq!((response.status, response.header("content-type")), (200, Some("x/bytes")));
    }
}

#[test]
fn body_in_chunks_arrives_and_returns_byte_for_byte() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    for size in SIZES {
        for step in [13_001, 16 * KIB, 2 * KIB * KIB] {
            let sent = bytes(size);
            let mut caller = stage.broker.caller();
            let head = Request::new("POST", "/x").token(&stage.token).header("Transfer-Encoding", "chunked");
            caller.send(&[head.head_bytes(), chunked(&sent, step)].concat());
            assert!(echo(&mut worker) == sent, "{size} by {step}");
            let response = caller.response();
            assert!(response.body == sent && response.is_whole, "{size} by {step}");
        }
    }
}

#[test]
fn chunks_of_one_byte_are_a_body_too() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    let sent = bytes(5000);
    let mut caller = stage.broker.caller();
    let head = Request::new("POST", "/x").token(&stage.token).header("Transfer-Encoding", "chunked");
    caller.send(&[head.head_bytes(), chunked(&sent, 1)].concat());

    assert!(echo(&mut worker) == sent);
    assert!(caller.response().body == sent);
}

#[test]
fn body_over_its_limit_is_refused_before_it_is_read() {
    let stage = Stage::new();
    let mut worker = stage.broker.worker("raw", &[]);
    worker.declare_with(json!([{"endpoint": "POST /x", "body_bytes_max": 1000}, {"endpoint": "POST /none", "body_bytes_max": 0}]));

    // By its length: no byte of it was sent.
    for (path, length) in [("/x", "1001"), ("/x", "1000000000000000000"), ("/none", "1")] {
        let mut caller = stage.broker.caller();
        caller.send(
            &Request::new("POST", path).token(&stage.token).header("Content-Length", length).head_bytes(),
        );
        assert_eq!(says(&caller.response()), (413, "body_too_large".into(), Some("no")), "{path} {length}");
    }
    // By a chunk that says so.
    let mut caller = stage.broker.caller();
    let head = Request::new("POST", "/x").token(&stage.token).header("Transfer-Encoding", "chunked");
    caller.send(&[head.head_bytes(), b"3e9\r\n".to_vec()].concat());
    assert_eq!(says(&caller.response()), (413, "body_too_large".into(), Some("no")));
    // At the limit it goes through.
    let (mut caller, call) = stage.call(&mut worker, Request::post("/x", bytes(1000)));
    assert_eq!(call.body.len(), 1000);
    worker.answer(call.id, 200, &[], b"");
    assert_eq!(caller.response().status, 200);
    // Nothing of the others reached the worker.
    let id = worker.request("ping", json!({}));
    assert_eq!(worker.read().unwrap().0["id"], id);
}

#[test]
fn caller_that_waits_to_be_asked_is_asked_once_its_call_is_sure_to_be_taken() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    for length in [5usize, 300_000] {
        let sent = bytes(length);
        let mut caller = stage.broker.caller();
        let request = Request::new("POST", "/x").token(&stage.token).header("Expect", "100-continue");
        caller.send(&request.header("Content-Length", length.to_string()).head_bytes());
        // A long body is asked for when the worker grants credit, a short one at once.
        let got = std::thread::scope(|scope| {
            let echo = scope.spawn(|| echo(&mut worker));
            assert_eq!(caller.response().status, 100);
            caller.send(&sent);
            echo.join().unwrap()
        });
        assert!(got == sent);
        assert_eq!(caller.response().status, 200);
    }
}

#[test]
fn caller_that_waits_to_be_asked_is_not_asked_where_its_call_is_refused() {
    let stage = Stage::new();
    let worker = stage.worker(&["POST /x"]);
    let refused = |path: &str, token: &str, length: &str| {
        let mut caller = stage.broker.caller();
        let request = Request::new("POST", path).token(token).header("Expect", "100-continue");
        caller.send(&request.header("Content-Length", length).head_bytes());
        // The first answer is the last: no 100 before it, and the connection ends, since the body may or may not come.
        let response = caller.response();
        assert!(response.closes() && caller.is_closed(), "{response:?}");
        response.status
    };

    assert_eq!(refused("/x", &stage.token, "1048577"), 413);
    assert_eq!(refused("/x", "wrong", "5"), 401);
    assert_eq!(refused("/nowhere", &stage.token, "5"), 404);
    worker.leave();
    hera_testkit::wait_until("no worker", || stage.ask(Request::new("POST", "/x")).status == 503);
    assert_eq!(refused("/x", &stage.token, "5"), 503);
}

#[test]
fn curl_waits_to_be_asked_and_sends_a_mebibyte() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    let sent = bytes(KIB * KIB);
    let file = stage.broker.dir().join("body");
    std::fs::write(&file, &sent).unwrap();
    let (url, token, data) =
        (stage.broker.url("/x"), format!("Hera-Token: {}", stage.token), format!("@{}", file.display()));

    for option in ["Expect: 100-continue", "Transfer-Encoding: chunked"] {
        let (got, answer) = std::thread::scope(|scope| {
            let echo = scope.spawn(|| echo(&mut worker));
            let answer = curl([&url, "-H", &token, "-H", option, "--data-binary", &data]);
            (echo.join().unwrap(), answer)
        });
        assert_eq!((answer.exit, answer.status), (0, 200), "{}", answer.stderr);
        assert!(got == sent && answer.body == sent, "{option}");
    }
}

#[test]
fn trailers_are_dropped() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["POST /x"]);
    let mut caller = stage.broker.caller();
    let head = Request::new("POST", "/x").token(&stage.token).header("Transfer-Encoding", "chunked");
    let body = b"5\r\nhello\r\n0\r\nHost: evil\r\nAuthorization: evil\r\nContent-Length: 9\r\n\r\n";
    caller.send(&[head.head_bytes(), body.to_vec()].concat());

    let call = worker.call();
    worker.answer(call.id, 200, &[], b"");

    assert_eq!(&call.body[..], b"hello");
    assert!(!call.params.to_string().contains("evil"));
    assert_eq!(caller.response().status, 200);
}
