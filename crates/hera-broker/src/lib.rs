//! The Hera broker as a library: `hera broker` calls [`run`].
//!
//! A call walks through these files in this order (ARCHITECTURE.md tells it whole): [`http::accept`] → [`http::connection`] →
//! [`http::request`] → [`pipeline`] → [`auth`] → [`dispatch`] → [`submit`] → [`worker::session`] → [`worker::connection`], and back
//! through [`worker::session`] → [`exchange`] → [`http::response`] or [`rescue`] → [`metrics`] and [`access_log`]. A call that a worker
//! makes comes in at [`remote`].

pub mod access;
pub mod access_log;
pub mod admin;
pub mod admin_listener;
pub mod alarm;
pub mod auth;
pub mod broker;
pub mod call;
pub mod clock;
pub mod config;
pub mod core;
pub mod dispatch;
pub mod drain;
pub mod exchange;
pub mod http;
pub mod io;
pub mod mail;
pub mod metrics;
pub mod moment;
pub mod pipeline;
pub mod published;
pub mod pulse;
pub mod registry_link;
pub mod registry_sync;
pub mod remote;
pub mod request_id;
pub mod rescue;
pub mod retry_budget;
pub mod slots;
pub mod spare;
pub mod submit;
pub mod tls;
pub mod worker;

pub use broker::{StartError, run};
