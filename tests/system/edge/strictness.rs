//! Ambiguous requests are refused, never repaired; nothing behind one on its connection is ever answered.

use crate::stage::Stage;
use hera_testkit::http::Request;
use std::time::{Duration, Instant};

/// Sends `bad` with a good request right behind it: 400, the connection closes, and no worker sees either.
fn is_refused(stage: &Stage, worker: &hera_testkit::Serving, bad: &[u8]) {
    let calls = worker.calls();
    let mut caller = stage.broker.caller();
    let smuggled = Request::get("/smuggled").token(&stage.token).bytes();
    caller.try_send(&[bad, &smuggled].concat());

    let response = caller.response();
    let shown = String::from_utf8_lossy(bad).chars().take(120).collect::<String>();
    assert_eq!((response.status, response.code().as_str()), (400, "bad_request"), "{shown:?}");
    assert!(response.closes(), "{shown:?}");
    let rest = caller.rest();
    assert!(rest.is_empty(), "{shown:?} was followed by {:?}", String::from_utf8_lossy(&rest));
    assert_eq!(worker.calls(), calls, "{shown:?}");
}

fn post(stage: &Stage, headers: &str, body: &str) -> Vec<u8> {
    format!("POST /x HTTP/1.1\r\nHost: h\r\nHera-Token: {}\r\n{headers}\r\n\r\n{body}", stage.token)
        .into_bytes()
}

#[test]
fn body_whose_length_has_two_readings_is_refused() {
    let stage = Stage::new();
    let worker = stage.mirror(&["POST /x", "GET /smuggled"]);
    for headers in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 0",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 5,5",
        "Content-Length:",
        "Content-Length: -1",
        "Content-Length: 5a",
        "Content-Length : 5",
        "Content-Length: 18446744073709551621",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\u{c}",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: a\r\n Transfer-Encoding: chunked",
    ] {
        is_refused(&stage, &worker, &post(&stage, headers, "0\r\n\r\n"));
    }
    let old = format!(
        "POST /x HTTP/1.0\r\nHost: h\r\nHera-Token: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        stage.token
    );
    is_refused(&stage, &worker, old.as_bytes());
}

#[test]
fn chunks_that_two_readers_read_differently_are_refused() {
    let stage = Stage::new();
    let worker = stage.mirror(&["POST /x", "GET /smuggled"]);
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(65_536));
    for body in [
        "0_5\r\nhello\r\n0\r\n\r\n",
        "-1\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "00000000000000005\r\nhello\r\n0\r\n\r\n",
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "5;\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "\r\n\r\n",
        "0\r\nno header\r\n\r\n",
        "0\r\n bad: fold\r\n\r\n",
        &long,
    ] {
        is_refused(&stage, &worker, &post(&stage, "Transfer-Encoding: chunked", body));
    }
}

#[test]
fn host_that_is_none_or_more_than_one_is_refused() {
    let stage = Stage::new();
    let worker = stage.mirror(&["GET /x", "GET /smuggled"]);
    for headers in [
        "",
        "Host:\r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: user@a\r\n",
        "Host: a/b\r\n",
        "Host: a,b\r\n",
        "Host: a b\r\n",
        "Host: a:port\r\n",
        "Host: [::1\r\n",
        "Host: a#b\r\n",
        "Host: a?b\r\n",
    ] {
        let head = format!("GET /x HTTP/1.1\r\n{headers}Hera-Token: {}\r\n\r\n", stage.token);
        is_refused(&stage, &worker, head.as_bytes());
    }
}

