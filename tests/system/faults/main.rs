//! Faults that Hera must survive: processes killed, frozen and restarted under load. A ledger of every call and every run is the judge; each
//! swarm prints its seed.
//!
//! `FAULTS=long` makes the tests as large and as long as the table of faults asks; without it they fit a few minutes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod brokers;
mod lines;
mod remote;
mod signals;
mod stage;
mod workers;
mod zookeeper;

use hera_tests::{in_both_languages, in_every_language};
