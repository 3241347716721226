//! Options of a worker, and the environment variables behind them: read as text, turned into values once, before anything is dialled.

use crate::error::Error;
use hera_protocol::key::WorkerKey;
use hera_protocol::limits::{IN_FLIGHT_MAX, Limits};
use hera_registry::zookeeper::discovery::SavedList;
use hera_registry::zookeeper::{Access, ZkUrl};
use std::path::{Path, PathBuf};

const PORT: u16 = 4372;

/// How a worker finds its brokers, what it proves itself with, and what it says of itself.
///
/// What is not set comes from the environment: `HERA`, `SECRET` or `SECRET_FILE`, `HERA_CA_FILE`.
#[derive(Clone, Default)]
pub struct Options {
    brokers: Option<String>,
    secret: Option<String>,
    ca_file: Option<PathBuf>,
    version: Option<String>,
    in_flight_max: Option<u32>,
    no_signals: bool,
}

impl Options {
    /// Nothing set: everything from the environment.
    pub fn new() -> Options {
        Options::default()
    }

    /// The brokers: `host:2181,host:2181/chroot` or `zk://…` finds them all in ZooKeeper and follows their list (`zks://…` over TLS);
    /// `hera://host:4372[,host:4372]` names them, `heras://…` with TLS. Default: the environment variable `HERA`.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Options {
        self.brokers = Some(brokers.into());
        self
    }

    /// The worker key, `herakey_…`. Default: `SECRET`, else the content of the file that `SECRET_FILE` names. It is never shown.
    pub fn secret(mut self, secret: impl Into<String>) -> Options {
        self.secret = Some(secret.into());
        self
    }

    /// PEM file of the certificates that brokers, and ZooKeeper, on TLS are trusted by. Default: `HERA_CA_FILE`; needed for `heras://` and `zks://`.
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Options {
        self.ca_file = Some(file.into());
        self
    }

    /// Version of the application, 1 to 64 of `[A-Za-z0-9._+-]`. Callers see it in `Hera-Worker`. Default: `0`.
    pub fn version(mut self, version: impl Into<String>) -> Options {
        self.version = Some(version.into());
        self
    }

    /// Calls in flight on one broker's connection, 1 to 65,535; more are refused as `busy`, and the broker asks another worker. Default: 1024.
    pub fn in_flight_max(mut self, calls: u32) -> Options {
        self.in_flight_max = Some(calls);
        self
    }

    /// Whether [`crate::serve`] drains on SIGTERM and SIGINT. Default: yes.
    pub fn signals(mut self, signals: bool) -> Options {
        self.no_signals = !signals;
        self
    }

    pub(crate) fn wants_signals(&self) -> bool {
        !self.no_signals
    }

    /// All values, or the first that is missing or cannot be. `environment` gives a variable's value.
    pub(crate) fn resolve(&self, environment: impl Fn(&str) -> Option<String>) -> Result<Settings, Error> {
        let variable = |name: &str| environment(name).filter(|value| !value.trim().is_empty());

        let brokers = self.brokers.clone().or_else(|| variable("HERA"));
        let brokers =
            brokers.ok_or_else(|| bad("brokers (HERA)", "not set; hera://host:4372 names a broker"))?;
        let ca_file = self.ca_file.clone().or_else(|| variable("HERA_CA_FILE").map(PathBuf::from));
        let brokers = Brokers::parse(&brokers, ca_file.as_deref(), variable)
            .map_err(|problem| bad("brokers (HERA)", problem))?;

        let secret = match self.secret.clone().or_else(|| variable("SECRET")) {
            Some(secret) => secret,
            None => {
                let file = variable("SECRET_FILE").ok_or_else(|| {
                    bad("secret (SECRET, SECRET_FILE)", "not set; `hera key create` prints one")
                })?;
                std::fs::read_to_string(&file)
                    .map_err(|error| bad("secret (SECRET_FILE)", format!("{file}: {error}")))?
            }
        };
        let key = WorkerKey::parse(&secret)
            .map_err(|error| bad("secret (SECRET, SECRET_FILE)", error.to_string()))?;

        let version = self.version.clone().unwrap_or_else(|| "0".to_owned());
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
        if !(1..=64).contains(&version.len()) || !version.bytes().all(fits) {
            return Err(bad("version", "not 1 to 64 of [A-Za-z0-9._+-]"));
        }
        let in_flight_max = self.in_flight_max.unwrap_or(IN_FLIGHT_MAX);
        if !(1..=65_535).contains(&in_flight_max) {
            return Err(bad("in_flight_max", format!("{in_flight_max} is not within 1 to 65535")));
        }
        Ok(Settings { brokers, key, version, ca_file, limits: Limits { in_flight_max, ..Limits::default() } })
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let secret = self.secret.as_ref().map(|_| "***");
        f.debug_struct("Options")
            .field("brokers", &self.brokers)
            .field("secret", &secret)
            .field("ca_file", &self.ca_file)
            .field("version", &self.version)
            .field("in_flight_max", &self.in_flight_max)
            .field("signals", &self.wants_signals())
            .finish()
    }
}

