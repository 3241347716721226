//! A remote call: a worker's request `call`, and its answer (P-50 to P-53).

use super::HeadWriter;
use super::Text;
use super::call::{CallerIn, TraceIn, write_caller, write_trace};
use super::call::{CallerOut, TraceOut};
use crate::error::Code;
use crate::json;
use crate::limits::{CALL_CALLER_BYTES_MAX, CALL_HEADER_BYTES_MAX, CALL_HEADERS_MAX, TIMEOUT_MS_MAX};
use crate::message::failure::{self, Failure};
use crate::message::reply::{is_field_value, is_token_byte};
use crate::proof::sha256;
use crate::{Executed, key};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::time::Duration;

/// Digits of a call's name in a chain.
pub const NAME_DIGITS: usize = 16;

/// The name of a call in the chain of those within it (P-53). `path` is canonical, `query` raw.
pub fn name(method: &str, path: &str, query: Option<&str>) -> String {
    let mut text = format!("{method} {path}");
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    key::hex(&sha256(text.as_bytes())[..NAME_DIGITS / 2])
}

/// Params of `call` as a worker writes them.
#[derive(Debug)]
pub struct RemoteOut<'a> {
    /// HTTP method.
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// In order; names in lower case, values as Latin-1 code points.
    pub headers: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// Of the call within which it is made.
    pub request_id: Option<&'a str>,
    /// Of the call within which it is made.
    pub caller: Option<CallerOut<'a>>,
    /// W3C trace context.
    pub trace: Option<TraceOut<'a>>,
    /// Remaining time; `None` leaves it to the endpoint.
    pub timeout_ms: Option<u64>,
    /// Names of the calls within which it is made, oldest first.
    pub chain: &'a [String],
    /// Chunks follow.
    pub more: bool,
}

impl RemoteOut<'_> {
    /// Writes the head of the request.
    pub fn write(&self, id: u64, out: HeadWriter<'_>) {
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        json::number(out, id);
        out.extend_from_slice(b",\"method\":\"call\",\"params\":{\"method\":");
        json::string(out, self.method);
        out.extend_from_slice(b",\"target\":");
        json::string(out, self.target);
        out.extend_from_slice(b",\"headers\":[");
        for (at, (name, value)) in self.headers.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b"[" } else { b",[" });
            json::string(out, name);
            out.push(b',');
            json::string(out, value);
            out.push(b']');
        }
        out.push(b']');
        if let Some(request_id) = self.request_id {
            out.extend_from_slice(b",\"request_id\":");
            json::string(out, request_id);
        }
        if let Some(caller) = &self.caller {
            write_caller(caller, out);
        }
        if let Some(trace) = &self.trace {
            write_trace(trace, out);
        }
        if let Some(timeout_ms) = self.timeout_ms {
            out.extend_from_slice(b",\"timeout_ms\":");
            json::number(out, timeout_ms);
        }
        write_chain(self.chain, out);
        if self.more {
            out.extend_from_slice(b",\"more\":true");
        }
        out.extend_from_slice(b"}}");
    }
}

/// Writes the member `chain`, unless the chain is empty.
pub fn write_chain(chain: &[String], out: HeadWriter<'_>) {
    for (at, name) in chain.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"chain\":[" } else { b"," });
        json::string(out, name);
    }
    if !chain.is_empty() {
        out.push(b']');
    }
}

/// Params of `call` that passed every rule of P-50.
#[derive(Debug)]
pub struct RemoteCall {
    /// HTTP method: a token of at most 32 bytes.
    pub method: String,
    /// Path and query in ASCII; the path is not judged yet.
    pub target: String,
    /// In order; names are tokens in lower case, values Latin-1 bytes without control bytes but tab.
    pub headers: Vec<(String, Vec<u8>)>,
    /// As it was given.
    pub request_id: Option<String>,
    /// What the worker says of the caller at the beginning.
    pub caller: Option<CallerIn>,
    /// W3C trace context.
    pub trace: Option<TraceIn>,
    /// Remaining time.
    pub timeout: Option<Duration>,
    /// Names of the calls within which it is made, oldest first.
    pub chain: Vec<String>,
    /// Chunks follow.
    pub more: bool,
}

/// Why params of `call` are refused; the text is for the worker's developer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCall {
    /// `invalid_params`, `bad_request` or `uri_too_long`.
    pub code: Code,
    /// What does not fit.
    pub reason: Cow<'static, str>,
}

