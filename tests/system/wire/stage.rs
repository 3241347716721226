//! A broker with a canary on it, and a token for everything: where each test of the wire plays.

use hera_testkit::http::{HttpConnection, Request, Response};
use hera_testkit::{Call, Canary, RawWorker, TestBroker};

/// A broker, a canary, and a token that may call anything.
pub(crate) struct Stage {
    pub(crate) broker: TestBroker,
    pub(crate) canary: Canary,
    pub(crate) token: String,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let broker = TestBroker::start();
        let (canary, token) = (Canary::new(&broker), broker.token(&["* /**"]));
        Stage { broker, canary, token }
    }

    /// A worker that is live with these endpoints.
    pub(crate) fn worker(&self, endpoints: &[&str]) -> RawWorker {
        self.broker.worker("raw", endpoints)
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

    /// Sends a request and waits for its answer.
    pub(crate) fn ask(&self, request: Request) -> Response {
        self.broker.ask(&request.token(&self.token))
    }

    /// One log line, and no more, has all these parts; and the canary answers.
    pub(crate) fn stands_and_logged_once(&self, parts: &[&str]) {
        let wanted = |line: &str| parts.iter().all(|part| line.contains(part));
        self.broker.wait_log(&parts.join(" "), wanted);
        self.canary.must_answer();
        let lines = self.broker.log().matching(wanted);
        assert_eq!(lines.len(), 1, "{lines:#?}");
    }
}

/// Checks a 502 for an answer that broke the protocol.
pub(crate) fn is_bad_reply(response: &Response) {
    assert_eq!((response.status, response.code().as_str()), (502, "bad_reply"), "{response:?}");
    assert_eq!(response.executed(), Some("maybe"));
}
