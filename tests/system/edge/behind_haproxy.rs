//! The same hostile bytes behind HAProxy as on a broker alone: whoever refuses, both must see the same requests, and the worker no other.

use crate::stage::Stage;
use crate::vectors::{self, Behind, Vector};
use hera_testkit::http::{Request, Response};
use hera_testkit::{Call, Forwarded, Haproxy, Reply, Serving, wait_until};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A call as the worker saw it: method, target, body.
type Seen = (String, String, String);

/// A broker with a worker that takes everything and remembers it, and HAProxy in front.
struct Front {
    haproxy: Haproxy,
    seen: Arc<Mutex<Vec<Seen>>>,
    _worker: Serving,
    stage: Stage,
}

impl Front {
    fn new() -> Front {
        let stage = Stage::new();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let remembered = seen.clone();
        let worker = stage.worker(&["* /{*any}"]).serve(move |call: &Call| {
            let text = |member: &str| call.params[member].as_str().unwrap_or_default().to_owned();
            let body = String::from_utf8_lossy(&call.body).into_owned();
            remembered.lock().unwrap().push((text("method"), text("target"), body));
            Reply::ok(call.params.to_string()).header("content-type", "application/json")
        });
        Front { haproxy: Haproxy::before(&stage.broker), seen, _worker: worker, stage }
    }

    /// What came of bytes that are sent in one piece and end with a request to close.
    fn send(&self, bytes: &[u8]) -> Outcome {
        let (logged, called) = (self.haproxy.forwarded().len(), self.seen.lock().unwrap().len());
        let mut caller = self.haproxy.caller();
        // HAProxy gives up on a request that never becomes whole after 10 s: what takes longer hangs.
        caller.patience(Duration::from_secs(13));
        caller.try_send(bytes);
        let mut responses = Vec::new();
        while let Some(response) = caller.try_response("GET") {
            // `100 Continue` is no answer yet.
            responses.extend((response.status != 100).then_some(response));
        }
        wait_until("a log line for each answer", || {
            self.haproxy.forwarded().len() >= logged + responses.len()
        });
        let calls = self.seen.lock().unwrap()[called..].to_vec();
        Outcome { responses, forwarded: self.haproxy.forwarded()[logged..].to_vec(), calls }
    }

    fn ask(&self, request: Request) -> Response {
        self.haproxy.ask(&request.token(&self.stage.token))
    }

    /// A call of somebody else gets its own answer: the connections that HAProxy keeps to the broker are still in step.
    fn is_in_step(&self, n: usize) {
        let own = format!("/own/{n}");
        let response = self.ask(Request::get(&own));
        assert_eq!((response.status, response.json()["target"].as_str()), (200, Some(own.as_str())));
        wait_until("its log line", || self.haproxy.forwarded().iter().any(|request| request.target == own));
    }

    /// The headers that the worker saw of a request, and the address of its caller.
    fn headers(&self, request: Request) -> (Vec<(String, String)>, String) {
        let response = self.ask(request);
        assert_eq!(response.status, 200, "{response:?}");
        let params = response.json();
        let ip = params["caller"]["ip"].as_str().unwrap().to_owned();
        (serde_json::from_value(params["headers"].clone()).unwrap(), ip)
    }
}

struct Outcome {
    responses: Vec<Response>,
    forwarded: Vec<Forwarded>,
    calls: Vec<Seen>,
}

impl Outcome {
    fn statuses(&self) -> Vec<u16> {
        self.responses.iter().map(|response| response.status).collect()
    }
}

