//! The life of a worker: first connection, refusals, faults, reconnection, drain.

mod support;

use hera_client::{App, Client, Error, Options, Request, Response};
use hera_protocol::Code;
use hera_protocol::message::failure::RefusedEndpoint;
use serde_json::{Value, json};
use std::sync::Arc;
use support::{Peer, TestBroker, call_params, code, refused, soon};
use tokio::sync::Notify;

fn hello(options: Options) -> App {
    let mut app = App::with(options);
    app.get("/0/hello", async |_: Request| "hello");
    app
}

/// Ends when the client does; tests that are about the broker's side hold on to it.
fn in_background(app: App) -> tokio::task::JoinHandle<Result<Client, Error>> {
    tokio::spawn(app.connect())
}

#[tokio::test]
async fn connect_resolves_when_the_declaration_is_accepted() {
    let broker = TestBroker::start().await;

    let (_client, peer) = broker.serve(hello(broker.options())).await;

    let endpoints: Vec<&str> = peer.declared.endpoints.iter().map(|declared| &*declared.endpoint).collect();
    assert_eq!(endpoints, ["GET /0/hello"]);
}

#[tokio::test]
async fn refused_key_is_an_error() {
    let mut broker = TestBroker::start().await;
    broker.refuse_key = true;

    let (error, _) = tokio::join!(refused(hello(broker.options())), broker.accept_proven());

    assert!(matches!(error, Error::Refused { code, .. } if code == "unauthenticated"));
}

#[tokio::test]
async fn refused_declaration_names_its_endpoints() {
    let broker = TestBroker::start().await;
    let offending = RefusedEndpoint {
        endpoint: "GET /0/hello".into(),
        code: "endpoint_forbidden".into(),
        message: "not inside --serve".into(),
    };
    let answer = async {
        let mut peer = broker.accept_proven().await.unwrap();
        let (declare, _) = peer.read().await;
        let id = declare["id"].as_u64();
        peer.write_failure(id, Code::DeclarationRefused, std::slice::from_ref(&offending)).await;
        peer
    };

    let (error, _peer) = tokio::join!(refused(hello(broker.options())), answer);

    let Error::DeclarationRefused { endpoints, .. } = error else { panic!("{error}") };
    assert_eq!(endpoints, std::slice::from_ref(&offending));
}

#[tokio::test]
async fn broker_of_another_cluster_is_left_and_dialled_again() {
    let stranger = TestBroker::stranger().await;
    let broker = TestBroker::start().await;
    let options = broker.options().brokers(format!("hera://{},{}", stranger.address(), broker.address()));

    let client = in_background(hello(options));
    // It gets no proof, and it does not stop the worker from trying: there, nor elsewhere.
    assert!(stranger.accept_proven().await.is_none());
    assert!(stranger.accept_proven().await.is_none());
    let mut peer = broker.accept().await;

    assert_eq!(peer.ask("GET /0/hello", json!({}), b"").await.1, "hello");
    soon("the client", client).await.unwrap().unwrap();
}

#[tokio::test]
async fn unreachable_broker_is_dialled_until_it_is_there() {
    let gone = TestBroker::start().await;
    let address = gone.address();
    drop(gone);

    let client = in_background(hello(
        Options::new().brokers(format!("hera://{address}")).secret(TestBroker::secret()),
    ));
    let broker = TestBroker::start_at(address).await;
    broker.accept().await;

    soon("the client", client).await.unwrap().unwrap();
}

#[tokio::test]
async fn worker_comes_back_when_the_broker_does() {
    let broker = TestBroker::start().await;
    let address = broker.address();
    let (client, peer) = broker.serve(hello(broker.options())).await;

    drop(peer);
    let mut peer = broker.accept().await;
    assert_eq!(peer.ask("GET /0/hello", json!({}), b"").await.1, "hello");

    drop((peer, broker));
    let broker = TestBroker::start_at(address).await;
    let mut peer = broker.accept().await;
    assert_eq!(peer.ask("GET /0/hello", json!({}), b"").await.1, "hello");
    drop(client);
    assert!(peer.frame().await.is_none(), "a dropped client leaves");
}

