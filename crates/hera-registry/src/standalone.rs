//! The registry of one broker: a folder of files.
//!
//! ```text
//! data dir (0700)
//!   cluster.key      the cluster key, unless another file is given      admin.token   made at the first start
//!   tokens.json      sealed records     keys.json   sealed records      catalogue.json   sealed records
//!   state.lock       held while one of them is changed                  broker.lock   held by a running broker
//!   cluster.json     with ZooKeeper: whose copy the three lists are     sessions.json the broker's sessions there
//! ```
//!
//! Any number of processes may read and change it at once: a verb reads, changes and writes under `state.lock`, and
//! readers need no lock because every write replaces a whole file. A running broker sees a change by
//! [`Standalone::changed_since`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hera_protocol::key::WorkerKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::admin_token::AdminToken;
use crate::catalogue::{Catalogue, CatalogueEntry, KnownEndpoint};
use crate::cluster_key::ClusterKey;
use crate::error::Error;
use crate::record::{Kind, Sealer};
use crate::snapshot::Snapshot;
use crate::store::{self, BrokerLock, Records, Stamp, StateLock};
use crate::token::{NewToken, TokenRecord, TokenText};
use crate::worker_key::{self, KeyChange, KeyRecord, NewKey};
use crate::zookeeper::ClusterRecord;

/// The registry in a data dir. Cheap to keep; every verb opens the files anew. Safe from any thread and process.
#[derive(Clone, Debug)]
pub struct Standalone {
    dir: PathBuf,
    cluster_key: ClusterKey,
    sealer: Sealer,
}

/// A token that was just made.
#[derive(Debug)]
pub struct CreatedToken {
    /// What was stored.
    pub record: TokenRecord,
    /// Shown once, then gone; `None` for the anonymous record.
    pub text: Option<TokenText>,
}

/// A worker key that was just made.
#[derive(Debug)]
pub struct CreatedKey {
    /// What was stored.
    pub record: KeyRecord,
    /// Shown once, then gone.
    pub key: WorkerKey,
}

impl Standalone {
    /// Opens a data dir, and makes what is missing: the folder, `cluster.key` unless a path is given, `admin.token`.
    ///
    /// Errors: `io`, `wrong_mode`, `corrupt`; the last also where records are there and the key that sealed them is gone.
    pub fn open(data_dir: &Path, cluster_key_path: Option<&Path>) -> Result<Standalone, Error> {
        store::create_dir(data_dir)?;
        Standalone::open_existing(data_dir, cluster_key_path)
    }

    /// As [`Standalone::open`], for verbs that make no sense in a folder that is not there: error `io`.
    pub fn open_existing(data_dir: &Path, cluster_key_path: Option<&Path>) -> Result<Standalone, Error> {
        let _lock = StateLock::take(data_dir)?;
        store::remove_leftovers(data_dir)?;
        let cluster_key = match cluster_key_path {
            Some(path) => ClusterKey::read(path)?,
            None => own_cluster_key(data_dir)?,
        };
        let admin_token = data_dir.join(ADMIN_TOKEN);
        if !is_there(&admin_token)? {
            AdminToken::generate().write(&admin_token)?;
        }
        let sealer = Sealer::new(&cluster_key);
        Ok(Standalone { dir: data_dir.to_owned(), cluster_key, sealer })
    }

    /// Becomes the broker of this data dir until the lock is dropped; error `in_use`.
    pub fn lock_for_broker(&self) -> Result<BrokerLock, Error> {
        BrokerLock::take(&self.dir)
    }

    /// The cluster key, for the broker's identity.
    pub fn cluster_key(&self) -> &ClusterKey {
        &self.cluster_key
    }

    /// The admin token as it stands in the file now.
    pub fn admin_token(&self) -> Result<AdminToken, Error> {
        AdminToken::read(&self.dir.join(ADMIN_TOKEN))
    }

    // --- tokens ---

