//! Calls that a worker makes: what goes out, what comes back, and what happens when brokers go (P-50 to P-56).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod support;

use bytes::Bytes;
use hera_client::{App, BodyError, BoxError, CallError, Client, Executed, Options, Reply, Request, Response};
use serde_json::{Value, json};
use std::time::Duration;
use support::{Peer, TestBroker, soon};

/// A program that only calls, connected to two brokers.
async fn two_brokers() -> (Client, [Peer; 2]) {
    let (one, two) = (TestBroker::start().await, TestBroker::start().await);
    let urls = format!("hera://{},{}", one.address(), two.address());
    let options = Options::default().brokers(urls).secret(TestBroker::secret()).signals(false);
    let connecting = tokio::spawn(App::with(options).connect());
    let peers = [one.accept().await, two.accept().await];
    let client = connecting.await.unwrap().unwrap();
    (client, peers)
}

/// The next remote call: its id, its params, its attachment.
async fn next(peer: &mut Peer) -> (u64, Value, Bytes) {
    let (mut head, body) = peer.read_until(|head| head["method"] == "call").await;
    (head["id"].as_u64().unwrap(), head["params"].take(), body)
}

async fn reply(peer: &mut Peer, id: u64, result: Value, body: &[u8]) {
    peer.write(json!({"jsonrpc": "2.0", "id": id, "result": result}), body).await;
}

async fn refuse(peer: &mut Peer, id: u64, code: &str, executed: &str, status: u16) {
    let data = json!({"code": code, "executed": executed, "status": status, "request_id": "r-9"});
    let error = json!({"code": -32052, "message": "why", "data": data});
    peer.write(json!({"jsonrpc": "2.0", "id": id, "error": error}), b"").await;
}

fn spawn(call: hera_client::RemoteCall) -> tokio::task::JoinHandle<Result<Reply, CallError>> {
    tokio::spawn(call.into_future())
}

#[tokio::test]
async fn what_is_known_of_the_request_goes_along() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/web/{id}", async |req: Request| -> Result<_, BoxError> {
        let mut reply = req
            .call("POST /0/users/\u{e9}?a=1")
            .query([("q", "x y")])
            .header("X-A", "J\u{fc}")
            .header("Host", "left out")
            .json(&json!({"b": 2}))
            .await?;
        let (status, worker) = (reply.status(), reply.worker().to_owned());
        let c = reply.json::<Value>().await?["c"].take();
        Ok(format!("{status} {worker} {:?} {c}", reply.header("x-b")))
    });
    let (_client, mut peer) = broker.serve(app).await;
    let within = json!({
        "request_id": "r-7", "path": "/0/web/1", "query": "z", "timeout_ms": 2000, "chain": ["0123456789abcdef"],
        "caller": {"token": "shop", "labels": {"team": "ads"}, "ip": "10.0.0.9", "service": "other"},
        "trace": {"traceparent": "00-1-2-03", "tracestate": "a=b"},
    });

    let id = peer.call("GET /0/web/{id}", within, b"").await;
    let (call, params, body) = next(&mut peer).await;
    let meta = json!({"worker": "users/1/u1", "attempts": 1, "took_ms": {"worker": 1.5}});
    reply(&mut peer, call, json!({"status": 404, "headers": [["x-b", "y"]], "meta": meta}), br#"{"c":3}"#)
        .await;
    let (_, answer) = peer.answer(id).await;

    assert_eq!(answer, r#"404 users/1/u1 Some("y") 3"#);
    assert_eq!(
        (&params["method"], &params["target"]),
        (&json!("POST"), &json!("/0/users/%C3%A9?a=1&q=x%20y"))
    );
    assert_eq!(params["headers"], json!([["x-a", "J\u{fc}"], ["content-type", "application/json"]]));
    assert_eq!((&params["request_id"], &params["trace"]["tracestate"]), (&json!("r-7"), &json!("a=b")));
    assert_eq!(params["caller"], json!({"token": "shop", "labels": {"team": "ads"}, "ip": "10.0.0.9"}));
    let own = hera_protocol::message::remote::name("GET", "/0/web/1", Some("z"));
    assert_eq!(params["chain"], json!(["0123456789abcdef", own]));
    assert!((1..=2000).contains(&params["timeout_ms"].as_u64().unwrap()), "{params}");
    assert_eq!(&body[..], br#"{"b":2}"#);
}

#[tokio::test]
async fn error_of_the_broker_is_told_and_is_a_problem_where_a_handler_lets_it_pass() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/web", async |req: Request| -> Result<_, BoxError> {
        req.call("GET /0/users").await?;
        Ok("never")
    });
    let (client, mut peer) = broker.serve(app).await;

    let asked = spawn(client.call("GET /0/users"));
    let (call, params, _) = next(&mut peer).await;
    refuse(&mut peer, call, "forbidden", "no", 403).await;
    let error = asked.await.unwrap().unwrap_err();
    let id = peer.call("GET /0/web", json!({}), b"").await;
    let (call, _, _) = next(&mut peer).await;
    refuse(&mut peer, call, "workers_busy", "no", 503).await;
    let (head, body) = peer.answer(id).await;

    assert!(params["caller"].is_null() && params["request_id"].is_null(), "{params}");
    assert_eq!((error.code.as_str(), error.executed, error.status), ("forbidden", Executed::No, 403));
    assert_eq!((error.request_id.as_deref(), error.message.as_str()), (Some("r-9"), "why"));
    assert_eq!(head["result"]["status"], 503);
    assert!(body.windows(11).any(|part| part == b"call_failed"), "{body:?}");
}

