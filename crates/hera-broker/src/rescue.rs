//! Errors become HTTP answers here and nowhere else.
//!
//! Every error that the broker makes is RFC 9457 `application/problem+json` with a stable code, the request id, what to do, `Proxy-Status`
//! (RFC 9209) and `Hera-Executed`: whether a worker may have started on the call.

use crate::core::Core;
use crate::drain::PhaseName;
use crate::http::connection::{Connection, Next};
use crate::http::response::{self, Timing};
use crate::worker::session::Session;
use bytes::Bytes;
use hera_protocol::message::remote::RefusedOut;
use hera_protocol::{Code, Executed};
use serde::Serialize;
use std::borrow::Cow;
use std::rc::Rc;

/// A call that ends in an error of ours. `detail` is for the caller and holds nothing of a worker's inside.
#[derive(Debug)]
pub struct Refusal {
    /// What happened.
    pub code: Code,
    /// What happened, in a sentence, and what to do.
    pub detail: Cow<'static, str>,
    /// Whether a worker may have started; from the code unless it is known better.
    pub executed: Executed,
    /// `Allow` of a 405.
    pub allow: Option<String>,
    /// 425 instead of 503, for a trusted peer that asked for it (D5).
    pub as_425: bool,
    /// `WWW-Authenticate` of a 401.
    pub asks_for_token: bool,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u32>,
}

impl Refusal {
    /// A refusal with what its code says.
    // Cold, so that the code of refusals stays out of the way of calls, which is longer than a core's first cache.
    #[cold]
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal {
            code,
            detail: detail.into(),
            executed: code.executed(),
            allow: None,
            as_425: false,
            asks_for_token: code == Code::Unauthorized,
            retry_after: matches!(
                code,
                Code::NoWorker
                    | Code::WorkersBusy
                    | Code::Overloaded
                    | Code::RegistryUnavailable
                    | Code::RateLimited
            )
            .then_some(1),
        }
    }

    /// The same, but surely not started.
    pub fn not_started(mut self) -> Refusal {
        self.executed = Executed::No;
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        if self.as_425 { 425 } else { self.code.status().unwrap_or(500) }
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    executed: &'a str,
    retry_safe: &'a str,
}

/// What an error answer needs to know of its call.
#[derive(Debug)]
pub struct About<'a> {
    /// The request id.
    pub request_id: &'a str,
    /// HEAD has no body.
    pub is_head: bool,
    /// HTTP/1.0 or 1.1.
    pub minor: u8,
    /// Whether the connection can go on.
    pub keep: bool,
    /// The lines that name the broker and the worker, if one was chosen.
    pub names: Option<&'a str>,
    /// The timing parts.
    pub timing: Timing,
}

/// Writes the answer for `refusal`; gives the bytes of its body.
pub async fn send(
    core: &Core,
    connection: &Connection,
    refusal: &Refusal,
    about: &About<'_>,
) -> Result<usize, ()> {
    let status = refusal.status();
    let shown = refusal.code.status().unwrap_or(500);
    let problem = Problem {
        r#type: format!("https://hera.dev/errors#{}", refusal.code),
        title: response::reason(shown),
        status: shown,
        detail: &refusal.detail,
        code: refusal.code.as_str(),
        request_id: about.request_id,
        executed: refusal.executed.as_str(),
        retry_safe: refusal.code.retry_safe().of_call(refusal.executed),
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();

    let mut head = response::begin(core, status);
    head.header("content-type", b"application/problem+json");
    head.header("hera-executed", refusal.executed.as_str().as_bytes());
    head.header("proxy-status", proxy_status(refusal.code).as_bytes());
    head.header("cache-control", b"no-store");
    if let Some(allow) = &refusal.allow {
        head.header("allow", allow.as_bytes());
    }
    if refusal.asks_for_token {
        head.header("www-authenticate", b"Bearer realm=\"hera\"");
    }
    if let Some(seconds) = refusal.retry_after {
        head.header("retry-after", seconds.to_string().as_bytes());
    }
    head.meta(core, about.request_id, about.names, &about.timing);
    head.length(body.len() as u64);
    head.connection(about.keep, about.minor);
    let head = head.end();
    let pieces = if about.is_head { Vec::new() } else { vec![Bytes::from(body)] };
    connection.write_all(&head, &pieces).await.map_err(|_| ())?;
    Ok(pieces.iter().map(Bytes::len).sum())
}

/// Tells a worker that the call which it made failed (P-52).
pub fn tell_worker(session: &Session, id: u64, refusal: &Refusal, request_id: &str) {
    // A code that is not for the wire has no number, and is told as a defect of ours.
    let code = if refusal.code.number().is_some() { refusal.code } else { Code::InternalError };
    let data = RefusedOut {
        code: code.as_str(),
        executed: refusal.executed.as_str(),
        status: refusal.status(),
        request_id,
        retry_after: refusal.retry_after,
        allow: refusal.allow.as_deref(),
    };
    session.remote_refused(id, code, &refusal.detail, &data);
}

/// Answers a head that could not be read; the connection cannot go on.
pub async fn refuse_head(core: &Rc<Core>, connection: &Rc<Connection>, refusal: Refusal) -> Next {
    let request_id = crate::request_id::fresh(core);
    tracing::debug!(peer = %connection.peer, code = %refusal.code, detail = %refusal.detail, "head refused");
    let about = About {
        request_id: &request_id,
        is_head: false,
        minor: 1,
        keep: false,
        names: None,
        timing: Timing::default(),
    };
    let _ = send(core, connection, &refusal, &about).await;
    crate::access_log::refused_head(core, connection, &request_id, &refusal);
    Next::Close
}

/// Whether connections stay open after an answer now.
pub fn keeps_connections(core: &Core) -> bool {
    core.shared.phase.name() == PhaseName::Serving
}

/// The error types of RFC 9209 section 2.3, as near as each code comes.
fn proxy_status(code: Code) -> String {
    let error = match code {
        Code::NotFound | Code::MethodNotAllowed | Code::NoWorker => "destination_unavailable",
        Code::WorkersBusy | Code::Overloaded | Code::RateLimited | Code::Busy | Code::Draining => {
            "connection_limit_reached"
        }
        Code::WorkerLost | Code::DrainTimeout => "connection_terminated",
        Code::BadReply => "http_protocol_error",
        Code::DeadlineExceeded | Code::PastDeadline => "http_response_timeout",
        Code::Unauthorized | Code::Forbidden => "http_request_denied",
        Code::InternalError | Code::RegistryUnavailable => "proxy_internal_error",
        Code::HandlerFailed => "http_response_incomplete",
        _ => "http_request_error",
    };
    format!("hera; error={error}; details=\"{code}\"")
}
