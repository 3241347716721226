//! What stands on every answer, and the wrapped form.

use crate::stage::Stage;
use hera_testkit::Reply;
use hera_testkit::http::{Request, Response};
use serde_json::json;

const WRAPPED: &str = "application/vnd.hera+json";

/// The milliseconds of `Server-Timing`, by name.
fn timing(response: &Response) -> Vec<(String, f64)> {
    let parts = response.header("server-timing").unwrap().split(", ");
    parts
        .map(|part| {
            part.split_once(";dur=").map(|(name, ms)| (name.to_owned(), ms.parse().unwrap())).unwrap()
        })
        .collect()
}

#[test]
fn every_answer_says_who_gave_it_and_where_its_time_went() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let instance = worker.instance.clone();
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
    worker.answer(call.id, 200, &[], b"");
    let good = caller.response();
    let bad = stage.ask(Request::get("/nowhere"));
    let stranger = stage.broker.ask(&Request::get("/x"));

    assert_eq!(good.header("hera-worker"), Some(format!("raw/1.0/{instance}").as_str()));
    assert_eq!(bad.header("hera-worker"), None);
    for response in [&good, &bad, &stranger] {
        assert_eq!(response.header("hera-broker"), Some(stage.broker.id()));
        assert!(response.header("x-request-id").is_some() && response.header("date").is_some());
        let timing = timing(response);
        let names: Vec<&str> = timing.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["auth", "queue", "worker", "bus"]);
        assert!(timing.iter().all(|(_, ms)| (0.0..10_000.0).contains(ms)), "{timing:?}");
    }
}

#[test]
fn problems_are_rfc_9457_and_name_themselves_everywhere_alike() {
    let stage = Stage::new();
    let response = stage.ask(Request::get("/nowhere"));
    let problem = response.json();
    assert_eq!(
        (&problem["status"], &problem["code"], &problem["executed"]),
        (&json!(404), &json!("not_found"), &json!("no"))
    );
    assert_eq!(problem["request_id"], response.header("x-request-id").unwrap());
    for member in ["type", "title", "detail", "retry_safe"] {
        assert!(problem[member].is_string(), "{member}");
    }
    let proxy = response.header("proxy-status").unwrap();
    assert!(proxy.starts_with("hera; error=") && proxy.contains("not_found"), "{proxy}");
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

#[test]
fn json_results_are_wrapped_for_those_who_ask() {
    let stage = Stage::new();
    let _worker = stage.worker(&["GET /{kind}"]).serve(|call| {
        let kind = call.params["path_params"]["kind"].as_str().unwrap();
        let (status, body, content_type) = match kind {
            "json" => (200, r#"{"a": [1, 2.50, "é"]}"#, "application/json; charset=utf-8"),
            "problem" => (422, r#"{"why":"because"}"#, "application/problem+json"),
            "null" => (200, "null", "application/json"),
            "text" => (200, "{}", "text/plain"),
            "broken" => (200, "{not json", "application/json"),
            _ => (200, "", "application/json"),
        };
        Reply::ok(body).status(status).header("content-type", content_type).header("x-own", "1")
    });
    let ask = |kind: &str| {
        stage.ask(Request::get(&format!("/{kind}")).header("Accept", format!("text/html, {WRAPPED};q=0.9")))
    };

    for (kind, status, data) in [
        ("json", 200, json!({"a": [1, 2.5, "é"]})),
        ("problem", 422, json!({"why": "because"})),
        ("null", 200, json!(null)),
    ] {
        let response = ask(kind);
        assert_eq!((response.status, response.header("content-type")), (status, Some(WRAPPED)), "{kind}");
        assert_eq!((response.header("x-own"), response.all("content-type").len()), (Some("1"), 1));
        let body = response.json();
        assert_eq!(body["data"], data, "{kind}");
        let meta = &body["meta"];
        assert_eq!(meta["request_id"], response.header("x-request-id").unwrap());
        assert_eq!((&meta["broker"], &meta["attempts"]), (&json!(stage.broker.id()), &json!(1)));
        assert_eq!(meta["worker"], response.header("hera-worker").unwrap());
        assert!(meta["took_ms"].is_object(), "{meta}");
    }
    assert!(
        String::from_utf8(ask("json").body).unwrap().contains("2.50"),
        "the data stands as the worker wrote it"
    );
    for (kind, body) in [("text", "{}"), ("broken", "{not json"), ("empty", "")] {
        let response = ask(kind);
        assert_eq!((response.status, response.text()), (200, body), "{kind}");
        assert_ne!(response.header("content-type"), Some(WRAPPED));
    }
    assert_eq!(stage.ask(Request::get("/json")).text(), r#"{"a": [1, 2.50, "é"]}"#);
}

#[test]
fn errors_of_the_broker_are_never_wrapped() {
    let stage = Stage::new();
    let response = stage.ask(Request::get("/nowhere").header("Accept", WRAPPED));
    assert_eq!(response.code(), "not_found");
    assert!(response.json().get("meta").is_none());
}