    /// Makes a token. Errors: `name_taken` and those of a bad wish (`bad_name`, `bad_scope`, …).
    pub fn create_token(&self, new: NewToken, now_unix: u64) -> Result<CreatedToken, Error> {
        let (record, text) = new.into_record(now_unix)?;
        self.change(&TOKENS, |records: &mut Vec<TokenRecord>| {
            if records.iter().any(|other| other.name == record.name) {
                return Err(Error::NameTaken { kind: "token", name: record.name.clone() });
            }
            records.push(record.clone());
            Ok(CreatedToken { record, text })
        })
    }

    /// All tokens, in the order they were made.
    pub fn list_tokens(&self) -> Result<Vec<TokenRecord>, Error> {
        Ok(self.read(&TOKENS)?.good)
    }

    /// Removes a token by name or id, and gives what it was; error `not_found`.
    pub fn revoke_token(&self, name_or_id: &str) -> Result<TokenRecord, Error> {
        self.change(&TOKENS, |records: &mut Vec<TokenRecord>| {
            let at = position("token", name_or_id, records.iter().map(|record| (&record.name, &record.id)))?;
            Ok(records.remove(at))
        })
    }

    /// Replaces a token by one with the same rights; the old one ends at once.
    ///
    /// A token with an expiry gets its whole time again, counted from now. Errors: `not_found`, `bad_name` for the
    /// anonymous record.
    pub fn rotate_token(&self, name_or_id: &str, now_unix: u64) -> Result<CreatedToken, Error> {
        self.change(&TOKENS, |records: &mut Vec<TokenRecord>| {
            let at = position("token", name_or_id, records.iter().map(|record| (&record.name, &record.id)))?;
            let (record, text) = records[at].rotated(now_unix)?;
            records[at] = record.clone();
            Ok(CreatedToken { record, text: Some(text) })
        })
    }

    // --- worker keys ---

    /// Makes a worker key. Errors: `name_taken`, `prefix_owned`, and those of a bad wish.
    pub fn create_key(&self, new: NewKey, now_unix: u64) -> Result<CreatedKey, Error> {
        self.change(&KEYS, |records: &mut Vec<KeyRecord>| {
            // Before the prefixes: whoever creates a key twice should hear that it exists.
            if records.iter().any(|other| other.name == new.name) {
                return Err(Error::NameTaken { kind: "key", name: new.name });
            }
            let (record, key) = new.into_record(&self.cluster_key, records, now_unix)?;
            records.push(record.clone());
            Ok(CreatedKey { record, key })
        })
    }

    /// All worker keys, in the order they were made.
    pub fn list_keys(&self) -> Result<Vec<KeyRecord>, Error> {
        Ok(self.read(&KEYS)?.good)
    }

    /// Changes what a service may do; its key stays. Errors: `not_found`, `prefix_owned`, `bad_prefix`, `bad_scope`.
    pub fn update_key(&self, name_or_id: &str, change: KeyChange) -> Result<KeyRecord, Error> {
        self.change(&KEYS, |records: &mut Vec<KeyRecord>| {
            let at = position("key", name_or_id, records.iter().map(|record| (&record.name, &record.id)))?;
            records[at] = change.apply(&records[at], records)?;
            Ok(records[at].clone())
        })
    }

    /// Removes a worker key by name or id, and gives what it was; error `not_found`.
    pub fn revoke_key(&self, name_or_id: &str) -> Result<KeyRecord, Error> {
        self.change(&KEYS, |records: &mut Vec<KeyRecord>| {
            let at = position("key", name_or_id, records.iter().map(|record| (&record.name, &record.id)))?;
            Ok(records.remove(at))
        })
    }

    /// Replaces a worker key by one with the same rights; the old one ends at once. Error `not_found`.
    pub fn rotate_key(&self, name_or_id: &str, now_unix: u64) -> Result<CreatedKey, Error> {
        self.change(&KEYS, |records: &mut Vec<KeyRecord>| {
            let at = position("key", name_or_id, records.iter().map(|record| (&record.name, &record.id)))?;
            let (record, key) = worker_key::rotated(&records[at], &self.cluster_key, now_unix);
            records[at] = record.clone();
            Ok(CreatedKey { record, key })
        })
    }

    // --- catalogue ---

