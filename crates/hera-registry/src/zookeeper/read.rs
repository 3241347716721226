//! Nodes to values, in bulk. What cannot be read is skipped by name; what cannot be asked is an error.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use zookeeper_client::{Client, Error as ZkError, Stat};

use super::layout::{self, NAMES};
use super::limits::{BROKER_NODE_BYTES_MAX, BROKERS_MAX};
use super::node::BrokerNode;
use super::session::Access;
use super::tree::{ClusterRecord, Service, Tree};
use crate::error::Error;
use crate::name::is_id;
use crate::record::{BadRecord, Kind, Sealer};

/// Requests on their way at once: enough to fill the line, few enough that an answer is not late.
const WINDOW: usize = 256;

/// Reads the tree of one cluster.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) client: &'a Client,
    pub(crate) access: &'a Access,
    pub(crate) sealer: &'a Sealer,
}

impl Reader<'_> {
    /// The record of the cluster. Errors: `not_initialised`, `wrong_cluster_key`.
    pub(crate) async fn cluster(&self) -> Result<ClusterRecord, Error> {
        let url = || self.access.url.to_string();
        match self.access.within(self.client.get_data(layout::CONFIG)).await? {
            Ok((data, _)) => {
                sealed(self.sealer, Kind::Config, &data).map_err(|_| Error::WrongClusterKey { url: url() })
            }
            Err(ZkError::NoNode) => Err(Error::NotInitialised { url: url() }),
            // Only the digest user of the cluster's own key may read it.
            Err(ZkError::NoAuth) => Err(Error::WrongClusterKey { url: url() }),
            Err(error) => Err(self.access.failed(&error)),
        }
    }

    /// Brings `tree` up to date with all there is. Tokens never change under their id, so only new ones are read.
    pub(crate) async fn everything(&self, tree: &mut Tree) -> Result<(), Error> {
        // A follower may lag behind what this session, or another broker, saw already.
        self.access.ask(self.client.sync("/")).await?;
        self.tokens(tree).await?;
        self.keys(tree).await?;
        self.services(tree).await?;
        self.brokers(tree).await
    }

    pub(crate) async fn tokens(&self, tree: &mut Tree) -> Result<(), Error> {
        let buckets = self.children(layout::TOKENS).await?;
        let paths: Vec<String> = buckets
            .iter()
            .filter(|bucket| *bucket != NAMES)
            .map(|bucket| format!("{}/{bucket}", layout::TOKENS))
            .collect();
        let mut ids = std::collections::HashSet::new();
        for window in paths.chunks(WINDOW) {
            let asked: Vec<_> = window.iter().map(|path| self.client.list_children(path)).collect();
            for answer in asked {
                match self.access.within(answer).await? {
                    Ok(children) => ids.extend(children),
                    Err(ZkError::NoNode) => {}
                    Err(error) => return Err(self.access.failed(&error)),
                }
            }
        }
        tree.tokens.retain(|id, _| ids.contains(id));
        tree.skipped.retain(|path, _| !path.starts_with("/tokens/"));
        let fresh: Vec<String> = ids.into_iter().filter(|id| !tree.tokens.contains_key(id)).collect();
        self.tokens_of(tree, &fresh).await
    }

    /// Reads these tokens; those that are gone go.
    pub(crate) async fn tokens_of(&self, tree: &mut Tree, ids: &[String]) -> Result<(), Error> {
        for (id, path, data) in self.data(ids, layout::token).await? {
            let read = data.map(|(data, _)| {
                sealed(self.sealer, Kind::Token, &data)
                    .and_then(|record: crate::TokenRecord| same(record.id == id, Arc::new(record)))
            });
            settle(&mut tree.tokens, &mut tree.skipped, id, path, read);
        }
        Ok(())
    }

    pub(crate) async fn keys(&self, tree: &mut Tree) -> Result<(), Error> {
        let ids = self.children(layout::KEYS).await?;
        tree.skipped.retain(|path, _| !path.starts_with("/keys/"));
        tree.keys.retain(|id, _| ids.contains(id));
        let ids: Vec<String> = ids.into_iter().filter(|id| id != NAMES).collect();
        self.keys_of(tree, &ids).await
    }

    pub(crate) async fn keys_of(&self, tree: &mut Tree, ids: &[String]) -> Result<(), Error> {
        for (id, path, data) in self.data(ids, layout::key).await? {
            let read = data.map(|(data, _)| {
                sealed(self.sealer, Kind::Key, &data)
                    .and_then(|record: crate::KeyRecord| same(record.id == id, Arc::new(record)))
            });
            settle(&mut tree.keys, &mut tree.skipped, id, path, read);
        }
        Ok(())
    }

    pub(crate) async fn services(&self, tree: &mut Tree) -> Result<(), Error> {
        let names = self.children(layout::SERVICES).await?;
        tree.skipped.retain(|path, _| !path.starts_with("/services/"));
        tree.services.retain(|name, _| names.contains(name));
        self.services_of(tree, &names).await
    }

    pub(crate) async fn services_of(&self, tree: &mut Tree, names: &[String]) -> Result<(), Error> {
        for (name, path, data) in self.data(names, layout::service).await? {
            let read = data.map(|(data, _)| self.service_in(&name, &data));
            settle(&mut tree.services, &mut tree.skipped, name, path, read);
        }
        Ok(())
    }

    /// One service's record with its version, or `None`.
    pub(crate) async fn service(&self, name: &str) -> Result<Option<(Service, Stat)>, Error> {
        match self.access.within(self.client.get_data(&layout::service(name))).await? {
            Ok((data, stat)) => {
                // What is not believed is as good as not there, and is written over.
                let empty = || Service { service: name.to_owned(), endpoints: Vec::new() };
                Ok(Some((self.service_in(name, &data).unwrap_or_else(|_| empty()), stat)))
            }
            Err(ZkError::NoNode) => Ok(None),
            Err(error) => Err(self.access.failed(&error)),
        }
    }

    fn service_in(&self, name: &str, data: &[u8]) -> Result<Service, BadRecord> {
        let service: Service = sealed(self.sealer, Kind::Service, data)?;
        same(service.service == name, service)
    }

    pub(crate) async fn brokers(&self, tree: &mut Tree) -> Result<(), Error> {
        let mut ids = self.children(layout::BROKERS).await?;
        ids.sort();
        ids.truncate(BROKERS_MAX);
        tree.skipped.retain(|path, _| !path.starts_with("/brokers/"));
        tree.brokers.retain(|id, _| ids.contains(id));
        self.brokers_of(tree, &ids).await
    }

    pub(crate) async fn brokers_of(&self, tree: &mut Tree, ids: &[String]) -> Result<(), Error> {
        for (id, path, data) in self.data(ids, layout::broker).await? {
            let read = data.map(|(data, _)| match data.len() > BROKER_NODE_BYTES_MAX {
                true => Err(BadRecord::Form),
                false => BrokerNode::from_json(&id, &data, self.sealer),
            });
            settle(&mut tree.brokers, &mut tree.skipped, id, path, read);
        }
        Ok(())
    }

    pub(crate) async fn children(&self, path: &str) -> Result<Vec<String>, Error> {
        match self.access.within(self.client.list_children(path)).await? {
            Ok(children) => Ok(children),
            Err(ZkError::NoNode) => Err(Error::NotInitialised { url: self.access.url.to_string() }),
            Err(error) => Err(self.access.failed(&error)),
        }
    }

    /// The data of many nodes; `None` for those that are gone.
    pub(crate) async fn data(
        &self,
        names: &[String],
        path: fn(&str) -> String,
    ) -> Result<Vec<(String, String, Option<(Vec<u8>, Stat)>)>, Error> {
        let mut found = Vec::with_capacity(names.len());
        for window in names.chunks(WINDOW) {
            // The library sends when a request is made, not when its answer is waited for.
            let asked: Vec<_> = window
                .iter()
                .map(|name| {
                    let path = path(name);
                    let answer = self.client.get_data(&path);
                    (name, path, answer)
                })
                .collect();
            for (name, path, answer) in asked {
                let data = match self.access.within(answer).await? {
                    Ok(data) => Some(data),
                    Err(ZkError::NoNode) => None,
                    // A name that no path can hold was not made by us.
                    Err(ZkError::BadArguments(_)) => None,
                    Err(error) => return Err(self.access.failed(&error)),
                };
                found.push((name.clone(), path, data));
            }
        }
        Ok(found)
    }
}

