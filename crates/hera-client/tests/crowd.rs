//! Many calls at once, on several threads.

mod support;

use hera_client::{App, BoxError, Client, Request, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use support::{Peer, TestBroker};

const CALLS: u64 = 600;

async fn begin(broker: &TestBroker) -> (Client, Peer) {
    let mut app = App::with(broker.options());
    app.get("/0/small", async |req: Request| {
        tokio::task::yield_now().await;
        req.query().unwrap_or("none").to_owned()
    });
    app.get("/0/stream", async |_: Request| {
        Response::stream(|tx| async move {
            for _ in 0..30 {
                tx.send(vec![1; 10_000]).await?;
            }
            Ok(())
        })
    });
    app.post("/0/echo", async |mut req: Request| -> Result<_, BoxError> {
        Ok(Response::bytes(req.body().await?))
    });
    broker.serve(app).await
}

/// A third of the calls is small, a third streams its answer, a third brings a body in chunks; every tenth is cancelled.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_call_is_answered_once_and_none_is_left() {
    let broker = TestBroker::start().await;
    let (client, mut peer) = begin(&broker).await;
    let mut cancelled = Vec::new();
    let mut missing: HashMap<u64, usize> = HashMap::new();
    for n in 0..CALLS {
        let id = match n % 3 {
            0 => peer.call("GET /0/small", json!({"query": n.to_string()}), b"").await,
            1 => peer.call("GET /0/stream", json!({}), b"").await,
            _ => peer.call("POST /0/echo", json!({"more": true}), b"begin").await,
        };
        if n % 3 == 1 {
            peer.notify("credit", json!({"id": id, "body": "reply", "bytes": 300_000}), b"").await;
        }
        missing.insert(id, if n % 3 == 1 { 300_000 } else { 0 });
        if n % 10 == 0 {
            peer.notify("cancel", json!({"id": id}), b"").await;
            cancelled.push(id);
            missing.remove(&id);
        }
    }

    let mut answers: HashMap<u64, u32> = HashMap::new();
    while !missing.is_empty() {
        let (head, attachment) = peer.read().await;
        let id = head["params"]["id"].as_u64();
        match (head["method"].as_str(), id) {
            (Some("credit"), Some(id)) => {
                peer.notify("chunk", json!({"id": id, "body": "call"}), b" and rest").await;
                peer.notify("end", json!({"id": id, "body": "call"}), b"").await;
            }
            (Some("chunk"), Some(id)) => {
                if let Some(bytes) = missing.get_mut(&id) {
                    *bytes -= attachment.len();
                }
            }
            (Some("end"), Some(id)) => {
                assert!(missing.remove(&id).is_none_or(|bytes| bytes == 0), "a body ended early")
            }
            (Some(_), _) => {}
            (None, _) => {
                let id = head["id"].as_u64().unwrap();
                assert_eq!(head["error"], Value::Null, "{head}");
                *answers.entry(id).or_default() += 1;
                if head["result"]["more"] != true {
                    missing.remove(&id);
                }
                if !attachment.is_empty() && attachment.starts_with(b"begin") {
                    assert_eq!(attachment, "begin and rest");
                }
            }
        }
    }

    assert!(answers.values().all(|count| *count == 1));
    peer.until_in_flight(0).await;
    client.stop();
    client.closed().await;
}
