//! The HTTP edge against a real broker, byte by byte and with curl: what callers may send, what they get, and how a broker is started.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

mod admin;
mod behind_haproxy;
mod bodies;
mod catalogue;
mod connections;
mod credentials;
mod fragments;
mod headers;
mod lint;
mod log_and_metrics;
mod metadata;
mod methods;
mod overload;
mod paths;
mod secrets;
mod slow;
mod stage;
mod start;
mod strictness;
mod vectors;
