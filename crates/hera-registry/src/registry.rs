//! The registry as those see it who change it: in a data dir, or in ZooKeeper.

use crate::catalogue::{Catalogue, KnownEndpoint};
use crate::error::Error;
use crate::standalone::{CreatedKey, CreatedToken, Standalone};
use crate::token::{NewToken, TokenRecord};
use crate::worker_key::{KeyChange, KeyRecord, NewKey};
use crate::zookeeper::ZkRegistry;

/// Where tokens, worker keys and the catalogue are kept. Every verb is whole or not done, and errs as [`Standalone`]'s does;
/// in ZooKeeper also with `registry_unavailable` and `contended`.
#[derive(Clone, Debug)]
pub enum Registry {
    /// In a data dir.
    Standalone(Standalone),
    /// In ZooKeeper.
    ZooKeeper(ZkRegistry),
}

macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Registry {
            $($(#[$doc])*
            pub async fn $name(&self, $($argument: $type),*) -> Result<$answer, Error> {
                match self {
                    Registry::Standalone(files) => files.$name($($argument),*),
                    Registry::ZooKeeper(tree) => tree.$name($($argument),*).await,
                }
            })*
        }
    };
}

verbs! {
    /// See [`Standalone::create_token`].
    create_token(new: NewToken, now_unix: u64) -> CreatedToken;
    /// See [`Standalone::list_tokens`].
    list_tokens() -> Vec<TokenRecord>;
    /// See [`Standalone::revoke_token`].
    revoke_token(name_or_id: &str) -> TokenRecord;
    /// See [`Standalone::rotate_token`].
    rotate_token(name_or_id: &str, now_unix: u64) -> CreatedToken;
    /// See [`Standalone::create_key`].
    create_key(new: NewKey, now_unix: u64) -> CreatedKey;
    /// See [`Standalone::list_keys`].
    list_keys() -> Vec<KeyRecord>;
    /// See [`Standalone::update_key`].
    update_key(name_or_id: &str, change: KeyChange) -> KeyRecord;
    /// See [`Standalone::revoke_key`].
    revoke_key(name_or_id: &str) -> KeyRecord;
    /// See [`Standalone::rotate_key`].
    rotate_key(name_or_id: &str, now_unix: u64) -> CreatedKey;
    /// See [`Standalone::load_catalogue`].
    load_catalogue() -> (Catalogue, Vec<String>);
    /// See [`Standalone::merge_endpoints`].
    merge_endpoints(service: &str, declared: &[KnownEndpoint], now_unix: u64) -> bool;
    /// See [`Standalone::forget_unseen_endpoints`].
    forget_unseen_endpoints(now_unix: u64) -> usize;
    /// See [`Standalone::forget_endpoint`].
    forget_endpoint(endpoint: &str) -> ();
}
