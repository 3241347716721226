//! The configuration: strings from four places, read once into typed values, refused before any port opens.
//!
//! ```text
//! defaults  <  TOML file  <  HERA_SECTION__KEY in the environment  <  flags
//! ```
//!
//! Every key stands in one table, [`keys`], with its reader, so that the file, the environment, the flags and
//! `hera config show` cannot know different keys. The environment comes in as an iterator: nothing here reads it.

mod cidr;
mod error;
mod keys;
mod layers;
mod nearest;
mod value;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hera_registry::zookeeper::ZkUrl;

pub use cidr::Cidr;
pub use error::{ConfigError, Origin};

/// All options, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[broker]`: this broker.
    pub broker: BrokerConfig,
    /// `[http]`: where callers come in.
    pub http: HttpConfig,
    /// `[workers]`: where workers come in.
    pub workers: WorkersConfig,
    /// `[admin]`: where people and Prometheus come in.
    pub admin: AdminConfig,
    /// `[tls]`: for the callers' and the workers' listener.
    pub tls: Option<TlsConfig>,
    /// `[registry]`: what brokers share.
    pub registry: RegistryConfig,
    /// `[cluster]`: the cluster key.
    pub cluster: ClusterConfig,
    /// `[calls]`: limits of calls.
    pub calls: CallsConfig,
    /// `[drain]`: how long a broker takes to leave.
    pub drain: DrainConfig,
    /// `[log]`: what is written where.
    pub log: LogConfig,
    origins: BTreeMap<&'static str, Origin>,
}

/// This broker.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// `[a-z0-9-]{1,32}`, unique in the cluster. Default: `b-` and 8 random hex digits, new at every start.
    pub id: String,
    /// Runtimes, one thread each. Default: the machine's cores.
    pub cores: usize,
    /// Folder of the standalone registry, the admin token, and what a broker remembers. Default `./hera-data`.
    pub data_dir: PathBuf,
    /// Host under which workers reach this broker. Default: the address of the listener.
    pub advertise: Option<String>,
}

/// Where callers come in.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// Default `127.0.0.1:8080`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Peers whose `Hera-Peer`, `X-Forwarded-*` and `Forwarded` are believed. Default: loopback. Any host in it can
    /// name any client address, so it should hold the load balancers alone.
    pub trusted_peers: Vec<Cidr>,
    /// Connections at once; over it accept waits. Each costs a descriptor and some KiB. Default 10,000.
    pub connections_max: usize,
    /// Bytes of bodies held at once; over it calls are answered 503 `overloaded`. Default 256 MiB.
    pub body_memory_bytes_max: u64,
    /// Allows plain HTTP off loopback: anyone on the way reads the callers' tokens. Default false.
    pub plain_off_loopback: bool,
}

/// Where workers come in.
#[derive(Clone, Debug)]
pub struct WorkersConfig {
    /// Default `127.0.0.1:4372`; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections at once; one more is answered `overloaded`. Default 4,000.
    pub connections_max: usize,
    /// Allows plain worker connections off loopback: anyone on the way reads the calls. Default false.
    pub plain_off_loopback: bool,
}

/// Where people and Prometheus come in.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Default `127.0.0.1:4380`; port 0 takes a free one. Loopback only: this listener has no TLS.
    pub listen: SocketAddr,
    /// Further values of `Host` that are answered, for a tunnel or proxy in front. Default none.
    pub hosts: Vec<String>,
}

/// Certificate and key of the listeners.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// PEM, the leaf first.
    pub cert: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// What brokers share.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Default `standalone`: the data dir.
    pub url: RegistryUrl,
    /// How long ZooKeeper keeps this broker's node when it hears nothing of it; the servers have bounds of their own. Default 10 s.
    pub session_timeout: Duration,
    /// PEM, the certificates to trust with `zks://`. Default none.
    pub ca_file: Option<PathBuf>,
    /// How old the copy of tokens and keys may become while ZooKeeper is out of reach; then calls are answered 503. Default: any age,
    /// so that an outage of ZooKeeper is none of Hera.
    pub max_stale: Option<Duration>,
    /// Goes without ACLs: whoever reaches ZooKeeper may delete tokens, though not make any. Default false.
    pub open_acls: bool,
}

/// Where the registry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryUrl {
    /// In this broker's data dir.
    Standalone,
    /// In ZooKeeper.
    ZooKeeper(ZkUrl),
}

impl std::fmt::Display for RegistryUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RegistryUrl::Standalone => f.write_str("standalone"),
            RegistryUrl::ZooKeeper(url) => url.fmt(f),
        }
    }
}

/// The cluster key.
#[derive(Clone, Debug)]
pub struct ClusterConfig {
    /// File of mode 0600. Default: `cluster.key` in the data dir, made at the first start; with ZooKeeper `/etc/hera/cluster.key`.
    pub key_file: Option<PathBuf>,
}

/// Limits of calls.
#[derive(Clone, Debug)]
pub struct CallsConfig {
    /// Calls at once; over it 503 `overloaded`. Default 20,000.
    pub in_flight_max: usize,
    /// Calls at once with one token; over it 429. Default 5,000, a quarter of all.
    pub in_flight_per_token_max: usize,
}

/// How long a broker takes to leave.
#[derive(Clone, Debug)]
pub struct DrainConfig {
    /// After it, what still runs is answered 502. Default 30 s.
    pub timeout: Duration,
}