#[test]
fn lines_and_names_of_wrong_form_are_refused() {
    let stage = Stage::new();
    let worker = stage.mirror(&["GET /x", "GET /smuggled"]);
    let token = &stage.token;
    for head in [
        format!("GET /x HTTP/1.1\nHost: h\nHera-Token: {token}\n\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\nHera-Token: {token}\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\nX: a\r\n folded\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\nX : a\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\nX: a\0b\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\nX: a\rb\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\nX: a\u{7f}b\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\nX\u{e9}: a\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n: a\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\nno colon\r\n\r\n"),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\nExpect: 200-ok\r\n\r\n"),
        format!("GET  /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\r\n"),
        format!("GET /x  HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\r\n"),
        format!("GET /x y HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\r\n"),
        format!("GET /x\r\nHost: h\r\nHera-Token: {token}\r\n\r\n"),
        format!("GET x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\r\n"),
        format!("GET * HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\r\n"),
        format!("GET /x#f HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\r\n"),
        format!("GET ftp://h/x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\r\n"),
        format!("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\nHera-Token: {token}\r\n\r\n"),
        format!("G\u{e9}T /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\r\n"),
    ] {
        is_refused(&stage, &worker, head.as_bytes());
    }
}

#[test]
fn http2_is_refused_at_once() {
    let stage = Stage::new();
    let begun = Instant::now();
    let mut caller = stage.broker.caller();
    caller.try_send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
    let response = caller.response();
    assert_eq!((response.status, response.closes()), (400, true));
    assert!(caller.is_closed());
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[test]
fn other_versions_are_505() {
    let stage = Stage::new();
    for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9", "HTTP/3"] {
        let mut caller = stage.broker.caller();
        caller.send(format!("GET /x {version}\r\nHost: h\r\n\r\n").as_bytes());
        let response = caller.response();
        assert_eq!((response.status, response.closes()), (505, true), "{version}");
    }
}

#[test]
fn upgrade_is_not_followed() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let request = Request::get("/x").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let response = stage.ask(request);
    assert_eq!(response.status, 200);
    assert!(!response.text().contains("websocket"));
}

#[test]
fn head_over_a_limit_is_refused_and_memory_stays_flat() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let with = |headers: String| {
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {}\r\n{headers}\r\n", stage.token)
    };
    let many = |count: usize| with((0..count).map(|n| format!("X-{n}: 1\r\n")).collect());
    let status = |bytes: &[u8]| {
        let mut caller = stage.broker.caller();
        caller.try_send(bytes);
        let response = caller.response();
        (response.status, response.closes())
    };

    assert_eq!(status(many(98).as_bytes()), (200, false));
    assert_eq!(status(many(99).as_bytes()), (431, true));
    assert_eq!(status(with(format!("X: {}\r\n", "a".repeat(15_000))).as_bytes()), (200, false));
    assert_eq!(status(with(format!("X: {}\r\n", "a".repeat(17_000))).as_bytes()), (431, true));
    assert_eq!(
        status(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(8_300)).as_bytes()),
        (414, true)
    );
    let flood = || {
        assert_eq!(
            status(format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(100_000)).as_bytes()),
            (414, true)
        );
        assert!(status(&vec![b'a'; 1 << 20]).1);
        assert_eq!(status(with(format!("X: {}\r\n", "a".repeat(1 << 20))).as_bytes()), (431, true));
    };
    // The allocator takes memory from the system in steps of some MiB: what the first heads made it take is not looked at.
    flood();
    let before = stage.broker.rss_bytes();
    for _ in 0..64 {
        flood();
    }
    let grown = stage.broker.rss_bytes().saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes after 134 MB of heads");
}

#[test]
fn head_that_does_not_come_is_408_after_ten_seconds_in_all() {
    let stage = Stage::new();
    let begun = Instant::now();
    let mut caller = stage.broker.caller();
    caller.patience(Duration::from_secs(15));
    caller.send(b"GET /x HTTP/1.1\r\nHost: h\r\n");
    let response = caller.response();
    let took = begun.elapsed();

    assert_eq!(
        (response.status, response.code().as_str(), response.closes()),
        (408, "request_timeout", true)
    );
    assert!((Duration::from_millis(9_900)..Duration::from_millis(12_000)).contains(&took), "{took:?}");
}
