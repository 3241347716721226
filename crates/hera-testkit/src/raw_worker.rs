//! A worker made of bytes: right where it is asked to be, wrong wherever a test wants it.

use crate::serving::{Reply, Serving};
use crate::wait::PATIENCE;
use bytes::Bytes;
use hera_protocol::handshake::WorkerHandshake;
use hera_protocol::key::WorkerKey;
use hera_protocol::limits::Limits;
use hera_protocol::message::hello::Hello;
use hera_protocol::{Decoder, Frame, VERSION};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The worker's end of one connection.
#[derive(Debug)]
pub struct RawWorker {
    stream: TcpStream,
    decoder: Decoder,
    next_id: u64,
    patience: Option<Duration>,
    /// What `status` polls are answered with; null leaves them unanswered.
    pub load: Value,
    /// The service, once it is proven.
    pub service: String,
    /// Its instance, part of `Hera-Worker`.
    pub instance: String,
}

/// A call as it came.
#[derive(Clone, Debug)]
pub struct Call {
    /// The id to answer with.
    pub id: u64,
    /// The endpoint as declared.
    pub endpoint: String,
    /// All params.
    pub params: Value,
    /// The attachment.
    pub body: Bytes,
}

impl Call {
    /// All values of a request header.
    pub fn header(&self, name: &str) -> Vec<String> {
        self.headers().into_iter().filter(|(other, _)| other == name).map(|(_, value)| value).collect()
    }

    /// All request headers in order.
    pub fn headers(&self) -> Vec<(String, String)> {
        serde_json::from_value(self.params["headers"].clone()).unwrap()
    }
}

/// A good hello of this key, to be changed by a test.
pub fn hello(key: &WorkerKey) -> Hello {
    static INSTANCES: AtomicU32 = AtomicU32::new(1);
    let instance = format!("raw-{}-{}", std::process::id(), INSTANCES.fetch_add(1, Ordering::Relaxed));
    Hello {
        versions: vec![VERSION],
        features: Vec::new(),
        limits: Limits::default(),
        nonce: hera_protocol::key::hex(&hera_registry::secret::random::<32>()),
        key: key.id.clone(),
        instance,
        version: "1.0".into(),
        library: "hera-testkit 1".into(),
    }
}

/// The bytes of a frame.
pub fn frame_bytes(head: &[u8], attachment: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + head.len() + attachment.len());
    bytes.extend_from_slice(&((4 + head.len() + attachment.len()) as u32).to_be_bytes());
    bytes.extend_from_slice(&(head.len() as u32).to_be_bytes());
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(attachment);
    bytes
}

/// The stable code of an error response, `none` for anything else.
pub fn refusal(head: &Value) -> &str {
    head["error"]["data"]["code"].as_str().unwrap_or("none")
}

impl RawWorker {
    /// A connection on which nothing was said yet.
    pub fn connect(address: SocketAddr) -> RawWorker {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        RawWorker {
            stream,
            decoder: Decoder::for_handshake(),
            next_id: 3,
            patience: Some(PATIENCE),
            load: json!({}),
            service: String::new(),
            instance: String::new(),
        }
    }

    /// A connection after a good handshake with the key of this text.
    pub fn join(address: SocketAddr, key: &str) -> RawWorker {
        let key = WorkerKey::parse(key).unwrap();
        let hello = hello(&key);
        let mut worker = RawWorker::connect(address);
        let answer = worker.shake(&key, &hello);
        assert_eq!(refusal(&answer), "none", "{answer}");
        worker
    }

    /// The same for a worker that makes remote calls, of which at most `in_flight_max` are in flight.
    pub fn join_calling(address: SocketAddr, key: &str, in_flight_max: u32) -> RawWorker {
        let key = WorkerKey::parse(key).unwrap();
        let limits = Limits { in_flight_max, ..Limits::default() };
        let hello = Hello { features: vec!["remote_call".into()], limits, ..hello(&key) };
        let mut worker = RawWorker::connect(address);
        let answer = worker.shake(&key, &hello);
        assert_eq!(refusal(&answer), "none", "{answer}");
        worker
    }

