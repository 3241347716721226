//! Where a verb acts: over the admin API of a running broker, on ZooKeeper, or on the files of a standalone broker.
//!
//! All answer the same requests with the same JSON, since the registry is worked on by the very functions that the
//! broker answers with.

use std::path::{Path, PathBuf};

use hera_broker::admin::{AdminRequest, registry_verb};
use hera_registry::zookeeper::{Access, ZkRegistry, ZkUrl};
use hera_registry::{ClusterKey, Registry, Standalone};
use serde_json::{Value, json};

use crate::admin_client::AdminClient;
use crate::args::Where;
use crate::cluster::cluster_key_file;
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
    /// ZooKeeper, or the files of a standalone broker, running or not.
    Registry(Box<Registry>, tokio::runtime::Runtime),
}

impl Target {
    /// Chooses: `--registry` means ZooKeeper, `--data-dir` without `--admin` files, all else a running broker.
    pub(crate) fn open(at: &Where, missing: Missing) -> Result<Target, Failure> {
        if let Some(url) = at.registry.as_deref().filter(|url| *url != "standalone") {
            let runtime = runtime()?;
            let registry = Registry::ZooKeeper(zookeeper(url, at, &runtime)?);
            return Ok(Target::Registry(Box::new(registry), runtime));
        }
        match (&at.data_dir, &at.admin) {
            (Some(dir), None) if at.admin_token_file.is_none() => {
                let key =
                    at.cluster_key.clone().or_else(|| variable("HERA_CLUSTER__KEY_FILE").map(PathBuf::from));
                let files = files(dir, key.as_deref(), missing)?;
                Ok(Target::Registry(Box::new(Registry::Standalone(files)), runtime()?))
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

    /// Whether only the registry is there, and nobody knows who is connected.
    pub(crate) fn is_registry(&self) -> bool {
        matches!(self, Target::Registry(..))
    }

    /// The brokers that are registered in ZooKeeper; `None` anywhere else.
    pub(crate) fn registered(&self) -> Result<Option<Value>, Failure> {
        let Target::Registry(registry, runtime) = self else { return Ok(None) };
        let Registry::ZooKeeper(tree) = registry.as_ref() else { return Ok(None) };
        let nodes = runtime.block_on(tree.list_brokers())?;
        let broker = |node: &hera_registry::zookeeper::BrokerNode| {
            json!({
                "id": node.id, "state": "registered", "http": node.http, "admin": node.admin,
                "workers": format!("{}:{}", node.address, node.port), "version": node.version, "started": node.started,
            })
        };
        Ok(Some(nodes.iter().map(broker).collect()))
    }

    /// Asks, and gives the JSON of an answer that is a success; a refusal is a failure with its code's exit code.
    pub(crate) fn ask(&self, method: &str, target: &str, body: Value) -> Result<Value, Failure> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let (status, body) = match self {
            Target::Admin(client) => {
                let answer = client.send(method, target, &body)?;
                (answer.status, answer.body)
            }
            Target::Registry(registry, runtime) => {
                let (path, query) =
                    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
                let (method, path, query) = (method.to_owned(), path.to_owned(), query.map(str::to_owned));
                let request = AdminRequest { method, path, query, body, ..AdminRequest::default() };
                let reply = runtime.block_on(registry_verb(&request, registry, now_unix()));
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

fn zookeeper(url: &str, at: &Where, runtime: &tokio::runtime::Runtime) -> Result<ZkRegistry, Failure> {
    let key = ClusterKey::read(&cluster_key_file(at.cluster_key.as_deref()))?;
    let access = Access { ca_file: at.ca_file.clone(), ..Access::new(ZkUrl::parse(url)?, Some(key)) };
    Ok(runtime.block_on(ZkRegistry::connect(access))?)
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::new(format!("the system refused an event loop: {error}")))
}

/// Waits for the one thing that a verb does.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    Ok(runtime()?.block_on(future))
}

/// The environment is read here and in `configuration`, and nowhere else.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
