//! How a session is opened, and how long anything may take.

use std::path::PathBuf;
use std::time::Duration;

use zookeeper_client::{Client, TlsCa, TlsCerts, TlsOptions};

use super::layout::{self, Rules};
use super::limits::REQUEST;
use super::url::ZkUrl;
use crate::cluster_key::ClusterKey;
use crate::error::Error;

/// What a session needs.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where.
    pub url: ZkUrl,
    /// Of the cluster; none for those who only look for brokers.
    pub key: Option<ClusterKey>,
    /// PEM file of the certificates to trust, with `zks://`.
    pub ca_file: Option<PathBuf>,
    /// How long ZooKeeper keeps the nodes of a session that it does not hear of.
    pub timeout: Duration,
    /// Whether the operator wants no ACLs.
    pub open_acls: bool,
}

impl Access {
    /// With defaults for what is not given.
    pub fn new(url: ZkUrl, key: Option<ClusterKey>) -> Access {
        Access { url, key, ca_file: None, timeout: Duration::from_secs(10), open_acls: false }
    }

    /// Opens a session with the URL's chroot. Errors: `registry_unavailable`, `bad_url` for certificates that cannot be read.
    pub(crate) async fn connect(&self) -> Result<Client, Error> {
        let mut connector = Client::connector().with_session_timeout(self.timeout);
        if let Some(key) = &self.key {
            connector = connector.with_auth("digest", &layout::credentials(key));
        }
        let servers = self.url.servers();
        let connecting = async {
            if self.url.tls() {
                connector
                    .with_tls(self.tls()?)
                    .secure_connect(&servers)
                    .await
                    .map_err(|error| self.failed(&error))
            } else {
                connector.connect(&servers).await.map_err(|error| self.failed(&error))
            }
        };
        // A server may take the connection and say nothing.
        let client = tokio::time::timeout(REQUEST, connecting)
            .await
            .map_err(|_| self.unavailable("no session within 10 s"))??;
        if self.url.chroot().is_empty() {
            return Ok(client);
        }
        client.chroot(self.url.chroot().to_owned()).map_err(|_| self.unavailable("the chroot cannot be used"))
    }

    /// The ACLs that nodes are made with.
    pub(crate) fn rules(&self) -> Option<Rules> {
        self.key.as_ref().map(|key| Rules::new(key, self.open_acls))
    }

    /// An error of the client library, in our words.
    pub(crate) fn failed(&self, error: &zookeeper_client::Error) -> Error {
        self.unavailable(&error.to_string())
    }

    pub(crate) fn unavailable(&self, reason: &str) -> Error {
        Error::Unavailable { url: self.url.to_string(), reason: reason.to_owned() }
    }

    /// Waits for an answer, and not for ever.
    pub(crate) async fn within<T>(
        &self,
        request: impl Future<Output = Result<T, zookeeper_client::Error>>,
    ) -> Result<Result<T, zookeeper_client::Error>, Error> {
        tokio::time::timeout(REQUEST, request).await.map_err(|_| self.unavailable("no answer within 10 s"))
    }

    /// As [`Access::within`], where every error means that the registry cannot be used just now.
    pub(crate) async fn ask<T>(
        &self,
        request: impl Future<Output = Result<T, zookeeper_client::Error>>,
    ) -> Result<T, Error> {
        self.within(request).await?.map_err(|error| self.failed(&error))
    }

    fn tls(&self) -> Result<TlsOptions, Error> {
        let bad = |problem: String| Error::BadUrl { url: self.url.to_string(), problem };
        let file =
            self.ca_file.as_ref().ok_or_else(|| bad("zks:// needs the certificates to trust".to_owned()))?;
        let pem =
            std::fs::read_to_string(file).map_err(|error| bad(format!("{}: {error}", file.display())))?;
        let ca = TlsCa::from_pem(&pem).map_err(|error| bad(format!("{}: {error}", file.display())))?;
        let certs = TlsCerts::builder().with_ca(ca).build().map_err(|error| bad(error.to_string()))?;
        Ok(TlsOptions::new().with_certs(certs))
    }
}
