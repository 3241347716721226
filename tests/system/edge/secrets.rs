//! A token in use while everything goes wrong: it stands in no log, metric, error, file or argument, and neither does a worker's key.

use crate::stage::Stage;
use hera_testkit::http::{HttpConnection, Request, Response};
use hera_testkit::{RawWorker, TestBroker, wait_until};
use serde_json::json;
use std::path::Path;

/// What must be found nowhere: the secret part of the token and of the worker key.
struct Secrets(Vec<String>);

impl Secrets {
    fn are_not_in(&self, place: &str, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        for secret in &self.0 {
            assert!(!text.contains(secret), "a secret stands in {place}");
        }
    }

    fn are_in_no_file_of(&self, folder: &Path) -> usize {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut files = 0;
        for path in entries {
            if path.is_dir() {
                files += self.are_in_no_file_of(&path);
            } else {
                files += 1;
                self.are_not_in(&path.display().to_string(), &std::fs::read(&path).unwrap());
            }
        }
        files
    }
}

/// Bytes with the token in them that end in an error, each on a connection of its own.
fn faults(token: &str) -> Vec<Vec<u8>> {
    let get = |line: &str, more: &str| {
        format!("{line}\r\nHost: h\r\nHera-Token: {token}\r\n{more}\r\n").into_bytes()
    };
    let bearer = format!("Authorization: Bearer {token}\r\n");
    vec![
        get("GET /nowhere HTTP/1.1", ""),
        get("POST /x HTTP/1.1", ""),
        get("GET /forbidden HTTP/1.1", ""),
        get("GET /a/../b HTTP/1.1", ""),
        get("GET /x HTTP/3", ""),
        get("GET /x HTTP/1.1", "Hera-Timeout: soon\r\n"),
        get("GET /x HTTP/1.1", "X : spaced\r\n"),
        get("GET /x HTTP/1.1", "Expect: a miracle\r\n"),
        get("GET /x HTTP/1.1", &format!("Hera-Token: {token}\r\n")),
        get("GET /x HTTP/1.1", &bearer),
        get("GET /x HTTP/1.1", &format!("X: {}\r\n", "a".repeat(20_000))),
        get("GET /x HTTP/1.1", &format!("Hera-Token{token}: in a name\r\n{token}\r\n")),
        get(&format!("GET /{} HTTP/1.1", "a".repeat(9000)), ""),
        get("POST /body HTTP/1.1", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        get("POST /body HTTP/1.1", "Content-Length: 99999999\r\n"),
        [get("POST /body HTTP/1.1", "Transfer-Encoding: chunked\r\n"), format!("{token}\r\n").into_bytes()].concat(),
        get(&format!("{token} /x HTTP/1.1"), ""),
        format!("GET /x?token={token} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes(),
        format!("GET /x HTTP/1.1\r\nHost: {token}\r\nHera-Token: {token}x\r\nReferer: {token}\r\nUser-Agent: {token}\r\nX-Request-Id: {token}!\r\n\r\n").into_bytes(),
        format!("GET /x HTTP/1.1\r\nHost: h\r\n{}", bearer.replace("hera_", "Hera_") + "\r\n").into_bytes(),
        format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {}\r\n\r\n", token.repeat(30)).into_bytes(),
        format!("GET /path/{token} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes(),
        format!("GET /path/%68era_{} HTTP/1.1\r\nHost: h\r\n\r\n", &token[5..]).into_bytes(),
        format!("GET //{token} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes(),
        format!("{token}\r\n\r\n").into_bytes(),
    ]
}

#[test]
fn token_in_use_during_every_fault_stands_nowhere() {
    let stage = Stage::of(TestBroker::with_config(
        "[log]\nlevel = \"debug\"\n[calls]\nin_flight_per_token_max = 3\n",
    ));
    let broker = &stage.broker;
    let scopes = ["--allow", "* /x", "--allow", "* /body", "--allow", "* /nowhere", "--allow", "* /gone"];
    let token = broker.token_with(&[&["--name", "canary"], &scopes[..]].concat());
    let key = broker.key("raw", &["/**"]);
    let secrets = Secrets(vec![token[21..85].to_owned(), key[24..88].to_owned()]);
    let mut worker = RawWorker::join(broker.workers(), &key);
    worker.declare(&["GET /x", "POST /body", "GET /forbidden", "GET /gone"]);
    let call = |path: &str| Request::get(path).token(&token);
    let send = |bytes: &[u8]| {
        let mut caller = broker.caller();
        caller.patience(std::time::Duration::from_secs(15));
        caller.try_send(bytes);
        caller
    };

    // Heads and bodies that stall are waited for at the end.
    let head = call("/x").head_bytes();
    let mut stalled = [
        send(&head[..head.len() - 2]),
        send(&Request::new("POST", "/body").token(&token).header("Content-Length", "5").head_bytes()),
    ];
    let mut answers: Vec<Response> = Vec::new();
    for fault in faults(&token) {
        let response = send(&fault).response();
        assert!(response.status >= 400, "{response:?}");
        answers.push(response);
    }
    // What a worker does wrong with a call that has the token.
    let asked = |caller: &mut HttpConnection| caller.response();
    let (mut caller, given) = (send(&call("/x").bytes()), worker.call());
    secrets.are_not_in("a call", given.params.to_string().as_bytes());
    worker.answer_with(given.id, json!({"status": 99, "headers": []}), b"");
    answers.push(asked(&mut caller));
    let (mut caller, given) = (send(&call("/x").bytes()), worker.call());
    worker.fail(given.id, -32000, "handler_failed", "no");
    answers.push(asked(&mut caller));
    let (mut caller, _) = (send(&call("/x").header("Hera-Timeout", "20ms").bytes()), worker.call());
    answers.push(asked(&mut caller));
    let mut held: Vec<HttpConnection> =
        (0..2).map(|_| send(&Request::post("/body", "1").token(&token).bytes())).collect();
    let _held = (worker.call(), worker.call());
    answers.push(broker.ask(&call("/x")));
    worker.leave();
    answers.extend(held.iter_mut().map(asked));
    wait_until("the worker to be gone", || broker.ask(&call("/gone")).code() == "no_worker");
    answers.push(broker.ask(&call("/gone")));
    // A worker that cannot prove itself, and one that says nothing that could be read.
    let mut stranger = RawWorker::connect(broker.workers());
    stranger.send_frame(token.as_bytes(), b"");
    stranger.cut_by();
    answers.extend(stalled.iter_mut().map(HttpConnection::response));
    assert_eq!(broker.cli(["token", "revoke", "canary"]).code, 0);
    answers.push(broker.ask(&call("/x")));

    let codes: std::collections::BTreeSet<String> = answers.iter().map(Response::code).collect();
    for code in [
        "ambiguous_credentials",
        "bad_path",
        "bad_reply",
        "bad_request",
        "bad_timeout",
        "body_too_large",
        "deadline_exceeded",
        "forbidden",
        "handler_failed",
        "head_too_large",
        "http_version",
        "method_not_allowed",
        "no_worker",
        "not_found",
        "rate_limited",
        "request_timeout",
        "unauthorized",
        "uri_too_long",
        "worker_lost",
    ] {
        assert!(codes.contains(code), "{code} is not among {codes:?}");
    }
    for answer in &answers {
        secrets.are_not_in("an error", &[&answer.raw_head[..], &answer.body].concat());
    }
    broker.wait_log("the last call", |line| line.contains("unauthorized") && line.contains("/x"));
    secrets.are_not_in("the log", broker.log().lines().join("\n").as_bytes());
    secrets.are_not_in("the metrics", broker.metrics().as_bytes());
    for page in ["/v1/tokens", "/v1/keys", "/v1/workers", "/v1/endpoints", "/v1/brokers", "/readyz"] {
        let response = broker.ask_admin(Request::get(page));
        assert_eq!(response.status, 200, "{page}");
        secrets.are_not_in(page, &response.body);
    }
    for file in ["cmdline", "environ"] {
        let path = format!("/proc/{}/{file}", broker.pid());
        secrets.are_not_in(&path, &std::fs::read(&path).unwrap());
    }
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", broker.pid())).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(
        core.split_whitespace().nth(4) == Some("0"),
        "memory, with the token in it, would go to a file: {core}"
    );
    assert!(secrets.are_in_no_file_of(broker.dir()) >= 4);
}