    /// The catalogue, and one line for the log for each entry that was not believed.
    pub fn load_catalogue(&self) -> Result<(Catalogue, Vec<String>), Error> {
        let records = self.read(&CATALOGUE)?;
        Ok((collected(records.good), records.skipped))
    }

    /// Writes what a service declared, if [`Catalogue::merge`] finds it worth writing; gives whether it did.
    pub fn merge_endpoints(
        &self,
        service: &str,
        declared: &[KnownEndpoint],
        now_unix: u64,
    ) -> Result<bool, Error> {
        self.change_catalogue(|catalogue| Ok(catalogue.merge(service, declared, now_unix)))
    }

    /// Forgets endpoints that nobody declared for seven days; gives how many.
    pub fn forget_unseen_endpoints(&self, now_unix: u64) -> Result<usize, Error> {
        self.change_catalogue(|catalogue| Ok(catalogue.forget_unseen(now_unix)))
    }

    /// Forgets one endpoint by its text; error `not_found`. A worker that serves it brings it back.
    pub fn forget_endpoint(&self, endpoint: &str) -> Result<(), Error> {
        self.change_catalogue(|catalogue| match catalogue.forget(endpoint) {
            0 => Err(Error::UnknownEndpoint(endpoint.chars().take(200).collect())),
            _ => Ok(()),
        })
    }

    // --- what a running broker asks ---

    /// Tokens and keys as they are now. The stamp in it is older than what was read, so no change is ever missed.
    pub fn load_snapshot(&self) -> Result<Snapshot, Error> {
        let stamp = self.stamp();
        let tokens = self.read(&TOKENS)?;
        let keys = self.read(&KEYS)?;
        let skipped = [tokens.skipped, keys.skipped].concat();
        let (tokens, keys) = (tokens.good.into_iter().map(Arc::new), keys.good.into_iter().map(Arc::new));
        Ok(Snapshot::new(tokens, keys, skipped, stamp))
    }

    // --- the saved copy of a registry elsewhere ---

    /// The cluster whose copy lies here, or `None` where there is none that is ours.
    pub fn saved_cluster(&self) -> Option<String> {
        let bytes = std::fs::read(self.dir.join(CLUSTER)).ok()?;
        let raw: Box<RawValue> = serde_json::from_slice(&bytes).ok()?;
        self.sealer.open::<ClusterRecord>(Kind::Config, &raw).ok().map(|record| record.cluster)
    }

    /// Makes sure that a copy may be saved here; error `no_copy` where the lists are a standalone broker's own.
    pub fn check_copy(&self) -> Result<(), Error> {
        // A first copy may have broken off before its last file; a broker on ZooKeeper notes its sessions before anything else.
        let copies = self.saved_cluster().is_some() || self.dir.join(SESSIONS).exists();
        if !copies && [&TOKENS, &KEYS].iter().any(|list| self.dir.join(list.file).exists()) {
            return Err(Error::NoCopy { path: self.dir.clone() });
        }
        Ok(())
    }

    /// Replaces the copy: tokens as hashes alone, keys as public keys alone, all sealed. The cluster is written last, so that a
    /// copy which broke off midway is none.
    pub fn save(
        &self,
        cluster: &str,
        tokens: impl IntoIterator<Item = Arc<TokenRecord>>,
        keys: impl IntoIterator<Item = Arc<KeyRecord>>,
        catalogue: &Catalogue,
    ) -> Result<(), Error> {
        let _lock = StateLock::take(&self.dir)?;
        let own = |list: &List| self.dir.join(list.file);
        let tokens = tokens.into_iter().map(Arc::unwrap_or_clone).collect();
        Records::<TokenRecord>::of(tokens).write(&own(&TOKENS), TOKENS.kind, &self.sealer)?;
        let keys = keys.into_iter().map(Arc::unwrap_or_clone).collect();
        Records::<KeyRecord>::of(keys).write(&own(&KEYS), KEYS.kind, &self.sealer)?;
        let entries = catalogue.iter().cloned().collect();
        Records::<CatalogueEntry>::of(entries).write(&own(&CATALOGUE), CATALOGUE.kind, &self.sealer)?;
        let record = ClusterRecord { cluster: cluster.to_owned(), created: 0 };
        let sealed = self.sealer.seal(Kind::Config, &record);
        store::write(&self.dir.join(CLUSTER), sealed.get().as_bytes())
    }

