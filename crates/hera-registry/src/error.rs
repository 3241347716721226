//! What can go wrong, with a code for programs and a text that says what to do.

use std::path::{Path, PathBuf};

/// Why a verb of the registry did nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Names are unique among tokens, and among worker keys.
    #[error("a {kind} named {name} exists; choose another name, or rotate or revoke that one")]
    NameTaken {
        /// `token` or `key`.
        kind: &'static str,
        /// The name asked for.
        name: String,
    },
    /// Nothing has this name or id.
    #[error("no {kind} has the name or id {name}; `hera {kind} list` shows them all")]
    NotFound {
        /// `token` or `key`.
        kind: &'static str,
        /// What was looked for.
        name: String,
    },
    /// The catalogue does not hold this endpoint.
    #[error("the catalogue has no endpoint {0}; `hera endpoints` shows them all")]
    UnknownEndpoint(String),
    /// The record for calls without a token has no token that could be rotated.
    #[error("the anonymous record has no token to rotate; revoke it and create it again")]
    NothingToRotate,
    /// A scope that cannot be read.
    #[error("scope {scope:?}: {reason}; a scope is a method and a pattern, as 'GET /0/**'")]
    BadScope {
        /// As given.
        scope: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A prefix that cannot be read.
    #[error("prefix {prefix:?}: {reason}; a prefix is a pattern without a method, as '/0/metrics-api/**'")]
    BadPrefix {
        /// As given.
        prefix: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Some path lies in this prefix and in one of another service.
    #[error(
        "prefix {prefix} overlaps {owned} of service {owner}; choose another, or share it on purpose with --share"
    )]
    PrefixOwned {
        /// The prefix asked for.
        prefix: String,
        /// The service that has the other one.
        owner: String,
        /// The other one.
        owned: String,
    },
    /// A rate that cannot be read.
    #[error("rate {0:?} is not a number and a unit, as 100/s, 10/m or 1000/h")]
    BadRate(String),
    /// An expiry that cannot be read.
    #[error("expiry {0:?} is not a time from 1s to 36500d, as 30d, 12h, 15m or 90s")]
    BadExpiry(String),
    /// A name that cannot be.
    #[error("name {name:?} {reason}")]
    BadName {
        /// As given.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A label that cannot be.
    #[error("label {label:?} {reason}")]
    BadLabel {
        /// Its key.
        label: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// The answer of the operating system.
        source: std::io::Error,
    },
    /// A file does not hold what it must.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Somebody else could read a secret.
    #[error("{} has mode {mode:03o}, and others must not read it; run: chmod 600 {}", path.display(), path.display())]
    WrongMode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A registry URL that cannot be read.
    #[error("registry {url:?}: {problem}; write zk://host:port,host:port/chroot")]
    BadUrl {
        /// As given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// ZooKeeper does not answer, or not in time.
    #[error("the registry {url} is out of reach: {reason}")]
    Unavailable {
        /// Where it should be.
        url: String,
        /// What happened.
        reason: String,
    },
    /// A data dir whose lists are no copy of anything.
    #[error("{} holds the tokens and keys of a standalone broker, and a broker on ZooKeeper would write its copy over them; give it another --data-dir", path.display())]
    NoCopy {
        /// The data directory.
        path: PathBuf,
    },
    /// The file of the cluster key is not there.
    #[error("there is no cluster key in {}; copy the file from another broker, name it with --cluster-key, or make a cluster with: hera cluster init", path.display())]
    NoClusterKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// No cluster lies under the URL.
    #[error(
        "no cluster lies in {url}; make it once with: hera cluster init --registry {url} --cluster-key FILE"
    )]
    NotInitialised {
        /// Where it should be.
        url: String,
    },
    /// A cluster lies there already.
    #[error("a cluster lies in {url} already; a second one needs another chroot")]
    AlreadyInitialised {
        /// Where.
        url: String,
    },
    /// The cluster was made anew since our copy was taken.
    #[error(
        "another cluster lies in {url} than the one that this broker knows: it was wiped or made anew; the last tokens and keys stay in force, restore it, or start with an empty --data-dir to take the new one"
    )]
    OtherCluster {
        /// Where.
        url: String,
    },
    /// The cluster was made with another cluster key.
    #[error(
        "the cluster key does not fit {url}: that cluster was made with another one; name the right file with --cluster-key"
    )]
    WrongClusterKey {
        /// Where.
        url: String,
    },
    /// Others may read or write what is ours.
    #[error(
        "{path} in {url} has other ACLs than Hera's: others may read or write it; make it anew, or set registry.open_acls = true to go without"
    )]
    OpenAcl {
        /// Which node.
        path: String,
        /// Where.
        url: String,
    },
    /// Somebody else has our name.
    #[error("another broker is registered as {id}; give this one another broker.id")]
    IdTaken {
        /// The broker's id.
        id: String,
    },
    /// A record is over what a node may hold.
    #[error("{what} has {bytes} bytes, and a node holds at most 262144")]
    TooLarge {
        /// Which record.
        what: String,
        /// Its size.
        bytes: usize,
    },
    /// Others changed the same thing again and again.
    #[error("others are changing the same records; nothing was done, try again")]
    Contended,
    /// A running broker owns the data directory.
    #[error("another broker uses this data dir, {}; stop it, or choose another --data-dir", path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
    },
}

impl Error {
    /// The stable name of the error, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Error::NameTaken { .. } => "name_taken",
            Error::NotFound { .. } | Error::UnknownEndpoint(_) => "not_found",
            Error::BadScope { .. } => "bad_scope",
            Error::BadPrefix { .. } => "bad_prefix",
            Error::PrefixOwned { .. } => "prefix_owned",
            Error::BadRate(_) => "bad_rate",
            Error::BadExpiry(_) => "bad_expiry",
            Error::BadName { .. } | Error::NothingToRotate => "bad_name",
            Error::BadLabel { .. } => "bad_label",
            Error::Io { .. } => "io",
            Error::Corrupt { .. } => "corrupt",
            Error::WrongMode { .. } => "wrong_mode",
            Error::InUse { .. } => "in_use",
            Error::BadUrl { .. } => "bad_url",
            Error::Unavailable { .. } => "registry_unavailable",
            Error::NoCopy { .. } => "no_copy",
            Error::NoClusterKey { .. } => "no_cluster_key",
            Error::NotInitialised { .. } => "not_initialised",
            Error::AlreadyInitialised { .. } => "already_initialised",
            Error::OtherCluster { .. } => "other_cluster",
            Error::WrongClusterKey { .. } => "wrong_cluster_key",
            Error::OpenAcl { .. } => "open_acl",
            Error::IdTaken { .. } => "id_taken",
            Error::TooLarge { .. } => "too_large",
            Error::Contended => "contended",
        }
    }

    /// Makes an [`Error::Io`] with its file, for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn corrupt(path: &Path, reason: impl Into<String>) -> Error {
        Error::Corrupt { path: path.to_owned(), reason: reason.into() }
    }
}
