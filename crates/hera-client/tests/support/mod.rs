//! A small broker that speaks the wire over real TCP, byte for byte as a test wants it.
#![allow(dead_code, reason = "every test file uses its own part of the broker")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

use bytes::{Bytes, BytesMut};
use hera_client::{App, Client, Error, Options};
use hera_protocol::handshake::{BrokerHandshake, BrokerSide};
use hera_protocol::key::WorkerKey;
use hera_protocol::limits::Limits;
use hera_protocol::message::declare::Declare;
use hera_protocol::message::failure::RefusedEndpoint;
use hera_protocol::message::{self, failure};
use hera_protocol::proof::Signer;
use hera_protocol::{Code, Decoder, Frame, frame};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const WORKER_SEED: [u8; 32] = [5; 32];
const NONCE: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// No wait of a test is longer; each is for a condition.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(20), future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// A listening broker.
pub(crate) struct TestBroker {
    listener: TcpListener,
    identity: Signer,
    pub(crate) limits: Limits,
    /// The worker's key is not known here.
    pub(crate) refuse_key: bool,
}

impl TestBroker {
    pub(crate) async fn start() -> TestBroker {
        TestBroker::start_at("127.0.0.1:0".parse().unwrap()).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> TestBroker {
        let listener = TcpListener::bind(address).await.unwrap();
        TestBroker {
            listener,
            identity: Signer::from_seed(&[3; 32]),
            limits: Limits::default(),
            refuse_key: false,
        }
    }

    /// A broker of another cluster.
    pub(crate) async fn stranger() -> TestBroker {
        TestBroker { identity: Signer::from_seed(&[4; 32]), ..TestBroker::start().await }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("hera://{}", self.address())
    }

    /// The worker key's text that this cluster gave out.
    pub(crate) fn secret() -> String {
        let cluster = Signer::from_seed(&[3; 32]).public();
        WorkerKey { id: "0123456789abcdef".into(), seed: WORKER_SEED, cluster }.to_text()
    }

    pub(crate) fn options(&self) -> Options {
        Options::new().brokers(self.url()).secret(TestBroker::secret()).version("1.2")
    }

    /// The next TCP connection, nothing said yet.
    pub(crate) async fn accept_raw(&self) -> TcpStream {
        let (socket, _) = soon("a connection", self.listener.accept()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }

    /// The next connection, after the handshake, before the declaration; `None` when the worker left.
    pub(crate) async fn accept_proven(&self) -> Option<Peer> {
        let tcp = self.accept_raw().await;
        self.prove(Peer::new(Box::new(tcp)), None).await
    }

    /// The handshake on a socket; `certificate` is the hash that this broker takes for its own.
    pub(crate) async fn prove(&self, mut peer: Peer, certificate: Option<[u8; 32]>) -> Option<Peer> {
        let side = BrokerSide {
            identity: &self.identity,
            broker: "test-broker",
            library: "test 1",
            limits: self.limits,
            features: &["remote_call"],
            certificate,
        };
        let hello = peer.frame().await?;
        let shake = BrokerHandshake::hello(&side, &hello.head, NONCE).unwrap();
        peer.write_frame(&shake.answer, &shake.proof).await;
        let prove = peer.frame().await?;
        let public = Signer::from_seed(&WORKER_SEED).public();
        let known = if self.refuse_key { None } else { Some(&public) };
        let proof = prove.attachment.to_bytes();
        if let Err(refused) = shake.prove(&prove.head, &proof, known) {
            peer.write_failure(None, refused.code, &[]).await;
            return None;
        }
        peer.decoder.open();
        peer.write(json!({"jsonrpc": "2.0", "id": 2, "result": {"service": "test"}}), b"").await;
        Some(peer)
    }

    /// The next connection, live: its declaration is accepted.
    pub(crate) async fn accept(&self) -> Peer {
        self.declare(self.accept_proven().await.unwrap()).await
    }

    /// Reads and accepts the declaration.
    pub(crate) async fn declare(&self, mut peer: Peer) -> Peer {
        let (head, _) = peer.read().await;
        assert_eq!(head["method"], "declare", "{head}");
        peer.declared = serde_json::from_value(head["params"].clone()).unwrap();
        let accepted = peer.declared.endpoints.len();
        peer.write(json!({"jsonrpc": "2.0", "id": head["id"], "result": {"accepted": accepted}}), b"").await;
        peer
    }

    /// Connects an app and gives both ends, live.
    pub(crate) async fn serve(&self, app: App) -> (Client, Peer) {
        let (client, peer) = tokio::join!(soon("the client", app.connect()), self.accept());
        (client.unwrap(), peer)
    }
}

/// Bytes both ways.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// The broker's end of one connection.
pub(crate) struct Peer {
    pub(crate) socket: Box<dyn Socket>,
    decoder: Decoder,
    next_id: u64,
    pub(crate) declared: Declare,
}

impl Peer {
    pub(crate) fn new(socket: Box<dyn Socket>) -> Peer {
        Peer { socket, decoder: Decoder::for_handshake(), next_id: 1, declared: Declare::default() }
    }

    /// The next frame, `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(frame);
            }
            match soon("a frame", self.socket.read_buf(self.decoder.buffer())).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// The next message and its attachment.
    pub(crate) async fn read(&mut self) -> (Value, Bytes) {
        let frame = self.frame().await.expect("the worker is still there");
        if let Err(bad) = message::read(&frame.head) {
            panic!("worker sent a bad head: {bad:?}");
        }
        (serde_json::from_slice(&frame.head).unwrap(), frame.attachment.to_bytes())
    }

    /// The next message of this method, or answer to this id; everything before it is dropped.
    pub(crate) async fn read_until(&mut self, wanted: impl Fn(&Value) -> bool) -> (Value, Bytes) {
        loop {
            let (head, attachment) = self.read().await;
            if wanted(&head) {
                return (head, attachment);
            }
        }
    }

    /// The answer to a request.
    pub(crate) async fn answer(&mut self, id: u64) -> (Value, Bytes) {
        self.read_until(|head| head["id"] == id && head["method"].is_null()).await
    }

    /// Reads to the end of the stream; true when it ended without a reset.
    pub(crate) async fn ends_cleanly(&mut self) -> bool {
        let mut rest = Vec::new();
        soon("the end", self.socket.read_to_end(&mut rest)).await.is_ok()
    }

    pub(crate) fn bytes(head: &[u8], attachment: &[u8]) -> Bytes {
        let mut out = BytesMut::new();
        out.extend_from_slice(&((4 + head.len() + attachment.len()) as u32).to_be_bytes());
        out.extend_from_slice(&(head.len() as u32).to_be_bytes());
        out.extend_from_slice(head);
        out.extend_from_slice(attachment);
        out.freeze()
    }

    pub(crate) async fn write_frame(&mut self, head: &[u8], attachment: &[u8]) {
        self.write_bytes(&Peer::bytes(head, attachment)).await;
    }

    pub(crate) async fn write_bytes(&mut self, bytes: &[u8]) {
        soon("room to write", self.socket.write_all(bytes)).await.unwrap();
        self.socket.flush().await.unwrap();
    }

    pub(crate) async fn write(&mut self, head: Value, attachment: &[u8]) {
        self.write_frame(head.to_string().as_bytes(), attachment).await;
    }

    pub(crate) async fn write_failure(&mut self, id: Option<u64>, code: Code, endpoints: &[RefusedEndpoint]) {
        let mut out = BytesMut::new();
        frame::put_head(&mut out, 1 << 18, 0, |out| failure::write(out, id, code, "refused", endpoints))
            .unwrap();
        self.write_bytes(&out).await;
    }

    /// Sends a request, gives its id.
    pub(crate) async fn request(&mut self, method: &str, params: Value, attachment: &[u8]) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.write(json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}), attachment).await;
        id
    }

    pub(crate) async fn notify(&mut self, method: &str, params: Value, attachment: &[u8]) {
        self.write(json!({"jsonrpc": "2.0", "method": method, "params": params}), attachment).await;
    }

    /// Calls an endpoint with plain params, changed by `more`.
    pub(crate) async fn call(&mut self, endpoint: &str, more: Value, body: &[u8]) -> u64 {
        self.request(endpoint, call_params(endpoint, more), body).await
    }

    /// Calls and waits for the answer.
    pub(crate) async fn ask(&mut self, endpoint: &str, more: Value, body: &[u8]) -> (Value, Bytes) {
        let id = self.call(endpoint, more, body).await;
        self.answer(id).await
    }

    pub(crate) async fn ping(&mut self) {
        let id = self.request("ping", json!({}), b"").await;
        self.answer(id).await;
    }

    /// Asks for the load until its number of calls in flight is this.
    pub(crate) async fn until_in_flight(&mut self, calls: u64) {
        loop {
            let id = self.request("status", json!({}), b"").await;
            let (load, _) = self.answer(id).await;
            if load["result"]["in_flight"].as_f64() == Some(calls as f64) {
                return;
            }
        }
    }
}

/// Params of a call as a broker writes them; members of `more` come in place of the plain ones.
pub(crate) fn call_params(endpoint: &str, more: Value) -> Value {
    let (method, path) = endpoint.split_once(' ').unwrap();
    let mut params = json!({
        "method": method, "target": path, "path": path, "query": null, "path_params": {}, "headers": [],
        "request_id": "r-1", "caller": {"token": "t", "labels": {"team": "ads"}, "ip": "192.0.2.1"}, "timeout_ms": 15_000,
    });
    let Value::Object(more) = more else { panic!("more is an object") };
    params.as_object_mut().unwrap().extend(more);
    params
}

/// The stable code of an error answer.
pub(crate) fn code(head: &Value) -> &str {
    head["error"]["data"]["code"].as_str().unwrap_or("none")
}

/// Connects to a broker that refuses, and gives the error.
pub(crate) async fn refused(app: App) -> Error {
    soon("the refusal", app.connect()).await.unwrap_err()
}
