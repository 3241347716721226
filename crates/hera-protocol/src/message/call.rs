//! A call: a request whose method is the endpoint (P-32), and `cancel` (P-36).

use crate::json;
use crate::message::HeadWriter;
use crate::message::remote::write_chain;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A call as the broker writes it; everything is borrowed.
#[derive(Debug)]
pub struct CallOut<'a, Headers> {
    /// HTTP method: a token.
    pub method: &'a str,
    /// Raw request target.
    pub target: &'a str,
    /// Canonical path.
    pub path: &'a str,
    /// Raw query without `?`.
    pub query: Option<&'a str>,
    /// Names as the worker declared them, values decoded once.
    pub path_params: &'a [(&'a str, Cow<'a, str>)],
    /// In order; names are tokens in lower case, values raw bytes that are written as Latin-1 code points.
    pub headers: Headers,
    /// `[A-Za-z0-9._-]{1,128}`.
    pub request_id: &'a str,
    /// Who calls.
    pub caller: CallerOut<'a>,
    /// W3C trace context.
    pub trace: Option<TraceOut<'a>>,
    /// Remaining time.
    pub timeout_ms: u64,
    /// Names of the calls within which a remote call is made (P-53).
    pub chain: &'a [String],
    /// Chunks follow.
    pub more: bool,
}

/// Who calls, as it is written.
#[derive(Debug)]
pub enum CallerOut<'a> {
    /// By all that is known.
    Parts {
        /// Name of the token; `None` is anonymous.
        token: Option<&'a str>,
        /// Labels of the token.
        labels: &'a BTreeMap<String, String>,
        /// Address of the caller.
        ip: &'a str,
        /// The calling service, for a remote call.
        service: Option<&'a str>,
    },
    /// The holder of a token, most of it written before.
    Known {
        /// By [`begin_caller`].
        begun: &'a str,
        /// Address of the caller: one that needs no escape.
        ip: &'a str,
    },
}

/// Trace context, as the broker writes it.
#[derive(Debug)]
pub struct TraceOut<'a> {
    /// W3C `traceparent`.
    pub traceparent: &'a str,
    /// W3C `tracestate`.
    pub tracestate: Option<&'a str>,
}

impl<'a, Headers: Iterator<Item = (&'a [u8], &'a [u8])>> CallOut<'a, Headers> {
    /// Writes the head of the call: a request whose method is the endpoint as it was declared.
    pub fn write(self, id: u64, endpoint: &str, out: HeadWriter<'_>) {
        // Room for all but long headers: the buffer grows once at most, and then keeps its size.
        out.reserve(512 + 2 * self.target.len());
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        json::number(out, id);
        text(out, ",\"method\":", endpoint);
        plain(out, ",\"params\":{\"method\":", self.method);
        text(out, ",\"target\":", self.target);
        plain(out, ",\"path\":", self.path);
        out.extend_from_slice(b",\"query\":");
        json::optional(out, self.query);
        out.extend_from_slice(b",\"path_params\":");
        object(out, self.path_params.iter().map(|(name, value)| (*name, &**value)));
        out.extend_from_slice(b",\"headers\":");
        write_headers(self.headers, out);
        plain(out, ",\"request_id\":", self.request_id);
        write_caller(&self.caller, out);
        if let Some(trace) = &self.trace {
            write_trace(trace, out);
        }
        out.extend_from_slice(b",\"timeout_ms\":");
        json::number(out, self.timeout_ms);
        write_chain(self.chain, out);
        if self.more {
            out.extend_from_slice(b",\"more\":true");
        }
        out.extend_from_slice(b"}}");
    }
}

/// Writes the member `caller`.
pub(super) fn write_caller(caller: &CallerOut<'_>, out: HeadWriter<'_>) {
    match caller {
        CallerOut::Known { begun, ip } => plain(out, begun, ip),
        CallerOut::Parts { token, labels, ip, service } => {
            write_holder(*token, labels, out);
            json::string(out, ip);
            if let Some(service) = service {
                text(out, ",\"service\":", service);
            }
        }
    }
    out.push(b'}');
}

/// The member `caller` up to the address: what is the same in all calls of a token, written once.
pub fn begin_caller(token: Option<&str>, labels: &BTreeMap<String, String>) -> String {
    let mut out = Vec::new();
    write_holder(token, labels, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn write_holder(token: Option<&str>, labels: &BTreeMap<String, String>, out: HeadWriter<'_>) {
    out.extend_from_slice(b",\"caller\":{\"token\":");
    json::optional(out, token);
    out.extend_from_slice(b",\"labels\":");
    object(out, labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    out.extend_from_slice(b",\"ip\":");
}

/// Writes the member `trace`.
pub(super) fn write_trace(trace: &TraceOut<'_>, out: HeadWriter<'_>) {
    text(out, ",\"trace\":{\"traceparent\":", trace.traceparent);
    if let Some(state) = trace.tracestate {
        text(out, ",\"tracestate\":", state);
    }
    out.push(b'}');
}

fn write_headers<'a>(headers: impl Iterator<Item = (&'a [u8], &'a [u8])>, out: HeadWriter<'_>) {
    let mut before: &[u8] = b"[[";
    for (name, value) in headers {
        out.extend_from_slice(before);
        before = b",[";
        json::plain(out, name);
        out.push(b',');
        json::latin1(out, value);
        out.push(b']');
    }
    out.extend_from_slice(if before == b"[[" { b"[]" } else { b"]" });
}

fn plain(out: HeadWriter<'_>, member: &str, value: &str) {
    out.extend_from_slice(member.as_bytes());
    json::plain(out, value);
}

fn text(out: HeadWriter<'_>, member: &str, value: &str) {
    out.extend_from_slice(member.as_bytes());
    json::string(out, value);
}

fn object<'a>(out: HeadWriter<'_>, members: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push(b'{');
    for (at, (name, value)) in members.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json::string(out, name);
        out.push(b':');
        json::string(out, value);
    }
    out.push(b'}');
}

