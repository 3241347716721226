//! The head of a frame: one JSON-RPC 2.0 message (P-6 to P-13), and one file for each message that Hera knows.

pub mod call;
pub mod declare;
pub mod failure;
pub mod given;
pub mod hello;
pub mod load;
mod quick;
pub mod remote;
pub mod reply;
pub mod stream;

use crate::error::Code;
use crate::id::{ID_MAX, WireId};
use crate::limits::JSON_DEPTH_MAX;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Where heads are written: the buffer that [`crate::frame::put_head`] hands out.
pub type HeadWriter<'w> = &'w mut Vec<u8>;

/// Names of the control methods (P-9); endpoints always contain a space, so the two cannot meet.
pub mod method {
    /// Worker to broker: the first message.
    pub const HELLO: &str = "hello";
    /// Worker to broker: its proof.
    pub const PROVE: &str = "prove";
    /// Worker to broker: the endpoints it serves.
    pub const DECLARE: &str = "declare";
    /// Broker to worker: how loaded are you?
    pub const STATUS: &str = "status";
    /// Either way: are you there?
    pub const PING: &str = "ping";
    /// Worker to broker: a remote call.
    pub const CALL: &str = "call";
    /// Either way: I am going.
    pub const DRAIN: &str = "drain";
    /// Requester to the other: stop this call.
    pub const CANCEL: &str = "cancel";
    /// Either way: more bytes of a body.
    pub const CHUNK: &str = "chunk";
    /// Receiver of a body to its sender: you may send so much more.
    pub const CREDIT: &str = "credit";
    /// Sender of a body: that was all.
    pub const END: &str = "end";
    /// Either end of a body: it stops here, unfinished.
    pub const RESET: &str = "reset";
}

/// One message, borrowing from its head.
#[derive(Debug)]
pub enum Message<'a> {
    /// Wants an answer.
    Request {
        /// Always a number: anything else is `invalid_request`.
        id: u64,
        /// Control method or endpoint.
        method: Cow<'a, str>,
        /// Not read yet.
        params: Option<&'a RawValue>,
    },
    /// Wants none.
    Notification {
        /// Control method.
        method: Cow<'a, str>,
        /// Not read yet.
        params: Option<&'a RawValue>,
    },
    /// Answers a request of ours.
    Response {
        /// As it stands on the wire.
        id: WireId,
        /// `result` or `error`.
        outcome: Outcome<'a>,
    },
}

/// What a response brings.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// Not read yet.
    Result(&'a RawValue),
    /// Not read yet; see [`failure::Failure`].
    Error(&'a RawValue),
}

/// A head that is no message (P-10).
#[derive(Debug, PartialEq, Eq)]
pub struct BadHead {
    /// `parse_error` or `invalid_request`.
    pub code: Code,
    /// The id it carries, where one can be made out.
    pub id: Option<u64>,
    /// It is a request gone wrong: its id is the peer's own. Otherwise a call of ours that waits for the id fails.
    pub is_request: bool,
    /// For the log and the peer's developer; holds nothing of the head's content.
    pub reason: &'static str,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "text")]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// Keeps `null` apart from a member that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// `Cow` inside an `Option`, a tuple or a `Vec` would always own; this borrows wherever the JSON has no escape.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Refuses `null`, which an `Option` would take for a member that is not there.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    Text::deserialize(deserializer).map(|Text(text)| Some(text))
}

/// Reads a head.
///
/// Costs one pass; params and results stay raw. Nothing here recurses, so depth and size cost no stack.
pub fn read(head: &[u8]) -> Result<Message<'_>, BadHead> {
    let bad = |code, reason| BadHead { code, id: None, is_request: false, reason };
    let text = std::str::from_utf8(head).map_err(|_| bad(Code::ParseError, "head is not UTF-8"))?;
    if nests_too_deep(head) {
        return Err(bad(Code::ParseError, "head nests deeper than 64"));
    }
    // Serde would take an array for the members in their order, and P-6 has objects alone.
    if text.trim_start_matches(JSON_SPACE).starts_with('[') {
        return Err(explain(text, "batches are not used"));
    }
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| {
        let doubled = error.to_string().starts_with("duplicate field");
        explain(text, if doubled { "a member stands twice" } else { "a member has the wrong type" })
    })?;

    let id = raw.id.map(|id| WireId::parse(id.get()));
    let usable = match id {
        Some(WireId::Number(id)) => Some(id),
        _ => None,
    };
    let is_request = raw.method.is_some() && raw.result.is_none() && raw.error.is_none();
    let invalid = |reason| BadHead { code: Code::InvalidRequest, id: usable, is_request, reason };
    if raw.jsonrpc.as_deref() != Some("2.0") {
        return Err(invalid("member jsonrpc is not \"2.0\""));
    }
    match (raw.method, id, raw.result, raw.error) {
        (Some(method), Some(WireId::Number(id)), None, None) => {
            Ok(Message::Request { id, method, params: raw.params })
        }
        (Some(method), None, None, None) => Ok(Message::Notification { method, params: raw.params }),
        (None, Some(id), Some(result), None) => {
            Ok(Message::Response { id, outcome: Outcome::Result(result) })
        }
        (None, Some(id), None, Some(error)) => Ok(Message::Response { id, outcome: Outcome::Error(error) }),
        (Some(_), Some(_), None, None) => {
            Err(invalid("id of a request is not an integer from 1 to 2^53 - 1"))
        }
        (None, _, Some(_), Some(_)) => Err(invalid("response with both result and error")),
        _ => Err(invalid("neither request, notification nor response")),
    }
}

