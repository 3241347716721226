//! What people change: each verb is one transaction, or nothing.
//!
//! A name is a node beside the records, so "this name is free" is decided by ZooKeeper and not by reading a hundred thousand
//! tokens. Worker keys besides take the version of `/keys`: whether prefixes overlap depends on all of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use zookeeper_client::{Client, CreateMode, Error as ZkError, MultiWriteError, MultiWriter};

use super::layout::{self, Rules, Who};
use super::limits::NODE_BYTES_MAX;
use super::node::BrokerNode;
use super::read::{Reader, sealed};
use super::session::Access;
use super::tree::{Service, Tree};
use crate::catalogue::{Catalogue, KnownEndpoint};
use crate::cluster_key::ClusterKey;
use crate::error::Error;
use crate::name::is_id;
use crate::record::{Kind, Sealer};
use crate::standalone::{CreatedKey, CreatedToken};
use crate::token::{NewToken, TokenRecord};
use crate::worker_key::{self, KeyChange, KeyRecord, NewKey};

/// Tries of a transaction that others came before.
const TRIES: u32 = 20;

/// The registry in ZooKeeper. Cheap to clone; safe from any thread.
#[derive(Clone)]
pub struct ZkRegistry {
    access: Access,
    key: ClusterKey,
    sealer: Sealer,
    rules: Rules,
    /// The session of the moment: set once by [`ZkRegistry::connect`], or kept by a broker's `sync`.
    client: Arc<Mutex<Option<Client>>>,
}

impl std::fmt::Debug for ZkRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ZkRegistry({})", self.access.url)
    }
}

impl ZkRegistry {
    /// A registry without a session yet. Error `wrong_cluster_key` where `access` holds no key.
    pub fn new(access: Access) -> Result<ZkRegistry, Error> {
        let wrong = || Error::WrongClusterKey { url: access.url.to_string() };
        let key = access.key.clone().ok_or_else(wrong)?;
        let rules = Rules::new(&key, access.open_acls);
        Ok(ZkRegistry { sealer: Sealer::new(&key), rules, key, access, client: Arc::default() })
    }

    /// Opens a session and makes sure that the cluster is ours. Errors: `registry_unavailable`, `not_initialised`, `wrong_cluster_key`.
    pub async fn connect(access: Access) -> Result<ZkRegistry, Error> {
        let registry = ZkRegistry::new(access)?;
        let client = registry.access.connect().await?;
        registry.reader(&client).cluster().await?;
        registry.use_session(Some(client));
        Ok(registry)
    }

