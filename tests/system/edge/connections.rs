//! One connection after the other, and many requests on one.

use crate::stage::Stage;
use hera_testkit::http::{Request, chunked};

#[test]
fn pipelined_requests_are_answered_in_order() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /p/{n}", "POST /p/{n}"]);
    let mut caller = stage.broker.caller();
    let requests = (0..30).flat_map(|n| match n % 3 {
        0 => Request::get(&format!("/p/{n}")).token(&stage.token).bytes(),
        1 => Request::post(&format!("/p/{n}"), vec![b'x'; n]).token(&stage.token).bytes(),
        _ => Request::get(&format!("/nowhere/{n}")).token(&stage.token).bytes(),
    });

    caller.send(&requests.collect::<Vec<u8>>());

    for n in 0..30 {
        let response = caller.response();
        match n % 3 {
            2 => assert_eq!((response.status, response.code().as_str()), (404, "not_found")),
            _ => assert_eq!(response.json()["params"]["path_params"]["n"], n.to_string()),
        }
    }
}

#[test]
fn connection_goes_on_after_an_early_error_with_a_small_body() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    for size in [0, 1, 1000, 65_536] {
        let mut caller = stage.send(Request::post("/nowhere", vec![b'G'; size]));
        let response = caller.response();
        assert_eq!((response.status, response.closes()), (404, false), "{size}");
        caller.send(&Request::get("/x").token(&stage.token).bytes());
        assert_eq!(caller.response().status, 200, "{size}");
    }
}

#[test]
fn connection_ends_after_an_early_error_with_a_large_body() {
    let stage = Stage::new();
    for size in [65_537, 3_000_000] {
        let mut caller = stage.broker.caller();
        // The broker need not take all of it.
        caller.try_send(&Request::post("/nowhere", vec![b'G'; size]).token(&stage.token).bytes());
        let response = caller.response();
        assert_eq!(
            (response.status, response.code().as_str(), response.closes()),
            (404, "not_found", true),
            "{size}"
        );
        assert!(caller.is_closed());
    }
}

#[test]
fn bytes_of_an_unread_body_are_no_request() {
    let stage = Stage::new();
    let worker = stage.mirror(&["GET /smuggled"]);
    let smuggled = Request::get("/smuggled").token(&stage.token).bytes();

    let mut caller = stage.broker.caller();
    caller.send(&Request::post("/nowhere", smuggled.clone()).token(&stage.token).bytes());
    assert_eq!(caller.response().status, 404);
    caller.send(&Request::post("/x", smuggled).bytes());
    assert_eq!(caller.response().status, 401);

    assert_eq!(worker.calls(), 0);
    caller.finish();
    assert!(caller.is_closed());
}

#[test]
fn early_refusal_of_any_kind_leaves_no_byte_of_its_body_behind() {
    let stage = Stage::new();
    let worker = stage.worker(&["GET /smuggled", "POST /tiny"]);
    let narrow = stage.broker.token(&["GET /smuggled"]);
    let mut worker = worker;
    worker.declare_with(
        serde_json::json!([{"endpoint": "GET /smuggled"}, {"endpoint": "POST /tiny", "body_bytes_max": 10}]),
    );
    let worker = worker.serve(|_| hera_testkit::Reply::ok("smuggled"));
    let smuggled = Request::get("/smuggled").token(&stage.token).bytes();
    let long = [vec![b'G'; 70_000], smuggled.clone()].concat();
    let cases = [
        (401, Request::new("POST", "/tiny")),
        (403, Request::new("POST", "/tiny").token(&narrow)),
        (404, Request::new("POST", "/nowhere").token(&stage.token)),
        (405, Request::new("PUT", "/tiny").token(&stage.token)),
        (413, Request::new("POST", "/tiny").token(&stage.token)),
        (400, Request::new("POST", "/tiny").token(&stage.token).header("Hera-Timeout", "soon")),
    ];
    for (status, request) in cases {
        for body in [&smuggled, &long] {
            for in_chunks in [false, true] {
                let mut caller = stage.broker.caller();
                let bytes = if in_chunks {
                    let head = request.clone().header("Transfer-Encoding", "chunked").head_bytes();
                    [head, chunked(body, 50)].concat()
                } else {
                    request.clone().body(body.clone()).bytes()
                };
                caller.try_send(&bytes);
                assert_eq!(caller.response().status, status, "{request:?}");
                if caller.try_send(&Request::get("/smuggled").token("canary").bytes()) {
                    // Either it is the next request, with its own answer, or the connection ended.
                    let next = caller.try_response("GET");
                    assert!(next.is_none_or(|response| response.status == 401), "{status} {in_chunks}");
                }
            }
        }
    }
    assert_eq!(worker.calls(), 0);
}

