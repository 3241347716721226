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

use hera_tests::in_both_languages;
