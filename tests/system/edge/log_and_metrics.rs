//! What an operator sees of a call.

use crate::stage::Stage;
use hera_testkit::http::{HttpConnection, Request};
use hera_testkit::wait_until;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn each_call_is_one_line_of_json() {
    let stage = Stage::new();
    let worker = stage.worker(&["GET /x/{id}"]);
    let label = format!("raw/1.0/{}", worker.instance);
    let _worker = worker.serve(|_| hera_testkit::Reply::ok("12345"));
    let id = "find-me-1";

    stage.ask(Request::get("/x/secret-query-is-not-here?q=1").header("X-Request-Id", id));

    let line = stage.broker.wait_log("the line", |line| line.contains(id));
    let line: Value = serde_json::from_str(&line).unwrap();
    for (name, value) in [
        ("request_id", json!(id)),
        ("token", json!("token-1")),
        ("ip", json!("127.0.0.1")),
        ("method", json!("GET")),
        ("route", json!("GET /x/{id}")),
        ("status", json!(200)),
        ("worker", json!(label)),
        ("attempts", json!(1)),
        ("bytes", json!(5)),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    for name in ["auth_ms", "queue_ms", "worker_ms", "total_ms"] {
        assert!(line[name].as_f64().is_some_and(|ms| (0.0..10_000.0).contains(&ms)), "{name}: {line}");
    }
    assert!(line["time"].as_str().unwrap().ends_with('Z'));
    assert!(!line.to_string().contains("q=1"), "queries may hold secrets: {line}");
    assert_eq!(stage.broker.log().matching(|line| line.contains(id)).len(), 1);
}

#[test]
fn failed_call_has_its_code_in_the_log() {
    let stage = Stage::new();
    stage.broker.ask(&Request::get("/x").header("X-Request-Id", "failed-1"));
    let line: Value =
        serde_json::from_str(&stage.broker.wait_log("the line", |line| line.contains("failed-1"))).unwrap();
    assert_eq!(
        (&line["status"], &line["code"], &line["token"]),
        (&json!(401), &json!("unauthorized"), &json!(null))
    );
    assert_eq!(line["attempts"], 0);
}

#[test]
fn nothing_a_caller_sends_breaks_a_line() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["* /{*any}"]);
    stage.broker.wait_log("the worker's lines", |line| line.contains("worker declared"));
    let before = stage.broker.log().lines().len();
    let targets = [
        "/%1b%5b31m",
        "/a%0d%0aforged",
        "/\"},{\"x\":\"",
        "/caf%C3%A9",
        // CSI as one character, which a terminal obeys like ESC and a bracket; and text that is shown from right to left.
        "/\u{9b}31m",
        "/\u{9b}31m//",
        "/\u{202e}//",
        "/\u{85}/..",
        &format!("/{}", "a".repeat(8000)),
    ];
    for target in targets {
        stage.ask(Request::get(target));
    }
    stage.ask(Request::get("/x").header("X-Request-Id", "\u{9b}31m").header("User-Agent", "\u{9b}31m"));
    stage.ask(Request::get("/x").header("X-Forwarded-For", "127.0.0.2\"}, \u{9b}31m"));
    // Refused as they come, and nothing of them is shown.
    let refused = [
        "GET /x HTTP/1.1\r\nHost: h\r\nUser-Agent: a\rforged\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: h\r\nUser-Agent: a\nforged\r\n\r\n".to_owned(),
        "GET /x HTTP/1.1\r\nHost: h\r\nUser-Agent: \u{1b}[31mforged\r\n\r\n".to_owned(),
        "GET /\u{1b}[31mforged HTTP/1.1\r\nHost: h\r\n\r\n".to_owned(),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nUser-Agent: {}\r\n\r\n", "forged ".repeat(150_000)),
    ];
    for bytes in &refused {
        let mut caller = stage.broker.caller();
        caller.try_send(bytes.as_bytes());
        assert!(matches!(caller.response().status, 400 | 431));
    }
    stage.ask(Request::get("/last-one"));
    stage.broker.wait_log("the last line", |line| line.contains("/last-one"));
    let expected = before + targets.len() + 2 + refused.len() + 1;
    // Each core hands its lines over by itself.
    wait_until("a line for each", || stage.broker.log().lines().len() >= expected);

    for line in &stage.broker.log().lines()[before..] {
        assert!(line.len() < 2000, "{line}");
        assert!(serde_json::from_str::<Value>(line).is_ok(), "{line}");
        assert!(line.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{line:?}");
        assert!(!line.contains("forged") || line.contains("%0d%0aforged"), "{line}");
    }
    assert_eq!(stage.broker.log().lines().len(), expected);
}

