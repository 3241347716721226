//! P-28 to P-31: a declaration is taken whole or refused whole, and each offender is named.

use crate::stage::Stage;
use hera_testkit::http::Request;
use hera_testkit::{RawWorker, refusal};
use serde_json::{Value, json};

/// The codes of the refused endpoints, in order.
fn codes(answer: &Value) -> Vec<&str> {
    assert_eq!(
        (refusal(answer), &answer["error"]["code"]),
        ("declaration_refused", &json!(-32020)),
        "{answer}"
    );
    let endpoints = answer["error"]["data"]["endpoints"].as_array().unwrap();
    endpoints.iter().map(|endpoint| endpoint["code"].as_str().unwrap()).collect()
}

#[test]
fn endpoint_outside_the_keys_prefixes_is_forbidden_and_the_former_set_stays() {
    let stage = Stage::new();
    let mut worker = RawWorker::join(stage.broker.workers(), &stage.broker.key("mine", &["/0/mine/**"]));
    worker.declare(&["GET /0/mine/a"]);

    let answer = worker.declare_with(json!([
        {"endpoint": "GET /0/mine/b"}, {"endpoint": "GET /0/other"}, {"endpoint": "GET /0/{x}/y"}, {"endpoint": "GET /{*rest}"},
    ]));

    assert_eq!(codes(&answer), ["endpoint_forbidden"; 3]);
    let first = &answer["error"]["data"]["endpoints"][0];
    assert_eq!(first["endpoint"], "GET /0/other");
    assert!(first["message"].as_str().unwrap().contains("hera key update mine --serve"), "{first}");
    stage.stands_and_logged_once(&["declaration refused", "\"worker\":\"mine/"]);
    assert_eq!(stage.ask(Request::get("/0/mine/b")).status, 404);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/0/mine/a"));
    worker.answer(call.id, 200, &[], b"still");
    assert_eq!(caller.response().text(), "still");
}

#[test]
fn patterns_that_cannot_be_are_named_one_by_one() {
    let stage = Stage::new();
    let mut worker = RawWorker::join(stage.broker.workers(), &stage.broker.key("raw", &["/**"]));
    let long = format!("GET /{}", "a".repeat(100_000));
    let deep = format!("GET {}", "/a".repeat(65));
    let bad = [
        "GET /",
        "GET //",
        "GET /a//b",
        "GET /../x",
        "GET /a/../b",
        "GET /./x",
        "GET /a/%2e%2E/b",
        "GET /a/",
        "GET /-/ready",
        "GET /-/x",
        "GET /a\u{1}b",
        "GET /a\u{0}",
        "GET /a\r\nb",
        "GET /a%00",
        "GET /a%2Fb",
        "GET /a%5cb",
        "GET /a\\b",
        "GET /a%zz",
        "GET /a#b",
        "GET a",
        "GET ",
        "GET",
        "",
        " /a",
        "/a",
        "GET  /a",
        "get /a",
        "GE T /a",
        "GET\t/a",
        "G\u{e9}T /a",
        "GET /{a}/{a}",
        "GET /{*rest}/x",
        "GET /{}",
        "GET /{1a}",
        "GET /{a",
        "GET /x{a}",
        "GET /{a}{b}",
        "GET /{*}",
        &long,
        &deep,
    ];

    let endpoints: Vec<Value> = bad.iter().map(|endpoint| json!({ "endpoint": endpoint })).collect();
    let answer = worker.declare_with(json!(endpoints));

    let codes = codes(&answer);
    for (at, endpoint) in bad.iter().enumerate() {
        assert_eq!(codes.get(at), Some(&"bad_endpoint"), "{endpoint:.80?}");
    }
    assert!(answer.to_string().len() < 64 * 1024, "what is shown of an endpoint is bounded");
    stage.stands_and_logged_once(&["declaration refused", "\"worker\":\"raw/"]);
    let line = stage.broker.log().matching(|line| line.contains("declaration refused")).remove(0);
    assert!(line.len() < 2000 && !line.contains('\u{1b}'), "{line}");
    worker.declare(&["GET /good"]);
}

