//! The errors that HAProxy makes itself, in the form of a broker's (`spec/errors.md`): callers need not know who refused them.

use hera_broker::http::response::reason;
use hera_protocol::{Code, Executed};
use serde::Serialize;

/// Where the request id stands in a body until the body is JSON.
const ID: &str = "REQUEST-ID";

/// One of them.
pub(crate) struct Problem {
    pub(crate) status: u16,
    pub(crate) code: Code,
    pub(crate) executed: Executed,
    pub(crate) detail: &'static str,
}

/// The members of a broker's problem, in its order.
#[derive(Serialize)]
struct Body<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    request_id: &'a str,
    executed: &'a str,
    retry_safe: &'a str,
}

impl Problem {
    /// `status …` and all that follows it in `http-error`, and in `http-request return`.
    pub(crate) fn reply(&self) -> String {
        let code = self.code.as_str();
        let body = Body {
            r#type: format!("https://hera.dev/errors#{code}"),
            title: reason(self.status),
            status: self.status,
            detail: self.detail,
            code,
            request_id: ID,
            executed: self.executed.as_str(),
            retry_safe: self.code.retry_safe().of_call(self.executed),
        };
        // A percent sign would begin one of HAProxy's variables, a single quote end the word. The request id needs no escaping: it
        // was made here, or its letters were looked at.
        let body =
            serde_json::to_string(&body).unwrap_or_default().replace('%', "%%").replace('\'', "\\u0027");
        let body = body.replace(ID, "%[var(txn.id)]");
        let mut reply = format!(
            "status {} content-type application/problem+json lf-string '{body}' hdr Hera-Executed {} \
             hdr X-Request-Id '%[var(txn.id)]' hdr Cache-Control no-store \
             hdr Proxy-Status 'haproxy; error={}; details=\"{code}\"'",
            self.status,
            self.executed.as_str(),
            proxy_status(self.code),
        );
        if self.code == Code::NoBroker {
            reply.push_str(" hdr Retry-After 1");
        }
        reply
    }
}

/// The error types of RFC 9209 section 2.3.
fn proxy_status(code: Code) -> &'static str {
    match code {
        Code::NoBroker => "destination_unavailable",
        Code::BrokerLost => "connection_terminated",
        Code::BrokerTimeout => "http_response_timeout",
        Code::InternalError => "proxy_internal_error",
        _ => "http_request_error",
    }
}