#[tokio::test]
async fn calls_of_a_lost_connection_are_dropped() {
    let broker = TestBroker::start().await;
    let dropped = Arc::new(Notify::new());
    let mut app = App::with(broker.options());
    let told = dropped.clone();
    app.get("/0/wait", move |req: Request| {
        let (told, cancelled) = (told.clone(), req.cancelled());
        tokio::spawn(async move {
            cancelled.await;
            told.notify_one();
        });
        std::future::pending::<()>()
    });
    let (_client, mut peer) = broker.serve(app).await;
    peer.call("GET /0/wait", json!({}), b"").await;
    peer.until_in_flight(1).await;

    drop(peer);

    soon("the cancel", dropped.notified()).await;
    broker.accept().await.until_in_flight(0).await;
}

#[tokio::test]
async fn frames_may_arrive_byte_by_byte() {
    let broker = TestBroker::start().await;
    let mut app = App::with(broker.options());
    app.post("/0/echo", async |mut req: Request| req.body().await.map(Response::bytes));
    let (_client, mut peer) = broker.serve(app).await;

    let params = call_params("POST /0/echo", json!({}));
    let head = json!({"jsonrpc": "2.0", "id": 9, "method": "POST /0/echo", "params": params}).to_string();
    for byte in Peer::bytes(head.as_bytes(), b"torn") {
        peer.write_bytes(&[byte]).await;
        tokio::task::yield_now().await;
    }

    assert_eq!(peer.answer(9).await.1, "torn");
}

#[tokio::test]
async fn fatal_faults_are_named_and_the_worker_dials_again() {
    let broker = TestBroker::start().await;
    let (_client, mut peer) = broker.serve(hello(broker.options())).await;
    let bad_head = Peer::bytes(b"{]", b"");
    let unknown: Vec<u8> = (0..100)
        .flat_map(|n| {
            let head = json!({"jsonrpc": "2.0", "id": 1_000 + n, "result": {}}).to_string();
            Peer::bytes(head.as_bytes(), b"").to_vec()
        })
        .collect();
    let twice: Vec<u8> = (0..2)
        .flat_map(|_| {
            let params = call_params("GET /0/hello", json!({}));
            let head =
                json!({"jsonrpc": "2.0", "id": 70, "method": "GET /0/hello", "params": params}).to_string();
            Peer::bytes(head.as_bytes(), b"").to_vec()
        })
        .collect();
    let faults: [(&str, Vec<u8>); 5] = [
        ("bad_frame", vec![0, 0, 0, 1, 0, 0, 0, 9]),
        ("frame_too_large", vec![0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 2]),
        ("parse_error", [&bad_head[..]; 3].concat()),
        ("invalid_request", unknown),
        ("invalid_request", twice),
    ];

    for (expected, bytes) in faults {
        peer.write_bytes(&bytes).await;
        let mut last = Value::Null;
        while let Some(frame) = peer.frame().await {
            last = serde_json::from_slice(&frame.head).unwrap();
        }
        assert_eq!((&last["id"], code(&last)), (&Value::Null, expected));
        // The worker waits for our side to close, 2 s at most.
        drop(peer);
        peer = broker.accept().await;
    }
    assert_eq!(peer.ask("GET /0/hello", json!({}), b"").await.1, "hello");
}

