//! The call that must go on, whatever else happens.

use crate::broker::TestBroker;
use crate::http::{HttpConnection, Request};
use crate::serving::{Reply, Serving};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// A good worker on a session of its own, with an endpoint and a token.
#[derive(Debug)]
pub struct Canary {
    http: SocketAddr,
    token: String,
    worker: Serving,
}

impl Canary {
    /// Puts one on `broker`.
    pub fn new(broker: &TestBroker) -> Canary {
        let worker = broker.worker("canary", &["GET /canary"]).serve(|_| Reply::ok("alive"));
        Canary { http: broker.http(), token: broker.token(&["GET /canary"]), worker }
    }

    /// The token that it calls with; it must stand nowhere.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Calls that its worker got.
    pub fn calls(&self) -> u64 {
        self.worker.calls()
    }

    /// A call on a fresh connection answers 200 within 1 s.
    pub fn must_answer(&self) {
        let begun = Instant::now();
        let mut caller = HttpConnection::open(self.http);
        caller.send(&Request::get("/canary").token(&self.token).bytes());
        let response = caller.response();
        assert_eq!((response.status, response.text()), (200, "alive"));
        assert!(begun.elapsed() < Duration::from_secs(1), "the canary took {:?}", begun.elapsed());
    }
}
