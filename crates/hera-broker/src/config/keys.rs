//! Every key, with how it is read and shown. The order is that of the documentation.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hera_registry::secret::random;
use hera_registry::zookeeper::ZkUrl;

use super::cidr::Cidr;
use super::error::{ConfigError, Origin};
use super::value::{self, Read, Time, Value};
use super::{
    AccessLog, AdminConfig, BrokerConfig, CallsConfig, ClusterConfig, Config, DrainConfig, HttpConfig, Level,
    LogConfig, RegistryConfig, RegistryUrl, TlsConfig, WorkersConfig,
};

/// One key.
pub(super) struct Key {
    /// As `http.listen`.
    pub(super) name: &'static str,
    /// Reads the value into the draft, or says what is allowed.
    pub(super) set: fn(&mut Draft, &Value) -> Read<()>,
    /// The value in TOML; `None` when it is not set.
    pub(super) show: fn(&Config) -> Option<String>,
}

impl Key {
    /// As `http`.
    pub(super) fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }
}

/// A configuration in the making: TLS files come one by one, and only a pair of them is a configuration.
pub(super) struct Draft {
    config: Config,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
}

impl Default for Draft {
    fn default() -> Draft {
        let local = |port| ([127, 0, 0, 1], port).into();
        let loopback = ["127.0.0.0/8", "::1/128"];
        let config = Config {
            broker: BrokerConfig {
                id: format!("b-{:08x}", u32::from_be_bytes(random())),
                cores: std::thread::available_parallelism().map_or(1, NonZero::get).min(CORES_MAX),
                data_dir: PathBuf::from("./hera-data"),
                advertise: None,
            },
            http: HttpConfig {
                listen: local(8080),
                trusted_peers: loopback.into_iter().filter_map(Cidr::parse).collect(),
                connections_max: 10_000,
                body_memory_bytes_max: 256 << 20,
                plain_off_loopback: false,
            },
            workers: WorkersConfig { listen: local(4372), connections_max: 4_000, plain_off_loopback: false },
            admin: AdminConfig { listen: local(4380), hosts: Vec::new() },
            tls: None,
            registry: RegistryConfig {
                url: RegistryUrl::Standalone,
                session_timeout: S * 10,
                ca_file: None,
                max_stale: None,
                open_acls: false,
            },
            cluster: ClusterConfig { key_file: None },
            calls: CallsConfig { in_flight_max: 20_000, in_flight_per_token_max: 5_000 },
            drain: DrainConfig { timeout: Duration::from_secs(30) },
            log: LogConfig { access: AccessLog::Stderr, level: Level::Info },
            origins: BTreeMap::new(),
        };
        Draft { config, tls_cert: None, tls_key: None }
    }
}

impl Draft {
    /// The configuration, once all keys were set.
    pub(super) fn into_config(self, origins: BTreeMap<&'static str, Origin>) -> Result<Config, ConfigError> {
        let half = |set: &str, missing: &str| {
            let origin = origins.get(set).cloned().unwrap_or(Origin::Default);
            Err(ConfigError {
                origin,
                message: format!("{set} needs {missing} beside it: give both or none"),
            })
        };
        let tls = match (self.tls_cert, self.tls_key) {
            (Some(cert), Some(key)) => Some(TlsConfig { cert, key }),
            (None, None) => None,
            (Some(_), None) => return half("tls.cert", "tls.key"),
            (None, Some(_)) => return half("tls.key", "tls.cert"),
        };
        Ok(Config { tls, origins, ..self.config })
    }
}