/// What is written where.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// One JSON line for each call. Default stderr.
    pub access: AccessLog,
    /// Least severe line that is written. Default info.
    pub level: Level,
}

/// Where access lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Beside the other lines.
    Stderr,
    /// Nowhere.
    Off,
    /// At the end of a file.
    File(PathBuf),
}

/// Severity of a line, most severe first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Somebody must act.
    Error,
    /// Somebody should look.
    Warn,
    /// What a person on duty wants to know.
    Info,
    /// What a developer wants to know.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// As it stands in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

/// A flag of the command line that sets a key.
#[derive(Clone, Debug)]
pub struct Flag {
    /// The key, as `http.listen`.
    pub key: &'static str,
    /// As given.
    pub value: String,
    /// As the user knows it, as `--http`; for errors and `hera config show --origin`.
    pub name: &'static str,
}

/// One key as it holds now, for `hera config show`.
#[derive(Clone, Debug)]
pub struct Setting {
    /// As `http.listen`.
    pub key: &'static str,
    /// In TOML; `None` when the key is not set.
    pub value: Option<String>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Config {
    /// Reads all layers; `file` is none when no file was named.
    ///
    /// Of `environment` only names of the form `HERA_…__…` are looked at. The error names the place of the first fault.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: Vec<Flag>,
    ) -> Result<Config, ConfigError> {
        let mut layers = layers::Layers::default();
        if let Some(path) = file {
            layers.add_file(path)?;
        }
        layers.add_environment(environment)?;
        layers.add_flags(flags)?;

        let mut draft = keys::Draft::default();
        let mut origins = BTreeMap::new();
        for (key, (value, origin)) in layers.into_settings() {
            (key.set)(&mut draft, &value).map_err(|allowed| {
                let message = format!("{} is {value}, and must be {allowed}", key.name);
                ConfigError { origin: origin.clone(), message }
            })?;
            origins.insert(key.name, origin);
        }
        let config = draft.into_config(origins)?;
        config.check_listeners()?;
        config.check_registry()?;
        Ok(config)
    }

    /// Every key with its value and where that comes from, in the order of the documentation.
    pub fn settings(&self) -> Vec<Setting> {
        let setting = |key: &keys::Key| Setting {
            key: key.name,
            value: (key.show)(self),
            origin: self.origin(key.name),
        };
        keys::KEYS.iter().map(setting).collect()
    }

    /// Where the value of a key comes from.
    pub fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or(Origin::Default)
    }

    /// The host under which others reach this broker.
    pub fn advertised_host(&self) -> String {
        self.broker.advertise.clone().unwrap_or_else(|| self.workers.listen.ip().to_canonical().to_string())
    }

    /// The file of the cluster key, where it is not the data dir's own.
    pub fn cluster_key_file(&self) -> Option<PathBuf> {
        let default = || match self.registry.url {
            RegistryUrl::Standalone => None,
            RegistryUrl::ZooKeeper(_) => Some(PathBuf::from(CLUSTER_KEY_FILE)),
        };
        self.cluster.key_file.clone().or_else(default)
    }

    /// Others must be told where this broker is.
    fn check_registry(&self) -> Result<(), ConfigError> {
        let RegistryUrl::ZooKeeper(url) = &self.registry.url else { return Ok(()) };
        if self.broker.advertise.is_none() && self.workers.listen.ip().is_unspecified() {
            let message = format!(
                "workers.listen {} is no address that others could dial; set broker.advertise to this host's name",
                self.workers.listen
            );
            return Err(ConfigError { origin: self.origin("workers.listen"), message });
        }
        if url.tls() && self.registry.ca_file.is_none() {
            let message =
                "registry.url is zks:// and needs registry.ca_file, the certificates to trust".to_owned();
            return Err(ConfigError { origin: self.origin("registry.url"), message });
        }
        Ok(())
    }

    /// What crosses the network in the clear must have been asked for by name.
    fn check_listeners(&self) -> Result<(), ConfigError> {
        let plain = self.tls.is_none();
        let refuse = |key: &str, listen: SocketAddr, remedy: &str| {
            let message = format!("{key} {listen} is off loopback; {remedy}");
            Err(ConfigError { origin: self.origin(key), message })
        };
        if plain && !self.http.plain_off_loopback && is_off_loopback(self.http.listen) {
            let remedy =
                "set tls.cert and tls.key, or http.plain_off_loopback = true to send tokens in the clear";
            return refuse("http.listen", self.http.listen, remedy);
        }
        if plain && !self.workers.plain_off_loopback && is_off_loopback(self.workers.listen) {
            let remedy =
                "set tls.cert and tls.key, or workers.plain_off_loopback = true to send calls in the clear";
            return refuse("workers.listen", self.workers.listen, remedy);
        }
        if is_off_loopback(self.admin.listen) {
            let remedy = "this listener has no TLS: use 127.0.0.1 or [::1], and a tunnel or proxy named in admin.hosts";
            return refuse("admin.listen", self.admin.listen, remedy);
        }
        Ok(())
    }
}

/// Where the cluster key lies unless another file is named (design section 3).
pub const CLUSTER_KEY_FILE: &str = "/etc/hera/cluster.key";

fn is_off_loopback(address: SocketAddr) -> bool {
    !address.ip().to_canonical().is_loopback()
}