/// What is wrong with the outcome of a vector, if anything is.
fn judge(vector: &Vector, outcome: &Outcome, canary: &Seen) -> Result<(), String> {
    // What HAProxy took for a request that a worker answered is what the worker saw: the same ones, in the same order, once each.
    let logged: Vec<(&str, &str)> = outcome
        .forwarded
        .iter()
        .filter(|request| request.by_worker)
        .map(|request| (request.method.as_str(), request.target.as_str()))
        .collect();
    let called: Vec<(&str, &str)> =
        outcome.calls.iter().map(|(method, target, _)| (method.as_str(), target.as_str())).collect();
    if logged != called {
        return Err(format!("HAProxy forwarded {logged:?}, the worker saw {called:?}"));
    }
    let canaries = outcome.calls.iter().filter(|call| *call == canary).count();
    let statuses = outcome.statuses();
    let body_fits =
        outcome.calls.first().is_some_and(|(_, _, body)| matches!(body.as_str(), "" | "hello" | "0\r\n\r\n"));
    let fits = match (vector.behind, statuses.as_slice()) {
        // Nothing may have come where HAProxy closed while bytes were still on the way to it.
        (Behind::Proxy, [400 | 413 | 422] | []) => outcome.calls.is_empty(),
        (Behind::Either, [400]) => outcome.calls.is_empty(),
        (Behind::Broker, [400 | 401, 200]) | (Behind::Either, [400, 200]) => {
            canaries == 1 && outcome.calls.len() == 1
        }
        (Behind::Cleaned, [200, 200]) => canaries == 1 && outcome.calls.len() == 2 && body_fits,
        (Behind::Closed, [200]) | (Behind::Shortened, [200, 400]) => {
            canaries == 0 && outcome.calls.len() == 1 && body_fits
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    let codes: Vec<String> = outcome
        .responses
        .iter()
        .map(|response| String::from_utf8_lossy(&response.body).chars().take(160).collect())
        .collect();
    Err(format!(
        "not {:?}: answered {statuses:?}, calls {:?}, answers {codes:?}",
        vector.behind, outcome.calls
    ))
}

#[test]
fn nobody_reads_a_request_where_the_other_reads_none() {
    let front = Front::new();
    let mut wrong = Vec::new();
    for (n, vector) in vectors::all(&front.stage.token).into_iter().enumerate() {
        let canary = format!("/canary/{n}");
        let behind = Request::get(&canary).token(&front.stage.token).header("Connection", "close");

        let outcome = front.send(&[vector.bytes.clone(), behind.bytes()].concat());

        let seen = ("GET".to_owned(), canary, String::new());
        if let Err(what) = judge(&vector, &outcome, &seen) {
            wrong.push(format!("{:?}\n    {what}", vector.shown()));
        }
        front.is_in_step(n);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn headers_that_only_brokers_may_set_come_from_nobody_else() {
    let front = Front::new();
    let forged = [
        ("Hera-User", "root"),
        ("HERA-Worker", "evil"),
        ("hera-executed", "no"),
        ("Hera-Peer", "retry-425"),
        ("Hera_User", "root"),
        ("Hera_Token", "evil"),
        ("X_Forwarded_For", "198.51.100.9"),
        ("Hera-Timeout", "900ms"),
    ];
    let request =
        forged.iter().fold(Request::get("/x"), |request, (name, value)| request.header(name, value));

    let response = front.ask(request.header("X-Kept", "1"));

    let params = response.json();
    let headers: Vec<(String, String)> = serde_json::from_value(params["headers"].clone()).unwrap();
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["host", "x-kept", "x-forwarded-for", "x-forwarded-proto"]);
    assert!(params["timeout_ms"].as_u64().unwrap() <= 900, "Hera-Timeout is the caller's to set: {params}");
    assert_eq!(params["caller"]["token"], "token-1");
}

#[test]
fn address_of_a_caller_is_what_haproxy_saw() {
    let front = Front::new();
    for forged in [
        Request::get("/x").header("X-Forwarded-For", "198.51.100.9"),
        Request::get("/x")
            .header("x-forwarded-for", "198.51.100.9")
            .header("X-Forwarded-For", "198.51.100.10"),
        Request::get("/x").header("X-Forwarded-For", "198.51.100.9").header("Connection", "X-Forwarded-For"),
        Request::get("/x").header("X_Forwarded_For", "198.51.100.9"),
        Request::get("/x").header("Connection", "X-Forwarded-For, Host, Hera-Token"),
    ] {
        let (headers, ip) = front.headers(forged.clone());

        assert_eq!(ip, "127.0.0.1", "{forged:?}");
        assert!(headers.iter().all(|(_, value)| !value.contains("198.51.100")), "{headers:?}");
    }
}

#[test]
fn what_connection_names_takes_no_trusted_header_away() {
    let front = Front::new();
    let request = Request::get("/x")
        .header("Connection", "Hera-User, Hera-Token, Hera-Peer, Authorization, X-Named, close")
        .header("X-Named", "1")
        .header("Hera-User", "root");

    let (headers, _) = front.headers(request.clone());

    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["host", "x-forwarded-for", "x-forwarded-proto"]);
    // And a token that is named so is judged all the same.
    let bearer = request.header("Authorization", format!("Bearer {}", front.stage.token));
    assert_eq!(front.ask(bearer).code(), "ambiguous_credentials");
}

#[test]
fn unknown_route_without_worker_is_503_and_never_425() {
    let front = Front::new();
    drop(front._worker);
    wait_until("the worker to be gone", || {
        let response = front.haproxy.ask(&Request::get("/x").token(&front.stage.token));
        assert!(matches!(response.status, 200 | 503), "{response:?}");
        response.status == 503
    });
    let response = front.haproxy.ask(&Request::post("/x", "1").token(&front.stage.token));
    assert_eq!(
        (response.status, response.code().as_str(), response.executed()),
        (503, "no_worker", Some("no"))
    );
}

#[test]
fn early_refusal_leaves_no_byte_of_its_body_on_the_connection_to_the_broker() {
    let front = Front::new();
    let smuggled = Request::get("/smuggled").token(&front.stage.token).bytes();
    let long = [vec![b'G'; 200_000], smuggled.clone()].concat();
    for (n, body) in [smuggled, long].into_iter().enumerate() {
        for (status, request) in [
            (401, Request::new("POST", "/x").token("wrong")),
            (413, Request::new("POST", "/x").token(&front.stage.token).header("X-Pad", "1")),
            (400, Request::new("POST", "/x").token(&front.stage.token).header("Hera-Timeout", "soon")),
        ] {
            let body =
                if status == 413 { [vec![b'G'; 1 << 20], body.clone()].concat() } else { body.clone() };
            let mut caller = front.haproxy.caller();
            caller.try_send(&request.body(body).bytes());
            // HAProxy closes without waiting for the rest of a long body, and the reset that this costs may overtake the answer: towards the
            // caller, or between its own two halves, where it makes a 502 of it.
            let answer = caller.try_response("POST").map(|response| response.status);
            let is_long = n == 1 || status == 413;
            assert!(
                answer == Some(status) || (matches!(answer, None | Some(502)) && is_long),
                "{answer:?} instead of {status}"
            );
            front.is_in_step(n * 10 + status as usize);
        }
    }
    let seen = front.seen.lock().unwrap();
    assert!(seen.iter().all(|(_, target, _)| target.starts_with("/own/")), "{seen:?}");
}

#[test]
fn two_tokens_are_refused_and_never_become_one() {
    let front = Front::new();
    let token = &front.stage.token;
    for (first, second) in [(token.as_str(), token.as_str()), (token, "wrong"), ("wrong", token)] {
        let twice = Request::get("/x").token(first).token(second);
        assert_eq!(front.haproxy.ask(&twice).status, 400);
        let in_one = Request::get("/x").token(&format!("{first}, {second}"));
        assert_eq!(front.haproxy.ask(&in_one).code(), "unauthorized");
    }
    let twice = Request::get("/x").header("Hera-Timeout", "1s").header("Hera-Timeout", "2s");
    assert_eq!(front.ask(twice).status, 400);
    assert_eq!(front.ask(Request::get("/x").header("Hera-Timeout", "1s, 2s")).code(), "bad_timeout");
}

#[test]
fn upgrade_and_expectation_open_no_tunnel() {
    let front = Front::new();
    let canary = Request::get("/canary").token(&front.stage.token).header("Connection", "close").bytes();
    for request in [
        Request::get("/x")
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            // Without it HAProxy refuses.
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        Request::get("/x")
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("Upgrade", "h2c")
            .header("HTTP2-Settings", "AAMAAABk"),
        Request::post("/x", "hello").header("Connection", "Upgrade").header("Upgrade", "foo/1"),
        Request::post("/x", "hello").header("Expect", "100-continue"),
        Request::post("/x", canary.clone()).header("Expect", "100-continue").header("Upgrade", "h2c"),
    ] {
        let bytes = request.clone().token(&front.stage.token).bytes();

        let outcome = front.send(&[bytes, canary.clone()].concat());

        assert_eq!(outcome.statuses(), [200, 200], "{request:?}");
        let targets: Vec<&str> = outcome.calls.iter().map(|(_, target, _)| target.as_str()).collect();
        assert_eq!(targets, ["/x", "/canary"], "{request:?}");
        let logged: Vec<&str> = outcome.forwarded.iter().map(|request| request.target.as_str()).collect();
        assert_eq!(logged, targets, "{request:?}");
    }
}
