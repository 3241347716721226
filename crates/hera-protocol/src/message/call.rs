//! A call: a request whose method is the endpoint (P-32), and `cancel` (P-36).

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Params of a call as the broker writes them; everything is borrowed.
#[derive(Debug, Serialize)]
pub struct CallOut<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Raw request target.
    pub target: &'a str,
    /// Canonical path.
    pub path: &'a str,
    /// Raw query without `?`.
    pub query: Option<&'a str>,
    /// Names as the worker declared them, values decoded once.
    pub path_params: PathParamsOut<'a>,
    /// In order.
    pub headers: HeadersOut<'a>,
    /// `[A-Za-z0-9._-]{1,128}`.
    pub request_id: &'a str,
    /// Who calls.
    pub caller: CallerOut<'a>,
    /// W3C trace context.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceOut<'a>>,
    /// Remaining time.
    pub timeout_ms: u64,
    /// Chunks follow.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

/// Path parameters as an object.
#[derive(Debug)]
pub struct PathParamsOut<'a>(pub &'a [(&'a str, Cow<'a, str>)]);

impl Serialize for PathParamsOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// Header pairs: names in lower case already, values as raw bytes that are written as Latin-1 code points.
#[derive(Debug)]
pub struct HeadersOut<'a>(pub &'a [(&'a str, &'a [u8])]);

impl Serialize for HeadersOut<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for (name, value) in self.0 {
            list.serialize_element(&(name, latin1(value)))?;
        }
        list.end()
    }
}

/// Bytes as Latin-1 text; borrowed when they are ASCII, as nearly all are.
pub fn latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if bytes.is_ascii() => Cow::Borrowed(text),
        _ => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Who calls, as the broker writes it.
#[derive(Debug, Serialize)]
pub struct CallerOut<'a> {
    /// Name of the token; `None` is anonymous.
    pub token: Option<&'a str>,
    /// Labels of the token.
    pub labels: &'a BTreeMap<String, String>,
    /// Address of the caller.
    pub ip: &'a str,
}

/// Trace context, as the broker writes it.
#[derive(Debug, Serialize)]
pub struct TraceOut<'a> {
    /// W3C `traceparent`.
    pub traceparent: &'a str,
    /// W3C `tracestate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracestate: Option<&'a str>,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broker_writes_a_worker_reads() {
        let labels = BTreeMap::from([("team".to_owned(), "ads".to_owned())]);
        let out = CallOut {
            method: "GET",
            target: "/0/a/%C3%A4?x=1",
            path: "/0/a/%C3%A4",
            query: Some("x=1"),
            path_params: PathParamsOut(&[("id", Cow::Borrowed("ä"))]),
            headers: HeadersOut(&[("accept", b"*/*"), ("x-name", b"J\xfcrgen"), ("x-name", b"2")]),
            request_id: "r-1",
            caller: CallerOut { token: Some("demo"), labels: &labels, ip: "127.0.0.1" },
            trace: None,
            timeout_ms: 15_000,
            more: false,
        };

        let read: CallIn = serde_json::from_str(&serde_json::to_string(&out).unwrap()).unwrap();

        assert_eq!(read.path_params["id"], "ä");
        assert_eq!(read.headers[1], ("x-name".to_owned(), "Jürgen".to_owned()));
        assert_eq!(read.headers[2].1, "2");
        assert_eq!(read.caller.labels["team"], "ads");
        assert!(!read.more);
    }
}
