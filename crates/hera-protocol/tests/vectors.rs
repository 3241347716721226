//! Replays `spec/vectors/`: the cases that every implementation of Hera must give the same answers to.
//!
//! Every failing case of a file is reported at once, by name, so that one run shows all that differs.

#![allow(clippy::unwrap_used, reason = "the vectors are part of this tree; a bad one must fail the test")]

use bytes::{BufMut, BytesMut};
use hera_protocol::frame::put_head;
use hera_protocol::handshake::{BrokerHandshake, BrokerSide, WorkerHandshake};
use hera_protocol::key::{BadKey, WorkerKey, hex, unhex, unhex32};
use hera_protocol::limits::Limits;
use hera_protocol::message::call::{CallOut, CallerOut, TraceOut};
use hera_protocol::message::{self, Message, Outcome, given, reply};
use hera_protocol::proof::{Role, Signer, transcript, verify};
use hera_protocol::{Code, Decoder, WireId};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Write;

#[derive(Deserialize)]
struct File<C> {
    cases: Vec<C>,
}

/// Runs `check` on every case of a file; it gives what differs.
fn replay<C: DeserializeOwned>(
    file: &str,
    name: impl Fn(&C) -> &str,
    check: impl Fn(&C) -> Result<(), String>,
) {
    let text = std::fs::read_to_string(format!("../../spec/vectors/{file}")).unwrap();
    let cases = serde_json::from_str::<File<C>>(&text).unwrap().cases;
    assert!(!cases.is_empty());

    let differs: Vec<String> = cases
        .iter()
        .filter_map(|case| check(case).err().map(|what| format!("{file}: {}: {what}", name(case))))
        .collect();

    assert!(differs.is_empty(), "{}", differs.join("\n"));
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what} is {found:?}, expected {expected:?}")) }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrameCase {
    name: String,
    state: String,
    bytes: String,
    frames: Option<Vec<FrameOf>>,
    error: Option<String>,
    #[serde(default)]
    decode_only: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct FrameOf {
    head: String,
    attachment: String,
}

#[test]
fn frames_are_decoded_whole_and_by_the_byte_and_encoded_back() {
    replay(
        "frames.json",
        |case: &FrameCase| &case.name,
        |case| {
            let bytes = unhex(&case.bytes).unwrap();
            for step in [bytes.len().max(1), 1] {
                let (frames, error) = decode(&case.state, &bytes, step);
                same("error", error.map(Code::as_str), case.error.as_deref())?;
                if let Some(expected) = &case.frames {
                    same("frames", &frames, expected)?;
                }
            }
            match &case.frames {
                Some(frames) if !case.decode_only => {
                    same("encoding", hex(&encode(frames)), case.bytes.clone())
                }
                _ => Ok(()),
            }
        },
    );
}

fn decode(state: &str, bytes: &[u8], step: usize) -> (Vec<FrameOf>, Option<Code>) {
    let mut decoder = Decoder::for_handshake();
    match state {
        "handshake" => {}
        "session" => decoder.open(),
        other => panic!("state {other} is none"),
    }
    let mut frames = Vec::new();
    for part in bytes.chunks(step) {
        decoder.buffer().extend_from_slice(part);
        loop {
            match decoder.next() {
                Ok(Some(frame)) => frames.push(FrameOf {
                    head: String::from_utf8(frame.head.to_vec()).unwrap(),
                    attachment: hex(&frame.attachment.to_bytes()),
                }),
                Ok(None) => break,
                Err(error) => return (frames, Some(error.code())),
            }
        }
    }
    (frames, None)
}

fn encode(frames: &[FrameOf]) -> BytesMut {
    let mut out = BytesMut::new();
    for frame in frames {
        let attachment = unhex(&frame.attachment).unwrap();
        let head = frame.head.as_bytes();
        put_head(&mut out, head.len(), attachment.len(), |w| {
            w.write_all(head).map_err(serde_json::Error::io)
        })
        .unwrap();
        out.put_slice(&attachment);
    }
    out
}

