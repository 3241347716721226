//! Bodies that do not fit a frame: credit, fairness, cuts.

mod support;

use bytes::Bytes;
use hera_client::{App, BodyError, BoxError, Request, Response};
use serde_json::{Value, json};
use support::{Peer, TestBroker, code, soon};
use tokio::sync::mpsc;

const WINDOW: usize = 256 * 1024;

fn is(head: &Value, method: &str, id: u64) -> bool {
    head["method"] == method && head["params"]["id"] == id
}

/// Sends a body as a broker does: chunks under the credit that comes, then the end. Gives the most that was ever outstanding.
async fn send_body(peer: &mut Peer, id: u64, mut body: &[u8]) {
    let mut credit = 0;
    while !body.is_empty() {
        if credit == 0 {
            let (head, _) = peer.read_until(|head| is(head, "credit", id)).await;
            assert_eq!(head["params"]["body"], "call");
            credit = head["params"]["bytes"].as_u64().unwrap_or(0) as usize;
        }
        let count = credit.min(body.len()).min(60_000);
        peer.notify("chunk", json!({"id": id, "body": "call"}), &body[..count]).await;
        credit -= count;
        body = &body[count..];
    }
    peer.notify("end", json!({"id": id, "body": "call"}), b"").await;
}

#[tokio::test]
async fn chunked_request_body_arrives_whole() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.endpoint("POST /0/echo")
        .body_bytes_max(2 << 20)
        .handle(async |mut req: Request| -> Result<_, BoxError> { Ok(req.body().await?.len().to_string()) });
    let (_client, mut peer) = broker.serve(app).await;

    let id = peer.call("POST /0/echo", json!({"more": true}), b"begin").await;
    send_body(&mut peer, id, &vec![7; 1_000_000]).await;
    let (_, body) = peer.answer(id).await;

    assert_eq!(body, "1000005");
    peer.until_in_flight(0).await;
}

#[tokio::test]
async fn body_over_the_endpoints_limit_is_413_and_its_rest_is_not_wanted() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.endpoint("POST /0/small")
        .body_bytes_max(10)
        .handle(async |mut req: Request| -> Result<_, BoxError> { Ok(Response::bytes(req.body().await?)) });
    let (_client, mut peer) = broker.serve(app).await;

    let id = peer.call("POST /0/small", json!({"more": true}), b"12345678901").await;

    peer.read_until(|head| is(head, "reset", id)).await;
    let (head, _) = peer.answer(id).await;
    assert_eq!(head["result"]["status"], 413);
    // Chunks that crossed the reset are within their grant and hurt nobody.
    peer.notify("chunk", json!({"id": id, "body": "call"}), b"late").await;
    peer.until_in_flight(0).await;
}

#[tokio::test]
async fn slow_handler_is_granted_one_window_and_then_what_it_took() {
    let broker = TestBroker::start().await;
    let (taken, mut was_taken) = mpsc::unbounded_channel();
    let (next, wait) = mpsc::unbounded_channel::<()>();
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(wait));
    let mut app = App::with(broker.options());
    app.post("/0/slow", move |req: Request| {
        let (taken, wait) = (taken.clone(), wait.clone());
        async move {
            let mut body = req.into_body();
            let mut wait = wait.lock().await;
            while let Some(piece) = body.chunk().await {
                let _ = taken.send(piece?.len());
                wait.recv().await;
            }
            Ok::<_, BoxError>("done")
        }
    });
    let (_client, mut peer) = broker.serve(app).await;

    let id = peer.call("POST /0/slow", json!({"more": true}), b"x").await;
    assert_eq!(soon("the attachment", was_taken.recv()).await, Some(1));
    let (head, _) = peer.read_until(|head| is(head, "credit", id)).await;
    assert_eq!(head["params"]["bytes"], WINDOW);
    for _ in 0..4 {
        peer.notify("chunk", json!({"id": id, "body": "call"}), &[1; WINDOW / 4]).await;
    }

    // The window is used up and the handler stands still: there is no more credit, and pings pass.
    let ping = peer.request("ping", json!({}), b"").await;
    assert_eq!(peer.read().await.0["id"], ping, "no credit before anything was taken");

    let (mut total, mut granted) = (0, 0);
    while total < WINDOW {
        next.send(()).unwrap();
        total += soon("a piece", was_taken.recv()).await.unwrap();
        let ping = peer.request("ping", json!({}), b"").await;
        loop {
            let (head, _) = peer.read().await;
            if head["id"] == ping {
                break;
            }
            granted += head["params"]["bytes"].as_u64().unwrap() as usize;
        }
        assert!(granted <= total, "{granted} is more than the {total} that were taken");
    }
    assert_eq!(granted, WINDOW, "all that was taken is granted again");

    peer.notify("end", json!({"id": id, "body": "call"}), b"").await;
    next.send(()).unwrap();
    assert_eq!(peer.answer(id).await.1, "done");
}