#[tokio::test]
async fn calls_without_a_broker_a_path_or_time_are_refused_here() {
    let (client, peers) = two_brokers().await;

    let code = async |call: hera_client::RemoteCall| call.await.unwrap_err().code;
    assert_eq!(code(client.call("GET users")).await, "invalid_params");
    assert_eq!(code(client.call("GET /a#b")).await, "invalid_params");
    assert_eq!(code(client.call("GET /a").timeout(Duration::ZERO)).await, "deadline_exceeded");
    drop(peers);
    soon("no broker", async {
        while code(client.call("GET /a")).await != "no_broker" {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn lost_broker_is_no_loss_where_the_call_may_run_twice() {
    let (client, [mut one, mut two]) = two_brokers().await;

    let asked = spawn(client.call("GET /0/users"));
    let (first, mut second) = tokio::select! {
        _ = next(&mut one) => (one, two),
        _ = next(&mut two) => (two, one),
    };
    drop(first);
    let (call, _, _) = next(&mut second).await;
    reply(&mut second, call, json!({"status": 200, "headers": []}), b"").await;
    assert_eq!(asked.await.unwrap().unwrap().status(), 200);

    let asked = spawn(client.call("POST /0/users"));
    next(&mut second).await;
    drop(second);
    let error = asked.await.unwrap().unwrap_err();
    assert_eq!((error.code.as_str(), error.executed, error.status), ("broker_lost", Executed::Maybe, 502));
}

#[tokio::test]
async fn call_that_may_have_run_stays_so_whatever_the_next_broker_says() {
    let (client, [mut one, mut two]) = two_brokers().await;

    let asked = spawn(client.call("GET /0/users"));
    let (first, mut second) = tokio::select! {
        _ = next(&mut one) => (one, two),
        _ = next(&mut two) => (two, one),
    };
    drop(first);
    let (call, _, _) = next(&mut second).await;
    refuse(&mut second, call, "no_worker", "no", 503).await;

    let error = asked.await.unwrap().unwrap_err();
    assert_eq!((error.code.as_str(), error.executed), ("no_worker", Executed::Maybe));
}

#[tokio::test]
async fn broker_without_the_worker_is_passed_over_and_each_is_asked_once() {
    let (client, [mut one, mut two]) = two_brokers().await;
    let asked = spawn(client.call("POST /0/users"));

    let refuse_next = async |peer: &mut Peer| {
        let (call, _, _) = next(peer).await;
        refuse(peer, call, "no_worker", "no", 503).await;
    };
    tokio::join!(refuse_next(&mut one), refuse_next(&mut two));

    let error = asked.await.unwrap().unwrap_err();
    assert_eq!((error.code.as_str(), error.executed), ("no_worker", Executed::No));
}

#[tokio::test]
async fn broker_that_drains_gets_no_call_while_there_is_another() {
    let (client, [mut one, mut two]) = two_brokers().await;
    let id = one.request("drain", json!({}), b"").await;
    one.answer(id).await;

    for _ in 0..6 {
        let asked = spawn(client.call("GET /0/users"));
        let (call, _, _) = next(&mut two).await;
        reply(&mut two, call, json!({"status": 200, "headers": []}), b"").await;
        asked.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn call_that_is_dropped_and_one_without_an_answer_are_cancelled() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/web", async |req: Request| -> Result<_, BoxError> {
        req.call("GET /0/users").await?;
        Ok("never")
    });
    let (client, mut peer) = broker.serve(app).await;

    let id = peer.call("GET /0/web", json!({}), b"").await;
    let (call, _, _) = next(&mut peer).await;
    peer.notify("cancel", json!({"id": id}), b"").await;
    let (head, _) = peer.read_until(|head| head["method"] == "cancel").await;
    assert_eq!(head["params"], json!({"id": call, "remote": true}));

    let asked = spawn(client.call("GET /0/users").timeout(Duration::from_millis(50)));
    let (call, _, _) = next(&mut peer).await;
    let error = asked.await.unwrap().unwrap_err();
    let (head, _) = peer.read_until(|head| head["method"] == "cancel").await;
    assert_eq!(head["params"], json!({"id": call, "remote": true}));
    assert_eq!((error.code.as_str(), error.executed), ("deadline_exceeded", Executed::Maybe));
}

#[tokio::test]
async fn bodies_stream_both_ways_under_credit() {
    let broker = TestBroker::start().await;
    let (client, mut peer) = broker.serve(App::with(broker.options())).await;
    let asked = spawn(client.call("POST /0/users").stream(|tx| async move {
        for _ in 0..10 {
            tx.send(vec![7; 50_000]).await?;
        }
        Ok(())
    }));

    let (call, params, _) = next(&mut peer).await;
    assert_eq!(params["more"], true);
    let mut got = 0;
    peer.notify("credit", json!({"id": call, "body": "call", "bytes": 40_000, "remote": true}), b"").await;
    loop {
        let (head, bytes) = peer.read_until(|head| head["params"]["id"] == call).await;
        assert_eq!((&head["params"]["body"], &head["params"]["remote"]), (&json!("call"), &json!(true)));
        if head["method"] == "end" {
            break;
        }
        got += bytes.len();
        peer.notify("credit", json!({"id": call, "body": "call", "bytes": bytes.len(), "remote": true}), b"")
            .await;
    }
    assert_eq!(got, 500_000);

    reply(&mut peer, call, json!({"status": 200, "headers": [], "more": true}), b"begun").await;
    let mut body = asked.await.unwrap().unwrap().into_body();
    let reading = tokio::spawn(async move {
        let mut bytes = 0;
        while let Some(piece) = body.chunk().await {
            bytes += piece?.len();
        }
        Ok::<_, BodyError>(bytes)
    });
    let (head, _) = peer.read_until(|head| head["method"] == "credit").await;
    assert_eq!(head["params"]["remote"], true);
    peer.notify("chunk", json!({"id": call, "body": "reply", "remote": true}), &[1; 1000]).await;
    peer.notify("end", json!({"id": call, "body": "reply", "remote": true}), b"").await;
    assert_eq!(reading.await.unwrap(), Ok(1005));
}

#[tokio::test]
async fn answer_that_is_cut_fails_and_one_that_is_dropped_is_reset() {
    let broker = TestBroker::start().await;
    let (client, mut peer) = broker.serve(App::with(broker.options())).await;
    let more = json!({"status": 200, "headers": [], "more": true});

    let asked = spawn(client.call("GET /0/users"));
    let (call, _, _) = next(&mut peer).await;
    reply(&mut peer, call, more.clone(), b"begun").await;
    let mut answer = asked.await.unwrap().unwrap();
    peer.notify("reset", json!({"id": call, "body": "reply", "code": "x", "remote": true}), b"").await;
    let error = answer.body().await.unwrap_err();
    assert_eq!((error.code.as_str(), error.executed), ("worker_lost", Executed::Maybe));

    let asked = spawn(client.call("GET /0/users"));
    let (call, _, _) = next(&mut peer).await;
    reply(&mut peer, call, more, b"begun").await;
    drop(asked.await.unwrap().unwrap());
    let (head, _) = peer.read_until(|head| head["method"] == "reset").await;
    assert_eq!((&head["params"]["id"], &head["params"]["remote"]), (&json!(call), &json!(true)));
}

#[tokio::test]
async fn broker_that_breaks_the_rules_costs_its_call_or_its_connection() {
    let broker = TestBroker::start().await;
    let (client, mut peer) = broker.serve(App::with(broker.options())).await;

    for result in
        [json!({"status": 99, "headers": []}), json!({"headers": []}), json!([200, []]), json!(null)]
    {
        let asked = spawn(client.call("GET /0/users"));
        let (call, _, _) = next(&mut peer).await;
        reply(&mut peer, call, result, b"").await;
        // A second answer, and parts of a body that nobody waits for, are dropped.
        reply(&mut peer, call, json!({"status": 200, "headers": []}), b"").await;
        peer.notify("chunk", json!({"id": call, "body": "reply", "remote": true}), b"x").await;
        peer.notify("credit", json!({"id": 999, "body": "call", "bytes": 1, "remote": true}), b"").await;
        assert_eq!(asked.await.unwrap().unwrap_err().code, "bad_reply");
    }
    peer.ping().await;

    let asked = spawn(client.call("GET /0/users"));
    let (call, _, _) = next(&mut peer).await;
    reply(&mut peer, call, json!({"status": 200, "headers": [], "more": true}), b"").await;
    let mut answer = asked.await.unwrap().unwrap();
    peer.notify("chunk", json!({"id": call, "body": "reply", "remote": true}), b"not granted").await;
    assert_eq!(answer.body().await.unwrap_err().code, "broker_lost");
    assert!(peer.ends_cleanly().await);
}

#[tokio::test]
async fn drain_waits_for_calls_of_its_handlers() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/web", async |req: Request| -> Result<_, BoxError> {
        Ok(Response::text(req.call("GET /0/users").await?.status().to_string()))
    });
    let (client, mut peer) = broker.serve(app).await;
    let id = peer.call("GET /0/web", json!({}), b"").await;
    let (call, _, _) = next(&mut peer).await;

    let drained = tokio::spawn(async move { client.drain().await });
    let (head, _) = peer.read_until(|head| head["method"] == "drain").await;
    peer.write(json!({"jsonrpc": "2.0", "id": head["id"], "result": {}}), b"").await;
    reply(&mut peer, call, json!({"status": 204, "headers": []}), b"").await;
    let (_, body) = peer.answer(id).await;

    assert_eq!(body, "204");
    assert!(peer.ends_cleanly().await);
    soon("the drain", drained).await.unwrap();
}