#[derive(Deserialize)]
struct RemoteIn<'a> {
    method: String,
    target: String,
    #[serde(borrow, default)]
    headers: Vec<(Text<'a>, Text<'a>)>,
    #[serde(default)]
    request_id: Option<String>,
    #[serde(borrow, default)]
    caller: Option<&'a RawValue>,
    #[serde(default)]
    trace: Option<TraceIn>,
    #[serde(default)]
    timeout_ms: Option<u64>,
    #[serde(default)]
    chain: Vec<String>,
    #[serde(default)]
    more: bool,
}

/// Largest target.
const TARGET_BYTES_MAX: usize = 8 * 1024;
const METHOD_BYTES_MAX: usize = 32;
const TRACE_BYTES_MAX: usize = 512;

/// Reads params of `call`. What concerns routes, scopes and depth is the broker's to judge.
pub fn read(params: Option<&RawValue>) -> Result<RemoteCall, BadCall> {
    let invalid = |reason: &'static str| BadCall { code: Code::InvalidParams, reason: reason.into() };
    let given: RemoteIn<'_> =
        super::fit(params).ok_or_else(|| invalid("params are not {method, target, ...}"))?;
    let is_method = (1..=METHOD_BYTES_MAX).contains(&given.method.len())
        && given.method.bytes().all(is_token_byte)
        && given.method != "CONNECT";
    if !is_method {
        return Err(invalid("method is not an HTTP method that may be called"));
    }
    if given.target.len() > TARGET_BYTES_MAX {
        let reason =
            format!("target of {} bytes exceeds the limit of {TARGET_BYTES_MAX}", given.target.len());
        return Err(BadCall { code: Code::UriTooLong, reason: reason.into() });
    }
    let is_target = given.target.starts_with('/') && given.target.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_target || given.target.contains('#') {
        return Err(invalid("target is not a path, and a query behind ?, in ASCII without spaces and #"));
    }
    if given.timeout_ms.is_some_and(|ms| !(1..=TIMEOUT_MS_MAX).contains(&ms)) {
        return Err(invalid("timeout_ms is not from 1 to 300000"));
    }
    if given.caller.is_some_and(|caller| caller.get().len() > CALL_CALLER_BYTES_MAX) {
        return Err(invalid("caller is over 4096 bytes"));
    }
    let caller = match given.caller {
        Some(caller) => {
            Some(super::fit(Some(caller)).ok_or_else(|| invalid("caller is not {token, labels, ip}"))?)
        }
        None => None,
    };
    let is_text =
        |text: &str, most: usize| text.len() <= most && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    let is_trace = given.trace.as_ref().is_none_or(|trace| {
        is_text(&trace.traceparent, TRACE_BYTES_MAX)
            && trace.tracestate.as_ref().is_none_or(|state| is_text(state, TRACE_BYTES_MAX))
    });
    if !is_trace {
        return Err(invalid("trace is not {traceparent, tracestate} of at most 512 bytes each"));
    }
    let is_name = |name: &String| {
        name.len() == NAME_DIGITS && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    if !given.chain.iter().all(is_name) {
        return Err(invalid("chain is not a list of names of 16 hex digits"));
    }
    Ok(RemoteCall {
        headers: headers(given.headers)?,
        method: given.method,
        target: given.target,
        request_id: given.request_id,
        caller,
        trace: given.trace,
        timeout: given.timeout_ms.map(Duration::from_millis),
        chain: given.chain,
        more: given.more,
    })
}

fn headers(given: Vec<(Text<'_>, Text<'_>)>) -> Result<Vec<(String, Vec<u8>)>, BadCall> {
    let bad = |reason: Cow<'static, str>| BadCall { code: Code::BadRequest, reason };
    if given.len() > CALL_HEADERS_MAX {
        return Err(bad(format!("more than {CALL_HEADERS_MAX} headers").into()));
    }
    let mut bytes = 0;
    let mut headers = Vec::with_capacity(given.len());
    for (Text(name), Text(value)) in given {
        bytes += name.len() + value.len();
        if bytes > CALL_HEADER_BYTES_MAX {
            return Err(bad(format!("headers of more than {CALL_HEADER_BYTES_MAX} bytes").into()));
        }
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| is_token_byte(byte) && !byte.is_ascii_uppercase());
        if !is_name {
            return Err(bad("a header name is not a token in lower case".into()));
        }
        if !is_field_value(&value) {
            return Err(bad(format!("header {name} has a control byte or a code point over U+00FF").into()));
        }
        if is_not_the_workers(&name, &value) {
            return Err(bad(format!("header {name} is not the calling worker's to set").into()));
        }
        headers.push((name.into_owned(), value.chars().map(|c| c as u8).collect()));
    }
    Ok(headers)
}

