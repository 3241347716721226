//! Where a verb acts: over the admin API of a running broker, or on the files of a standalone one.
//!
//! Both answer the same requests with the same JSON, since the files are worked on by the very functions that the
//! broker answers with.

use std::path::{Path, PathBuf};

use hera_broker::admin::{AdminRequest, registry_verb};
use hera_registry::Standalone;
use serde_json::{Value, json};

use crate::admin_client::AdminClient;
use crate::args::Where;
use crate::failure::Failure;
use crate::time::now_unix;

/// Whether a verb may make a data dir that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The first token may come before the first start of the broker.
    Make,
    /// An empty list from a mistyped path would mislead.
    Refuse,
}

/// Where a verb acts.
pub(crate) enum Target {
    /// A running broker.
    Admin(AdminClient),
    /// The files of a standalone broker, running or not.
    Files(Box<Standalone>),
}

impl Target {
    /// Chooses: `--data-dir` without `--admin` means files, all else a running broker.
    pub(crate) fn open(at: &Where, missing: Missing) -> Result<Target, Failure> {
        match (&at.data_dir, &at.admin) {
            (Some(dir), None) if at.admin_token_file.is_none() => {
                let key =
                    at.cluster_key.clone().or_else(|| variable("HERA_CLUSTER__KEY_FILE").map(PathBuf::from));
                files(dir, key.as_deref(), missing).map(|registry| Target::Files(Box::new(registry)))
            }
            (dir, admin) => {
                let dir = dir.clone().or_else(|| variable("HERA_BROKER__DATA_DIR").map(PathBuf::from));
                let dir = dir.unwrap_or_else(|| PathBuf::from("./hera-data"));
                let address = admin.clone().or_else(|| variable("HERA_ADMIN__LISTEN"));
                Ok(Target::Admin(AdminClient {
                    address: address.unwrap_or_else(|| "127.0.0.1:4380".to_owned()),
                    token_file: at.admin_token_file.clone().unwrap_or_else(|| dir.join("admin.token")),
                }))
            }
        }
    }

    /// Whether only the files are there, and nobody knows who is connected.
    pub(crate) fn is_files(&self) -> bool {
        matches!(self, Target::Files(_))
    }

    /// Asks, and gives the JSON of an answer that is a success; a refusal is a failure with its code's exit code.
    pub(crate) fn ask(&self, method: &str, target: &str, body: Value) -> Result<Value, Failure> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (status, body) = match self {
            Target::Admin(client) => {
                let answer = client.send(method, target, &body)?;
                (answer.status, answer.body)
            }
            Target::Files(registry) => {
                let (path, query) =
                    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
                let (method, path, query) = (method.to_owned(), path.to_owned(), query.map(str::to_owned));
                let request = AdminRequest { method, path, query, body, ..AdminRequest::default() };
                let reply = registry_verb(&request, registry, now_unix());
                (reply.status, reply.body)
            }
        };
        let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if (200..300).contains(&status) && !answer.is_null() {
            return Ok(answer);
        }
        let (code, detail) = (answer["code"].as_str(), answer["detail"].as_str());
        Err(match (status, code, detail) {
            (401, ..) => {
                Failure::new("the broker refuses this admin token: it is of another broker, or an old one")
            }
            (_, Some(code), Some(detail)) => Failure::refused(code, detail),
            _ => Failure::new(format!(
                "the answer has status {status} and is not that of a broker's admin listener"
            )),
        })
    }

    /// Asks for a list.
    pub(crate) fn list(&self, target: &str) -> Result<Value, Failure> {
        self.ask("GET", target, Value::Null)
    }
}

/// A name in a path: only texts that can be a name or id are sent, so nothing needs escaping.
pub(crate) fn in_path(name: &str) -> Result<&str, Failure> {
    let fits = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
    // A dot segment would be taken out of the path by whatever stands in between.
    match fits && !matches!(name, "" | "." | "..") {
        true => Ok(name),
        false => Err(Failure::refused("bad_name", &format!("{name:?} is no name or id"))),
    }
}

/// JSON of a value that has one.
pub(crate) fn as_json(value: &impl serde::Serialize) -> Value {
    json!(value)
}

fn files(dir: &Path, cluster_key: Option<&Path>, missing: Missing) -> Result<Standalone, Failure> {
    if missing == Missing::Refuse && !dir.is_dir() {
        return Err(Failure::new(format!(
            "{} is no data dir of a broker: there is no such folder",
            dir.display()
        )));
    }
    Ok(match missing {
        Missing::Make => Standalone::open(dir, cluster_key)?,
        Missing::Refuse => Standalone::open_existing(dir, cluster_key)?,
    })
}

/// The environment is read here and in `configuration`, and nowhere else.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
