//! Calls, answers, layers and failures.

mod support;

use hera_client::{App, BoxError, Json, Next, Problem, Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use support::{TestBroker, code};

#[tokio::test]
async fn request_carries_everything_the_broker_said() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/hello/{name}", async |req: Request| {
        Response::json(&json!({
            "method": req.method(), "path": req.path(), "target": req.target(), "query": req.query(),
            "name": req.param("name"), "none": req.param("other"), "q": req.query_param("q"),
            "pairs": req.query_pairs(), "accept": req.header("ACCEPT"),
            "cookies": req.header_values("Cookie").collect::<Vec<_>>(), "latin1": req.header("x-latin"),
            "id": req.id(), "token": req.caller().token(), "team": req.caller().label("team"), "ip": req.caller().ip(),
            "service": req.caller().service(), "trace": req.trace().map(|trace| trace.traceparent().to_owned()),
            "remaining": req.remaining().as_millis() <= 15_000 && !req.remaining().is_zero(),
        }))
    });
    let (_client, mut peer) = broker.serve(app).await;

    let more = json!({
        "method": "HEAD", "target": "/0/hello/%c3%a9?q=a+b", "path": "/0/hello/%C3%A9", "query": "q=a+b&q=2",
        "path_params": {"name": "é"}, "trace": {"traceparent": "00-1-2-01"}, "future": [1],
        "headers": [["accept", "x/y"], ["cookie", "a=1"], ["cookie", "b=2"], ["x-latin", "caf\u{e9}"]],
    });
    let (head, body) = peer.ask("GET /0/hello/{name}", more, b"").await;

    assert_eq!(head["result"]["status"], 200);
    assert_eq!(head["result"]["headers"], json!([["content-type", "application/json"]]));
    let seen: Value = serde_json::from_slice(&body).unwrap();
    let expected = json!({
        "method": "HEAD", "path": "/0/hello/%C3%A9", "target": "/0/hello/%c3%a9?q=a+b", "query": "q=a+b&q=2",
        "name": "é", "none": null, "q": "a b", "pairs": [["q", "a b"], ["q", "2"]], "accept": "x/y",
        "cookies": ["a=1", "b=2"], "latin1": "caf\u{e9}", "id": "r-1", "token": "t", "team": "ads", "ip": "192.0.2.1",
        "service": null, "trace": "00-1-2-01", "remaining": true,
    });
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn bodies_are_gathered_and_bad_json_is_the_callers_fault() {
    #[derive(Deserialize)]
    struct Item {
        name: String,
    }
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.post("/0/json", async |mut req: Request| -> Result<_, BoxError> {
        let item: Item = req.json().await?;
        assert!(!req.body().await?.is_empty(), "a gathered body is given again");
        Ok((201, Json(item.name)))
    });
    app.endpoint("POST /0/small")
        .body_bytes_max(3)
        .handle(async |mut req: Request| -> Result<_, BoxError> { Ok(Response::bytes(req.body().await?)) });
    let (_client, mut peer) = broker.serve(app).await;

    let (head, body) = peer.ask("POST /0/json", json!({}), br#"{"name":"x"}"#).await;
    assert_eq!((&head["result"]["status"], &body[..]), (&json!(201), &br#""x""#[..]));

    let (head, body) = peer.ask("POST /0/json", json!({}), b"{").await;
    assert_eq!(head["result"]["status"], 400);
    assert_eq!(head["result"]["headers"], json!([["content-type", "application/problem+json"]]));
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap()["code"], "bad_json");

    let (head, _) = peer.ask("POST /0/small", json!({}), b"abc").await;
    assert_eq!(head["result"]["status"], 200);
    let (head, _) = peer.ask("POST /0/small", json!({}), b"abcd").await;
    assert_eq!(head["result"]["status"], 413);
}

#[tokio::test]
async fn layers_run_in_order_and_see_answers_and_errors() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.layer(|req: Request, next: Next| async move {
        let response = match next.run(req).await {
            Ok(response) => response,
            Err(error) => Response::text(format!("rescued {error}")).with_status(500),
        };
        response.add_header("x-order", "outer")
    });
    app.layer(|req: Request, next: Next| async move {
        if req.query() == Some("stop") {
            return Ok(Response::text("stopped").with_status(403));
        }
        next.run(req).await.map(|response| response.add_header("x-order", "inner"))
    });
    app.get("/0/a", async |_: Request| "a");
    app.get("/0/b", async |_: Request| Err::<(), _>("no b"));
    let (_client, mut peer) = broker.serve(app).await;

    let (head, _) = peer.ask("GET /0/a", json!({}), b"").await;
    let headers = &head["result"]["headers"];
    assert_eq!((&headers[1], &headers[2]), (&json!(["x-order", "inner"]), &json!(["x-order", "outer"])));

    let (head, _) = peer.ask("GET /0/a", json!({"query": "stop"}), b"").await;
    assert_eq!(head["result"]["status"], 403);
    let (_, body) = peer.ask("GET /0/b", json!({}), b"").await;
    assert_eq!(body, "rescued no b");
}

#[tokio::test]
async fn failing_handler_costs_its_call_alone_and_tells_no_text() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/error", async |_: Request| Err::<(), BoxError>("hunter2".into()));
    app.get("/0/panic", async |req: Request| -> Response { panic!("hunter2 {}", req.id()) });
    app.get("/0/header", async |_: Request| Response::text("x").header("a", "b\r\nset-cookie: c"));
    app.get("/0/status", async |_: Request| Response::new(100));
    app.get("/0/problem", async |_: Request| Err::<(), _>(Problem::new(404, "no_item", "no such item")));
    app.get("/0/fine", async |_: Request| "fine");
    let (_client, mut peer) = broker.serve(app).await;

    for path in ["error", "panic", "header", "status"] {
        let (head, _) = peer.ask(&format!("GET /0/{path}"), json!({}), b"").await;
        assert_eq!(code(&head), "handler_failed", "{path}");
        assert!(!head.to_string().contains("hunter2"));
    }
    let (head, _) = peer.ask("GET /0/problem", json!({}), b"").await;
    assert_eq!(head["result"]["status"], 404);
    let (_, body) = peer.ask("GET /0/fine", json!({}), b"").await;
    assert_eq!(body, "fine");
    peer.until_in_flight(0).await;
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_by_its_code() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/a", async |_: Request| "a");
    let (_client, mut peer) = broker.serve(app).await;

    let (head, _) = peer.ask("GET /0/other", json!({}), b"").await;
    assert_eq!(code(&head), "unknown_method");
    let (head, _) = peer.ask("GET /0/a", json!({"timeout_ms": "soon"}), b"").await;
    assert_eq!(code(&head), "invalid_params");
    let id = peer.request("prove", json!({}), b"").await;
    assert_eq!(code(&peer.answer(id).await.0), "unknown_method");
}