#[test]
fn limits_that_cannot_be_are_named() {
    let stage = Stage::new();
    let mut worker = RawWorker::join(stage.broker.workers(), &stage.broker.key("raw", &["/**"]));

    let answer = worker.declare_with(json!([
        {"endpoint": "GET /a", "timeout_ms": 0},
        {"endpoint": "GET /b", "timeout_ms": 300_001},
        {"endpoint": "GET /c", "concurrency": 0},
        {"endpoint": "GET /d", "idempotent": false},
        {"endpoint": "PUT /e", "idempotent": false},
        {"endpoint": "GET /f", "headers": ["X-Upper"]},
        {"endpoint": "GET /g", "body_bytes_max": 1_099_511_627_777u64},
    ]));

    assert_eq!(codes(&answer), ["bad_endpoint"; 7]);
    stage.stands_and_logged_once(&["declaration refused", "\"worker\":\"raw/"]);
}

#[test]
fn same_shape_twice_is_a_duplicate() {
    let stage = Stage::new();
    let mut worker = RawWorker::join(stage.broker.workers(), &stage.broker.key("raw", &["/**"]));

    let answer = worker.declare_with(json!([
        {"endpoint": "GET /a/{id}"}, {"endpoint": "GET /a/{name}"}, {"endpoint": "POST /a/{id}"}, {"endpoint": "GET /a/%62"}, {"endpoint": "GET /a/b"},
    ]));

    assert_eq!(codes(&answer), ["duplicate_endpoint"; 2]);
    stage.stands_and_logged_once(&["declaration refused", "\"worker\":\"raw/"]);
}

#[test]
fn thousand_endpoints_are_accepted_and_one_more_is_not() {
    let stage = Stage::new();
    let mut worker = RawWorker::join(stage.broker.workers(), &stage.broker.key("raw", &["/**"]));
    let many =
        |count: usize| (0..count).map(|n| json!({"endpoint": format!("GET /m/{n}")})).collect::<Vec<_>>();

    let answer = worker.declare_with(json!(many(1001)));
    assert_eq!(codes(&answer), ["too_many_endpoints"]);
    stage.stands_and_logged_once(&["declaration refused", "\"worker\":\"raw/"]);

    let answer = worker.declare_with(json!(many(1000)));
    assert_eq!(answer["result"]["accepted"], 1000);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/m/999"));
    worker.answer(call.id, 200, &[], b"last");
    assert_eq!(caller.response().text(), "last");
}

#[test]
fn path_of_a_mebibyte_does_not_fit_a_frame() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /a"]);
    let endpoint = format!("GET /{}", "a".repeat(1 << 20));
    let head = json!({"jsonrpc": "2.0", "id": 9, "method": "declare", "params": {"endpoints": [{"endpoint": endpoint}]}});

    // The broker does not read on, so not all of it may go out.
    worker.try_send(&hera_testkit::frame_bytes(head.to_string().as_bytes(), b""));

    assert_eq!(worker.cut(), ["frame_too_large"]);
    stage.stands_and_logged_once(&["session cut", "\"code\":\"frame_too_large\""]);
}

#[test]
fn params_of_another_form_are_invalid() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /a"]);

    for params in [
        json!({}),
        json!({"endpoints": "GET /a"}),
        json!({"endpoints": ["GET /a"]}),
        json!({"endpoints": [{"endpoint": 1}]}),
        json!({"endpoints": [{"endpoint": "GET /a", "timeout_ms": -1}]}),
        json!([[{"endpoint": "GET /a"}]]),
    ] {
        let answer = worker.ask("declare", params.clone());
        assert_eq!(refusal(&answer), "invalid_params", "{params}");
    }

    stage.canary.must_answer();
    worker.declare(&["GET /b"]);
}

#[test]
fn unknown_members_of_a_declaration_are_ignored() {
    let stage = Stage::new();
    let mut worker = RawWorker::join(stage.broker.workers(), &stage.broker.key("raw", &["/**"]));

    let endpoints = json!([{"endpoint": "GET /a", "colour": "red", "cache": {"seconds": 5}}]);
    let answer = worker.ask("declare", json!({"endpoints": endpoints, "later": null}));

    assert_eq!(answer["result"]["accepted"], 1);
}

#[test]
fn declaration_replaces_the_whole_set() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /a", "GET /b"]);

    worker.declare(&["GET /b", "GET /c"]);

    // Known, and served by nobody any more.
    assert_eq!(stage.ask(Request::get("/a")).code(), "no_worker");
    let (mut caller, call) = stage.call(&mut worker, Request::get("/c"));
    worker.answer(call.id, 200, &[], b"c");
    assert_eq!(caller.response().text(), "c");
}
