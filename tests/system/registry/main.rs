//! Brokers on a real ZooKeeper: what they share, how fast they see it, and what they do while it is away.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod away;
mod curator;
mod layout;
mod node;
mod shared;
mod workers;
mod zk;
