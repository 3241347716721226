//! Routes: what is known, what is served here, and what is neither.

use crate::stage::{Stage, says};
use hera_testkit::http::Request;
use hera_testkit::wait_until;
use serde_json::json;

#[test]
fn path_without_endpoint_is_not_found_and_a_wrong_method_names_the_right_ones() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /a", "PUT /a", "DELETE /{any}"]);

    assert_eq!(says(&stage.ask(Request::get("/a/b"))), (404, "not_found".into(), Some("no")));
    let response = stage.ask(Request::post("/a", "{}"));

    assert_eq!(says(&response), (405, "method_not_allowed".into(), Some("no")));
    let mut allow: Vec<&str> = response.header("allow").unwrap().split(", ").collect();
    allow.sort_unstable();
    assert_eq!(allow, ["DELETE", "GET", "HEAD", "PUT"]);
}

#[test]
fn known_route_without_worker_is_503_and_survives_a_restart() {
    let mut stage = Stage::new();
    let worker = stage.mirror(&["GET /a/{id}"]);
    assert_eq!(stage.ask(Request::get("/a/1")).status, 200);
    drop(worker);
    wait_until("the worker to be gone", || stage.ask(Request::get("/a/1")).status == 503);

    let before = stage.ask(Request::get("/a/1"));
    stage.broker.sigterm();
    assert_eq!(stage.broker.wait_exit(), 0);
    stage.broker.restart();
    let after = stage.ask(Request::get("/a/1"));

    for response in [before, after] {
        assert_eq!(says(&response), (503, "no_worker".into(), Some("no")));
        assert!(response.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    }
    assert_eq!(stage.ask(Request::post("/a/1", "")).code(), "method_not_allowed");
    assert_eq!(stage.ask(Request::get("/b")).code(), "not_found");
}

#[test]
fn catalogue_survives_a_broker_that_was_killed() {
    let mut stage = Stage::new();
    let _worker = stage.mirror(&["GET /a"]);
    assert_eq!(stage.ask(Request::get("/a")).status, 200);
    wait_until("the catalogue to be written", || {
        let verdict = stage.broker.cli_on_files(["endpoints", "--json"]);
        verdict.stdout.contains("GET /a")
    });

    stage.broker.kill();
    stage.broker.restart();

    assert_eq!(stage.ask(Request::get("/a")).code(), "no_worker");
}

#[test]
fn trusted_peer_that_asks_gets_425_with_the_503_inside() {
    let stage = Stage::new();
    drop(stage.mirror(&["GET /a", "POST /a"]));
    wait_until("the worker to be gone", || stage.ask(Request::get("/a")).status == 503);

    let response = stage.ask(Request::get("/a").header("Hera-Peer", "retry-425"));

    assert_eq!(
        (response.status, response.code().as_str(), response.executed()),
        (425, "no_worker", Some("no"))
    );
    assert_eq!(response.json()["status"], 503);
    assert!(response.header("retry-after").is_some());
    // A body is not asked for first, and what is not so is not 425.
    let posted = stage.ask(Request::post("/a", "body").header("Hera-Peer", "retry-425"));
    assert_eq!((posted.status, posted.code().as_str()), (425, "no_worker"));
    assert_eq!(stage.ask(Request::get("/b").header("Hera-Peer", "retry-425")).status, 404);
    assert_eq!(stage.ask(Request::get("/a").header("Hera-Peer", "other")).status, 503);
}

#[test]
fn stranger_that_asks_for_425_gets_503() {
    let stage =
        Stage::of(hera_testkit::TestBroker::with_config("[http]\ntrusted_peers = [\"10.0.0.0/8\"]\n"));
    drop(stage.mirror(&["GET /a"]));
    wait_until("the worker to be gone", || stage.ask(Request::get("/a")).status == 503);

    assert_eq!(stage.ask(Request::get("/a").header("Hera-Peer", "retry-425")).status, 503);
}

#[test]
fn parameter_and_tail_of_independent_workers_live_side_by_side() {
    let stage = Stage::new();
    let _one = stage
        .broker
        .worker("one", &["GET /things/{id}"])
        .serve(|call| hera_testkit::Reply::ok(format!("one {}", call.params["path_params"])));
    let _rest = stage
        .broker
        .worker("rest", &["GET /things/{*rest}"])
        .serve(|call| hera_testkit::Reply::ok(format!("rest {}", call.params["path_params"])));
    let _fixed =
        stage.broker.worker("fixed", &["GET /things/all"]).serve(|_| hera_testkit::Reply::ok("fixed"));
    let text = |path: &str| stage.ask(Request::get(path)).text().to_owned();

    assert_eq!(text("/things/7"), r#"one {"id":"7"}"#);
    assert_eq!(text("/things/a%20b%C3%A9"), r#"one {"id":"a bé"}"#);
    assert_eq!(text("/things/7/parts/8"), r#"rest {"rest":"7/parts/8"}"#);
    assert_eq!(text("/things/all"), "fixed");
    assert_eq!(text("/things/all/"), "fixed");
    assert_eq!(text("/things/all/x"), r#"rest {"rest":"all/x"}"#);
    assert_eq!(stage.ask(Request::get("/things")).status, 404);
    assert_eq!(stage.ask(Request::get("/Things/7")).status, 404);
}

#[test]
fn same_shape_under_two_names_is_one_route_and_each_worker_gets_its_own_name() {
    let stage = Stage::new();
    let mut a = stage.broker.worker("a", &["GET /s/{id}"]);
    let (mut caller, call) = stage.call(&mut a, Request::get("/s/5"));
    a.answer(call.id, 200, &[], b"");
    caller.response();
    a.leave();
    let mut b = stage.broker.worker("b", &["GET /s/{name}"]);
    let (_, other) = stage.call(&mut b, Request::get("/s/5"));

    assert_eq!((call.endpoint.as_str(), &call.params["path_params"]), ("GET /s/{id}", &json!({"id": "5"})));
    assert_eq!(
        (other.endpoint.as_str(), &other.params["path_params"]),
        ("GET /s/{name}", &json!({"name": "5"}))
    );
}

#[test]
fn ambiguous_paths_are_refused_before_the_token_is_looked_at() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /{*any}"]);
    for path in [
        "/a/../b",
        "/a/./b",
        "/..",
        "/a//b",
        "//",
        "/%2e%2e/a",
        "/a/%2E",
        "/a%2fb",
        "/a%5Cb",
        "/a\\b",
        "/a%00",
        "/%c0%af",
        "/%ff",
        "/a%0ab",
        "/a%zz",
        "/a%",
        "/a%7f",
        "/a%c0%ae%c0%ae/b",
        "/a/%2e./b",
        "/a/.%2E",
        "/a%ed%a0%80",
        "/\u{e9}/..",
        "/a%2F..%2Fb",
    ] {
        let response = stage.broker.ask(&Request::get(path));
        assert_eq!(says(&response), (400, "bad_path".into(), Some("no")), "{path}");
    }
    for (path, canonical) in [
        ("/a;x=1/b+c", "/a;x=1/b+c"),
        ("/%61%2D%7e", "/a-~"),
        ("/a%c3%a9", "/a%C3%A9"),
        ("/..;x", "/..;x"),
        ("/a/b/", "/a/b"),
        ("/%252e", "/%252e"),
        ("/a/%252e%252e/b", "/a/%252e%252e/b"),
        ("/a%252fb", "/a%252fb"),
        ("/a.", "/a."),
        ("/a.../b", "/a.../b"),
        ("/a?/../b", "/a"),
        ("/a/?", "/a"),
        ("/\u{ff0e}\u{ff0e}/a", "/%EF%BC%8E%EF%BC%8E/a"),
        ("/\u{2025}/a", "/%E2%80%A5/a"),
        ("/\u{2215}a", "/%E2%88%95a"),
        ("/A/%41/a", "/A/A/a"),
    ] {
        let seen = stage.seen(Request::get(path));
        assert_eq!((&seen["params"]["path"], &seen["params"]["target"]), (&json!(canonical), &json!(path)));
    }
}

#[test]
fn scope_sees_the_same_path_as_route_and_worker() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /open/{*rest}", "GET /Open/{*rest}", "GET /admin/{*rest}"]);
    let token = stage.broker.token(&["GET /open/**"]);
    let ask = |path: &str| stage.broker.ask(&Request::get(path).token(&token));

    for path in ["/open/a", "/%6fpen/a", "/op%65n/a/", "/open/..;/admin/a", "/open/%252e%252e/admin/a"] {
        let response = ask(path);
        assert_eq!(
            (response.status, &response.json()["endpoint"]),
            (200, &json!("GET /open/{*rest}")),
            "{path}"
        );
    }
    for path in ["/admin/a", "/%61dmin/a", "/Open/a", "/open;/a", "/open%3B/a", "/open./a", "/openx/a"] {
        assert_eq!(ask(path).code(), "forbidden", "{path}");
    }
}

#[test]
fn own_prefix_is_never_routed_in_whatever_spelling() {
    let stage = Stage::new();
    let worker = stage.mirror(&["* /{*any}"]);
    for path in ["/-/x", "/-", "/%2D/x", "/%2d/ready/x", "/%2d", "/-/", "/%2D/"] {
        assert_eq!(stage.ask(Request::get(path)).status, 404, "{path}");
    }
    assert_eq!(worker.calls(), 0);
    for path in ["/-x/y", "/--/y", "/a/-/y", "/%2Dx"] {
        assert_eq!(stage.ask(Request::get(path)).status, 200, "{path}");
    }
}
