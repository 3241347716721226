//! Heads of frames: what is taken for a message is JSON-RPC as another reader sees it, and params of any type are read or refused.

#![no_main]

use hera_protocol::id::ID_MAX;
use hera_protocol::message::call::{CallIn, Cancel};
use hera_protocol::message::declare::{Declare, DeclareAnswer};
use hera_protocol::message::failure::Failure;
use hera_protocol::message::hello::{Hello, HelloAnswer};
use hera_protocol::message::load::Load;
use hera_protocol::message::stream::{BodyRef, Credit, Reset};
use hera_protocol::message::{self, BadHead, Message, Outcome, remote, reply};
use hera_protocol::{Code, WireId};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|head: &[u8]| {
    // Surrogates without their other half and numbers over every range are JSON to a reader that does not look into them.
    let other: Option<Value> = serde_json::from_slice(head).ok();
    let quickly = reply::quick(head);
    match message::read(head) {
        Ok(Message::Response { id: WireId::Number(id), outcome: Outcome::Result(raw) })
            if quickly.is_some() =>
        {
            assert_eq!(quickly, reply::read(raw).ok().map(|reply| (id, reply)));
        }
        other => assert!(quickly.is_none(), "the quick way took {other:?}"),
    }
    match message::read(head) {
        Ok(message) => {
            if let Some(other) = &other {
                agree(&message, other);
            }
            look_into(&message);
        }
        Err(bad) => refused(&bad, other.as_ref()),
    }
});

fn agree(message: &Message<'_>, other: &Value) {
    assert_eq!(other["jsonrpc"], "2.0");
    let has = |member| other.as_object().is_some_and(|members| members.contains_key(member));
    match message {
        Message::Request { id, method, params } => {
            assert!((1..=ID_MAX).contains(id));
            assert_eq!((&other["id"], &other["method"]), (&Value::from(*id), &Value::from(&**method)));
            assert!(!has("result") && !has("error"));
            same(*params, &other["params"]);
            written_back(*id, method, *params);
        }
        Message::Notification { method, params } => {
            assert_eq!(other["method"], **method);
            assert!(!has("id") && !has("result") && !has("error"));
            same(*params, &other["params"]);
        }
        Message::Response { id, outcome } => {
            assert!(!has("method") && (has("result") != has("error")));
            match id {
                WireId::Number(id) => assert_eq!(other["id"].as_u64(), Some(*id)),
                WireId::Null => assert!(other["id"].is_null()),
                WireId::Foreign => assert!(!other["id"].is_null()),
            }
            match outcome {
                Outcome::Result(raw) => same(Some(raw), &other["result"]),
                Outcome::Error(raw) => same(Some(raw), &other["error"]),
            }
        }
    }
}

fn same(raw: Option<&RawValue>, other: &Value) {
    let raw: Value = raw.map_or(Value::Null, |raw| serde_json::from_str(raw.get()).unwrap());
    assert_eq!(raw, *other);
}

/// What was read can be written, and is read the same again.
fn written_back(id: u64, method: &str, params: Option<&RawValue>) {
    let Some(params) = params else { return };
    let mut again = Vec::new();
    message::write_request(&mut again, id, method, &params).unwrap();
    let Ok(Message::Request { id: id_again, method: method_again, params: Some(params_again) }) =
        message::read(&again)
    else {
        panic!("{}", String::from_utf8_lossy(&again))
    };
    assert_eq!((id_again, &*method_again, params_again.get()), (id, method, params.get()));
}

/// Reads params and results as everything that they can be.
fn look_into(message: &Message<'_>) {
    let raw = match message {
        Message::Request { params, .. } | Message::Notification { params, .. } => *params,
        Message::Response { outcome: Outcome::Result(raw) | Outcome::Error(raw), .. } => Some(*raw),
    };
    if let Some(hello) = message::fit::<Hello>(raw) {
        let _ = hello.check();
    }
    if let Some(declare) = message::fit::<Declare>(raw) {
        for declared in &declare.endpoints {
            let _ = declared.check_limits();
            let _ = hera_route::Endpoint::parse(&declared.endpoint);
        }
    }
    let _ = message::fit::<HelloAnswer>(raw);
    let _ = message::fit::<DeclareAnswer>(raw);
    let _ = message::fit::<Load>(raw);
    let _ = message::fit::<CallIn>(raw);
    let _ = message::fit::<Cancel>(raw);
    let _ = message::fit::<BodyRef>(raw);
    let _ = message::fit::<Credit>(raw);
    let _ = message::fit::<Reset<'_>>(raw);
    if let Some(failure) = message::fit::<Failure<'_>>(raw) {
        let _ = (failure.code(), failure.into_endpoints());
    }
    if let Ok(call) = remote::read(raw) {
        let plain =
            |bytes: &[u8]| bytes.iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f));
        assert!(call.target.starts_with('/') && call.target.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(call.headers.iter().all(|(name, value)| plain(name.as_bytes()) && plain(value)));
    }
    if let Some(raw) = raw {
        let _ = (remote::read_answer(raw), remote::read_refused(raw));
    }
    if let Some(Ok(reply)) = raw.map(reply::read) {
        assert!((200..=599).contains(&reply.status) && reply.status != 425);
    }
}

fn refused(bad: &BadHead, other: Option<&Value>) {
    assert!(matches!(bad.code, Code::ParseError | Code::InvalidRequest));
    if let (Some(id), Some(other)) = (bad.id, other) {
        // A member that stands twice is read as its last by the other.
        assert!(other["id"].as_u64() == Some(id), "{id} is not an id of {other}");
    }
}