#[tokio::test]
async fn two_bad_heads_and_strange_messages_end_nothing() {
    let broker = TestBroker::start().await;
    let (_client, mut peer) = broker.serve(hello(broker.options())).await;

    peer.write_frame(b"[]", b"").await;
    assert_eq!(code(&peer.read().await.0), "invalid_request");
    peer.write_frame(b"\xff\xff", b"").await;
    assert_eq!(code(&peer.read().await.0), "parse_error");
    peer.notify("cancel", json!({"id": "x"}), b"").await;
    peer.notify("future", json!([1]), b"").await;
    peer.notify("chunk", json!({"id": 77, "body": "call"}), b"x").await;
    peer.notify("credit", json!({"id": 77, "body": "reply", "bytes": 1}), b"").await;
    peer.notify("end", json!({"id": 77, "body": "reply"}), b"").await;
    peer.write(json!({"jsonrpc": "2.0", "id": 3, "result": {}}), b"").await;

    assert_eq!(peer.ask("GET /0/hello", json!({}), b"").await.1, "hello");
}

#[tokio::test]
async fn silent_broker_is_given_up() {
    let broker = TestBroker::start().await;
    let (_client, _peer) = broker.serve(hello(broker.options())).await;

    // P-26: nothing comes for 8 s, so the worker dials again, though the old connection still stands.
    broker.accept().await;
}

#[tokio::test]
async fn drain_serves_to_the_fence_then_finishes_and_leaves_without_a_reset() {
    let broker = TestBroker::start().await;
    let release = Arc::new(Notify::new());
    let released = release.clone();
    let mut app = hello(broker.options());
    app.get("/0/wait", move |_: Request| {
        let released = released.clone();
        async move {
            released.notified().await;
            // More than the socket's buffers hold: the last bytes are still here when the handler is done.
            Response::bytes(vec![7; 256 * 1024])
        }
    });
    let (client, mut peer) = broker.serve(app).await;
    let slow = peer.call("GET /0/wait", json!({}), b"").await;

    let client = Arc::new(client);
    let draining = tokio::spawn({
        let client = client.clone();
        async move { client.drain().await }
    });
    let (drain, _) = peer.read_until(|head| head["method"] == "drain").await;
    let (_, before) = peer.ask("GET /0/hello", json!({}), b"").await;
    assert_eq!(before, "hello", "a call before the fence is served");
    peer.write(json!({"jsonrpc": "2.0", "id": drain["id"], "result": {}}), b"").await;
    let (head, _) = peer.ask("GET /0/hello", json!({}), b"").await;
    assert_eq!(code(&head), "draining");

    release.notify_one();
    let (_, body) = peer.answer(slow).await;
    assert_eq!(body.len(), 256 * 1024);
    // Bytes that the worker will not read any more must not turn its close into a reset.
    peer.notify("cancel", json!({"id": slow}), b"").await;
    assert!(peer.ends_cleanly().await);
    drop(peer);
    soon("the drain", draining).await.unwrap();
    soon("the close", client.closed()).await;
}

#[tokio::test]
async fn drain_of_an_idle_worker_with_a_broker_that_is_away_ends() {
    let broker = TestBroker::start().await;
    let away = TestBroker::start().await;
    let url = format!("hera://{},{}", broker.address(), away.address());
    drop(away);
    let (client, mut peer) = broker.serve(hello(broker.options().brokers(url))).await;

    let fence = async {
        let (drain, _) = peer.read_until(|head| head["method"] == "drain").await;
        peer.write(json!({"jsonrpc": "2.0", "id": drain["id"], "result": {}}), b"").await;
        assert!(peer.ends_cleanly().await);
    };

    soon("the drain", async { tokio::join!(client.drain(), fence) }).await;
}

#[tokio::test]
async fn draining_broker_is_answered_and_served_until_it_closes() {
    let broker = TestBroker::start().await;
    let (_client, mut peer) = broker.serve(hello(broker.options())).await;

    let drain = peer.request("drain", json!({}), b"").await;
    assert_eq!(peer.answer(drain).await.0["result"], json!({}));
    assert_eq!(peer.ask("GET /0/hello", json!({}), b"").await.1, "hello");

    drop(peer);
    broker.accept().await;
}

#[tokio::test]
async fn bad_options_are_errors_before_anything_is_dialled() {
    let options = Options::new().brokers("zk://127.0.0.1:2181/hera/..").secret(TestBroker::secret());

    let error = refused(hello(options)).await;

    assert!(error.to_string().contains("chroot"), "{error}");
}

