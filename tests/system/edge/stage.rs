//! A broker with one worker that tells what it was called with: where most tests of the edge play.

use hera_testkit::http::{HttpConnection, Request, Response};
use hera_testkit::{BrokerBuilder, Call, RawWorker, Reply, Serving, TestBroker};
use serde_json::{Value, json};

/// A broker, and a token that may call anything.
pub(crate) struct Stage {
    pub(crate) broker: TestBroker,
    pub(crate) token: String,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        Stage::of(BrokerBuilder::default())
    }

    pub(crate) fn of(builder: BrokerBuilder) -> Stage {
        let broker = builder.start();
        let token = broker.token(&["* /**"]);
        Stage { broker, token }
    }

    /// A worker that is live with these endpoints.
    pub(crate) fn worker(&self, endpoints: &[&str]) -> RawWorker {
        self.broker.worker("raw", endpoints)
    }

    /// A worker in the background that answers each call with its params as JSON, and the body's bytes beside them.
    pub(crate) fn mirror(&self, endpoints: &[&str]) -> Serving {
        self.worker(endpoints).serve(mirror)
    }

    /// Sends a request with the token, and gives the connection on which its answer will come.
    pub(crate) fn send(&self, request: Request) -> HttpConnection {
        let mut caller = self.broker.caller();
        caller.send(&request.token(&self.token).bytes());
        caller
    }

    /// Sends a request that `worker` receives.
    pub(crate) fn call(&self, worker: &mut RawWorker, request: Request) -> (HttpConnection, Call) {
        let caller = self.send(request);
        (caller, worker.call())
    }

    /// Sends a request with the token on a connection of its own and waits for the answer.
    pub(crate) fn ask(&self, request: Request) -> Response {
        self.broker.ask(&request.token(&self.token))
    }

    /// What a mirror saw of a request.
    pub(crate) fn seen(&self, request: Request) -> Value {
        let response = self.ask(request);
        assert_eq!(response.status, 200, "{response:?}");
        response.json()
    }
}

fn mirror(call: &Call) -> Reply {
    let told = json!({"endpoint": call.endpoint, "params": call.params, "body_bytes": call.body.len()});
    Reply::ok(told.to_string()).header("content-type", "application/json")
}

/// The values of a header as a mirror saw them.
pub(crate) fn values(seen: &Value, name: &str) -> Vec<String> {
    let headers = seen["params"]["headers"].as_array().unwrap();
    headers
        .iter()
        .filter(|header| header[0] == name)
        .map(|header| header[1].as_str().unwrap().to_owned())
        .collect()
}

/// Status, code and label of a problem.
pub(crate) fn says(response: &Response) -> (u16, String, Option<&str>) {
    (response.status, response.code(), response.executed())
}