#[tokio::test]
async fn call_past_its_deadline_is_not_started() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/block", async |_: Request| {
        // A handler that blocks the whole runtime, as application code does: this test's runtime has one thread.
        let until = std::time::Instant::now() + std::time::Duration::from_millis(400);
        while std::time::Instant::now() < until {
            std::hint::spin_loop();
        }
    });
    app.get("/0/a", async |_: Request| "a");
    let (_client, mut peer) = broker.serve(app).await;

    // Both are read in one turn; the second waits behind the first for longer than it has.
    let block = peer.call("GET /0/block", json!({}), b"").await;
    let late = peer.call("GET /0/a", json!({"timeout_ms": 50}), b"").await;
    let (head, _) = peer.answer(block).await;
    assert_eq!(head["result"]["status"], 204);
    let (head, _) = peer.answer(late).await;

    assert_eq!(code(&head), "past_deadline");
    let (head, _) = peer.ask("GET /0/a", json!({"timeout_ms": 0}), b"").await;
    assert_eq!(code(&head), "past_deadline");
}

#[tokio::test]
async fn cancel_drops_the_handler_and_nothing_more_is_said() {
    let broker = TestBroker::start().await;
    let (dropped, mut was_dropped) = tokio::sync::mpsc::unbounded_channel();
    let (cancelled, mut was_cancelled) = tokio::sync::mpsc::unbounded_channel();
    let mut app = App::with(broker.options());
    app.get("/0/wait", move |req: Request| {
        let (dropped, cancelled) = (dropped.clone(), cancelled.clone());
        async move {
            struct OnDrop(tokio::sync::mpsc::UnboundedSender<()>);
            impl Drop for OnDrop {
                fn drop(&mut self) {
                    let _ = self.0.send(());
                }
            }
            let _guard = OnDrop(dropped);
            let watch = req.cancelled();
            tokio::spawn(async move {
                watch.await;
                let _ = cancelled.send(());
            });
            std::future::pending::<()>().await;
        }
    });
    let (_client, mut peer) = broker.serve(app).await;

    let id = peer.call("GET /0/wait", json!({}), b"").await;
    peer.until_in_flight(1).await;
    peer.notify("cancel", json!({"id": id}), b"").await;
    peer.notify("cancel", json!({"id": 999}), b"").await;

    assert_eq!(support::soon("the drop", was_dropped.recv()).await, Some(()));
    assert_eq!(support::soon("the token", was_cancelled.recv()).await, Some(()));
    peer.until_in_flight(0).await;
}