/// The example as a process of its own, connected to `broker`.
#[cfg(unix)]
async fn example(broker: &TestBroker) -> (Example, Peer) {
    let tests = std::env::current_exe().expect("tests are a file");
    let built = tests
        .parent()
        .and_then(|deps| deps.parent())
        .expect("tests stand in target/*/deps")
        .join("examples/hello");
    let process = std::process::Command::new(built)
        .env("HERA", broker.url())
        .env("SECRET", TestBroker::secret())
        .spawn()
        .expect(
            "`cargo test` builds the example; for this test alone, run `cargo build --example hello` first",
        );
    (Example(process), broker.accept().await)
}

/// Ends with its test, also with one that failed.
#[cfg(unix)]
struct Example(std::process::Child);

#[cfg(unix)]
impl Example {
    fn signal(&self, name: &str) {
        let id = self.0.id().to_string();
        let killed = std::process::Command::new("kill").args(["-s", name, &id]).status();
        assert!(killed.is_ok_and(|status| status.success()));
    }

    #[cfg(target_os = "linux")]
    /// Stops the process, and waits until all of its threads stand.
    async fn freeze(&self) {
        self.signal("STOP");
        let threads = format!("/proc/{}/task", self.0.id());
        let stands = |thread: std::fs::DirEntry| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        soon("the freeze", async {
            while !std::fs::read_dir(&threads).is_ok_and(|mut all| all.all(|thread| thread.is_ok_and(stands)))
            {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    async fn exit_code(mut self) -> Option<i32> {
        soon("the exit", async {
            loop {
                if let Ok(Some(status)) = self.0.try_wait() {
                    return status.code();
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

#[cfg(unix)]
impl Drop for Example {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn example_serves_and_ends_with_0_on_sigterm() {
    let code = include_str!("../examples/hello.rs").split_once("\n\n").unwrap().1;
    assert!(include_str!("../README.md").contains(code), "the README shows the example");
    let broker = TestBroker::start().await;
    let (process, mut peer) = example(&broker).await;
    let (_, body) = peer.ask("GET /0/hello/{name}", json!({"path_params": {"name": "you"}}), b"").await;
    assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), json!({"hello": "you", "caller": "t"}));

    process.signal("TERM");
    let (drain, _) = peer.read_until(|head| head["method"] == "drain").await;
    peer.write(json!({"jsonrpc": "2.0", "id": drain["id"], "result": {}}), b"").await;

    assert!(peer.ends_cleanly().await);
    drop(peer);
    assert_eq!(process.exit_code().await, Some(0));
}

#[cfg(unix)]
#[tokio::test]
async fn second_signal_ends_a_drain_at_once() {
    let broker = TestBroker::start().await;
    let (process, mut peer) = example(&broker).await;

    process.signal("INT");
    peer.read_until(|head| head["method"] == "drain").await;
    // No fence comes: only the second signal can end it now.
    process.signal("TERM");

    assert_eq!(process.exit_code().await, Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn call_that_waited_in_a_frozen_process_is_not_started() {
    let broker = TestBroker::start().await;
    let (process, mut peer) = example(&broker).await;
    peer.ping().await;

    process.freeze().await;
    let late = peer.call("GET /0/hello/{name}", json!({"timeout_ms": 500}), b"").await;
    let gone = peer.call("GET /0/hello/{name}", json!({}), b"").await;
    peer.notify("cancel", json!({"id": gone}), b"").await;
    let good = peer.call("GET /0/hello/{name}", json!({}), b"").await;
    // The passing of time is what this test is about.
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    process.signal("CONT");

    let mut answers = [peer.read().await.0, peer.read().await.0];
    answers.sort_by_key(|head| head["id"].as_u64());
    assert_eq!((&answers[0]["id"], code(&answers[0])), (&json!(late), "past_deadline"));
    assert_eq!(answers[1]["id"], good, "the cancelled call is not answered");
}
