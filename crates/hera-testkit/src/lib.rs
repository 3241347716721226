//! Fixtures for the tests of Hera. Everything blocks and bounds its waits; a test needs no runtime.
//!
//! - [`TestBroker`]: the real binary on free ports, with its log; gone when dropped,
//! - [`RawWorker`]: a wire peer that can do everything right, and everything wrong,
//! - [`http`] and [`curl`]: a caller that sends literal bytes, and a real one,
//! - [`Haproxy`]: the proxy that stands in front of brokers,
//! - [`Relay`]: a line that delays, tears, holds and resets what goes over it,
//! - [`Netns`]: a namespace whose line can go dead in one direction or both,
//! - [`TestZooKeeper`]: real servers, one or three, that can be killed, frozen and wiped,
//! - [`TestCluster`]: many brokers on one real ZooKeeper,
//! - [`Canary`]: a good worker whose endpoint must go on answering, whatever else happens,
//! - [`wait_until`]: the one way to wait for something that nobody announces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod binary;
mod broker;
mod canary;
mod cluster;
mod curl;
mod haproxy;
pub mod http;
mod log;
mod netns;
mod process;
mod raw_worker;
mod relay;
mod serving;
mod wait;
mod zookeeper;

pub use binary::{command, hera};
pub use broker::{BrokerBuilder, Starting, TestBroker, Verdict};
pub use canary::Canary;
pub use cluster::TestCluster;
pub use curl::{Curl, curl};
pub use haproxy::{Forwarded, Haproxy, ServerState};
pub use log::Log;
pub use netns::{Cut, Netns};
pub use process::signal;
pub use raw_worker::{Call, RawWorker, frame_bytes, hello, refusal};
pub use relay::{Harm, Harms, Relay};
pub use serving::{Reply, Serving};
pub use wait::{PATIENCE, wait_at_most, wait_until};
pub use zookeeper::{Mode, TestZooKeeper};
