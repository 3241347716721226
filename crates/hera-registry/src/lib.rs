//! What Hera's brokers share: tokens, worker keys and the catalogue of endpoints.
//!
//! *Standalone* is one broker, whose state is a folder of files; ZooKeeper is where many brokers keep it. Time comes in as an
//! argument, but for waits. Reading order:
//!
//! 1. [`cluster_key`]: the one secret that everything else is derived from,
//! 2. [`token`] and [`worker_key`]: the texts that people hold, and the records that remain of them,
//! 3. [`record`]: the MAC without which a record is not believed,
//! 4. [`catalogue`]: the endpoints that were ever declared and not yet forgotten,
//! 5. [`store`]: files that are whole or not there, and who may write them,
//! 6. [`standalone`]: the verbs, over all of the above,
//! 7. [`zookeeper`]: the same verbs on a tree in ZooKeeper, a broker's copy of it, and a worker's list of brokers,
//! 8. [`registry`]: one of the two, for those who need not know which.

pub mod admin_token;
pub mod backoff;
pub mod catalogue;
pub mod cluster_key;
pub mod duration;
pub mod error;
pub mod name;
pub mod rate;
pub mod record;
pub mod registry;
pub mod secret;
pub mod snapshot;
pub mod standalone;
pub mod store;
mod texts;
pub mod token;
pub mod worker_key;
pub mod zookeeper;

pub use admin_token::AdminToken;
pub use catalogue::{Catalogue, CatalogueEntry, KnownEndpoint};
pub use cluster_key::ClusterKey;
pub use error::Error;
pub use rate::Rate;
pub use registry::Registry;
pub use snapshot::Snapshot;
pub use standalone::Standalone;
pub use store::{BrokerLock, Stamp};
pub use token::{NewToken, TokenRecord, TokenText};
pub use worker_key::{KeyChange, KeyRecord, NewKey};
