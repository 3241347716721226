//! Every kind of answer that a broker makes, before the eyes of REDbot's linter.

use crate::stage::Stage;
use hera_testkit::http::{HttpConnection, Request, Response};
use hera_testkit::{RawWorker, TestBroker, wait_until};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Notes that stay, each with its reason.
const KEPT: [(&str, &str); 4] = [
    ("STATUS_BAD_REQUEST", "says what a 400 says: the request of the case is bad"),
    ("STATUS_URI_TOO_LONG", "says what a 414 says: the target of the case is too long"),
    ("STATUS_VERSION_NOT_SUPPORTED", "says what a 505 says: the version of the case is none of ours"),
    (
        "FRESHNESS_HEURISTIC",
        "whether and how long an answer may be kept is its worker's to say; the broker's own say no-store",
    ),
];

/// Answers of a worker's that say nothing of caches.
const WORKERS: [&str; 9] =
    ["JSON", "wrapped", "text", "nothing", "close", "moved", "in chunks", "with a length", "created"];

#[derive(Serialize)]
struct Linted {
    name: String,
    /// Unix seconds when it came, for what is told from its date.
    at: u64,
    request: String,
    head: String,
    body: String,
}

#[derive(Debug, Deserialize)]
struct Note {
    name: String,
    level: String,
    note: String,
    summary: String,
}

/// The answers so far.
#[derive(Default)]
struct Answers(Vec<Linted>);

impl Answers {
    fn add(&mut self, name: &str, status: u16, request: &[u8], response: &Response) {
        assert_eq!(response.status, status, "{name}: {response:?}");
        assert!(response.is_whole, "{name}");
        self.0.push(Linted {
            name: format!("{status} {name}"),
            at: unix_seconds(),
            request: hera_protocol::key::hex(request),
            head: hera_protocol::key::hex(&response.raw_head),
            body: hera_protocol::key::hex(&response.body),
        });
    }

    /// Sends a request and takes in its answer.
    fn ask(&mut self, name: &str, status: u16, caller: &mut HttpConnection, request: &Request) {
        caller.try_send(&request.bytes());
        let response = caller.response_to(request.method());
        self.add(name, status, &request.head_bytes(), &response);
    }
}