/// Members are kept as a map: which of them stand in a case is part of what it says.
#[test]
fn heads_are_the_messages_or_the_errors_that_the_specification_says() {
    replay(
        "messages.json",
        |case: &Map<String, Value>| case["name"].as_str().unwrap(),
        |case| {
            let head = match (case.get("head"), case.get("head_hex")) {
                (Some(text), None) => text.as_str().unwrap().as_bytes().to_vec(),
                (None, Some(bytes)) => unhex(bytes.as_str().unwrap()).unwrap(),
                _ => panic!("a case has one of head and head_hex"),
            };

            let found = describe(&head);

            let mut expected = case.clone();
            for input in ["name", "head", "head_hex"] {
                expected.remove(input);
            }
            let mut found = found.as_object().unwrap().clone();
            if !expected.contains_key("kind") && !expected.contains_key("id") {
                found.remove("id");
            }
            same("message", found, expected)
        },
    );
}

/// What a head is, in the members of a case.
fn describe(head: &[u8]) -> Value {
    let with = |mut case: Value, member: &str, raw: Option<&RawValue>| {
        if let Some(raw) = raw {
            case[member] = serde_json::from_str(raw.get()).unwrap();
        }
        case
    };
    match message::read(head) {
        Ok(Message::Request { id, method, params }) => {
            with(json!({"kind": "request", "id": id, "method": method}), "params", params)
        }
        Ok(Message::Notification { method, params }) => {
            with(json!({"kind": "notification", "method": method}), "params", params)
        }
        Ok(Message::Response { id, outcome }) => {
            let id = match id {
                WireId::Number(id) => json!(id),
                WireId::Null => Value::Null,
                WireId::Foreign => json!("foreign"),
            };
            let case = json!({"kind": "response", "id": id});
            match outcome {
                Outcome::Result(raw) => with(case, "result", Some(raw)),
                Outcome::Error(raw) => with(case, "error", Some(raw)),
            }
        }
        Err(bad) => json!({"error": bad.code.as_str(), "id": bad.id}),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplyCase {
    name: String,
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    result_text: Option<String>,
    status: Option<u16>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default)]
    more: bool,
    content_length: Option<u64>,
    error: Option<String>,
}