/// Brackets are counted first, which a short head never passes; only then is their nesting followed.
fn nests_too_deep(head: &[u8]) -> bool {
    let brackets = head.iter().filter(|byte| **byte | 0x20 == b'{').count();
    if brackets <= JSON_DEPTH_MAX {
        return false;
    }
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in head {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > JSON_DEPTH_MAX {
            return true;
        }
    }
    false
}

/// Off the ordinary path: tells "not JSON" from "not a message", and looks for an id whose call has to fail.
fn explain(text: &str, reason: &'static str) -> BadHead {
    match serde_json::from_str::<serde_json::Value>(text) {
        Err(_) => BadHead { code: Code::ParseError, id: None, is_request: false, reason: "head is not JSON" },
        Ok(value) => BadHead {
            code: Code::InvalidRequest,
            id: value.get("id").and_then(serde_json::Value::as_u64).filter(|id| (1..=ID_MAX).contains(id)),
            is_request: value.get("method").is_some()
                && value.get("result").is_none()
                && value.get("error").is_none(),
            reason,
        },
    }
}

/// Reads params or a result into its type; `None` when it does not fit (`invalid_params`).
///
/// Only objects fit: serde would also take an array for the members in their order.
pub fn fit<'a, T: Deserialize<'a>>(raw: Option<&'a RawValue>) -> Option<T> {
    let text = raw.map_or("{}", RawValue::get);
    text.starts_with('{').then(|| serde_json::from_str(text).ok()).flatten()
}

/// White space of RFC 8259, less than Unicode's.
const JSON_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// An object without members: params and results that say nothing.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Empty {}

#[derive(Serialize)]
struct RequestOut<'a, P> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a P,
}

#[derive(Serialize)]
struct NotificationOut<'a, P> {
    jsonrpc: &'static str,
    method: &'a str,
    params: &'a P,
}

#[derive(Serialize)]
struct ResultOut<'a, R> {
    jsonrpc: &'static str,
    id: u64,
    result: &'a R,
}

/// Writes the head of a request.
pub fn write_request<P: Serialize>(
    out: HeadWriter<'_>,
    id: u64,
    method: &str,
    params: &P,
) -> serde_json::Result<()> {
    serde_json::to_writer(out, &RequestOut { jsonrpc: "2.0", id, method, params })
}

/// Writes the head of a notification.
pub fn write_notification<P: Serialize>(
    out: HeadWriter<'_>,
    method: &str,
    params: &P,
) -> serde_json::Result<()> {
    serde_json::to_writer(out, &NotificationOut { jsonrpc: "2.0", method, params })
}

/// Writes the head of a response with a result.
pub fn write_result<R: Serialize>(out: HeadWriter<'_>, id: u64, result: &R) -> serde_json::Result<()> {
    serde_json::to_writer(out, &ResultOut { jsonrpc: "2.0", id, result })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_a_result_and_an_id_apart_from_nothing() {
        assert!(matches!(
            read(br#"{"jsonrpc":"2.0","id":7,"result":null}"#),
            Ok(Message::Response { id: WireId::Number(7), outcome: Outcome::Result(_) })
        ));
        assert!(matches!(
            read(br#"{"jsonrpc":"2.0","id":null,"error":{}}"#),
            Ok(Message::Response { id: WireId::Null, outcome: Outcome::Error(_) })
        ));
    }

    #[test]
    fn doubled_result_names_the_call_that_fails() {
        let bad = read(br#"{"jsonrpc":"2.0","id":7,"result":1,"result":2}"#).unwrap_err();
        assert_eq!((bad.code, bad.id), (Code::InvalidRequest, Some(7)));
        let bad = read(br#"{"jsonrpc":"2.0","id":7,"result":1,"error":{}}"#).unwrap_err();
        assert_eq!((bad.code, bad.id), (Code::InvalidRequest, Some(7)));
    }

    #[test]
    fn broken_request_is_not_taken_for_an_answer() {
        let bad = read(br#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#).unwrap_err();
        assert_eq!((bad.id, bad.is_request), (Some(7), true));
        let bad = read(br#"{"jsonrpc":"2.0","id":7,"method":5}"#).unwrap_err();
        assert!(bad.is_request);
        let bad = read(br#"{"jsonrpc":"2.0","id":7}"#).unwrap_err();
        assert_eq!((bad.id, bad.is_request), (Some(7), false));
    }

    #[test]
    fn depth_is_limited_outside_strings_alone() {
        let deep =
            format!(r#"{{"jsonrpc":"2.0","method":"x","params":{}{}}}"#, "[".repeat(64), "]".repeat(64));
        assert_eq!(read(deep.as_bytes()).unwrap_err().code, Code::ParseError);
        let text = format!(r#"{{"jsonrpc":"2.0","method":"x","params":["{}"]}}"#, "[".repeat(5000));
        assert!(read(text.as_bytes()).is_ok());
        let endless = "[".repeat(200_000);
        assert_eq!(read(endless.as_bytes()).unwrap_err().code, Code::ParseError);
    }
}