#[tokio::test]
async fn chunk_without_credit_is_fatal() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.post("/0/wait", async |req: Request| {
        std::future::pending::<()>().await;
        drop(req);
    });
    let (_client, mut peer) = broker.serve(app).await;

    let id = peer.call("POST /0/wait", json!({"more": true}), b"").await;
    peer.notify("chunk", json!({"id": id, "body": "call"}), b"x").await;

    let (head, _) = peer.read_until(|head| head["error"].is_object()).await;
    assert_eq!((&head["id"], code(&head)), (&Value::Null, "credit_exceeded"));
    assert!(peer.ends_cleanly().await);
}

#[tokio::test]
async fn cut_request_body_is_an_error_and_never_an_end() {
    let broker = TestBroker::start().await;
    let (seen, mut was_seen) = mpsc::unbounded_channel();
    let mut app = App::with(broker.options());
    app.post("/0/read", move |req: Request| {
        let seen = seen.clone();
        async move {
            let mut body = req.into_body();
            while let Some(piece) = body.chunk().await {
                let cut = piece.is_err();
                let _ = seen.send(piece);
                if cut {
                    break;
                }
            }
        }
    });
    let (_client, mut peer) = broker.serve(app).await;

    let id = peer.call("POST /0/read", json!({"more": true}), b"x").await;
    peer.notify("reset", json!({"id": id, "body": "call", "code": "caller_left"}), b"").await;

    assert_eq!(soon("a piece", was_seen.recv()).await.unwrap().unwrap(), "x");
    assert_eq!(soon("the cut", was_seen.recv()).await, Some(Err(BodyError::Cut("caller_left".into()))));
    peer.answer(id).await;
    peer.until_in_flight(0).await;
}

#[tokio::test]
async fn large_answer_goes_in_chunks_as_credit_comes() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/large", async |_: Request| {
        Response::bytes((0..700_000u32).map(|n| n as u8).collect::<Vec<_>>())
    });
    let (_client, mut peer) = broker.serve(app).await;

    let id = peer.call("GET /0/large", json!({}), b"").await;
    let (head, mut body) = peer.answer(id).await;
    assert_eq!(head["result"]["more"], true);
    assert!(head["result"]["headers"].to_string().contains(r#"["content-length","700000"]"#));
    let mut whole = body.to_vec();

    // Without credit nothing comes.
    let ping = peer.request("ping", json!({}), b"").await;
    assert_eq!(peer.read().await.0["id"], ping);

    let mut granted = 0;
    while whole.len() < 700_000 {
        peer.notify("credit", json!({"id": id, "body": "reply", "bytes": 10_000}), b"").await;
        granted += 10_000;
        while whole.len() < granted.min(700_000) {
            (_, body) = peer.read_until(|head| is(head, "chunk", id)).await;
            whole.extend_from_slice(&body);
            assert!(whole.len() <= granted, "more than was granted");
        }
    }
    peer.read_until(|head| is(head, "end", id)).await;

    assert!(whole.iter().enumerate().all(|(n, byte)| *byte == n as u8));
    peer.until_in_flight(0).await;
}

#[tokio::test]
async fn small_answers_pass_between_the_chunks_of_a_body() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/endless", async |_: Request| {
        Response::stream(|tx| async move {
            loop {
                tx.send(Bytes::from_static(&[1; 64 * 1024])).await?;
            }
        })
    });
    app.get("/0/small", async |_: Request| "small");
    let (_client, mut peer) = broker.serve(app).await;

    let endless = peer.call("GET /0/endless", json!({}), b"").await;
    peer.notify("credit", json!({"id": endless, "body": "reply", "bytes": 1u32 << 30}), b"").await;
    peer.read_until(|head| is(head, "chunk", endless)).await;
    for _ in 0..20 {
        let (_, body) = peer.ask("GET /0/small", json!({}), b"").await;
        assert_eq!(body, "small");
    }

    peer.notify("reset", json!({"id": endless, "body": "reply", "code": "caller_left"}), b"").await;
    peer.until_in_flight(0).await;
}