    /// Where it is.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// The cluster key.
    pub fn cluster_key(&self) -> &ClusterKey {
        &self.key
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(crate) fn rules(&self) -> &Rules {
        &self.rules
    }

    pub(crate) fn use_session(&self, client: Option<Client>) {
        // Held for a pointer's swap.
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = client;
    }

    pub(crate) fn reader<'a>(&'a self, client: &'a Client) -> Reader<'a> {
        Reader { client, access: &self.access, sealer: &self.sealer }
    }

    fn client(&self) -> Result<Client, Error> {
        let client = self.client.lock().unwrap_or_else(PoisonError::into_inner).clone();
        client.ok_or_else(|| self.access.unavailable("there is no session just now"))
    }

    // --- tokens ---

    /// See [`crate::Standalone::create_token`].
    pub async fn create_token(&self, new: NewToken, now_unix: u64) -> Result<CreatedToken, Error> {
        let (record, text) = new.into_record(now_unix)?;
        let client = self.client()?;
        self.make_bucket(&client, &record.id).await?;
        let mut change = client.new_multi_writer();
        self.add_create(&mut change, &layout::token_name(&record.name), record.id.as_bytes())?;
        self.add_create(
            &mut change,
            &layout::token(&record.id),
            self.sealed(Kind::Token, &record)?.as_bytes(),
        )?;
        match self.commit(&mut change).await? {
            Committed::Yes => Ok(CreatedToken { record, text }),
            Committed::No(0) => Err(Error::NameTaken { kind: "token", name: record.name }),
            Committed::No(_) => Err(Error::Contended),
        }
    }

    /// All tokens, the oldest first.
    pub async fn list_tokens(&self) -> Result<Vec<TokenRecord>, Error> {
        let client = self.client()?;
        let mut tree = Tree::default();
        self.access.ask(client.sync("/")).await?;
        self.reader(&client).tokens(&mut tree).await?;
        let mut tokens: Vec<TokenRecord> = tree.tokens.into_values().map(Arc::unwrap_or_clone).collect();
        tokens.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok(tokens)
    }

    /// See [`crate::Standalone::revoke_token`].
    pub async fn revoke_token(&self, name_or_id: &str) -> Result<TokenRecord, Error> {
        let client = self.client()?;
        for _ in 0..TRIES {
            let record = self.token(&client, name_or_id).await?;
            let mut change = client.new_multi_writer();
            self.added(change.add_delete(&layout::token(&record.id), None))?;
            self.added(change.add_delete(&layout::token_name(&record.name), None))?;
            if let Committed::Yes = self.commit(&mut change).await? {
                return Ok(record);
            }
        }
        Err(Error::Contended)
    }

    /// See [`crate::Standalone::rotate_token`].
    pub async fn rotate_token(&self, name_or_id: &str, now_unix: u64) -> Result<CreatedToken, Error> {
        let client = self.client()?;
        for _ in 0..TRIES {
            let old = self.token(&client, name_or_id).await?;
            let (record, text) = old.rotated(now_unix)?;
            self.make_bucket(&client, &record.id).await?;
            let mut change = client.new_multi_writer();
            self.added(change.add_delete(&layout::token(&old.id), None))?;
            self.added(change.add_set_data(&layout::token_name(&old.name), record.id.as_bytes(), None))?;
            self.add_create(
                &mut change,
                &layout::token(&record.id),
                self.sealed(Kind::Token, &record)?.as_bytes(),
            )?;
            if let Committed::Yes = self.commit(&mut change).await? {
                return Ok(CreatedToken { record, text: Some(text) });
            }
        }
        Err(Error::Contended)
    }

    async fn token(&self, client: &Client, name_or_id: &str) -> Result<TokenRecord, Error> {
        let missing = || Error::NotFound { kind: "token", name: name_or_id.chars().take(80).collect() };
        let id = self.id_of(client, name_or_id, layout::token_name).await?.ok_or_else(missing)?;
        let (data, _) = self.get(client, &layout::token(&id)).await?.ok_or_else(missing)?;
        sealed(&self.sealer, Kind::Token, &data).map_err(|_| missing())
    }

    async fn make_bucket(&self, client: &Client, id: &str) -> Result<(), Error> {
        let options = CreateMode::Persistent.with_acls(self.rules.acls(Who::Closed));
        match self.access.within(client.create(&layout::bucket(id), &[], &options)).await? {
            Ok(_) | Err(ZkError::NodeExists) => Ok(()),
            Err(ZkError::NoNode) => Err(Error::NotInitialised { url: self.access.url.to_string() }),
            Err(error) => Err(self.access.failed(&error)),
        }
    }

    // --- worker keys ---

    /// See [`crate::Standalone::create_key`].
    pub async fn create_key(&self, new: NewKey, now_unix: u64) -> Result<CreatedKey, Error> {
        self.change_keys(|all, change| {
            // Before the prefixes: whoever creates a key twice should hear that it exists.
            if all.iter().any(|other| other.name == new.name) {
                return Err(Error::NameTaken { kind: "key", name: new.name.clone() });
            }
            let (record, key) = new.clone().into_record(&self.key, all, now_unix)?;
            self.add_create(change, &layout::key_name(&record.name), record.id.as_bytes())?;
            self.add_create(change, &layout::key(&record.id), self.sealed(Kind::Key, &record)?.as_bytes())?;
            Ok(CreatedKey { record, key })
        })
        .await
    }

    /// All worker keys, the oldest first.
    pub async fn list_keys(&self) -> Result<Vec<KeyRecord>, Error> {
        let client = self.client()?;
        self.access.ask(client.sync("/")).await?;
        Ok(self.all_keys(&client).await?.0)
    }

    /// See [`crate::Standalone::update_key`].
    pub async fn update_key(&self, name_or_id: &str, wanted: KeyChange) -> Result<KeyRecord, Error> {
        self.change_keys(|all, change| {
            let record = wanted.clone().apply(found(all, name_or_id)?, all)?;
            let sealed = self.sealed(Kind::Key, &record)?;
            self.added(change.add_set_data(&layout::key(&record.id), sealed.as_bytes(), None))?;
            Ok(record)
        })
        .await
    }

    /// See [`crate::Standalone::revoke_key`].
    pub async fn revoke_key(&self, name_or_id: &str) -> Result<KeyRecord, Error> {
        self.change_keys(|all, change| {
            let record = found(all, name_or_id)?.clone();
            self.added(change.add_delete(&layout::key(&record.id), None))?;
            self.added(change.add_delete(&layout::key_name(&record.name), None))?;
            Ok(record)
        })
        .await
    }

    /// See [`crate::Standalone::rotate_key`].
    pub async fn rotate_key(&self, name_or_id: &str, now_unix: u64) -> Result<CreatedKey, Error> {
        self.change_keys(|all, change| {
            let old = found(all, name_or_id)?;
            let (record, key) = worker_key::rotated(old, &self.key, now_unix);
            self.added(change.add_delete(&layout::key(&old.id), None))?;
            self.added(change.add_set_data(&layout::key_name(&old.name), record.id.as_bytes(), None))?;
            self.add_create(change, &layout::key(&record.id), self.sealed(Kind::Key, &record)?.as_bytes())?;
            Ok(CreatedKey { record, key })
        })
        .await
    }

    /// One transaction on the keys as they are; tried again when somebody changed any of them meanwhile.
    async fn change_keys<T>(
        &self,
        step: impl Fn(&[KeyRecord], &mut MultiWriter<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let client = self.client()?;
        for _ in 0..TRIES {
            let (all, version) = self.all_keys(&client).await?;
            let mut change = client.new_multi_writer();
            self.added(change.add_set_data(layout::KEYS, &[], Some(version)))?;
            let answer = step(&all, &mut change)?;
            if let Committed::Yes = self.commit(&mut change).await? {
                return Ok(answer);
            }
        }
        Err(Error::Contended)
    }

    /// All keys with the version of their folder, which is older than what was read: who changes by it changes nothing unseen.
    async fn all_keys(&self, client: &Client) -> Result<(Vec<KeyRecord>, i32), Error> {
        let not_there = || Error::NotInitialised { url: self.access.url.to_string() };
        let (_, stat) = self.get(client, layout::KEYS).await?.ok_or_else(not_there)?;
        let mut tree = Tree::default();
        self.reader(client).keys(&mut tree).await?;
        let mut keys: Vec<KeyRecord> = tree.keys.into_values().map(Arc::unwrap_or_clone).collect();
        keys.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
        Ok((keys, stat.version))
    }

    // --- catalogue ---

    /// All endpoints known, and one line for each record that is not believed.
    pub async fn load_catalogue(&self) -> Result<(Catalogue, Vec<String>), Error> {
        let client = self.client()?;
        let mut tree = Tree::default();
        self.access.ask(client.sync("/")).await?;
        self.reader(&client).services(&mut tree).await?;
        let skipped = tree.skipped.iter().map(|(path, reason)| format!("{path} skipped: {reason}")).collect();
        Ok((tree.catalogue(), skipped))
    }

    /// See [`crate::Standalone::merge_endpoints`].
    pub async fn merge_endpoints(
        &self,
        service: &str,
        declared: &[KnownEndpoint],
        now_unix: u64,
    ) -> Result<bool, Error> {
        self.change_service(service, |catalogue| catalogue.merge(service, declared, now_unix)).await
    }

    /// See [`crate::Standalone::forget_unseen_endpoints`].
    pub async fn forget_unseen_endpoints(&self, now_unix: u64) -> Result<usize, Error> {
        self.forget(|catalogue| catalogue.forget_unseen(now_unix)).await
    }

    /// See [`crate::Standalone::forget_endpoint`].
    pub async fn forget_endpoint(&self, endpoint: &str) -> Result<(), Error> {
        match self.forget(|catalogue| catalogue.forget(endpoint)).await? {
            0 => Err(Error::UnknownEndpoint(endpoint.chars().take(200).collect())),
            _ => Ok(()),
        }
    }

    async fn forget(&self, forget: impl Fn(&mut Catalogue) -> usize) -> Result<usize, Error> {
        let client = self.client()?;
        let mut forgotten = 0;
        for service in self.reader(&client).children(layout::SERVICES).await? {
            let mut of_this = 0;
            self.change_service(&service, |catalogue| {
                of_this = forget(catalogue);
                of_this > 0
            })
            .await?;
            forgotten += of_this;
        }
        Ok(forgotten)
    }

    /// Changes one service's record by its version; `change` says whether there is something to write. A record without endpoints goes.
    async fn change_service(
        &self,
        service: &str,
        mut change: impl FnMut(&mut Catalogue) -> bool,
    ) -> Result<bool, Error> {
        let client = self.client()?;
        let path = layout::service(service);
        for _ in 0..TRIES {
            let before = self.reader(&client).service(service).await?;
            let mut catalogue = Catalogue::default();
            before.iter().flat_map(|(record, _)| record.entries()).for_each(|entry| catalogue.insert(entry));
            if !change(&mut catalogue) {
                return Ok(false);
            }
            let after = Service::of(service, &catalogue);
            let data = self.sealed(Kind::Service, &after)?;
            let written = match &before {
                None => {
                    let options = CreateMode::Persistent.with_acls(self.rules.acls(Who::Closed));
                    self.access.within(client.create(&path, data.as_bytes(), &options)).await?.map(|_| ())
                }
                Some((_, stat)) if after.endpoints.is_empty() => {
                    self.access.within(client.delete(&path, Some(stat.version))).await?
                }
                Some((_, stat)) => {
                    let written = client.set_data(&path, data.as_bytes(), Some(stat.version));
                    self.access.within(written).await?.map(|_| ())
                }
            };
            match written {
                Ok(()) => return Ok(true),
                Err(ZkError::BadVersion | ZkError::NodeExists | ZkError::NoNode) => {}
                Err(error) => return Err(self.access.failed(&error)),
            }
        }
        Err(Error::Contended)
    }

    // --- brokers ---

    /// The brokers that are registered, by id; those without our MAC are left out.
    pub async fn list_brokers(&self) -> Result<Vec<BrokerNode>, Error> {
        let client = self.client()?;
        let mut tree = Tree::default();
        self.access.ask(client.sync("/")).await?;
        self.reader(&client).brokers(&mut tree).await?;
        Ok(tree.brokers.into_values().collect())
    }

    /// Waits until the list of brokers may have changed, at most `limit`. Gives `registry_unavailable` when the session is over.
    pub async fn brokers_changed(&self, limit: Duration) -> Result<(), Error> {
        let client = self.client()?;
        let (_, _, watcher) = self.access.ask(client.get_and_watch_children(layout::BROKERS)).await?;
        let mut state = client.state_watcher();
        tokio::select! {
            _ = watcher.changed() => Ok(()),
            state = state.changed() => match state.is_terminated() {
                true => Err(self.access.unavailable("the session is over")),
                false => Ok(()),
            },
            () = tokio::time::sleep(limit) => Ok(()),
        }
    }

    // --- steps ---

    async fn id_of(
        &self,
        client: &Client,
        name_or_id: &str,
        path: fn(&str) -> String,
    ) -> Result<Option<String>, Error> {
        if is_id(name_or_id) {
            return Ok(Some(name_or_id.to_owned()));
        }
        if name_or_id.is_empty() || name_or_id.contains('/') || name_or_id.starts_with('.') {
            return Ok(None);
        }
        let found = self.get(client, &path(name_or_id)).await?;
        Ok(found.and_then(|(data, _)| String::from_utf8(data).ok()).filter(|id| is_id(id)))
    }

    async fn get(
        &self,
        client: &Client,
        path: &str,
    ) -> Result<Option<(Vec<u8>, zookeeper_client::Stat)>, Error> {
        match self.access.within(client.get_data(path)).await? {
            Ok(found) => Ok(Some(found)),
            Err(ZkError::NoNode) => Ok(None),
            Err(error) => Err(self.access.failed(&error)),
        }
    }

    fn sealed<T: serde::Serialize>(&self, kind: Kind, record: &T) -> Result<String, Error> {
        let sealed = self.sealer.seal(kind, record).get().to_owned();
        match sealed.len() {
            bytes if bytes > NODE_BYTES_MAX => {
                Err(Error::TooLarge { what: format!("a {kind:?} record"), bytes })
            }
            _ => Ok(sealed),
        }
    }

    fn add_create(&self, change: &mut MultiWriter<'_>, path: &str, data: &[u8]) -> Result<(), Error> {
        let options = CreateMode::Persistent.with_acls(self.rules.acls(Who::Closed));
        self.added(change.add_create(path, data, &options))
    }

    fn added(&self, added: Result<(), ZkError>) -> Result<(), Error> {
        added.map_err(|error| self.access.failed(&error))
    }

    async fn commit(&self, change: &mut MultiWriter<'_>) -> Result<Committed, Error> {
        let commit = async { Ok::<_, ZkError>(change.commit().await) };
        match self.access.ask(commit).await? {
            Ok(_) => Ok(Committed::Yes),
            Err(MultiWriteError::OperationFailed {
                index,
                source: ZkError::NodeExists | ZkError::NoNode | ZkError::BadVersion,
            }) => Ok(Committed::No(index)),
            Err(error) => Err(self.access.failed(&error.into())),
        }
    }
}

/// Whether a transaction took place; if not, at which of its steps somebody else had been before.
enum Committed {
    Yes,
    No(usize),
}

fn found<'a>(records: &'a [KeyRecord], name_or_id: &str) -> Result<&'a KeyRecord, Error> {
    let found = records.iter().find(|record| record.name == name_or_id || record.id == name_or_id);
    found.ok_or_else(|| Error::NotFound { kind: "key", name: name_or_id.chars().take(80).collect() })
}