    /// Does the handshake; gives the head of the broker's last answer, be it the service or a refusal.
    pub fn shake(&mut self, key: &WorkerKey, hello: &Hello) -> Value {
        let shake = WorkerHandshake::new(hello).unwrap();
        self.send_frame(&shake.hello, b"");
        let answer = self.frame().expect("an answer to the hello");
        let proof = match shake.answer(key, &answer.head, &answer.attachment.to_bytes(), None) {
            Ok(proof) => proof,
            Err(_) => return serde_json::from_slice(&answer.head).unwrap(),
        };
        self.send_frame(&proof.head, &proof.proof);
        let answer = self.frame().expect("an answer to the proof");
        let head: Value = serde_json::from_slice(&answer.head).unwrap();
        if let Some(service) = head["result"]["service"].as_str() {
            self.service = service.to_owned();
            self.instance = hello.instance.clone();
            self.decoder.open();
        }
        head
    }

    /// Declares these endpoints with default limits; panics when they are refused.
    pub fn declare(&mut self, endpoints: &[&str]) {
        let endpoints: Vec<Value> =
            endpoints.iter().map(|endpoint| json!({ "endpoint": endpoint })).collect();
        let answer = self.declare_with(json!(endpoints));
        assert_eq!(answer["result"]["accepted"], endpoints.len(), "{answer}");
    }

    /// Declares these endpoint objects and gives the answer.
    pub fn declare_with(&mut self, endpoints: Value) -> Value {
        self.ask("declare", json!({ "endpoints": endpoints }))
    }

    // ---- out -----------------------------------------------------------------------------------------------

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes as long as the broker takes them.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Sends a frame of any head.
    pub fn send_frame(&mut self, head: &[u8], attachment: &[u8]) {
        self.send(&frame_bytes(head, attachment));
    }

    /// Sends a message.
    pub fn send_json(&mut self, head: &Value, attachment: &[u8]) {
        self.send_frame(head.to_string().as_bytes(), attachment);
    }