/// Headers of one connection, of the bus, or with a token: a call between workers has none of them. `name` is in lower case.
pub fn is_not_the_workers(name: &str, value: &str) -> bool {
    match name {
        "connection" | "keep-alive" | "te" | "trailer" | "transfer-encoding" | "upgrade" | "host"
        | "content-length" | "expect" | "x-request-id" => true,
        "authorization" => {
            let (scheme, rest) = value.split_at_checked(7).unwrap_or_default();
            scheme.eq_ignore_ascii_case("bearer ") && rest.trim_ascii().starts_with("hera_")
        }
        _ => name.starts_with("hera-") || name.starts_with("proxy-"),
    }
}

/// What a broker adds to the answer (P-52).
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Meta {
    /// `service/version/instance` of the worker that answered.
    #[serde(default)]
    pub worker: String,
    /// How often the call was sent to a worker.
    #[serde(default)]
    pub attempts: u32,
    /// Where the time went.
    #[serde(default)]
    pub took_ms: TookMs,
}

/// Where the time of a remote call went, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct TookMs {
    /// Waiting for a worker with room.
    #[serde(default)]
    pub queue: f64,
    /// At the worker.
    #[serde(default)]
    pub worker: f64,
    /// In the broker.
    #[serde(default)]
    pub bus: f64,
}

/// An answer as the broker writes it.
#[derive(Debug)]
pub struct AnswerOut<'a> {
    /// 200 to 599.
    pub status: u16,
    /// `name: value\r\n` for each header.
    pub header_lines: &'a [u8],
    /// Length of the body, where it is known and is not the attachment's.
    pub content_length: Option<u64>,
    /// Chunks follow.
    pub more: bool,
    /// Who answered.
    pub worker: &'a str,
    /// How often the call was sent.
    pub attempts: u32,
    /// Time in the queue, at the worker, and in the broker.
    pub took: [Duration; 3],
}

impl AnswerOut<'_> {
    /// Writes the head of the response.
    pub fn write(&self, id: u64, out: HeadWriter<'_>) {
        out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
        json::number(out, id);
        out.extend_from_slice(b",\"result\":{\"status\":");
        json::number(out, self.status.into());
        out.extend_from_slice(b",\"headers\":[");
        let mut before: &[u8] = b"[";
        for line in self.header_lines.split_inclusive(|byte| *byte == b'\n') {
            // Written by the reader of replies, so each has its colon and its end.
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let value = line.get(colon + 2..line.len().saturating_sub(2)).unwrap_or_default();
            out.extend_from_slice(before);
            before = b",[";
            json::latin1(out, &line[..colon].to_ascii_lowercase());
            out.push(b',');
            json::latin1(out, value);
            out.push(b']');
        }
        if let Some(length) = self.content_length {
            out.extend_from_slice(before);
            out.extend_from_slice(b"\"content-length\",\"");
            json::number(out, length);
            out.extend_from_slice(b"\"]");
        }
        out.push(b']');
        if self.more {
            out.extend_from_slice(b",\"more\":true");
        }
        out.extend_from_slice(b",\"meta\":{\"worker\":");
        json::string(out, self.worker);
        out.extend_from_slice(b",\"attempts\":");
        json::number(out, self.attempts.into());
        let [queue, worker, bus] = self.took;
        out.extend_from_slice(b",\"took_ms\":{\"queue\":");
        json::millis(out, queue);
        out.extend_from_slice(b",\"worker\":");
        json::millis(out, worker);
        out.extend_from_slice(b",\"bus\":");
        json::millis(out, bus);
        out.extend_from_slice(b"}}}}");
    }
}

/// An answer as the calling worker reads it.
#[derive(Debug)]
pub struct AnswerIn {
    /// 200 to 599.
    pub status: u16,
    /// In order; names in lower case, values as Latin-1 code points.
    pub headers: Vec<(String, String)>,
    /// Chunks follow.
    pub more: bool,
    /// What the broker says of it.
    pub meta: Meta,
}

