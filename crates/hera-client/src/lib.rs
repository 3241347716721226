#![doc = include_str!("../README.md")]
//!
//! Reading order: [`App`] is what a program describes; `client` keeps, by `links`, a `link` to each broker; a link dials a `connection`, whose `reader`
//! puts calls into a `session`; a call goes through `router` and `compose` to its handler; its [`Response`] leaves by the `outlet`.

mod app;
mod body;
mod client;
mod compose;
mod connection;
mod error;
mod handshake;
mod incoming;
mod link;
mod links;
mod lock;
mod options;
mod outgoing;
mod outlet;
mod query;
mod random;
mod reader;
mod request;
mod response;
mod router;
mod session;
mod signals;
mod status;
mod tls;
mod turn;
mod worker;

pub use app::{App, Endpoint, serve};
pub use body::{Body, BodySender};
pub use client::Client;
pub use compose::Next;
pub use error::{BodyError, BoxError, Error, Outcome, Problem};
pub use hera_protocol::message::failure::RefusedEndpoint;
pub use options::Options;
pub use request::{Caller, Request, Trace};
pub use response::{IntoResponse, Json, Response};
