//! Bounds of what is read from ZooKeeper and written there; `spec/limits.md` is the same table for people.

use std::time::Duration;

/// Servers of a connection string.
pub const SERVERS_MAX: usize = 64;
/// A chroot.
pub const CHROOT_BYTES_MAX: usize = 255;
/// A record; ZooKeeper's own limit is 1 MiB for a whole packet.
pub const NODE_BYTES_MAX: usize = 256 * 1024;
/// A broker's node.
pub const BROKER_NODE_BYTES_MAX: usize = 4096;
/// Brokers that a worker dials.
pub const DIALS_MAX: usize = 64;
/// Brokers that a broker shows.
pub const BROKERS_MAX: usize = 1024;
/// One request and its answer.
pub const REQUEST: Duration = Duration::from_secs(10);
