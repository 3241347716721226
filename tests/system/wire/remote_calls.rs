//! P-50 to P-55: a worker calls another over the session that it has.

use crate::stage::Stage;
use hera_testkit::http::Request;
use hera_testkit::{RawWorker, TestBroker, refusal};
use serde_json::{Value, json};

/// A worker that may call anything, and serves nothing.
pub(crate) fn calling(stage: &Stage) -> RawWorker {
    let key = stage.broker.calling_key("web", &[], &["* /**"]);
    RawWorker::join_calling(stage.broker.workers(), &key, 1024)
}

/// The error of a remote call, `null` where it has none.
fn ask(worker: &mut RawWorker, params: Value) -> Value {
    let id = worker.remote(params, b"");
    worker.answer_to(id).0["error"].take()
}

fn code(error: &Value) -> (&str, &str, u64) {
    let data = &error["data"];
    let text = |member: &str| data[member].as_str().unwrap_or_default();
    (text("code"), text("executed"), data["status"].as_u64().unwrap_or_default())
}

#[test]
fn what_is_known_of_the_caller_travels_on_and_the_answer_says_who_gave_it() {
    let stage = Stage::new();
    let mut users = stage.worker(&["POST /0/users/{id}"]);
    let mut web = calling(&stage);

    let id = web.remote(
        json!({
            "method": "POST", "target": "/0/users/4%32?full=1", "headers": [["x-a", "J\u{fc}"], ["accept", "*/*"]], "request_id": "r-77",
            "caller": {"token": "shop", "labels": {"team": "ads"}, "ip": "10.1.2.3"},
            "trace": {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "timeout_ms": 900, "chain": ["0123456789abcdef"],
        }),
        b"body",
    );
    let call = users.call();
    users.answer(call.id, 201, &[("content-type", "text/plain"), ("x-b", "\u{fc}")], b"made");
    let (answer, body) = web.answer_to(id);

    let params = &call.params;
    assert_eq!((params["path"].as_str(), params["query"].as_str()), (Some("/0/users/42"), Some("full=1")));
    assert_eq!(
        (params["target"].as_str(), &params["path_params"]["id"]),
        (Some("/0/users/4%32?full=1"), &json!("42"))
    );
    assert_eq!(
        params["caller"],
        json!({"token": "shop", "labels": {"team": "ads"}, "ip": "10.1.2.3", "service": "web"})
    );
    assert_eq!(
        (params["request_id"].as_str(), &params["chain"]),
        (Some("r-77"), &json!(["0123456789abcdef"]))
    );
    assert_eq!(params["trace"]["traceparent"], "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert!((1..=900).contains(&params["timeout_ms"].as_u64().unwrap()), "{params}");
    assert_eq!(
        (call.header("x-a"), call.header("accept")),
        (vec!["J\u{fc}".to_owned()], vec!["*/*".to_owned()])
    );
    assert_eq!(&call.body[..], b"body");

    let result = &answer["result"];
    assert_eq!(result["status"], 201);
    assert_eq!(result["headers"], json!([["content-type", "text/plain"], ["x-b", "\u{fc}"]]));
    assert_eq!(result["meta"]["worker"], format!("raw/1.0/{}", users.instance));
    assert_eq!((result["meta"]["attempts"].as_u64(), result["more"].as_bool()), (Some(1), None));
    assert!(result["meta"]["took_ms"]["worker"].is_number(), "{answer}");
    assert_eq!(&body[..], b"made");
    stage.stands_and_logged_once(&[
        r#""request_id":"r-77""#,
        r#""service":"web""#,
        r#""token":"shop""#,
        r#""status":201"#,
    ]);
}

#[test]
fn outside_of_a_call_the_broker_knows_the_rest() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /x"]);
    let mut web = calling(&stage);

    let id = web.remote(json!({"method": "GET", "target": "/x"}), b"");
    let call = users.call();
    users.answer(call.id, 404, &[], b"");

    assert_eq!(web.answer_to(id).0["result"]["status"], 404, "any status of a worker's is a result");
    assert_eq!(
        call.params["caller"],
        json!({"token": null, "labels": {}, "ip": "127.0.0.1", "service": "web"})
    );
    assert_eq!(
        (&call.params["chain"], call.params["request_id"].as_str().unwrap().len()),
        (&Value::Null, 36)
    );
    assert!(call.params["timeout_ms"].as_u64().unwrap() > 14_000);
}

#[test]
fn errors_of_the_broker_name_code_status_and_whether_it_was_started() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /x", "POST /small"]);
    users.declare_with(json!([{"endpoint": "GET /x"}, {"endpoint": "POST /small", "body_bytes_max": 3}]));
    let mut web = calling(&stage);
    let get = |target: &str| json!({"method": "GET", "target": target});

    let error = ask(&mut web, get("/nothing"));
    assert_eq!(code(&error), ("not_found", "no", 404));
    assert!(error["data"]["request_id"].as_str().is_some_and(|id| !id.is_empty()), "{error}");
    let error = ask(&mut web, json!({"method": "PUT", "target": "/x"}));
    assert_eq!(
        (code(&error), &error["data"]["allow"]),
        (("method_not_allowed", "no", 405), &json!("GET, HEAD"))
    );
    assert_eq!(code(&ask(&mut web, get("/a/../x"))), ("bad_path", "no", 400));
    assert_eq!(
        code(&ask(&mut web, json!({"method": "GET", "target": "/x", "headers": [["host", "h"]]}))).0,
        "bad_request"
    );
    assert_eq!(code(&ask(&mut web, json!({"target": "/x"}))).0, "invalid_params");
    assert_eq!(code(&ask(&mut web, get(&format!("/{}", "a".repeat(9000))))), ("uri_too_long", "no", 414));
    let id = web.remote(json!({"method": "POST", "target": "/small"}), b"four");
    assert_eq!(code(&web.answer_to(id).0["error"]), ("body_too_large", "no", 413));

    let id = web.remote(get("/x"), b"");
    let call = users.call();
    users.fail(call.id, -32000, "handler_failed", "secret text");
    let error = web.answer_to(id).0["error"].take();
    assert_eq!(code(&error), ("handler_failed", "maybe", 500));
    assert!(!error.to_string().contains("secret"), "{error}");

    let id = web.remote(get("/x"), b"");
    let call = users.call();
    users.answer_with(call.id, json!({"status": 99, "headers": []}), b"");
    assert_eq!(code(&web.answer_to(id).0["error"]), ("bad_reply", "maybe", 502));

    users.leave();
    stage.broker.wait_log("the worker's end", |line| line.contains("worker left"));
    let error = ask(&mut web, get("/x"));
    assert_eq!((code(&error), &error["data"]["retry_after"]), (("no_worker", "no", 503), &json!(1)));
    stage.canary.must_answer();
}

