//! HTTP/1.1 as it may come: what is well-formed is taken, in whatever pieces, and what is not is refused in whatever pieces.
//!
//! uNetworking's h1spec covers the same ground (request line, headers, chunks, fragments); it is on neither npm nor PyPI, so these cases are our own.

use crate::stage::Stage;
use crate::vectors;
use hera_testkit::http::{HttpConnection, Request, Response, chunked};
use serde_json::json;

/// A good request: its bytes, and what a mirror must see of it.
struct Good {
    bytes: Vec<u8>,
    method: &'static str,
    target: &'static str,
    body_bytes: usize,
    header: Option<(&'static str, String)>,
}

fn good(token: &str) -> Vec<Good> {
    let of = |first: &str, headers: &str, body: &str| {
        format!("{first}\r\nHost: h\r\nHera-Token: {token}\r\n{headers}\r\n{body}").into_bytes()
    };
    let line = |first: &str, method, target| Good {
        bytes: of(first, "", ""),
        method,
        target,
        body_bytes: 0,
        header: None,
    };
    let header = |text: &str, name, value: &str| Good {
        bytes: of("GET /x HTTP/1.1", text, ""),
        method: "GET",
        target: "/x",
        body_bytes: 0,
        header: Some((name, value.to_owned())),
    };
    let body = |headers: &str, body: &str, body_bytes| Good {
        bytes: of("POST /x HTTP/1.1", headers, body),
        method: "POST",
        target: "/x",
        body_bytes,
        header: None,
    };
    let chunks = |text: &str, body_bytes| body("Transfer-Encoding: chunked\r\n", text, body_bytes);
    let long = "v".repeat(14_000);
    vec![
        line("GET /x HTTP/1.1", "GET", "/x"),
        line("GET /x? HTTP/1.1", "GET", "/x?"),
        line("GET /x?a=b&c=%20&d=//..? HTTP/1.1", "GET", "/x?a=b&c=%20&d=//..?"),
        line("\r\nGET /x HTTP/1.1", "GET", "/x"),
        line("\r\n\r\nGET /x HTTP/1.1", "GET", "/x"),
        line("GET http://h/x HTTP/1.1", "GET", "/x"),
        line("GET HTTP://H/x?y HTTP/1.1", "GET", "/x?y"),
        line("OPTIONS /x HTTP/1.1", "OPTIONS", "/x"),
        line("X-OWN.~1 /x HTTP/1.1", "X-OWN.~1", "/x"),
        line("GET /:@!$&'()*+,;=-._~ HTTP/1.1", "GET", "/:@!$&'()*+,;=-._~"),
        header("X-A:1\r\n", "x-a", "1"),
        header("X-A:  \t 1 \t \r\n", "x-a", "1"),
        header("X-A:\r\n", "x-a", ""),
        header("X-A: a b\tc\r\n", "x-a", "a b\tc"),
        header("X-A: \"a, b\", c:d\r\n", "x-a", "\"a, b\", c:d"),
        header("x-a: 1\r\n", "x-a", "1"),
        header("!#$%&'*+-.^-`|~0aZ: 1\r\n", "!#$%&'*+-.^-`|~0az", "1"),
        header(&format!("X-A: {long}\r\n"), "x-a", &long),
        body("Content-Length: 0\r\n", "", 0),
        body("content-length:5\r\n", "hello", 5),
        body("CONTENT-LENGTH: \t5 \r\n", "hello", 5),
        body("Content-Length: 0000000005\r\n", "hello", 5),
        body("Content-Length: 4\r\n", "\r\n\r\n", 4),
        body("Content-Length: 16\r\n", "GET / HTTP/1.1\r\n", 16),
        body("", "", 0),
        body("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n", 0),
        chunks("0\r\n\r\n", 0),
        chunks("5\r\nhello\r\n0\r\n\r\n", 5),
        chunks("00000005\r\nhello\r\n00000000\r\n\r\n", 5),
        chunks("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", 20),
        chunks("1\r\n\r\r\n1\r\n\n\r\n2\r\n\r\n\r\n0\r\n\r\n", 4),
        chunks("5\r\nhello\r\n0\r\nX-Trailer: 1\r\nY: \t2 \r\n\r\n", 5),
        chunks(std::str::from_utf8(&chunked(&[b'x'; 600], 7)).unwrap(), 600),
    ]
}

/// Sends `bytes` as they are cut, each piece in a write of its own.
fn send(caller: &mut HttpConnection, bytes: &[u8], step: usize) {
    for piece in bytes.chunks(step) {
        // What is refused may be so before its last byte.
        if !caller.try_send(piece) {
            break;
        }
    }
}

fn is_as_sent(response: &Response, good: &Good, step: usize) {
    let shown = String::from_utf8_lossy(&good.bytes).chars().take(300).collect::<String>();
    assert_eq!(response.status, 200, "{shown:?} by {step}: {}", String::from_utf8_lossy(&response.body));
    let seen = response.json();
    let params = &seen["params"];
    assert_eq!(
        (&params["method"], &params["target"], &seen["body_bytes"]),
        (&json!(good.method), &json!(good.target), &json!(good.body_bytes)),
        "{shown:?} by {step}"
    );
    if let Some((name, value)) = &good.header {
        assert_eq!(crate::stage::values(&seen, name), [value.as_str()], "{shown:?} by {step}");
    }
}

#[test]
fn good_requests_are_taken_whole_or_byte_by_byte() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["* /{*any}"]);
    for step in [usize::MAX, 1, 2, 3, 7] {
        let mut caller = stage.broker.caller();
        for good in good(&stage.token) {
            send(&mut caller, &good.bytes, step);
            is_as_sent(&caller.response(), &good, step);
        }
    }
}

#[test]
fn good_requests_may_be_cut_anywhere() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["* /{*any}"]);
    let mut caller = stage.broker.caller();
    for good in good(&stage.token).into_iter().filter(|good| good.bytes.len() < 400) {
        for at in 1..good.bytes.len() {
            caller.send(&good.bytes[..at]);
            caller.send(&good.bytes[at..]);
            is_as_sent(&caller.response(), &good, at);
        }
    }
}

#[test]
fn good_requests_may_come_all_at_once_in_pieces_that_fit_none_of_them() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["* /{*any}"]);
    let all = good(&stage.token);
    let bytes: Vec<u8> = all.iter().flat_map(|good| good.bytes.clone()).collect();
    for step in [1, 13, 100, 1000, 4096, usize::MAX] {
        let mut caller = stage.broker.caller();
        send(&mut caller, &bytes, step);
        for good in &all {
            is_as_sent(&caller.response(), good, step);
        }
    }
}

#[test]
fn bad_requests_are_refused_whole_or_byte_by_byte() {
    let stage = Stage::new();
    let worker = stage.mirror(&["* /{*any}"]);
    let canary = Request::get("/canary").token(&stage.token).bytes();
    for vector in vectors::all(&stage.token) {
        let step = if vector.bytes.len() > 2000 { 997 } else { 1 };
        let mut caller = stage.broker.caller();
        send(&mut caller, &vector.bytes, step);
        caller.try_send(&canary);

        let response =
            caller.try_response("GET").unwrap_or_else(|| panic!("{:?} was not answered", vector.shown()));

        assert!(matches!(response.status, 400 | 505), "{:?} {response:?}", vector.shown());
        assert!(response.closes() && caller.rest().is_empty(), "{:?}", vector.shown());
    }
    assert_eq!(worker.calls(), 0);
}