#[allow(clippy::disallowed_methods, reason = "what a header says of the clock is compared with the clock")]
fn unix_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// What the linter says of all of them.
fn lint(answers: &Answers) -> Vec<Note> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("lint");
    let installed = Command::new(folder.join("install.sh")).stderr(Stdio::inherit()).output().unwrap();
    assert!(installed.status.success(), "the linter cannot be installed");
    let mut linter = Command::new(String::from_utf8(installed.stdout).unwrap().trim())
        .arg(folder.join("lint.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = linter.stdin.take().unwrap();
    for answer in &answers.0 {
        writeln!(input, "{}", serde_json::to_string(answer).unwrap()).unwrap();
    }
    drop(input);
    let output = linter.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn by_workers(answers: &mut Answers, stage: &Stage) {
    let worker = stage.worker(&["* /w/{kind}"]);
    let _worker = worker.serve(|call| {
        let reply = hera_testkit::Reply::ok;
        match call.params["path_params"]["kind"].as_str().unwrap() {
            "json" => reply("{\"a\":1}").header("content-type", "application/json"),
            "text" => reply("text").header("content-type", "text/plain; charset=utf-8"),
            "empty" => reply(""),
            "created" => reply("").status(201).header("location", "/json/1"),
            "moved" => reply("").status(301).header("location", "/w/json"),
            "none" => reply("").status(204),
            "reset" => reply("").status(205),
            "same" => reply("").status(304).header("etag", "\"1\""),
            _ => reply("{\"why\":\"not so\"}").status(422).header("content-type", "application/problem+json"),
        }
    });
    let get = |path: &str| Request::get(path).token(&stage.token);
    let caller = &mut stage.broker.caller();
    answers.ask("JSON", 200, caller, &get("/w/json"));
    answers.ask("HEAD of JSON", 200, caller, &Request::new("HEAD", "/w/json").token(&stage.token));
    answers.ask("JSON, wrapped", 200, caller, &get("/w/json").header("Accept", "application/vnd.hera+json"));
    answers.ask("text", 200, caller, &get("/w/text"));
    answers.ask("nothing", 200, caller, &get("/w/empty"));
    answers.ask("created", 201, caller, &Request::post("/w/created", "{}").token(&stage.token));
    answers.ask("moved", 301, caller, &get("/w/moved"));
    answers.ask("no content", 204, caller, &get("/w/none"));
    answers.ask("reset", 205, caller, &get("/w/reset"));
    answers.ask("not modified", 304, caller, &get("/w/same").header("If-None-Match", "\"1\""));
    answers.ask("a worker's own problem", 422, caller, &get("/w/other"));
    let closing = get("/w/json").header("Connection", "close");
    answers.ask("JSON and close", 200, &mut stage.broker.caller(), &closing);
}

fn streams(answers: &mut Answers, stage: &Stage, worker: &mut RawWorker) {
    for (name, headers) in [
        ("a stream in chunks", json!([["content-type", "text/event-stream"]])),
        (
            "a stream with a length",
            json!([["content-type", "text/plain; charset=utf-8"], ["content-length", "9"]]),
        ),
    ] {
        let request = Request::get("/held").token(&stage.token);
        let mut caller = stage.send(Request::get("/held"));
        let call = worker.call();
        worker.answer_with(call.id, json!({"status": 200, "headers": headers, "more": true}), b"data:");
        worker.notify("chunk", json!({"id": call.id, "body": "reply"}), b" 1\n\n");
        worker.notify("end", json!({"id": call.id, "body": "reply"}), b"");
        answers.add(name, 200, &request.head_bytes(), &caller.response());
    }
}

/// Problems that need nothing but a request.
fn refused(answers: &mut Answers, stage: &Stage) {
    let token = &stage.token;
    let narrow = stage.broker.token(&["GET /elsewhere"]);
    let slow = stage.broker.token_with(&["--name", "slow", "--allow", "* /**", "--rate", "1/m"]);
    stage.broker.ask(&Request::get("/no/where").token(&slow));
    let get = |path: &str| Request::get(path).token(token);
    let long = get("/x").header("X", "a".repeat(20_000));
    let cases = [
        (400, "bad path", get("/a/../b")),
        (400, "bad timeout", get("/held").header("Hera-Timeout", "soon")),
        (400, "two tokens", get("/held").token(token)),
        (400, "two hosts", get("/held").header("Host", "a").header("Host", "a")),
        (401, "no token", Request::get("/held")),
        (403, "out of scope", Request::get("/held").token(&narrow)),
        (404, "no endpoint", get("/no/where")),
        (404, "no endpoint, HEAD", Request::new("HEAD", "/no/where").token(token)),
        (405, "no such method", Request::new("PUT", "/held").token(token)),
        (413, "long body", Request::new("POST", "/held").token(token).header("Content-Length", "99999999")),
        (414, "long target", get(&format!("/{}", "a".repeat(9000)))),
        (429, "over its rate", Request::get("/no/where").token(&slow)),
        (431, "long head", long),
        (404, "Hera's own, unknown", Request::get("/-/none")),
    ];
    for (status, name, request) in cases {
        answers.ask(name, status, &mut stage.broker.caller(), &request);
    }
    let head = b"GET /x HTTP/3.0\r\nHost: h\r\n\r\n";
    let mut caller = stage.broker.caller();
    caller.send(head);
    answers.add("another version", 505, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n", &caller.response());
}

/// Problems in which a worker has its part.
fn failed(answers: &mut Answers, stage: &Stage, mut worker: RawWorker) {
    let get = || Request::get("/held").token(&stage.token);
    let head = get().head_bytes();
    let answered = |worker: &mut RawWorker, answer: &dyn Fn(&mut RawWorker, u64)| {
        let mut caller = stage.send(Request::get("/held"));
        let call = worker.call();
        answer(worker, call.id);
        caller.response()
    };
    let response = answered(&mut worker, &|worker, id| worker.answer(id, 99, &[], b""));
    answers.add("bad reply", 502, &head, &response);
    let response = answered(&mut worker, &|worker, id| worker.fail(id, -32000, "handler_failed", "no"));
    answers.add("failed handler", 500, &head, &response);
    let hurried = get().header("Hera-Timeout", "30ms");
    answers.ask("past its deadline", 504, &mut stage.broker.caller(), &hurried);
    worker.call();
    let mut full: Vec<_> = (0..2).map(|_| stage.send(Request::new("POST", "/held"))).collect();
    full.iter().for_each(|_| drop(worker.call()));
    answers.ask(
        "workers are busy",
        503,
        &mut stage.broker.caller(),
        &Request::post("/held", "1").token(&stage.token),
    );
    worker.leave();
    let lost = full.remove(0).response();
    answers.add("lost worker", 502, &Request::new("POST", "/held").token(&stage.token).head_bytes(), &lost);
    wait_until("the worker to be gone", || stage.ask(Request::get("/held")).status == 503);
    answers.ask("no worker", 503, &mut stage.broker.caller(), &get());
    let proxied = get().header("Hera-Peer", "retry-425");
    answers.ask("no worker, for HAProxy", 425, &mut stage.broker.caller(), &proxied);
}

fn admin(answers: &mut Answers, stage: &Stage) {
    let token = std::fs::read_to_string(stage.broker.data_dir().join("admin.token")).unwrap();
    let with = |request: Request| request.header("Authorization", format!("Bearer {}", token.trim()));
    let json =
        |request: Request, body: &str| with(request).header("Content-Type", "application/json").body(body);
    let new = json(Request::new("POST", "/v1/tokens"), "{\"name\":\"linted\",\"allow\":[\"GET /x\"]}");
    let cases = [
        (200, "health", Request::get("/healthz")),
        (200, "health, HEAD", Request::new("HEAD", "/healthz")),
        (200, "readiness", Request::get("/readyz")),
        (200, "metrics", Request::get("/metrics")),
        (200, "tokens", with(Request::get("/v1/tokens"))),
        (200, "workers", with(Request::get("/v1/workers"))),
        (200, "endpoints", with(Request::get("/v1/endpoints"))),
        (200, "brokers", with(Request::get("/v1/brokers"))),
        (201, "a new token", new),
        (400, "no JSON", json(Request::new("POST", "/v1/tokens"), "{")),
        (400, "two hosts", Request::get("/healthz").header("Host", "a").header("Host", "a")),
        (401, "no admin token", Request::get("/v1/tokens")),
        (403, "a host that is not ours", Request::get("/healthz").header("Host", "evil.example")),
        (404, "no such page", Request::get("/nowhere")),
        (405, "no such method", Request::new("POST", "/healthz")),
        (411, "chunks", with(Request::new("POST", "/v1/tokens")).header("Transfer-Encoding", "chunked")),
        (413, "long body", with(Request::new("POST", "/v1/tokens")).header("Content-Length", "9999999")),
    ];
    for (status, name, request) in cases {
        let mut caller = HttpConnection::open(stage.broker.admin());
        answers.ask(&format!("admin: {name}"), status, &mut caller, &request);
    }
}

#[test]
fn linter_of_redbot_finds_nothing_wrong_with_any_answer() {
    let mut answers = Answers::default();
    let stage = Stage::of(TestBroker::with_config("[drain]\ntimeout = \"20s\"\n"));
    let ready = Request::get("/-/ready");
    answers.ask("young", 503, &mut stage.broker.caller(), &ready);
    let readiness = Request::get("/readyz");
    answers.ask("admin: young", 503, &mut HttpConnection::open(stage.broker.admin()), &readiness);
    // These are answered after 10 s: begun first, read last.
    let mut slow = stage.broker.caller();
    slow.patience(Duration::from_secs(15));
    let unfinished = Request::get("/slow").head_bytes();
    slow.send(&unfinished[..unfinished.len() - 2]);

    by_workers(&mut answers, &stage);
    let mut worker = stage.broker.worker("held", &[]);
    worker.declare_with(json!([{"endpoint": "GET /held"}, {"endpoint": "POST /held", "concurrency": 2}]));
    wait_until("the other worker to be gone", || stage.ask(Request::get("/w/json")).status == 503);
    streams(&mut answers, &stage, &mut worker);
    refused(&mut answers, &stage);
    failed(&mut answers, &stage, worker);
    wait_until("readiness", || stage.broker.ask(&ready).status == 200);
    answers.ask("ready", 200, &mut stage.broker.caller(), &ready);
    answers.ask("ready, HEAD", 200, &mut stage.broker.caller(), &Request::new("HEAD", "/-/ready"));
    admin(&mut answers, &stage);
    let response = slow.response();
    answers.add("unfinished head", 408, &unfinished, &response);
    let mut last = stage.broker.worker("last", &["GET /last"]);
    let (_held, _call) = stage.call(&mut last, Request::get("/last"));
    stage.broker.sigterm();
    wait_until("draining", || stage.broker.ask(&ready).status == 404);
    answers.ask("draining", 404, &mut stage.broker.caller(), &ready);

    let notes = lint(&answers);

    // What is cached is said by workers alone: everything that the broker writes by itself forbids it.
    let is_workers = |note: &Note| WORKERS.iter().any(|name| note.name.ends_with(name));
    let is_kept = |note: &&Note| {
        KEPT.iter().any(|(kept, _)| note.note == *kept)
            && (note.note != "FRESHNESS_HEURISTIC" || is_workers(note))
    };
    let wrong: Vec<String> = notes
        .iter()
        .filter(|note| !is_kept(note))
        .map(|Note { name, level, note, summary }| format!("{name}: [{level}] {note}: {summary}"))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(answers.0.len() >= 50, "{}", answers.0.len());
}