    /// Sends a request and gives its id.
    pub fn request(&mut self, method: &str, params: Value) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_json(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}), b"");
        id
    }

    /// Sends a request and waits for its answer.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.request(method, params);
        self.read_until(|head| head["id"] == id && head["method"].is_null()).0
    }

    /// Makes a remote call with these params and this attachment; gives its id.
    pub fn remote(&mut self, params: Value, attachment: &[u8]) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_json(&json!({"jsonrpc": "2.0", "id": id, "method": "call", "params": params}), attachment);
        id
    }

    /// The answer to a request or a remote call of ours; everything before it is dropped.
    pub fn answer_to(&mut self, id: u64) -> (Value, Bytes) {
        self.read_until(|head| head["id"] == id && head["method"].is_null())
    }

    /// Sends a notification.
    pub fn notify(&mut self, method: &str, params: Value, attachment: &[u8]) {
        self.send_json(&json!({"jsonrpc": "2.0", "method": method, "params": params}), attachment);
    }

    /// Answers a call.
    pub fn answer(&mut self, id: u64, status: u16, headers: &[(&str, &str)], body: &[u8]) {
        self.answer_with(id, json!({"status": status, "headers": headers}), body);
    }

    /// Answers a call with any result.
    pub fn answer_with(&mut self, id: u64, result: Value, body: &[u8]) {
        self.send_json(&json!({"jsonrpc": "2.0", "id": id, "result": result}), body);
    }

    /// Answers a call with an error of this name and number.
    pub fn fail(&mut self, id: u64, number: i64, code: &str, message: &str) {
        let error = json!({"code": number, "message": message, "data": {"code": code}});
        self.send_json(&json!({"jsonrpc": "2.0", "id": id, "error": error}), b"");
    }

    /// Pings and waits for the answer: what was sent before has been read.
    pub fn ping(&mut self) {
        let answer = self.ask("ping", json!({}));
        assert!(answer["result"].is_object(), "{answer}");
    }

    // ---- in ------------------------------------------------------------------------------------------------

    /// The next frame, `None` at the end of the connection. `status` and `ping` are given like any other.
    pub fn frame(&mut self) -> Option<Frame> {
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some(frame) = self.decoder.next().unwrap() {
                return Some(frame);
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                // In steps that the decoder's buffer takes without growing.
                Ok(bytes) => self.decoder.buffer().extend_from_slice(&buffer[..bytes]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    panic!("no frame came in time")
                }
                Err(_) => return None,
            }
        }
    }

    /// The next message and its attachment, `None` at the end. Polls and pings are answered on the way.
    pub fn read(&mut self) -> Option<(Value, Bytes)> {
        let until = self.patience.map(|limit| Instant::now() + limit);
        loop {
            let frame = self.frame()?;
            // Polls come every 2 s, so that a read alone never gives up.
            assert!(until.is_none_or(|until| Instant::now() < until), "nothing but polls came in time");
            let head: Value = serde_json::from_slice(&frame.head).unwrap();
            let answer = match head["method"].as_str() {
                Some("status") => self.load.clone(),
                Some("ping") => json!({}),
                _ => return Some((head, frame.attachment.to_bytes())),
            };
            if !answer.is_null() {
                // The broker may just have cut: that is told by the next read.
                let head = json!({"jsonrpc": "2.0", "id": head["id"], "result": answer});
                self.try_send(&frame_bytes(head.to_string().as_bytes(), b""));
            }
        }
    }

    /// The next message that is wanted; everything before it is dropped.
    pub fn read_until(&mut self, wanted: impl Fn(&Value) -> bool) -> (Value, Bytes) {
        loop {
            let (head, attachment) = self.read().expect("the session goes on");
            if wanted(&head) {
                return (head, attachment);
            }
        }
    }

    /// The next call.
    pub fn call(&mut self) -> Call {
        self.try_call().expect("the session goes on")
    }

    /// The next call, `None` at the end of the connection.
    pub fn try_call(&mut self) -> Option<Call> {
        loop {
            let (mut head, body) = self.read()?;
            let endpoint = head["method"].as_str().unwrap_or_default();
            if let (true, Some(id)) = (endpoint.contains(' '), head["id"].as_u64()) {
                return Some(Call { id, endpoint: endpoint.to_owned(), params: head["params"].take(), body });
            }
        }
    }

    /// The next notification of this method.
    pub fn notified(&mut self, method: &str) -> (Value, Bytes) {
        let (mut head, body) = self.read_until(|head| head["method"] == method && head["id"].is_null());
        (head["params"].take(), body)
    }

    /// Reads on until the broker closes, and gives the codes of the errors without id that came: why it closed.
    pub fn cut(&mut self) -> Vec<String> {
        let mut codes = Vec::new();
        while let Some((head, _)) = self.read() {
            if head["id"].is_null() && head["error"].is_object() {
                codes.push(refusal(&head).to_owned());
            }
        }
        codes
    }

    /// Reads on until the broker closes, and gives the code of the last error that came, whatever its id: why a handshake ended.
    pub fn cut_by(&mut self) -> String {
        let mut code = "none".to_owned();
        while let Some((head, _)) = self.read() {
            if head["error"].is_object() {
                code = refusal(&head).to_owned();
            }
        }
        code
    }

    /// Whether the connection ended, and nothing came before that but polls; waits for either.
    pub fn is_closed(&mut self) -> bool {
        self.read().is_none()
    }

    /// Bounds the wait for each message; at first it is 10 s, and `None` waits for ever.
    pub fn patience(&mut self, limit: Option<Duration>) {
        self.patience = limit;
        self.stream.set_read_timeout(limit).unwrap();
    }

    /// Ends the connection.
    pub fn leave(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Lifts the limits of the handshake for what is read: for tests that do the handshake by hand.
    pub fn open(&mut self) {
        self.decoder.open();
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Goes on in a thread that answers every call as `handler` says, until dropped.
    pub fn serve(self, handler: impl FnMut(&Call) -> Reply + Send + 'static) -> Serving {
        Serving::start(self, handler)
    }
}
