//! The HTTP/1.1 edge, in the order in which a request meets it: [`accept`] takes the connection, [`connection`] keeps it alive from
//! request to request, [`request`] judges the head, [`body`] the body, [`response`] writes the answer.
//!
//! The front is ours, on `httparse`, because the libraries repair what we have to refuse (docs/adr/0001).

pub mod accept;
pub mod body;
pub mod connection;
pub mod request;
pub mod response;