#[test]
fn scopes_are_the_keys_and_the_refusal_names_the_command_that_allows_it() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /0/users/{id}"]);
    let key = stage.broker.calling_key("web", &[], &["GET /other/**"]);
    let mut web = RawWorker::join_calling(stage.broker.workers(), &key, 1024);
    let params = json!({"method": "GET", "target": "/0/users/1"});

    let error = ask(&mut web, params.clone());
    let text = error["message"].as_str().unwrap().to_owned();
    let command = text.split("allows it with: ").nth(1).unwrap().to_owned();
    let words: Vec<&str> = command
        .trim_start_matches("hera ")
        .split('\'')
        .flat_map(|part| if part.starts_with("GET") { vec![part] } else { part.split_whitespace().collect() })
        .collect();
    let verdict = stage.broker.cli(&words);

    assert_eq!(code(&error), ("forbidden", "no", 403));
    assert_eq!(command, "hera key update web --call 'GET /other/**' --call 'GET /0/users/1'");
    assert_eq!(verdict.code, 0, "{}", verdict.stderr);
    let id = web.remote(params, b"");
    let call = users.call();
    users.answer(call.id, 200, &[], b"now");
    assert_eq!(web.answer_to(id).0["result"]["status"], 200);
}

#[test]
fn call_within_itself_and_one_too_deep_are_refused_by_name() {
    let stage = Stage::new();
    let _users = stage.worker(&["GET /0/a"]);
    let mut web = calling(&stage);
    let own = hera_protocol::message::remote::name("GET", "/0/a", Some("x=1"));
    let with = |chain: Vec<String>| json!({"method": "GET", "target": "/0/%61?x=1", "chain": chain});

    assert_eq!(code(&ask(&mut web, with(vec!["0".repeat(16), own]))), ("call_cycle", "no", 508));
    assert_eq!(code(&ask(&mut web, with(vec!["0".repeat(16); 32]))), ("call_too_deep", "no", 508));
    assert_eq!(code(&ask(&mut web, with(vec!["x".repeat(16)]))).0, "invalid_params");
}

#[test]
fn call_that_nobody_waits_for_is_cancelled_at_the_worker_that_has_it() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /x"]);
    let mut web = calling(&stage);

    let id = web.remote(json!({"method": "GET", "target": "/x"}), b"");
    let call = users.call();
    web.notify("cancel", json!({"id": id, "remote": true}), b"");
    assert_eq!(users.notified("cancel").0["id"], call.id);

    let id = web.remote(json!({"method": "GET", "target": "/x", "timeout_ms": 150}), b"");
    let call = users.call();
    assert_eq!(code(&web.answer_to(id).0["error"]), ("deadline_exceeded", "maybe", 504));
    assert_eq!(users.notified("cancel").0["id"], call.id);

    web.remote(json!({"method": "GET", "target": "/x"}), b"");
    let call = users.call();
    web.leave();
    assert_eq!(users.notified("cancel").0["id"], call.id);
    stage.canary.must_answer();
}