pub(super) const KEYS: &[Key] = &[
    Key {
        name: "broker.id",
        set: |draft, value| assign(&mut draft.config.broker.id, broker_id(value)),
        show: |config| quoted(&config.broker.id),
    },
    Key {
        name: "broker.cores",
        set: |draft, value| assign(&mut draft.config.broker.cores, value::number(value, 1..=CORES_MAX)),
        show: |config| Some(config.broker.cores.to_string()),
    },
    Key {
        name: "broker.data_dir",
        set: |draft, value| assign(&mut draft.config.broker.data_dir, value::path(value)),
        show: |config| quoted_path(&config.broker.data_dir),
    },
    Key {
        name: "broker.advertise",
        set: |draft, value| assign(&mut draft.config.broker.advertise, host(value).map(Some)),
        show: |config| config.broker.advertise.as_deref().and_then(quoted),
    },
    Key {
        name: "http.listen",
        set: |draft, value| assign(&mut draft.config.http.listen, value::address(value)),
        show: |config| quoted(&config.http.listen.to_string()),
    },
    Key {
        name: "http.trusted_peers",
        set: |draft, value| {
            let what = "networks, as \"10.0.0.0/8\" or \"::1/128\", without bits behind the prefix";
            assign(&mut draft.config.http.trusted_peers, value::list(value, what, Cidr::parse))
        },
        show: |config| quoted_list(config.http.trusted_peers.iter().map(Cidr::to_string)),
    },
    Key {
        name: "http.connections_max",
        set: |draft, value| {
            assign(&mut draft.config.http.connections_max, value::number(value, 1..=COUNT_MAX))
        },
        show: |config| Some(config.http.connections_max.to_string()),
    },
    Key {
        name: "http.body_memory_bytes_max",
        set: |draft, value| {
            assign(&mut draft.config.http.body_memory_bytes_max, value::bytes(value, 1 << 20..=1 << 40))
        },
        show: |config| Some(config.http.body_memory_bytes_max.to_string()),
    },
    Key {
        name: "http.plain_off_loopback",
        set: |draft, value| assign(&mut draft.config.http.plain_off_loopback, value::truth(value)),
        show: |config| Some(config.http.plain_off_loopback.to_string()),
    },
    Key {
        name: "workers.listen",
        set: |draft, value| assign(&mut draft.config.workers.listen, value::address(value)),
        show: |config| quoted(&config.workers.listen.to_string()),
    },
    Key {
        name: "workers.connections_max",
        set: |draft, value| {
            assign(&mut draft.config.workers.connections_max, value::number(value, 1..=COUNT_MAX))
        },
        show: |config| Some(config.workers.connections_max.to_string()),
    },
    Key {
        name: "workers.plain_off_loopback",
        set: |draft, value| assign(&mut draft.config.workers.plain_off_loopback, value::truth(value)),
        show: |config| Some(config.workers.plain_off_loopback.to_string()),
    },
    Key {
        name: "admin.listen",
        set: |draft, value| assign(&mut draft.config.admin.listen, value::address(value)),
        show: |config| quoted(&config.admin.listen.to_string()),
    },
    Key {
        name: "admin.hosts",
        set: |draft, value| {
            let what = "host names without a port, as \"hera.example.com\"";
            let item = |text: &str| is_host(text).then(|| text.to_ascii_lowercase());
            assign(&mut draft.config.admin.hosts, value::list(value, what, item))
        },
        show: |config| quoted_list(config.admin.hosts.iter().cloned()),
    },
    Key {
        name: "tls.cert",
        set: |draft, value| assign(&mut draft.tls_cert, value::path(value).map(Some)),
        show: |config| config.tls.as_ref().and_then(|tls| quoted_path(&tls.cert)),
    },
    Key {
        name: "tls.key",
        set: |draft, value| assign(&mut draft.tls_key, value::path(value).map(Some)),
        show: |config| config.tls.as_ref().and_then(|tls| quoted_path(&tls.key)),
    },
    Key {
        name: "registry.url",
        set: |draft, value| assign(&mut draft.config.registry.url, registry_url(value)),
        show: |config| quoted(&config.registry.url.to_string()),
    },
    Key {
        name: "registry.session_timeout",
        set: |draft, value| {
            assign(&mut draft.config.registry.session_timeout, value::duration(value, S..=S * 60))
        },
        show: |config| quoted(&Time(config.registry.session_timeout).to_string()),
    },
    Key {
        name: "registry.ca_file",
        set: |draft, value| assign(&mut draft.config.registry.ca_file, value::path(value).map(Some)),
        show: |config| config.registry.ca_file.as_deref().and_then(quoted_path),
    },
    Key {
        name: "registry.max_stale",
        set: |draft, value| {
            assign(
                &mut draft.config.registry.max_stale,
                value::duration(value, S..=S * 86_400 * 30).map(Some),
            )
        },
        show: |config| config.registry.max_stale.and_then(|stale| quoted(&Time(stale).to_string())),
    },
    Key {
        name: "registry.open_acls",
        set: |draft, value| assign(&mut draft.config.registry.open_acls, value::truth(value)),
        show: |config| Some(config.registry.open_acls.to_string()),
    },
    Key {
        name: "cluster.key_file",
        set: |draft, value| assign(&mut draft.config.cluster.key_file, value::path(value).map(Some)),
        show: |config| config.cluster.key_file.as_deref().and_then(quoted_path),
    },
    Key {
        name: "calls.in_flight_max",
        set: |draft, value| {
            assign(&mut draft.config.calls.in_flight_max, value::number(value, 1..=COUNT_MAX))
        },
        show: |config| Some(config.calls.in_flight_max.to_string()),
    },
    Key {
        name: "calls.in_flight_per_token_max",
        set: |draft, value| {
            assign(&mut draft.config.calls.in_flight_per_token_max, value::number(value, 1..=COUNT_MAX))
        },
        show: |config| Some(config.calls.in_flight_per_token_max.to_string()),
    },
    Key {
        name: "drain.timeout",
        set: |draft, value| assign(&mut draft.config.drain.timeout, value::duration(value, MS..=S * 3_600)),
        show: |config| quoted(&Time(config.drain.timeout).to_string()),
    },
    Key {
        name: "log.access",
        set: |draft, value| assign(&mut draft.config.log.access, access_log(value)),
        show: |config| match &config.log.access {
            AccessLog::Stderr => quoted("stderr"),
            AccessLog::Off => quoted("off"),
            AccessLog::File(path) => quoted_path(path),
        },
    },
    Key {
        name: "log.level",
        set: |draft, value| assign(&mut draft.config.log.level, level(value)),
        show: |config| quoted(config.log.level.name()),
    },
];

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);
const CORES_MAX: usize = 256;
const COUNT_MAX: usize = 1_000_000;

