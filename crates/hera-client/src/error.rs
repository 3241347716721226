//! What can go wrong: for the worker as a whole ([`Error`]), for one body ([`BodyError`]), and what a handler says of a call ([`Problem`]).

use crate::response::{IntoResponse, Response};
use hera_protocol::message::failure::RefusedEndpoint;
use hera_protocol::{Code, Executed};

/// Any error: what a handler may fail with, so that `?` works on everything.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What handlers and layers end in.
pub type Outcome = Result<Response, BoxError>;

/// Why a worker could not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option, or the environment variable behind it, is missing or cannot be.
    #[error("{option}: {problem}")]
    Options {
        /// The option and its environment variable.
        option: &'static str,
        /// What is wrong; holds no secret.
        problem: String,
    },
    /// A proven broker refused the worker key, or the worker altogether.
    #[error("broker {broker} refused this worker: {code}: {message}")]
    Refused {
        /// Address of the broker.
        broker: String,
        /// A code of `spec/errors.md`, `unauthenticated` above all.
        code: String,
        /// What the broker said.
        message: String,
    },
    /// A broker refused the endpoints; none of them is served.
    #[error("broker {broker} refused the declaration: {}", list(.endpoints))]
    DeclarationRefused {
        /// Address of the broker.
        broker: String,
        /// Each offending endpoint, its code, and what to do about it.
        endpoints: Vec<RefusedEndpoint>,
    },
    /// The worker was stopped before any broker accepted it.
    #[error("stopped before a broker accepted the declaration")]
    Stopped,
    /// The signal handlers could not be installed.
    #[error("signals cannot be watched: {0}")]
    Signals(std::io::Error),
}

impl CallError {
    pub(crate) fn new(code: Code, executed: Executed, message: impl Into<String>) -> CallError {
        CallError {
            code: code.as_str().to_owned(),
            executed,
            status: code.status().unwrap_or(500),
            request_id: None,
            retry_after: None,
            message: message.into(),
        }
    }
}

fn list(endpoints: &[RefusedEndpoint]) -> String {
    let one =
        |refused: &RefusedEndpoint| format!("{} ({}: {})", refused.endpoint, refused.code, refused.message);
    endpoints.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// A call to another service that the bus could not bring to an answer. What a worker answers, whatever its status, is a [`crate::Reply`].
///
/// As the error of a handler, passed on with `?`, it is answered 503, 504 or 508 where its status is that, else 502, with the code `call_failed`: a
/// service that may not call another never answers its own callers with 403.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct CallError {
    /// A code of `spec/errors.md`.
    pub code: String,
    /// Whether a worker may have started on it: `Executed::No` may be sent again whatever it does.
    pub executed: Executed,
    /// The HTTP status that a caller from outside would have got.
    pub status: u16,
    /// The request id, by which all logs know the call.
    pub request_id: Option<String>,
    /// Seconds after which it may be worth another try, where the broker names them.
    pub retry_after: Option<u32>,
    /// What happened, for people.
    pub message: String,
}

/// Why a body could not be read or written to its end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// More bytes than the endpoint takes. As the error of a handler it is answered 413.
    #[error("body exceeds the limit of {limit} bytes")]
    TooLarge {
        /// The endpoint's limit.
        limit: u64,
    },
    /// Not the JSON that was asked for. As the error of a handler it is answered 400.
    #[error("body is not the JSON that is expected here: {0}")]
    Json(String),
    /// The sender cut it short; what came is not all of it.
    #[error("body was cut short: {0}")]
    Cut(String),
    /// The receiver wants no more of it.
    #[error("receiver wants no more of this body: {0}")]
    Unwanted(String),
    /// The caller left or the deadline passed.
    #[error("call was cancelled")]
    Cancelled,
    /// The connection to the broker ended.
    #[error("connection to the broker ended")]
    Lost,
    /// It was ended before.
    #[error("body has ended already")]
    Ended,
}

/// An answer that reports a failure, as RFC 9457 `application/problem+json`.
///
/// Returned as the error of a handler it becomes this answer instead of `handler_failed`:
/// `return Err(Problem::new(404, "item_not_found", "no item has this id").into())`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {detail}")]
pub struct Problem {
    status: u16,
    code: String,
    detail: String,
    retry_after: Option<u32>,
}

impl Problem {
    /// A problem with an HTTP status (400 to 599), a stable code for programs, and a sentence for people.
    pub fn new(status: u16, code: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem { status, code: code.into(), detail: detail.into(), retry_after: None }
    }

    /// The problem that an error of a handler stands for, if it stands for one.
    pub(crate) fn of(error: &BoxError) -> Option<Problem> {
        if let Some(problem) = error.downcast_ref::<Problem>() {
            return Some(problem.clone());
        }
        if let Some(failed) = error.downcast_ref::<CallError>() {
            let status = if matches!(failed.status, 503 | 504 | 508) { failed.status } else { 502 };
            let problem = Problem::new(status, "call_failed", "a service that this one asks did not answer");
            return Some(Problem { retry_after: failed.retry_after, ..problem });
        }
        match error.downcast_ref::<BodyError>()? {
            bad @ BodyError::TooLarge { .. } => Some(Problem::new(413, "body_too_large", bad.to_string())),
            bad @ BodyError::Json(_) => Some(Problem::new(400, "bad_json", bad.to_string())),
            _ => None,
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Outcome {
        let problem = serde_json::json!({
            "type": "about:blank", "status": self.status, "code": self.code, "detail": self.detail,
        });
        let response = Response::json(&problem)
            .with_status(self.status)
            .header("content-type", "application/problem+json");
        Ok(match self.retry_after {
            Some(seconds) => response.header("retry-after", seconds.to_string()),
            None => response,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_body_become_the_callers_fault() {
        let too_large: BoxError = BodyError::TooLarge { limit: 7 }.into();
        let bad_json: BoxError = BodyError::Json("eof".into()).into();
        let cut: BoxError = BodyError::Cut("gone".into()).into();

        assert_eq!(Problem::of(&too_large).unwrap().status, 413);
        assert_eq!(Problem::of(&bad_json).unwrap().status, 400);
        assert_eq!(Problem::of(&cut), None);
    }

    #[test]
    fn refused_declaration_names_each_endpoint() {
        let refused = |endpoint: &str| RefusedEndpoint {
            endpoint: endpoint.into(),
            code: "endpoint_forbidden".into(),
            message: "not in --serve".into(),
        };

        let text = Error::DeclarationRefused {
            broker: "b:1".into(),
            endpoints: vec![refused("GET /a"), refused("GET /b")],
        }
        .to_string();

        assert!(text.contains("GET /a (endpoint_forbidden: not in --serve); GET /b"), "{text}");
    }
}
