//! Delivery: what callers may rely on when workers, brokers and callers come, go, die, or are slow. Each test runs real processes, and
//! most of them once with the Rust worker and once with the Node worker.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod choice;
mod curl_process;
mod drain;
mod failures;
mod frozen;
mod json_rpc;
mod loss;
mod reconnect;
mod samples;
mod stage;
mod streams;

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
