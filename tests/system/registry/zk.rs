//! A stranger's hand on ZooKeeper: no credentials, or those of an operator who repairs something.

use hera_testkit::TestCluster;
use zookeeper_client::{Acls, Client, CreateMode, Error};

/// A session without credentials, and the one thread that drives it.
pub(crate) struct Stranger {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Stranger {
    /// Opens a session at the cluster's chroot.
    pub(crate) fn at(cluster: &TestCluster) -> Stranger {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let hosts = cluster.zookeeper.hosts();
        let client = runtime.block_on(Client::connect(&hosts)).unwrap();
        let client = client.chroot(cluster.path("")).unwrap();
        Stranger { runtime, client }
    }

    /// The data of a node.
    pub(crate) fn read(&self, path: &str) -> Result<Vec<u8>, Error> {
        self.runtime.block_on(self.client.get_data(path)).map(|(data, _)| data)
    }

    /// Its children.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        self.runtime.block_on(self.client.list_children(path))
    }

    /// The session that owns it; 0 for a node that stays.
    pub(crate) fn owner(&self, path: &str) -> Option<i64> {
        self.runtime.block_on(self.client.check_stat(path)).unwrap().map(|stat| stat.ephemeral_owner)
    }

    /// Makes a node that everybody may change.
    pub(crate) fn create(&self, path: &str, data: &[u8]) -> Result<(), Error> {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.runtime.block_on(self.client.create(path, data, &options)).map(|_| ())
    }

    /// Removes a node.
    pub(crate) fn delete(&self, path: &str) -> Result<(), Error> {
        self.runtime.block_on(self.client.delete(path, None))
    }

    /// Becomes the cluster's digest user, as an operator with the cluster key could.
    pub(crate) fn with_credentials(self, credentials: &[u8]) -> Stranger {
        self.runtime.block_on(self.client.auth("digest", credentials)).unwrap();
        self
    }
}