/// Params of a call as a worker reads them.
#[derive(Clone, Debug, Deserialize)]
pub struct CallIn {
    /// HTTP method.
    pub method: String,
    /// Raw request target.
    pub target: String,
    /// Canonical path.
    pub path: String,
    /// Raw query without `?`.
    #[serde(default)]
    pub query: Option<String>,
    /// Names as declared, values decoded once.
    #[serde(default)]
    pub path_params: BTreeMap<String, String>,
    /// In order, names in lower case, values as Latin-1 code points.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// `[A-Za-z0-9._-]{1,128}`.
    pub request_id: String,
    /// Who calls.
    #[serde(default)]
    pub caller: CallerIn,
    /// W3C trace context.
    #[serde(default)]
    pub trace: Option<TraceIn>,
    /// Remaining time, counted from arrival.
    pub timeout_ms: u64,
    /// Names of the calls within which a remote call is made, oldest first (P-53).
    #[serde(default)]
    pub chain: Vec<String>,
    /// Chunks follow.
    #[serde(default)]
    pub more: bool,
}

/// Who calls, as a worker reads it.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct CallerIn {
    /// Name of the token; `None` is anonymous.
    #[serde(default)]
    pub token: Option<String>,
    /// Labels of the token.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Address of the caller.
    #[serde(default)]
    pub ip: String,
    /// The calling service, for a remote call.
    #[serde(default)]
    pub service: Option<String>,
}

/// Trace context, as a worker reads it.
#[derive(Clone, Debug, Deserialize)]
pub struct TraceIn {
    /// W3C `traceparent`.
    pub traceparent: String,
    /// W3C `tracestate`.
    #[serde(default)]
    pub tracestate: Option<String>,
}

/// Params of `cancel`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cancel {
    /// The call's id.
    pub id: u64,
    /// It is a remote call, which the worker made (P-54).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remote: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{self, Message};

    #[test]
    fn what_a_broker_writes_a_worker_reads() {
        let labels = BTreeMap::from([("team".to_owned(), "ads".to_owned())]);
        let out = CallOut {
            method: "GET",
            target: "/0/a/%C3%A4?x=1",
            path: "/0/a/%C3%A4",
            query: Some("x=1"),
            path_params: &[("id", Cow::Borrowed("ä")), ("q", Cow::Borrowed("\"\\\n"))],
            headers: [(&b"accept"[..], &b"*/*"[..]), (b"x-name", b"J\xfcrgen"), (b"x-name", b"2")]
                .into_iter(),
            request_id: "r-1",
            caller: CallerOut::Parts {
                token: Some("demo"),
                labels: &labels,
                ip: "127.0.0.1",
                service: Some("web"),
            },
            trace: Some(TraceOut { traceparent: "00-1-2-03", tracestate: Some("a=b") }),
            timeout_ms: 15_000,
            chain: &["0123456789abcdef".to_owned()],
            more: true,
        };

        let mut head = Vec::new();
        out.write(7, "GET /0/a/{id}", &mut head);

        let Ok(Message::Request { id: 7, method, params: Some(params) }) = message::read(&head) else {
            panic!("{}", String::from_utf8_lossy(&head))
        };
        assert_eq!(method, "GET /0/a/{id}");
        let read: CallIn = serde_json::from_str(params.get()).unwrap();
        assert_eq!((read.method.as_str(), read.target.as_str()), ("GET", "/0/a/%C3%A4?x=1"));
        assert_eq!((read.path.as_str(), read.query.as_deref()), ("/0/a/%C3%A4", Some("x=1")));
        assert_eq!(read.path_params["q"], "\"\\\n");
        assert_eq!((read.request_id.as_str(), read.timeout_ms, read.more), ("r-1", 15_000, true));
        assert_eq!((read.caller.token.as_deref(), read.caller.ip.as_str()), (Some("demo"), "127.0.0.1"));
        assert_eq!(read.trace.unwrap().tracestate.unwrap(), "a=b");
        assert_eq!(read.path_params["id"], "ä");
        assert_eq!(read.headers[1], ("x-name".to_owned(), "Jürgen".to_owned()));
        assert_eq!(read.headers[2].1, "2");
        assert_eq!(read.caller.labels["team"], "ads");
    }

    #[test]
    fn what_is_not_there_is_null_or_left_out() {
        let out = CallOut {
            method: "GET",
            target: "/",
            path: "/",
            query: None,
            path_params: &[],
            headers: std::iter::empty(),
            request_id: "r",
            caller: CallerOut::Known { begun: &begin_caller(None, &BTreeMap::new()), ip: "::1" },
            trace: None,
            chain: &[],
            timeout_ms: 1,
            more: false,
        };

        let mut head = Vec::new();
        out.write(1, "* /", &mut head);

        assert_eq!(
            String::from_utf8(head).unwrap(),
            r#"{"jsonrpc":"2.0","id":1,"method":"* /","params":{"method":"GET","target":"/","path":"/","query":null,"path_params":{},"headers":[],"request_id":"r","caller":{"token":null,"labels":{},"ip":"::1"},"timeout_ms":1}}"#
        );
    }
}