#[test]
fn bytes_behind_an_upgrade_are_the_next_request() {
    let stage = Stage::new();
    let worker = stage.mirror(&["GET /x", "GET /behind"]);
    for upgrade in ["websocket", "h2c", "TLS/1.0", "foo/2"] {
        let request = Request::get("/x")
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("Upgrade", upgrade)
            .header("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA");
        let behind = Request::get("/behind").token(&stage.token).bytes();
        let (calls, mut caller) = (worker.calls(), stage.broker.caller());

        caller.send(&[request.token(&stage.token).bytes(), behind].concat());

        let first = caller.response();
        assert_eq!((first.status, first.header("upgrade")), (200, None), "{upgrade}");
        assert!(!first.text().to_lowercase().contains("http2-settings"), "{}", first.text());
        assert_eq!(caller.response().json()["params"]["path"], "/behind");
        assert_eq!(worker.calls(), calls + 2);
    }
    // What is no request is refused: nothing passes through.
    let mut caller = stage.broker.caller();
    let request = Request::get("/x").header("Connection", "Upgrade").header("Upgrade", "websocket");
    caller.send(&[request.token(&stage.token).bytes(), b"\x81\x85frame".to_vec(), vec![0; 100]].concat());
    assert_eq!(caller.response().status, 200);
    assert_eq!(caller.response().status, 400);
    assert!(caller.is_closed());
}

#[test]
fn bytes_behind_an_expectation_are_its_body_and_then_the_next_request() {
    let stage = Stage::new();
    let worker = stage.mirror(&["POST /x", "GET /smuggled"]);
    let smuggled = Request::get("/smuggled").token(&stage.token).bytes();
    let head = Request::new("POST", "/x").header("Expect", "100-continue");
    let head = |token: &str| head.clone().token(token).header("Content-Length", smuggled.len().to_string());

    // Sent without waiting: the body is the body, and one request is behind it.
    let mut caller = stage.broker.caller();
    caller.send(&[head(&stage.token).head_bytes(), smuggled.clone(), smuggled.clone()].concat());
    assert_eq!(caller.response().status, 100);
    assert_eq!(caller.response().json()["body_bytes"], smuggled.len());
    assert_eq!(caller.response().json()["params"]["path"], "/smuggled");
    assert_eq!(worker.calls(), 2);

    // Refused: nobody knows whether what follows is the body, so nothing of it is read.
    let mut caller = stage.broker.caller();
    caller.send(&[head("wrong").head_bytes(), smuggled.clone(), smuggled.clone()].concat());
    let response = caller.response();
    assert_eq!((response.status, response.closes()), (401, true));
    assert!(caller.is_closed());
    assert_eq!(worker.calls(), 2);
}

#[test]
fn connection_ends_when_the_caller_says_so() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let mut caller = stage.send(Request::get("/x").header("Connection", "close"));
    assert!(caller.response().closes());
    assert!(caller.is_closed());
}

#[test]
fn old_http_is_answered_and_closed_unless_it_asks_otherwise() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let head = |more: &str| {
        format!("GET /x HTTP/1.0\r\nHost: h\r\nHera-Token: {}\r\n{more}\r\n", stage.token).into_bytes()
    };

    let mut caller = stage.broker.caller();
    caller.send(&head(""));
    let response = caller.response();
    assert_eq!((response.status, response.is_whole), (200, true));
    assert!(caller.is_closed());

    let mut caller = stage.broker.caller();
    for _ in 0..2 {
        caller.send(&head("Connection: keep-alive\r\n"));
        let response = caller.response();
        assert_eq!((response.status, response.header("connection")), (200, Some("keep-alive")));
    }
}

#[test]
fn streamed_answer_to_old_http_ends_with_the_connection() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let mut caller = stage.broker.caller();
    caller.send(
        format!(
            "GET /x HTTP/1.0\r\nHost: h\r\nHera-Token: {}\r\nConnection: keep-alive\r\n\r\n",
            stage.token
        )
        .as_bytes(),
    );
    let call = worker.call();

    worker.answer_with(call.id, serde_json::json!({"status": 200, "headers": [], "more": true}), b"begin ");
    worker.notify("chunk", serde_json::json!({"id": call.id, "body": "reply"}), b"end");
    worker.notify("end", serde_json::json!({"id": call.id, "body": "reply"}), b"");

    let response = caller.response();
    assert_eq!((response.text(), response.header("transfer-encoding")), ("begin end", None));
}

#[test]
fn caller_that_leaves_is_noticed_at_once() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (caller, call) = stage.call(&mut worker, Request::get("/x"));
    drop(caller);
    assert_eq!(worker.notified("cancel").0["id"], call.id);
}

#[test]
fn own_pages_are_ready_and_nothing_else() {
    let stage = Stage::new();
    hera_testkit::wait_until("readiness", || stage.broker.ask(&Request::get("/-/ready")).status == 200);
    for path in ["/-/metrics", "/-/", "/-", "/-/ready/x", "/metrics", "/v1/tokens", "/healthz"] {
        let response = stage.broker.ask(&Request::get(path));
        assert!(matches!(response.status, 401 | 404), "{path}: {response:?}");
    }
    assert_eq!(stage.ask(Request::get("/metrics")).status, 404);
    // Not with the admin token either, which is no token here.
    let admin = std::fs::read_to_string(stage.broker.data_dir().join("admin.token")).unwrap();
    for method in ["GET", "POST", "DELETE"] {
        for path in ["/v1/tokens", "/metrics", "/healthz", "/"] {
            let bearer = format!("Bearer {}", admin.trim());
            let request = Request::new(method, path).header("Authorization", bearer);
            assert_eq!(stage.broker.ask(&request).status, 401, "{method} {path}");
            assert_eq!(stage.broker.ask(&request.token(&stage.token)).status, 404, "{method} {path}");
        }
    }
}