fn bad(option: &'static str, problem: impl Into<String>) -> Error {
    Error::Options { option, problem: problem.into() }
}

/// Options that hold.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Whom to dial.
    pub(crate) brokers: Brokers,
    /// What to prove.
    pub(crate) key: WorkerKey,
    /// Of the application.
    pub(crate) version: String,
    /// Roots for TLS.
    pub(crate) ca_file: Option<PathBuf>,
    /// What this worker accepts.
    pub(crate) limits: Limits,
}

/// A connection string, taken apart.
#[derive(Debug)]
pub(crate) enum Brokers {
    /// `hera://`, `heras://`: at least one, none twice.
    Fixed(Vec<Address>),
    /// Whoever is registered.
    ZooKeeper {
        /// How the list is read.
        access: Box<Access>,
        /// Where the last one is kept.
        saved: SavedList,
    },
}

/// Where one broker listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Address {
    /// Name or IP address, without brackets.
    pub(crate) host: String,
    /// Port for workers.
    pub(crate) port: u16,
    /// Whether it is spoken to over TLS.
    pub(crate) tls: bool,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (host, port) = (&self.host, self.port);
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl Brokers {
    /// Reads a connection string; what is wrong is said for people. `variable` reads the environment.
    pub(crate) fn parse(
        text: &str,
        ca_file: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Brokers, String> {
        let text = text.trim();
        let (tls, rest) = match (text.strip_prefix("hera://"), text.strip_prefix("heras://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ if text.contains("://") && !ZkUrl::has_scheme(text) => {
                return Err("begins with none of hera://, heras://, zk:// and zks://".to_owned());
            }
            _ => {
                let url = ZkUrl::parse_plain(text).map_err(|error| error.to_string())?;
                if url.tls() && ca_file.is_none() {
                    return Err("zks:// needs ca_file (HERA_CA_FILE), the certificates to trust".to_owned());
                }
                let access = Access { ca_file: ca_file.map(Path::to_owned), ..Access::new(url, None) };
                let saved = SavedList::new(text, variable);
                return Ok(Brokers::ZooKeeper { access: Box::new(access), saved });
            }
        };
        let mut addresses = Vec::new();
        for part in rest.strip_suffix('/').unwrap_or(rest).split(',') {
            let address = address(part.trim(), tls).ok_or_else(|| format!("{part:?} is not host:port"))?;
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        Ok(Brokers::Fixed(addresses))
    }

    /// Whether there is no way but TLS.
    pub(crate) fn need_tls(&self) -> bool {
        matches!(self, Brokers::Fixed(addresses) if addresses.iter().any(|address| address.tls))
    }
}

fn address(text: &str, tls: bool) -> Option<Address> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => PORT,
        Some(port) => port.parse().ok().filter(|port| *port > 0)?,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-:%".contains(c);
    (!host.is_empty() && host.chars().all(plain)).then(|| Address { host: host.to_owned(), port, tls })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        WorkerKey { id: "0123456789abcdef".into(), seed: [1; 32], cluster: [2; 32] }.to_text()
    }

    fn fixed(brokers: Brokers) -> Vec<Address> {
        match brokers {
            Brokers::Fixed(addresses) => addresses,
            Brokers::ZooKeeper { .. } => panic!("not a fixed list"),
        }
    }

    #[test]
    fn connection_strings_name_addresses_in_order() {
        let cases: [(&str, bool, &[&str]); 6] = [
            ("hera://a:1", false, &["a:1"]),
            ("hera://a,b:2/", false, &["a:4372", "b:2"]),
            ("heras://a:1, b:2", true, &["a:1", "b:2"]),
            ("hera://[::1]:9,[::1]", false, &["[::1]:9", "[::1]:4372"]),
            ("hera://a:1,a:1", false, &["a:1"]),
            (" hera://127.0.0.1:4372\n", false, &["127.0.0.1:4372"]),
        ];

        for (text, tls, expected) in cases {
            let addresses = fixed(Brokers::parse(text, None, |_| None).unwrap());
            let found: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            assert!(addresses.iter().all(|address| address.tls == tls), "{text}");
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn other_strings_are_refused() {
        for text in [
            "hera://",
            "hera://:1",
            "hera://a:0",
            "hera://a:x",
            "hera://a:70000",
            "hera://a/b",
            "hera://u@a:1",
        ] {
            assert!(Brokers::parse(text, None, |_| None).is_err(), "{text}");
        }
        for text in ["", "http://a", "zks://a", "zk://a/../b"] {
            assert!(Brokers::parse(text, None, |_| None).is_err(), "{text}");
        }
    }

    #[test]
    fn strings_without_our_scheme_mean_zookeeper() {
        for (text, url) in [
            ("a:2181,b:2181/hera", "zk://a:2181,b:2181/hera"),
            ("zk://a/hera", "zk://a:2181/hera"),
            ("zookeeper", "zk://zookeeper:2181"),
            ("zks://a:2281", "zks://a:2281"),
        ] {
            let brokers = Brokers::parse(text, Some(Path::new("ca.pem")), |_| None).unwrap();
            let Brokers::ZooKeeper { access, .. } = brokers else { panic!("{text} is no list of brokers") };
            assert_eq!(access.url.to_string(), url);
        }
    }

    #[test]
    fn environment_fills_what_is_not_set() {
        let environment = |name: &str| match name {
            "HERA" => Some("hera://b:1".to_owned()),
            "SECRET" => Some(format!("{}\n", key())),
            _ => None,
        };

        let settings = Options::new().resolve(environment).unwrap();
        assert_eq!(fixed(settings.brokers)[0].host, "b");
        assert_eq!(settings.version, "0");

        let settings = Options::new().brokers("hera://c:1").version("1.2").resolve(environment).unwrap();
        assert_eq!(fixed(settings.brokers)[0].host, "c");
    }

    #[test]
    fn secret_comes_from_its_file_last() {
        let path = std::env::temp_dir().join(format!("hera-secret-{}", std::process::id()));
        std::fs::write(&path, key() + "\n").unwrap();
        let environment = |name: &str| (name == "SECRET_FILE").then(|| path.display().to_string());

        let settings = Options::new().brokers("hera://b").resolve(environment).unwrap();

        assert_eq!(settings.key.id, "0123456789abcdef");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn bad_options_are_named_and_the_secret_is_not_shown() {
        let good = || Options::new().brokers("hera://b").secret(key());
        let cases = [
            Options::new().secret(key()),
            Options::new().brokers("hera://b"),
            good().secret("herakey_hunter2"),
            good().version("a b"),
            good().in_flight_max(0),
        ];

        for options in cases {
            let error = options.resolve(|_| None).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(!format!("{:?}", good()).contains(&key()));
    }
}
