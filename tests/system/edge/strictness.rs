//! Ambiguous requests are refused, never repaired; nothing behind one on its connection is ever answered.

use crate::stage::Stage;
use crate::vectors::{self, Vector};
use hera_testkit::http::Request;
use std::time::{Duration, Instant};

/// Sends each with a good request right behind it: 400, the connection closes, and no worker sees either.
fn each_is_refused(vectors: fn(&str) -> Vec<Vector>) {
    let stage = Stage::new();
    let worker = stage.mirror(&["* /{*any}"]);
    let canary = Request::get("/canary").token(&stage.token).bytes();
    for vector in vectors(&stage.token) {
        let mut caller = stage.broker.caller();
        caller.try_send(&[&vector.bytes[..], &canary].concat());

        let shown = vector.shown();
        let response = caller.try_response("GET").unwrap_or_else(|| panic!("{shown:?} was not answered"));
        assert!(matches!(response.status, 400 | 505), "{shown:?} {response:?}");
        assert!(matches!(response.code().as_str(), "bad_request" | "bad_path" | "http_version"), "{shown:?}");
        assert!(response.closes(), "{shown:?}");
        let rest = caller.rest();
        assert!(rest.is_empty(), "{shown:?} was followed by {:?}", String::from_utf8_lossy(&rest));
        assert_eq!(worker.calls(), 0, "{shown:?}");
    }
}

#[test]
fn body_whose_length_has_two_readings_is_refused() {
    each_is_refused(vectors::lengths);
}

#[test]
fn chunks_that_two_readers_read_differently_are_refused() {
    each_is_refused(vectors::chunks);
}

#[test]
fn host_that_is_none_or_more_than_one_is_refused() {
    each_is_refused(vectors::hosts);
}

#[test]
fn lines_and_names_of_wrong_form_are_refused() {
    each_is_refused(vectors::lines);
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
    let long_method = format!("{} /x HTTP/1.1\r\nHost: h\r\n\r\n", "A".repeat(100_000));
    assert_eq!(status(long_method.as_bytes()), (414, true));
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