fn assign<T>(field: &mut T, read: Read<T>) -> Read<()> {
    *field = read?;
    Ok(())
}

fn broker_id(value: &Value) -> Read<String> {
    let fits = |text: &&str| {
        text.len() <= 32 && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    };
    let id = value::text(value).ok().filter(fits);
    id.map(str::to_owned).ok_or_else(|| "1 to 32 of a-z, 0-9 and '-'".to_owned())
}

fn host(value: &Value) -> Read<String> {
    let host = value::text(value).ok().filter(|text| is_host(text));
    host.map(str::to_owned).ok_or_else(|| "a host name or IP address without a port".to_owned())
}

fn is_host(text: &str) -> bool {
    let name =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    !text.is_empty() && text.len() <= 253 && (name(text) || text.parse::<std::net::Ipv6Addr>().is_ok())
}

fn registry_url(value: &Value) -> Read<RegistryUrl> {
    match value::text(value) {
        Ok("standalone") => Ok(RegistryUrl::Standalone),
        Ok(url) if ZkUrl::has_scheme(url) => {
            ZkUrl::parse(url).map(RegistryUrl::ZooKeeper).map_err(|error| format!("a registry: {error}"))
        }
        _ => Err("\"standalone\" or zk://host:port,host:port/chroot".to_owned()),
    }
}

fn access_log(value: &Value) -> Read<AccessLog> {
    match value::text(value) {
        Ok("stderr") => Ok(AccessLog::Stderr),
        Ok("off") => Ok(AccessLog::Off),
        // A bare word is more often a mistyped keyword than a file in the working directory.
        Ok(path) if path.contains(['/', '.']) => Ok(AccessLog::File(PathBuf::from(path))),
        _ => Err("\"stderr\", \"off\" or a path with a '/' or '.' in it".to_owned()),
    }
}

fn level(value: &Value) -> Read<Level> {
    let levels = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace];
    let level = levels.into_iter().find(|level| value::text(value) == Ok(level.name()));
    level.ok_or_else(|| "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"".to_owned())
}

fn quoted(text: &str) -> Option<String> {
    Some(toml::Value::String(text.to_owned()).to_string())
}

fn quoted_path(path: &Path) -> Option<String> {
    quoted(&path.display().to_string())
}

fn quoted_list(items: impl Iterator<Item = String>) -> Option<String> {
    Some(toml::Value::Array(items.map(toml::Value::String).collect()).to_string())
}
