//! Twenty thousand spellings that aim out of a token's scope, sent ahead of each other on connections that are kept: the secret never answers.

#[path = "../../../crates/hera-route/tests/escape/variants.rs"]
mod variants;

use crate::stage::Stage;
use hera_testkit::http::{Request, Response};
use hera_testkit::{Call, Reply, Serving};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use variants::{seed, variant};

const VARIANTS: u64 = 20_000;
const CALLERS: u64 = 2;
/// Requests that are sent before the first answer is read.
const AHEAD: usize = 40;

const ENDPOINTS: [&str; 8] = [
    "* /0/public",
    "* /0/public/{*rest}",
    "* /0/secret",
    "* /0/secret/{*rest}",
    "* /0/publicity/{*rest}",
    "* /0/{area}/secret",
    "* /0/..;/{*rest}",
    "* /{*rest}",
];

/// What callers were answered.
#[derive(Debug, Default)]
struct Tally {
    served: u64,
    refused: u64,
    forbidden: u64,
    /// Heads that are no request: the connection ended with them.
    ended: u64,
}

/// A worker that serves the public and the secret, says which it was, and counts the calls of everything that is not public.
fn serve(stage: &Stage) -> (Serving, Arc<AtomicU64>) {
    let secrets = Arc::new(AtomicU64::new(0));
    let counted = secrets.clone();
    let answer = move |call: &Call| {
        let path = call.params["path"].as_str().unwrap();
        if !call.endpoint.starts_with("* /0/public") || call.endpoint.starts_with("* /0/publicity") {
            counted.fetch_add(1, Ordering::Relaxed);
            return Reply::ok("secret");
        }
        assert!(path == "/0/public" || path.starts_with("/0/public/"), "{path}");
        let id = call.params["request_id"].as_str().unwrap();
        Reply::ok(format!("public {id}"))
    };
    (stage.worker(&ENDPOINTS).serve(answer), secrets)
}

#[test]
fn no_spelling_of_a_path_leaves_the_scope() {
    let stage = Stage::new();
    let (_worker, secrets) = serve(&stage);
    let token = stage.broker.token(&["* /0/public/**"]);
    let seed = seed();
    println!("SEED={seed}");

    let tallies = thread::scope(|scope| {
        let call = |first| {
            let (token, stage) = (&token, &stage);
            scope
                .spawn(move || run(stage, token, seed, (first..VARIANTS).step_by(CALLERS as usize).collect()))
        };
        let running: Vec<_> = (0..CALLERS).map(call).collect();
        running.into_iter().map(|caller| caller.join().unwrap()).collect::<Vec<_>>()
    });

    println!("{tallies:#?}");
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    assert_eq!(secrets.load(Ordering::Relaxed), 0);
    assert_eq!(sum(|t| t.served) + sum(|t| t.refused) + sum(|t| t.forbidden) + sum(|t| t.ended), VARIANTS);
    // Spellings that are all refused at the door would show nothing of scopes and routes.
    assert!(sum(|t| t.served) > VARIANTS / 50 && sum(|t| t.forbidden) > VARIANTS / 100);

    // The secret is there for whoever may have it.
    assert_eq!(stage.ask(Request::get("/0/secret/x")).text(), "secret");
    assert_eq!(secrets.load(Ordering::Relaxed), 1);
}

/// Sends the variants of these numbers and reads the answer of each, in order.
fn run(stage: &Stage, token: &str, seed: u64, numbers: Vec<u64>) -> Tally {
    let mut tally = Tally::default();
    let mut caller = stage.broker.caller();
    let mut left = &numbers[..];
    while !left.is_empty() {
        let ahead = &left[..left.len().min(AHEAD)];
        let sent: Vec<u8> = ahead.iter().flat_map(|n| request(seed, *n, token)).collect();
        // A broker that ended the connection on one of them takes no more, and has answered those before it.
        caller.try_send(&sent);
        for n in ahead {
            let response = caller.response();
            judge(&response, seed, *n, &mut tally);
            left = &left[1..];
            if response.closes() {
                caller = stage.broker.caller();
                break;
            }
        }
    }
    tally
}

fn request(seed: u64, n: u64, token: &str) -> Vec<u8> {
    let mut bytes = b"GET ".to_vec();
    bytes.extend_from_slice(&variant(seed, n));
    let rest = format!(" HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\nX-Request-Id: n-{n}\r\n\r\n");
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

fn judge(response: &Response, seed: u64, n: u64, tally: &mut Tally) {
    let path = String::from_utf8_lossy(&variant(seed, n)).into_owned();
    let shown = format!("SEED={seed} n={n} {path:?} {response:?}");
    let own = format!("n-{n}");
    let is_own = response.header("x-request-id") == Some(&own);
    match response.status {
        200 => {
            assert!(is_own && response.text() == format!("public {own}"), "{shown}");
            tally.served += 1;
        }
        400 if response.code() == "bad_path" => {
            assert!(is_own, "{shown}");
            tally.refused += 1;
        }
        403 => {
            assert!(is_own && response.code() == "forbidden", "{shown}");
            tally.forbidden += 1;
        }
        // Hera's own prefix, which is no worker's and needs no token.
        404 => {
            assert!(
                response.text() == "nothing here\n"
                    && path.to_lowercase().replace("%2d", "-").starts_with("/-"),
                "{shown}"
            );
            tally.refused += 1;
        }
        400 | 414 | 431 | 505 => {
            assert!(response.closes(), "{shown}");
            tally.ended += 1;
        }
        _ => panic!("{shown}"),
    }
}
