//! Faults that Hera must survive: processes killed, frozen and restarted under load. A ledger of every call and every run is the judge; each
//! swarm prints its seed.
//!
//! `FAULTS=long` makes the tests as large and as long as the table of faults asks; without it they fit a few minutes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod brokers;
mod lines;
mod signals;
mod stage;
mod workers;
mod zookeeper;

/// Makes of each function over a language two tests, `rust::name` and `node::name`.
macro_rules! in_both_languages {
    ($($name:ident)*) => {
        mod rust {
            $(#[test]
            fn $name() {
                super::$name(hera_tests::worker_process::Language::Rust);
            })*
        }
        mod node {
            $(#[test]
            fn $name() {
                super::$name(hera_tests::worker_process::Language::Node);
            })*
        }
    };
}
use in_both_languages;
