//! A call as its caller saw it.

use crate::nonce::Nonce;
use std::fmt;
use std::time::Duration;

/// A call and what became of it.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its name.
    pub nonce: Nonce,
    /// How it was called.
    pub method: Method,
    /// Whether it may run more than once: by its method, or because its endpoint says so (D1).
    pub idempotent: bool,
    /// When it began, in microseconds since 1970; comparable with [`crate::Run::at_us`] on one machine.
    pub begun_us: u64,
    /// In an open loop, how late it began because all callers were still waiting for answers.
    pub lag: Duration,
    /// From its beginning to the head of its answer, or to its end without one: deadlines bound that.
    pub head: Duration,
    /// From its beginning to the end of its answer.
    pub took: Duration,
    /// The time that it has at Hera.
    pub deadline: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// Methods that callers use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// GET
    Get,
    /// PUT
    Put,
    /// DELETE
    Delete,
    /// POST
    Post,
    /// PATCH
    Patch,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 5] = [Method::Get, Method::Put, Method::Delete, Method::Post, Method::Patch];

    /// As it stands on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Post => "POST",
            Method::Patch => "PATCH",
        }
    }

    /// Whether every call of it may run twice.
    pub fn is_idempotent(self) -> bool {
        matches!(self, Method::Get | Method::Put | Method::Delete)
    }

    /// Whether its calls carry a body.
    pub fn has_body(self) -> bool {
        !matches!(self, Method::Get | Method::Delete)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a call ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// With a whole answer.
    Answered(Answer),
    /// The connection could not be made, so that nothing was sent.
    NotSent(String),
    /// The connection ended, or the caller's patience, before the first byte of an answer.
    NoAnswer(String),
    /// The answer began with this status and did not end.
    Cut(u16, String),
}

/// What an answer says.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// `Hera-Executed`.
    pub executed: Option<Executed>,
    /// The `code` of a problem.
    pub code: Option<Box<str>>,
    /// `Hera-Broker`; without it somebody else answered.
    pub broker: Option<Box<str>>,
    /// `Hera-Worker`.
    pub worker: Option<Box<str>>,
    /// Whether the call's own nonce stands in the body.
    pub has_nonce: bool,
    /// Nonces of other calls anywhere in the answer.
    pub foreign: Vec<Nonce>,
}

/// What a failure says about whether a worker started on the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Executed {
    /// It did not.
    No,
    /// It may have.
    Maybe,
}

impl Executed {
    /// By the value of the header; anything else is none.
    pub fn parse(value: &str) -> Option<Executed> {
        match value {
            "no" => Some(Executed::No),
            "maybe" => Some(Executed::Maybe),
            _ => None,
        }
    }
}

impl Answer {
    /// Whether it says that the call was done.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl Outcome {
    /// In few words: what counts are kept by.
    pub fn label(&self) -> String {
        match self {
            Outcome::Answered(answer) if answer.is_success() => answer.status.to_string(),
            Outcome::Answered(answer) => {
                let executed = match answer.executed {
                    Some(Executed::No) => "no",
                    Some(Executed::Maybe) => "maybe",
                    None => "unlabelled",
                };
                let by = if answer.broker.is_some() { "broker" } else { "proxy" };
                format!("{} {executed} {} by {by}", answer.status, answer.code.as_deref().unwrap_or("-"))
            }
            Outcome::NotSent(_) => "not sent".to_owned(),
            Outcome::NoAnswer(_) => "no answer".to_owned(),
            Outcome::Cut(status, _) => format!("{status} cut"),
        }
    }
}
