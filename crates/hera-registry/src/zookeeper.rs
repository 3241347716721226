//! The registry in ZooKeeper, as `spec/registry.md` lays it out. Nothing outside this folder names the client library.
//!
//! Reading order:
//!
//! 1. [`url`]: the connection string, 2. [`layout`]: paths and ACLs, 3. [`node`]: what a broker says of itself,
//! 4. [`session`]: how a session is opened, 5. [`read`]: nodes to values, in bulk,
//! 6. [`init`]: the tree of a new cluster, 7. [`verbs`]: what people change,
//! 8. [`sync`]: a broker's copy of the tree, kept true, and its own node (`register`),
//! 9. [`discovery`]: a worker's list of brokers.

pub mod discovery;
pub mod init;
mod layout;
pub mod limits;
pub mod node;
mod read;
mod register;
mod session;
pub mod sync;
mod tree;
pub mod url;
mod verbs;

pub use node::{BrokerNode, Dial};
pub use session::Access;
pub use tree::{ClusterRecord, Tree};
pub use url::ZkUrl;
pub use verbs::ZkRegistry;