/// Opens a sealed node.
pub(crate) fn sealed<T: DeserializeOwned>(sealer: &Sealer, kind: Kind, data: &[u8]) -> Result<T, BadRecord> {
    let raw: &RawValue = serde_json::from_slice(data).map_err(|_| BadRecord::Form)?;
    sealer.open(kind, raw)
}

/// A record under a name that is not its own was moved there by somebody.
fn same<T>(is_its_own: bool, record: T) -> Result<T, BadRecord> {
    if is_its_own { Ok(record) } else { Err(BadRecord::Form) }
}

/// Whether a child is a token, by its path below `/tokens`.
pub(crate) fn token_id(path: &str) -> Option<&str> {
    let id = path.strip_prefix("/tokens/")?.split_once('/')?.1;
    is_id(id).then_some(id)
}

/// What is stored by name: a hash map or a tree.
pub(crate) trait ByName<T> {
    fn put(&mut self, name: String, value: T);
    fn take(&mut self, name: &str);
}

impl<T> ByName<T> for std::collections::HashMap<String, T> {
    fn put(&mut self, name: String, value: T) {
        self.insert(name, value);
    }
    fn take(&mut self, name: &str) {
        self.remove(name);
    }
}

impl<T> ByName<T> for std::collections::BTreeMap<String, T> {
    fn put(&mut self, name: String, value: T) {
        self.insert(name, value);
    }
    fn take(&mut self, name: &str) {
        self.remove(name);
    }
}

fn settle<T>(
    known: &mut impl ByName<T>,
    skipped: &mut std::collections::BTreeMap<String, String>,
    name: String,
    path: String,
    read: Option<Result<T, BadRecord>>,
) {
    skipped.remove(&path);
    match read {
        Some(Ok(record)) => known.put(name, record),
        Some(Err(reason)) => {
            known.take(&name);
            skipped.insert(path, reason.to_string());
        }
        None => known.take(&name),
    }
}