#[test]
fn lost_worker_is_told_apart_and_an_idempotent_call_goes_to_another() {
    let stage = Stage::new();
    let key = stage.broker.key("raw", &["/**"]);
    let join = || {
        let mut worker = RawWorker::join(stage.broker.workers(), &key);
        worker.declare(&["GET /x", "POST /x"]);
        worker
    };
    let mut first = join();
    let mut web = calling(&stage);
    let id = web.remote(json!({"method": "POST", "target": "/x"}), b"");
    first.call();
    first.leave();
    assert_eq!(code(&web.answer_to(id).0["error"]), ("worker_lost", "maybe", 502));

    let mut first = join();
    let id = web.remote(json!({"method": "GET", "target": "/x"}), b"");
    first.call();
    let mut second = join();
    first.leave();
    let call = second.call();
    second.answer(call.id, 200, &[], b"");
    let (answer, _) = web.answer_to(id);
    assert_eq!(answer["result"]["meta"]["attempts"], 2, "{answer}");
}

#[test]
fn answers_without_a_body_have_none() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /x"]);
    let mut web = calling(&stage);

    let id = web.remote(json!({"method": "GET", "target": "/x"}), b"");
    let call = users.call();
    users.answer(call.id, 204, &[], b"ignored");
    let (answer, body) = web.answer_to(id);
    assert_eq!((answer["result"]["status"].as_u64(), body.len()), (Some(204), 0));

    let id = web.remote(json!({"method": "HEAD", "target": "/x"}), b"");
    let call = users.call();
    users.answer(call.id, 200, &[("content-length", "7")], b"");
    let (answer, body) = web.answer_to(id);
    assert_eq!((&answer["result"]["headers"], body.len()), (&json!([["content-length", "7"]]), 0));
}

#[test]
fn calls_of_a_session_are_bounded_and_each_needs_an_id_of_its_own() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /x"]);
    let key = stage.broker.calling_key("web", &[], &["* /**"]);
    let mut web = RawWorker::join_calling(stage.broker.workers(), &key, 3);
    let params = json!({"method": "GET", "target": "/x"});
    let ids: Vec<u64> = (0..3).map(|_| web.remote(params.clone(), b"")).collect();
    let calls: Vec<u64> = (0..3).map(|_| users.call().id).collect();

    let error = ask(&mut web, params.clone());
    assert_eq!(code(&error), ("overloaded", "no", 503));
    web.send_json(&json!({"jsonrpc": "2.0", "id": ids[0], "method": "call", "params": params}), b"");
    assert_eq!(refusal(&web.answer_to(ids[0]).0), "invalid_request");

    calls.iter().for_each(|id| users.answer(*id, 200, &[], b""));
    ids[1..].iter().for_each(|id| assert_eq!(web.answer_to(*id).0["result"]["status"], 200));
}

#[test]
fn worker_that_did_not_ask_for_it_has_no_such_method() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);

    let answer = worker.ask("call", json!({"method": "GET", "target": "/x"}));

    assert_eq!(refusal(&answer), "unknown_method");
}

#[test]
fn call_goes_on_while_the_broker_and_the_worker_that_calls_drain() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /x"]);
    let mut web = calling(&stage);
    let params = json!({"method": "GET", "target": "/x"});
    let before = web.remote(params.clone(), b"");
    let first = users.call();

    web.request("drain", json!({}));
    let during = web.remote(params.clone(), b"");
    let second = users.call();
    stage.broker.sigterm();
    stage.broker.wait_log("the drain", |line| line.contains("draining"));
    let late = web.remote(params, b"");
    let third = users.call();
    [first, second, third].iter().for_each(|call| users.answer(call.id, 200, &[], b""));

    for id in [before, during, late] {
        assert_eq!(web.answer_to(id).0["result"]["status"], 200);
    }
}

#[test]
fn broker_that_stops_answers_what_still_runs() {
    let broker = TestBroker::with_config("[drain]\ntimeout = \"1s\"\n").start();
    let mut users = broker.worker("raw", &["GET /x"]);
    let mut web = RawWorker::join_calling(broker.workers(), &broker.calling_key("web", &[], &["* /**"]), 8);
    let id = web.remote(json!({"method": "GET", "target": "/x"}), b"");
    users.call();

    broker.sigterm();

    assert_eq!(code(&web.answer_to(id).0["error"]), ("drain_timeout", "maybe", 502));
}

#[test]
fn remote_calls_are_measured_like_any_other() {
    let stage = Stage::new();
    let mut users = stage.worker(&["GET /x"]);
    let mut web = calling(&stage);
    let id = web.remote(json!({"method": "GET", "target": "/x"}), b"");
    let call = users.call();
    users.answer(call.id, 200, &[], b"");
    web.answer_to(id);
    let (mut caller, call) = stage.call(&mut users, Request::get("/x"));
    users.answer(call.id, 200, &[], b"");
    caller.response();

    let metrics = stage.broker.metrics();
    let line = metrics
        .lines()
        .find(|line| line.starts_with("hera_calls_total") && line.contains("GET /x") && line.contains("2xx"));
    assert!(line.is_some_and(|line| line.ends_with(" 2")), "{metrics}");
}