/// Reads the result of a remote call; `None` when it is none.
pub fn read_answer(raw: &RawValue) -> Option<AnswerIn> {
    #[derive(Deserialize)]
    struct Given {
        status: u16,
        headers: Vec<(String, String)>,
        #[serde(default)]
        more: bool,
        #[serde(default)]
        meta: Meta,
    }
    let given: Given = super::fit(Some(raw))?;
    let fits = (200..=599).contains(&given.status);
    fits.then_some(AnswerIn {
        status: given.status,
        headers: given.headers,
        more: given.more,
        meta: given.meta,
    })
}

/// The `data` of an error that a broker makes for a remote call (P-52).
#[derive(Debug, Serialize)]
pub struct RefusedOut<'a> {
    /// Its name.
    pub code: &'a str,
    /// `no` or `maybe`.
    pub executed: &'a str,
    /// What a caller over HTTP would have got.
    pub status: u16,
    /// The request id.
    pub request_id: &'a str,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u32>,
    /// Methods, with commas between them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<&'a str>,
}

/// Writes the head of an error response to a remote call.
pub fn write_refused(
    out: HeadWriter<'_>,
    id: u64,
    code: Code,
    detail: &str,
    data: &RefusedOut<'_>,
) -> serde_json::Result<()> {
    failure::write_data(out, Some(id), code, detail, data)
}

/// An error of a broker's, as the calling worker reads it.
#[derive(Debug)]
pub struct Refused {
    /// Its name; unknown ones are kept.
    pub code: String,
    /// What happened, for people.
    pub message: String,
    /// Whether a worker may have started.
    pub executed: Executed,
    /// HTTP status.
    pub status: u16,
    /// The request id, where the broker named one.
    pub request_id: Option<String>,
    /// Seconds after which it may be worth another try.
    pub retry_after: Option<u32>,
}

