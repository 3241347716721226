//! The registry's state at one moment, indexed the way calls ask for it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::store::Stamp;
use crate::token::TokenRecord;
use crate::worker_key::KeyRecord;

/// All tokens and worker keys; a broker replaces its snapshot whole.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// By SHA-256 of the token. Expired tokens are in it; see [`TokenRecord::is_expired`].
    pub tokens: HashMap<[u8; 32], Arc<TokenRecord>>,
    /// The record for calls without a token, if there is one.
    pub anonymous: Option<Arc<TokenRecord>>,
    /// By key id.
    pub keys: HashMap<String, Arc<KeyRecord>>,
    /// Records that were not believed, each as one line for the log.
    pub skipped: Vec<String>,
    /// The files as they were just before they were read, for `changed_since`.
    pub stamp: Stamp,
}

impl Snapshot {
    /// Indexes the records.
    pub(crate) fn new(
        tokens: impl IntoIterator<Item = Arc<TokenRecord>>,
        keys: impl IntoIterator<Item = Arc<KeyRecord>>,
        skipped: Vec<String>,
        stamp: Stamp,
    ) -> Snapshot {
        let mut snapshot = Snapshot { skipped, stamp, ..Snapshot::default() };
        for record in tokens {
            match record.digest {
                Some(digest) => drop(snapshot.tokens.insert(digest, record)),
                None => snapshot.anonymous = Some(record),
            }
        }
        snapshot.keys = keys.into_iter().map(|record| (record.id.clone(), record)).collect();
        snapshot
    }
}
