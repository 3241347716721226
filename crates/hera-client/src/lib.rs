#![doc = include_str!("../README.md")]
//!
//! Reading order: [`App`] is what a program describes; `client` keeps, by `links`, a `link` to each broker; a link dials a `connection`, whose `reader`
//! puts calls into a `session`; a call goes through `router` and `compose` to its handler; its [`Response`] leaves by the `outlet`. A
//! [`RemoteCall`] goes by `sending` to one of the `brokers`, waits among the `remotes` of its session, and ends in a [`Reply`].

mod app;
mod body;
mod brokers;
mod cancel;
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
mod remote_call;
mod remotes;
mod reply;
mod request;
mod response;
mod router;
mod sending;
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
pub use error::{BodyError, BoxError, CallError, Error, Outcome, Problem};
pub use hera_protocol::Executed;
pub use hera_protocol::message::failure::RefusedEndpoint;
pub use options::Options;
pub use remote_call::{Bus, RemoteCall};
pub use reply::Reply;
pub use request::{Caller, Request, Trace};
pub use response::{IntoResponse, Json, Response};
