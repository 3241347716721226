//! Many brokers on one real ZooKeeper.

use crate::binary::command;
use crate::broker::{BrokerBuilder, TestBroker, Verdict};
use crate::zookeeper::TestZooKeeper;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const CHROOT: &str = "/hera/test";

/// A cluster that was laid out by `hera cluster init`, with its key.
#[derive(Debug)]
pub struct TestCluster {
    /// The servers behind it.
    pub zookeeper: TestZooKeeper,
    dir: tempfile::TempDir,
    names: AtomicU32,
}

impl TestCluster {
    /// On one server.
    pub fn start() -> TestCluster {
        TestCluster::on(TestZooKeeper::start())
    }

    /// On so many servers.
    pub fn ensemble(count: usize) -> TestCluster {
        TestCluster::on(TestZooKeeper::ensemble(count))
    }

    /// On these servers.
    pub fn on(zookeeper: TestZooKeeper) -> TestCluster {
        let cluster = TestCluster { zookeeper, dir: tempfile::tempdir().unwrap(), names: AtomicU32::new(1) };
        let made = cluster.cli(["cluster", "init"]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        cluster
    }

    /// What brokers and workers are told.
    pub fn url(&self) -> String {
        self.zookeeper.url(CHROOT)
    }

    /// A path below the chroot, as a client without one sees it.
    pub fn path(&self, path: &str) -> String {
        format!("{CHROOT}{path}")
    }

    /// The cluster key.
    pub fn key_file(&self) -> PathBuf {
        self.dir.path().join("cluster.key")
    }

    /// A folder for the test's own files.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A broker of this cluster, not started yet. Its session times out as soon as the servers of the fixture allow: 1 s.
    pub fn builder(&self) -> BrokerBuilder {
        TestBroker::with_env("HERA_REGISTRY__URL", &self.url())
            .with_env("HERA_CLUSTER__KEY_FILE", &self.key_file().display().to_string())
            .with_env("HERA_REGISTRY__SESSION_TIMEOUT", "1s")
    }

    /// A broker of this cluster, ready.
    pub fn broker(&self) -> TestBroker {
        self.builder().start()
    }

    /// Runs a verb straight on ZooKeeper.
    pub fn cli<S: AsRef<str>>(&self, args: impl IntoIterator<Item = S>) -> Verdict {
        let mut command = command();
        command.args(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        command.args(["--registry", &self.url()]).arg("--cluster-key").arg(self.key_file());
        Verdict::of(&mut command)
    }

    /// A fresh token that may call these.
    pub fn token(&self, allow: &[&str]) -> String {
        let name = format!("token-{}", self.names.fetch_add(1, Ordering::Relaxed));
        let allow = allow.iter().flat_map(|scope| ["--allow", scope]);
        self.made(["token", "create", "--name", &name].into_iter().chain(allow))
    }

    /// The worker key of a service that may serve these.
    pub fn key(&self, name: &str, serve: &[&str]) -> String {
        let serve = serve.iter().flat_map(|prefix| ["--serve", prefix]);
        self.made(["key", "create", "--share", "--name", name].into_iter().chain(serve))
    }

    /// The ids of the brokers that are registered.
    pub fn registered(&self) -> Vec<String> {
        let listed = self.cli(["brokers", "--json"]);
        assert_eq!(listed.code, 0, "{}", listed.stderr);
        let brokers: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
        brokers.as_array().unwrap().iter().map(|broker| broker["id"].as_str().unwrap().to_owned()).collect()
    }

    fn made<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> String {
        let verdict = self.cli(args);
        assert_eq!(verdict.code, 0, "{}", verdict.stderr);
        verdict.stdout.trim().to_owned()
    }
}
