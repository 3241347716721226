//! What `hera haproxy render` prints, run by the real HAProxy: in front of real brokers, and of servers that do what no broker does.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod brokers;
mod configuration;
mod errors;
mod front;
mod stub;
mod watch;