#[tokio::test]
async fn sender_errs_when_the_caller_left_and_cancel_ends_the_body() {
    let broker = TestBroker::start().await;
    let (ended, mut has_ended) = mpsc::unbounded_channel();
    let mut app = App::with(broker.options());
    app.get("/0/channel", move |_: Request| {
        let (tx, response) = Response::channel();
        let ended = ended.clone();
        tokio::spawn(async move {
            let error = loop {
                if let Err(error) = tx.send("y").await {
                    break error;
                }
            };
            let _ = ended.send(error);
        });
        async { response }
    });
    let (_client, mut peer) = broker.serve(app).await;

    let unwanted = peer.call("GET /0/channel", json!({}), b"").await;
    peer.answer(unwanted).await;
    peer.notify("reset", json!({"id": unwanted, "body": "reply", "code": "gone"}), b"").await;
    assert_eq!(soon("the error", has_ended.recv()).await, Some(BodyError::Unwanted("gone".into())));

    let cancelled = peer.call("GET /0/channel", json!({}), b"").await;
    peer.answer(cancelled).await;
    peer.notify("cancel", json!({"id": cancelled}), b"").await;
    assert_eq!(soon("the error", has_ended.recv()).await, Some(BodyError::Cancelled));
    peer.until_in_flight(0).await;
}

#[tokio::test]
async fn unfinished_bodies_are_reset_and_finished_ones_end() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/fails", async |_: Request| {
        Response::stream(|tx| async move {
            tx.send("some").await?;
            Err("disk".into())
        })
    });
    app.get("/0/panics", async |_: Request| Response::stream(|_tx| async move { panic!("boom") }));
    app.get("/0/drops", async |_: Request| {
        let (tx, response) = Response::channel();
        drop(tx);
        response
    });
    app.get("/0/ends", async |_: Request| {
        let (tx, response) = Response::channel();
        tokio::spawn(async move {
            if tx.send("all").await.is_ok() {
                tx.end();
            }
        });
        response.header("content-length", "3")
    });
    let (_client, mut peer) = broker.serve(app).await;

    for path in ["fails", "panics", "drops"] {
        let id = peer.call(&format!("GET /0/{path}"), json!({}), b"").await;
        peer.answer(id).await;
        peer.notify("credit", json!({"id": id, "body": "reply", "bytes": 100}), b"").await;
        let (head, _) = peer.read_until(|head| is(head, "reset", id) || is(head, "end", id)).await;
        assert_eq!(head["method"], "reset", "{path}");
    }
    let id = peer.call("GET /0/ends", json!({}), b"").await;
    let (head, _) = peer.answer(id).await;
    assert_eq!(head["result"]["headers"], json!([["content-length", "3"]]));
    peer.notify("credit", json!({"id": id, "body": "reply", "bytes": 100}), b"").await;
    let (_, chunk) = peer.read_until(|head| is(head, "chunk", id)).await;
    assert_eq!(chunk, "all");
    peer.read_until(|head| is(head, "end", id)).await;
    peer.until_in_flight(0).await;
}

#[tokio::test]
async fn credit_that_comes_before_the_answer_counts() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.get("/0/stream", async |_: Request| {
        Response::stream(|tx| async move {
            tx.send("early").await?;
            Ok(())
        })
    });
    let (_client, mut peer) = broker.serve(app).await;

    let id = peer.call("GET /0/stream", json!({}), b"").await;
    peer.notify("credit", json!({"id": id, "body": "reply", "bytes": 5}), b"").await;

    let (_, chunk) = peer.read_until(|head| is(head, "chunk", id)).await;
    assert_eq!(chunk, "early");
}