/// A result of `null` is a result.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[test]
fn answers_are_refused_or_lose_what_is_not_theirs_to_say() {
    replay(
        "replies.json",
        |case: &ReplyCase| &case.name,
        |case| {
            let text = match (&case.result, &case.result_text) {
                (Some(result), None) => result.to_string(),
                (None, Some(text)) => text.clone(),
                _ => panic!("a case has one of result and result_text"),
            };
            let raw: &RawValue = serde_json::from_str(&text).unwrap();

            match (reply::read(raw), &case.error) {
                (Err(_), Some(code)) => same("error", Code::BadReply.as_str(), code),
                (Err(error), None) => Err(format!("refused: {error}")),
                (Ok(reply), Some(_)) => Err(format!("accepted: {reply:?}")),
                (Ok(reply), None) => {
                    let lines: String = reply.header_lines.iter().map(|byte| char::from(*byte)).collect();
                    let headers: Vec<(String, String)> = lines
                        .split_terminator("\r\n")
                        .filter_map(|line| line.split_once(": "))
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .collect();
                    same("status", Some(reply.status), case.status)?;
                    same("headers", &headers, &case.headers)?;
                    same("more", reply.more, case.more)?;
                    // Without `more` the attachment is the whole body, and what was said of its length is not looked at.
                    same("content-length", reply.content_length.filter(|_| reply.more), case.content_length)
                }
            }
        },
    );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HandshakeCase {
    name: String,
    worker_key: String,
    cluster_seed: String,
    hello: String,
    answer: Option<String>,
    certificate_sha256: Option<String>,
    transcript: Option<String>,
    broker_proof: Option<String>,
    worker_proof: Option<String>,
    error: Option<String>,
    by: Option<String>,
}

#[test]
fn both_sides_prove_and_refuse_as_the_specification_says() {
    replay(
        "handshake.json",
        |case: &HandshakeCase| &case.name,
        |case| {
            let key = WorkerKey::parse(&case.worker_key).unwrap();
            let identity = Signer::from_seed(&unhex32(&case.cluster_seed).unwrap());
            same("public key of the cluster", identity.public(), key.cluster)?;
            let certificate = case.certificate_sha256.as_deref().map(|text| unhex32(text).unwrap());

            let refused_by_worker = case.by.as_deref() == Some("worker");
            let broker = read_hello(&identity, case, certificate);
            let Some(answer) = &case.answer else {
                return same("error", broker.err(), case.error.clone());
            };
            // What the worker refuses may be a hello that the broker never saw; every other hello is good.
            if !refused_by_worker {
                same("refusal of the hello", broker.err(), None)?;
            }

            let worker = WorkerHandshake { hello: case.hello.clone().into() };
            let proof = unhex(case.broker_proof.as_deref().unwrap()).unwrap();
            let proven = match worker.answer(&key, answer.as_bytes(), &proof, certificate.as_ref()) {
                Err(refused) => {
                    let expected = case.error.as_deref().filter(|_| refused_by_worker);
                    return same("error of the worker", Some(refused.code.as_str()), expected);
                }
                Ok(_) if refused_by_worker => return Err("the worker believed the broker".to_owned()),
                Ok(proven) => proven,
            };

            let said = transcript(case.hello.as_bytes(), answer.as_bytes(), certificate.as_ref());
            same("transcript", Some(hex(&said)), case.transcript.clone())?;
            same(
                "broker's proof",
                Some(hex(&identity.prove(Role::Broker, &said))),
                case.broker_proof.clone(),
            )?;

            let given = unhex(case.worker_proof.as_deref().unwrap()).unwrap();
            let public = Signer::from_seed(&key.seed).public();
            let believed = verify(&public, Role::Worker, &said, &given);
            same("the broker believes", believed, case.error.is_none())?;
            same("the worker's proof is the one given", proven.proof[..] == given[..], case.error.is_none())
        },
    );
}

/// Gives the code that a broker refuses the hello with.
fn read_hello(identity: &Signer, case: &HandshakeCase, certificate: Option<[u8; 32]>) -> Result<(), String> {
    let side = BrokerSide {
        identity,
        broker: "b-1",
        library: "hera 0.1.0",
        limits: Limits::default(),
        features: &[],
        certificate,
    };
    let read = BrokerHandshake::hello(&side, case.hello.as_bytes(), &"0".repeat(64));
    read.map(|_| ()).map_err(|refused| refused.code.as_str().to_owned())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyCase {
    name: String,
    key: String,
    id: Option<String>,
    seed: Option<String>,
    cluster: Option<String>,
    error: Option<String>,
}

#[test]
fn worker_keys_are_read_strictly_and_written_back() {
    replay(
        "keys.json",
        |case: &KeyCase| &case.name,
        |case| match WorkerKey::parse(&case.key) {
            Ok(key) => {
                same("error", None, case.error.as_deref())?;
                same("id", Some(&key.id), case.id.as_ref())?;
                same("seed", Some(hex(&key.seed)), case.seed.clone())?;
                same("cluster", Some(hex(&key.cluster)), case.cluster.clone())?;
                same("text", key.to_text().as_str(), case.key.trim_end())
            }
            Err(BadKey::Form) => same("error", Some("form"), case.error.as_deref()),
            Err(BadKey::Checksum) => same("error", Some("checksum"), case.error.as_deref()),
        },
    );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonCase {
    name: String,
    value: Option<String>,
    value_hex: Option<String>,
    head: Option<String>,
    head_hex: Option<String>,
}

impl JsonCase {
    fn head(&self) -> Vec<u8> {
        let bytes = |hex: &Option<String>| hex.as_ref().map(|hex| unhex(hex).unwrap());
        if let Some(head) = self.head.clone().map(String::into_bytes).or_else(|| bytes(&self.head_hex)) {
            return head;
        }
        let value = self.value.clone().map(String::into_bytes).or_else(|| bytes(&self.value_hex)).unwrap();
        let before = br#"{"jsonrpc":"2.0","id":5,"method":"ping","params":{"v":"#;
        [&before[..], &value, b"}}"].concat()
    }
}

#[test]
fn json_is_read_as_strictly_as_rfc_8259_has_it() {
    replay(
        "json.json",
        |case: &JsonCase| &case.name,
        |case| {
            let head = case.head();
            let read = message::read(&head);
            match (&case.name[..2], &read) {
                ("y_", Ok(Message::Request { id: 5, method, .. })) if method == "ping" => Ok(()),
                ("n_", Err(bad)) if bad.code == Code::ParseError => Ok(()),
                ("i_", Ok(Message::Request { .. })) => Ok(()),
                ("i_", Err(bad)) if matches!(bad.code, Code::ParseError | Code::InvalidRequest) => Ok(()),
                _ => Err(format!("is read as {read:?}")),
            }
        },
    );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChainCase {
    name: String,
    method: String,
    path: String,
    query: Option<String>,
    call: String,
}

#[test]
fn names_of_calls_in_a_chain() {
    replay(
        "chains.json",
        |case: &ChainCase| &case.name,
        |case| {
            same(
                "name",
                message::remote::name(&case.method, &case.path, case.query.as_deref()),
                case.call.clone(),
            )
        },
    );
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallCase {
    name: String,
    call: CallOf,
    head: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CallOf {
    id: u64,
    endpoint: String,
    method: String,
    target: String,
    path: String,
    query: Option<String>,
    path_params: BTreeMap<String, String>,
    headers: Vec<(String, String)>,
    request_id: String,
    caller: CallerOf,
    trace: Option<TraceOf>,
    timeout_ms: u64,
    #[serde(default)]
    chain: Vec<String>,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct CallerOf {
    token: Option<String>,
    labels: BTreeMap<String, String>,
    ip: String,
    service: Option<String>,
}

#[derive(Deserialize)]
struct TraceOf {
    traceparent: String,
    tracestate: Option<String>,
}

#[test]
fn calls_are_written_and_read_as_the_vectors_say() {
    replay::<CallCase>(
        "calls.json",
        |case| &case.name,
        |case| {
            let call = &case.call;
            let params: Vec<(&str, Cow<'_, str>)> =
                call.path_params.iter().map(|(name, value)| (name.as_str(), Cow::from(value))).collect();
            let latin1 = |text: &str| text.chars().map(|c| c as u8).collect::<Vec<u8>>();
            let headers: Vec<_> =
                call.headers.iter().map(|(name, value)| (latin1(name), latin1(value))).collect();
            let mut head = Vec::new();
            CallOut {
                method: &call.method,
                target: &call.target,
                path: &call.path,
                query: call.query.as_deref(),
                path_params: &params,
                headers: headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice())),
                request_id: &call.request_id,
                caller: CallerOut::Parts {
                    token: call.caller.token.as_deref(),
                    labels: &call.caller.labels,
                    ip: &call.caller.ip,
                    service: call.caller.service.as_deref(),
                },
                trace: call.trace.as_ref().map(|trace| TraceOut {
                    traceparent: &trace.traceparent,
                    tracestate: trace.tracestate.as_deref(),
                }),
                timeout_ms: call.timeout_ms,
                chain: &call.chain,
                more: call.more,
            }
            .write(call.id, &call.endpoint, &mut head);
            same("head", String::from_utf8(head).unwrap(), case.head.clone())?;

            let (id, endpoint, read) = given::quick(case.head.as_bytes()).ok_or("not read the quick way")?;
            same("id and endpoint", (id, endpoint), (call.id, call.endpoint.as_str()))?;
            same("path and query", (read.path(), read.query()), (call.path.as_str(), call.query.as_deref()))?;
            same(
                "headers",
                read.headers().map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
                call.headers.clone(),
            )?;
            same(
                "caller",
                (read.token(), read.ip(), read.service()),
                (call.caller.token.as_deref(), &*call.caller.ip, call.caller.service.as_deref()),
            )?;
            same("chain", read.chain().map(str::to_owned).collect(), call.chain.clone())?;
            same("the rest", (read.timeout_ms(), read.more()), (call.timeout_ms, call.more))
        },
    );
}