    /// Whether anybody changed tokens, keys or catalogue since the stamp was taken. Three `stat` calls.
    pub fn changed_since(&self, stamp: &Stamp) -> bool {
        self.stamp() != *stamp
    }

    /// How the files look now.
    pub fn stamp(&self) -> Stamp {
        let files = [self.path(&TOKENS), self.path(&KEYS), self.path(&CATALOGUE)];
        Stamp::of(&files)
    }

    fn path(&self, list: &List) -> PathBuf {
        self.dir.join(list.file)
    }

    fn read<T: Serialize + DeserializeOwned>(&self, list: &List) -> Result<Records<T>, Error> {
        Records::read(&self.path(list), list.kind, &self.sealer)
    }

    /// Reads, changes and writes a list under the lock; an error of `change` leaves the file as it was.
    fn change<T, R>(
        &self,
        list: &List,
        change: impl FnOnce(&mut Vec<T>) -> Result<R, Error>,
    ) -> Result<R, Error>
    where
        T: Serialize + DeserializeOwned,
    {
        let _lock = StateLock::take(&self.dir)?;
        let mut records = self.read(list)?;
        let answer = change(&mut records.good)?;
        records.write(&self.path(list), list.kind, &self.sealer)?;
        Ok(answer)
    }

    fn change_catalogue<R>(
        &self,
        change: impl FnOnce(&mut Catalogue) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let _lock = StateLock::take(&self.dir)?;
        let mut records: Records<CatalogueEntry> = self.read(&CATALOGUE)?;
        let before = collected(std::mem::take(&mut records.good));
        let mut after = before.clone();
        let answer = change(&mut after)?;
        // A declaration is repeated at every reconnect, and most bring nothing new.
        if after != before {
            records.good = after.iter().cloned().collect();
            records.write(&self.path(&CATALOGUE), CATALOGUE.kind, &self.sealer)?;
        }
        Ok(answer)
    }
}

/// One file of sealed records.
struct List {
    file: &'static str,
    kind: Kind,
}

const TOKENS: List = List { file: "tokens.json", kind: Kind::Token };
const KEYS: List = List { file: "keys.json", kind: Kind::Key };
const CATALOGUE: List = List { file: "catalogue.json", kind: Kind::Endpoint };
/// Where a broker on ZooKeeper notes its sessions.
pub(crate) const SESSIONS: &str = "sessions.json";
const CLUSTER: &str = "cluster.json";
const CLUSTER_KEY: &str = "cluster.key";
const ADMIN_TOKEN: &str = "admin.token";

/// The data dir's own key, made at the first start.
fn own_cluster_key(dir: &Path) -> Result<ClusterKey, Error> {
    let path = dir.join(CLUSTER_KEY);
    if is_there(&path)? {
        return ClusterKey::read(&path);
    }
    // A new key would silently make every record there is worthless.
    for list in [&TOKENS, &KEYS, &CATALOGUE] {
        if is_there(&dir.join(list.file))? {
            let reason = format!(
                "is missing, and {} was sealed with it; restore it, or move that file away",
                list.file
            );
            return Err(Error::corrupt(&path, reason));
        }
    }
    let key = ClusterKey::generate();
    key.write(&path)?;
    Ok(key)
}

fn is_there(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(Error::io("read", path))
}

/// Where the record with this name stands, else the one with this id: no name has the form of an id.
fn position<'a>(
    kind: &'static str,
    name_or_id: &str,
    mut records: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<usize, Error> {
    let found = records.position(|(name, id)| name == name_or_id || id == name_or_id);
    found.ok_or_else(|| Error::NotFound { kind, name: name_or_id.chars().take(80).collect() })
}

fn collected(entries: Vec<CatalogueEntry>) -> Catalogue {
    let mut catalogue = Catalogue::default();
    entries.into_iter().for_each(|entry| catalogue.insert(entry));
    catalogue
}