/// Reads the error of a remote call.
pub fn read_refused(raw: &RawValue) -> Refused {
    #[derive(Default, Deserialize)]
    struct Data {
        #[serde(default)]
        executed: Option<String>,
        #[serde(default)]
        status: Option<u16>,
        #[serde(default)]
        request_id: Option<String>,
        #[serde(default)]
        retry_after: Option<u32>,
        #[serde(default)]
        code: Option<String>,
    }
    #[derive(Deserialize)]
    struct Given {
        #[serde(default)]
        data: Data,
    }
    let known = super::fit::<Failure<'_>>(Some(raw));
    let code = known.as_ref().and_then(Failure::code);
    let data = super::fit::<Given>(Some(raw)).map(|given| given.data).unwrap_or_default();
    let fallback = code.unwrap_or(Code::InternalError);
    Refused {
        message: known.map(|failure| failure.message.into_owned()).unwrap_or_default(),
        executed: match data.executed.as_deref() {
            Some("no") => Executed::No,
            Some(_) => Executed::Maybe,
            None => fallback.executed(),
        },
        status: data.status.or(fallback.status()).unwrap_or(500),
        request_id: data.request_id,
        retry_after: data.retry_after,
        code: data.code.unwrap_or_else(|| fallback.as_str().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{self, Message, Outcome};
    use std::collections::BTreeMap;

    fn params(head: &[u8]) -> Result<RemoteCall, BadCall> {
        match message::read(head) {
            Ok(Message::Request { id: 9, method, params }) if method == "call" => read(params),
            other => panic!("{other:?}"),
        }
    }

    fn judged(json: &str) -> Result<RemoteCall, Code> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        read(Some(raw)).map_err(|bad| bad.code)
    }

    #[test]
    fn what_a_worker_writes_a_broker_reads() {
        let labels = BTreeMap::from([("team".to_owned(), "ads".to_owned())]);
        let headers = [("x-name".into(), "J\u{fc}rgen".into()), ("accept".into(), "*/*".into())];
        let chain = [name("GET", "/a", None)];
        let out = RemoteOut {
            method: "POST",
            target: "/0/users?x=%20",
            headers: &headers,
            request_id: Some("r-1"),
            caller: Some(CallerOut::Parts {
                token: Some("demo"),
                labels: &labels,
                ip: "10.0.0.1",
                service: None,
            }),
            trace: Some(TraceOut { traceparent: "00-1-2-03", tracestate: None }),
            timeout_ms: Some(250),
            chain: &chain,
            more: true,
        };

        let mut head = Vec::new();
        out.write(9, &mut head);

        let call = params(&head).unwrap();
        assert_eq!((call.method.as_str(), call.target.as_str()), ("POST", "/0/users?x=%20"));
        assert_eq!(call.headers[0], ("x-name".to_owned(), b"J\xfcrgen".to_vec()));
        assert_eq!(call.caller.unwrap().labels["team"], "ads");
        assert_eq!((call.timeout, call.more), (Some(Duration::from_millis(250)), true));
        assert_eq!((call.chain.as_slice(), call.request_id.as_deref()), (&chain[..], Some("r-1")));
    }

    #[test]
    fn what_could_split_or_mislead_is_refused() {
        assert!(judged(r#"{"method":"GET","target":"/a"}"#).is_ok());
        for (json, code) in [
            (r#"{"method":"GET"}"#, Code::InvalidParams),
            (r#"["GET","/a"]"#, Code::InvalidParams),
            (r#"{"method":"GET /a","target":"/a"}"#, Code::InvalidParams),
            (r#"{"method":"CONNECT","target":"/a"}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"a"}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"/a b"}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"/a\r\nx: y"}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"/a#b"}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"/ä"}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"/a","timeout_ms":0}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"/a","timeout_ms":300001}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"/a","chain":["x"]}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"/a","caller":7}"#, Code::InvalidParams),
            (r#"{"method":"GET","target":"/a","headers":[["X","y"]]}"#, Code::BadRequest),
            (r#"{"method":"GET","target":"/a","headers":[["x","a\r\nb: c"]]}"#, Code::BadRequest),
            (r#"{"method":"GET","target":"/a","headers":[["x","\u0100"]]}"#, Code::BadRequest),
            (
                r#"{"method":"GET","target":"/a","headers":[["transfer-encoding","chunked"]]}"#,
                Code::BadRequest,
            ),
            (r#"{"method":"GET","target":"/a","headers":[["hera-token","x"]]}"#, Code::BadRequest),
            (
                r#"{"method":"GET","target":"/a","headers":[["authorization","BEARER  hera_x"]]}"#,
                Code::BadRequest,
            ),
        ] {
            assert_eq!(judged(json).map(|_| ()), Err(code), "{json}");
        }
        let long = format!(r#"{{"method":"GET","target":"/{}"}}"#, "a".repeat(9000));
        assert_eq!(judged(&long).map(|_| ()), Err(Code::UriTooLong));
        let own = r#"{"method":"GET","target":"/a","headers":[["authorization","Basic x"]]}"#;
        assert!(judged(own).is_ok());
    }

    #[test]
    fn answer_and_error_are_read_back() {
        let answer = AnswerOut {
            status: 201,
            header_lines: b"Content-Type: text/plain\r\nx-name: J\xfcrgen\r\nx-empty: \r\n",
            content_length: Some(7),
            more: true,
            worker: "users/1.0/a",
            attempts: 2,
            took: [Duration::ZERO, Duration::from_micros(1500), Duration::ZERO],
        };
        let mut head = Vec::new();
        answer.write(9, &mut head);
        let Ok(Message::Response { outcome: Outcome::Result(raw), .. }) = message::read(&head) else {
            panic!()
        };
        let read = read_answer(raw).unwrap();
        let header = |at: usize| (read.headers[at].0.as_str(), read.headers[at].1.as_str());
        assert_eq!((header(0), header(1)), (("content-type", "text/plain"), ("x-name", "J\u{fc}rgen")));
        assert_eq!((header(2), header(3)), (("x-empty", ""), ("content-length", "7")));
        assert_eq!((read.status, read.more, read.meta.attempts), (201, true, 2));
        assert_eq!(read.meta.took_ms.worker, 1.5);

        let data = RefusedOut {
            code: "no_worker",
            executed: "no",
            status: 503,
            request_id: "r-1",
            retry_after: Some(1),
            allow: None,
        };
        let mut head = Vec::new();
        write_refused(&mut head, 9, Code::NoWorker, "nobody", &data).unwrap();
        let Ok(Message::Response { outcome: Outcome::Error(raw), .. }) = message::read(&head) else {
            panic!()
        };
        let read = read_refused(raw);
        assert_eq!((read.code.as_str(), read.executed, read.status), ("no_worker", Executed::No, 503));
        assert_eq!(read.request_id.as_deref(), Some("r-1"));
    }
}
