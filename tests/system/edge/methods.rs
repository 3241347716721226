//! All methods, and the query.

use crate::stage::Stage;
use hera_testkit::http::Request;
use hera_testkit::{Reply, curl};
use serde_json::json;

#[test]
fn every_method_reaches_its_own_endpoint() {
    let stage = Stage::new();
    let methods = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "X-OWN"];
    let endpoints: Vec<String> = methods.iter().map(|method| format!("{method} /m")).collect();
    let _worker = stage.mirror(&endpoints.iter().map(String::as_str).collect::<Vec<_>>());

    for method in methods {
        let seen = stage.seen(Request::new(method, "/m"));
        assert_eq!(
            (&seen["endpoint"], &seen["params"]["method"]),
            (&json!(format!("{method} /m")), &json!(method))
        );
    }
    assert_eq!(stage.ask(Request::new("get", "/m")).status, 405, "methods are case-sensitive");
}

#[test]
fn any_method_endpoint_takes_what_no_other_takes() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["* /m", "POST /m"]);
    for (method, endpoint) in [("GET", "* /m"), ("HEAD", "* /m"), ("BREW", "* /m"), ("POST", "POST /m")] {
        let mut caller = stage.send(Request::new(method, "/m"));
        let response = caller.response_to(method);
        assert_eq!(response.status, 200);
        if method != "HEAD" {
            assert_eq!(response.json()["endpoint"], endpoint);
        }
    }
}

#[test]
fn head_goes_to_get_and_has_its_length_but_no_body() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /m"]);
    let mut caller = stage.broker.caller();
    let get = Request::get("/m").token(&stage.token).bytes();

    caller.send(&get);
    let length = caller.response().body.len();
    caller.send(&Request::new("HEAD", "/m").token(&stage.token).bytes());
    let head = caller.response_to("HEAD");
    caller.send(&get);

    assert_eq!(head.status, 200);
    // "HEAD" is one byte longer than "GET", and the mirror shows it.
    assert_eq!(head.header("content-length").unwrap().parse::<usize>().unwrap(), length + 1);
    assert_eq!(caller.response().status, 200);
}

#[test]
fn length_that_a_worker_says_of_a_head_is_passed_on() {
    let stage = Stage::new();
    let worker = stage.broker.worker("sizes", &["HEAD /sized", "HEAD /open"]);
    let _worker = worker.serve(|call| match call.params["path"].as_str() {
        Some("/sized") => Reply::ok("").header("content-length", "1234"),
        _ => Reply::ok(""),
    });

    let sized = stage.send(Request::new("HEAD", "/sized")).response_to("HEAD");
    let open = stage.send(Request::new("HEAD", "/open")).response_to("HEAD");

    assert_eq!((sized.status, sized.header("content-length")), (200, Some("1234")));
    assert_eq!((open.status, open.header("content-length")), (200, None), "0 would be a claim");
}

#[test]
fn errors_have_no_body_for_head_either() {
    let stage = Stage::new();
    let mut caller = stage.send(Request::new("HEAD", "/nowhere"));
    let response = caller.response_to("HEAD");
    assert_eq!((response.status, response.executed()), (404, Some("no")));
    caller.send(&Request::new("GET", "/nowhere").token(&stage.token).bytes());
    assert_eq!(caller.response().code(), "not_found");
}

#[test]
fn query_arrives_as_it_was_sent() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /q"]);
    for (target, query) in [
        ("/q", json!(null)),
        ("/q?", json!("")),
        ("/q?a=1&a=2&b", json!("a=1&a=2&b")),
        ("/q?x=%2F%00..//?&y=+%20", json!("x=%2F%00..//?&y=+%20")),
        ("/q?__proto__[x]=1", json!("__proto__[x]=1")),
    ] {
        let seen = stage.seen(Request::get(target));
        assert_eq!((&seen["params"]["query"], &seen["params"]["target"]), (&query, &json!(target)));
    }
}

#[test]
fn absolute_form_is_taken_for_its_path() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /q"]);

    let seen = stage.seen(Request::get("http://localhost/q?a=1"));

    assert_eq!((&seen["params"]["path"], &seen["params"]["query"]), (&json!("/q"), &json!("a=1")));
    assert_eq!(stage.ask(Request::get("http://other/q")).code(), "bad_request");
}

#[test]
fn curl_speaks_with_it() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["* /m"]);
    let (url, token) = (stage.broker.url("/m?x=1"), format!("Hera-Token: {}", stage.token));
    for options in [
        &["-X", "PATCH"][..],
        &["-X", "OPTIONS"],
        &["--data", "a=b"],
        &["-X", "DELETE"],
        &["--http1.0"],
        &["-X", "BREW"],
    ] {
        let answer = curl([&[url.as_str(), "-H", &token], options].concat());
        assert_eq!((answer.exit, answer.status), (0, 200), "{options:?} {}", answer.stderr);
        assert!(answer.text().contains("\"query\":\"x=1\""), "{}", answer.text());
    }
    let answer = curl(["--head", &url, "-H", &token]);
    assert_eq!((answer.exit, answer.status), (0, 200), "{}", answer.stderr);
}