#[tokio::test]
async fn call_cancelled_in_the_turn_of_its_arrival_is_never_started() {
    let broker = TestBroker::start().await;
    let (started, mut was_started) = tokio::sync::mpsc::unbounded_channel();
    let mut app = App::with(broker.options());
    app.get("/0/a/{n}", move |req: Request| {
        let _ = started.send(req.param("n").map(str::to_owned));
        async { "a" }
    });
    let (_client, mut peer) = broker.serve(app).await;

    let frame = |head: Value| support::Peer::bytes(head.to_string().as_bytes(), b"").to_vec();
    let call = |id: u64, n: &str| {
        let params = support::call_params("GET /0/a/{n}", json!({"path_params": {"n": n}}));
        frame(json!({"jsonrpc": "2.0", "id": id, "method": "GET /0/a/{n}", "params": params}))
    };
    let cancel = frame(json!({"jsonrpc": "2.0", "method": "cancel", "params": {"id": 50}}));
    peer.write_bytes(&[call(50, "cancelled"), cancel, call(51, "kept")].concat()).await;

    peer.answer(51).await;
    assert_eq!(was_started.recv().await, Some(Some("kept".to_owned())));
    assert!(was_started.try_recv().is_err());
}

#[tokio::test]
async fn calls_over_the_agreed_number_are_refused_as_busy() {
    let mut broker = TestBroker::start().await;
    broker.limits.in_flight_max = 2;
    let mut app = App::with(broker.options());
    app.get("/0/wait", async |_: Request| std::future::pending::<()>().await);
    let (_client, mut peer) = broker.serve(app).await;

    let first = peer.call("GET /0/wait", json!({}), b"").await;
    peer.call("GET /0/wait", json!({}), b"").await;
    let (head, _) = peer.ask("GET /0/wait", json!({}), b"").await;
    assert_eq!(code(&head), "busy");

    peer.notify("cancel", json!({"id": first}), b"").await;
    let again = peer.call("GET /0/wait", json!({}), b"").await;
    peer.until_in_flight(2).await;
    peer.notify("cancel", json!({"id": again}), b"").await;
    peer.until_in_flight(1).await;
}

#[tokio::test]
async fn status_and_ping_are_answered_while_handlers_run() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/wait", async |_: Request| std::future::pending::<()>().await);
    let (_client, mut peer) = broker.serve(app).await;
    peer.call("GET /0/wait", json!({}), b"").await;

    peer.ping().await;
    let id = peer.request("status", json!({}), b"").await;
    let (head, _) = peer.answer(id).await;

    let load = &head["result"];
    assert_eq!(load["in_flight"], 1.0);
    assert!(load["delay_ms"].as_f64().unwrap() >= 0.0);
    assert!(load["rss_bytes"].as_f64().unwrap() < load["rss_limit_bytes"].as_f64().unwrap());
}