#[test]
fn log_can_go_to_a_file_and_away() {
    let stage = Stage::of(hera_testkit::TestBroker::with_config("[log]\naccess = \"./access.log\"\n"));
    stage.ask(Request::get("/filed"));
    let file = stage.broker.dir().join("access.log");
    wait_until("the line", || std::fs::read_to_string(&file).is_ok_and(|text| text.contains("/filed")));
    assert!(stage.broker.log().matching(|line| line.contains("/filed")).is_empty());
}

#[test]
fn metrics_count_calls_by_route_and_never_by_path() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x/{id}"]);
    (0..7).for_each(|n| drop(stage.ask(Request::get(&format!("/x/some-path-{n}")))));
    (0..3).for_each(|n| drop(stage.ask(Request::get(&format!("/unknown-{n}")))));
    stage.broker.ask(&Request::get("/x/1"));

    let text = stage.broker.metrics();

    let line = text
        .lines()
        .find(|line| line.contains("GET /x/{id}") && line.contains("2xx"))
        .unwrap_or_else(|| panic!("{text}"));
    assert!(line.starts_with("hera_") && line.ends_with(" 7"), "{line}");
    assert!(
        !text.contains("some-path") && !text.contains("unknown-1") && !text.contains("token-1"),
        "{text}"
    );
    assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("hera_")), "{text}");
}

/// Well-formed, and of no broker.
fn unknown_token(n: u64) -> String {
    let text = format!("hera_{n:016x}{n:064x}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    text + &hera_protocol::key::hex(&digest.as_ref()[..4])
}

#[test]
fn metrics_stay_within_bounds_whatever_callers_ask_for() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let series = || stage.broker.metrics().lines().count();
    stage.ask(Request::get("/nowhere"));
    stage.broker.ask(&Request::get("/x"));
    stage.ask(Request::new("POST", "/x"));
    stage.ask(Request::get("/x"));
    let before = series();
    for batch in 0..20 {
        let mut caller = stage.broker.caller();
        let numbers = batch * 250..(batch + 1) * 250;
        let requests = numbers.clone().flat_map(|n| match n % 4 {
            0 => Request::get(&format!("/path/{n}")).token(&stage.token).bytes(),
            1 => Request::new(&format!("M{n}"), "/x").token(&stage.token).bytes(),
            2 => Request::get("/x").token(&unknown_token(n)).bytes(),
            _ => Request::get(&format!("/x?q={n}"))
                .token(&stage.token)
                .header("X-Request-Id", format!("r{n}"))
                .bytes(),
        });
        caller.send(&requests.collect::<Vec<u8>>());
        for n in numbers {
            assert_eq!(caller.response().status, [404, 405, 401, 200][n as usize % 4]);
        }
    }
    assert!(series() <= before + 2, "{before} became {}", series());
}

#[test]
fn promtool_likes_the_metrics() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x", "POST /\"quoted\""]);
    stage.ask(Request::get("/x"));
    let text = stage.broker.metrics();
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return eprintln!("skipped: promtool is not installed (package prometheus)");
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn scrape_needs_no_token_and_is_not_on_the_public_port() {
    let stage = Stage::new();
    let mut scraper = HttpConnection::open(stage.broker.admin());
    scraper.send(&Request::get("/metrics").bytes());
    assert_eq!(scraper.response().status, 200);
    assert_eq!(stage.broker.ask(&Request::get("/metrics")).status, 401);
    assert_eq!(stage.ask(Request::get("/metrics")).status, 404);
}
