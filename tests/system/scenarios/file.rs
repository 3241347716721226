//! A scenario as its file says it; a member that is not in `spec/scenarios/README.md` is an error.

use hera_testkit::http::{self, Request, Response};
use hera_tests::worker_process::root;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

pub(crate) fn folder() -> PathBuf {
    root().join("spec/scenarios")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    #[allow(dead_code, reason = "for readers of the file")]
    about: String,
    #[allow(dead_code, reason = "for readers of the file")]
    clauses: Vec<String>,
    #[serde(default = "one")]
    pub(crate) brokers: usize,
    #[serde(default = "serve")]
    pub(crate) serve: Vec<String>,
    #[serde(default = "call")]
    pub(crate) call: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

impl Scenario {
    pub(crate) fn read(name: &str) -> Scenario {
        let text = std::fs::read_to_string(folder().join(format!("{name}.json"))).unwrap();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}.json: {error}"))
    }
}

/// One of its members says what it is.
#[derive(Debug, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Step {
    Start {
        start: String,
    },
    Refused {
        refused: String,
    },
    Ask {
        ask: Asked,
        #[serde(default = "one")]
        at: usize,
        expect: Expected,
    },
    Until {
        until: Asked,
        #[serde(default = "one")]
        at: usize,
        expect: Expected,
    },
    Begin {
        begin: Asked,
        #[serde(default = "one")]
        at: usize,
        r#as: String,
    },
    End {
        end: String,
        expect: Expected,
    },
    Leave {
        leave: String,
    },
    Term {
        term: String,
    },
    Exits {
        exits: String,
    },
    Kill {
        kill: usize,
    },
    Restart {
        restart: usize,
    },
    Revoke {
        revoke: Revoked,
    },
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Revoked {
    Key,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Asked {
    Plain(String),
    Full(FullRequest),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FullRequest {
    call: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    bytes: Option<usize>,
    #[serde(default)]
    chunked: bool,
}

impl Asked {
    /// The method, and the bytes of the request.
    pub(crate) fn bytes(&self, token: &str) -> (String, Vec<u8>) {
        let plain = |call: &str| {
            let (method, target) = call.split_once(' ').unwrap();
            (method.to_owned(), Request::new(method, target).token(token))
        };
        let full = match self {
            Asked::Plain(call) => {
                let (method, request) = plain(call);
                return (method, request.bytes());
            }
            Asked::Full(full) => full,
        };
        let (method, mut request) = plain(&full.call);
        for (name, value) in &full.headers {
            request = request.header(name, value);
        }
        let body = full.body.clone().map(String::into_bytes).or(full.bytes.map(|bytes| vec![b'x'; bytes]));
        let bytes = match body {
            Some(body) if full.chunked => {
                let mut bytes = request.header("Transfer-Encoding", "chunked").head_bytes();
                bytes.extend(http::chunked(&body, 10_000));
                bytes
            }
            Some(body) => request.body(body).bytes(),
            None => request.bytes(),
        };
        (method, bytes)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    status: Option<u16>,
    body: Option<String>,
    json: Option<Map<String, Value>>,
    inner: Option<Map<String, Value>>,
    bytes: Option<usize>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    code: Option<String>,
    executed: Option<String>,
    #[serde(default)]
    cut: bool,
    without: Option<String>,
}

impl Expected {
    /// What of the answer is not as it must be.
    pub(crate) fn check(&self, answer: &Response) -> Result<(), String> {
        let text = String::from_utf8_lossy(&answer.body);
        let shown = || format!("status {}, {:?}", answer.status, text.chars().take(300).collect::<String>());
        let must = |holds: bool, what: &str| if holds { Ok(()) } else { Err(format!("{what}: {}", shown())) };
        must(self.status.is_none_or(|status| answer.status == status), "status")?;
        must(self.body.as_ref().is_none_or(|body| text == *body), "body")?;
        must(self.bytes.is_none_or(|bytes| answer.body.len() == bytes), "length of the body")?;
        must(answer.is_whole != self.cut, "end of the body")?;
        must(self.without.as_ref().is_none_or(|secret| !text.contains(secret.as_str())), "secret")?;
        for (name, value) in &self.headers {
            must(answer.header(name) == Some(value), name)?;
        }
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
        let parsed = read(&text);
        must(self.code.as_ref().is_none_or(|code| parsed["code"] == code.as_str()), "code")?;
        must(
            self.executed.as_deref().is_none_or(|executed| answer.executed() == Some(executed)),
            "executed",
        )?;
        let holds = |wanted: &Option<Map<String, Value>>, found: &Value| {
            wanted.iter().flatten().all(|(member, value)| found.get(member) == Some(value))
        };
        must(holds(&self.json, &parsed), "json")?;
        must(holds(&self.inner, &read(parsed["body"].as_str().unwrap_or_default())), "inner json")
    }
}

fn one() -> usize {
    1
}

fn serve() -> Vec<String> {
    vec!["/s/**".into()]
}

fn call() -> Vec<String> {
    vec!["* /s/**".into()]
}
