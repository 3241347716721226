//! The errors that HAProxy makes itself: each with its code, and with whether the call may have run (D2).

use crate::stub::Stub;
use hera_testkit::http::{HttpConnection, Request, Response};
use hera_testkit::{Haproxy, wait_until};
use std::time::Duration;

const IDEMPOTENT: [&str; 4] = ["GET", "PUT", "DELETE", "OPTIONS"];

/// Started with a request id of the caller's, so that it must come back.
fn request(method: &str, path: &str) -> Request {
    let request = Request::new(method, path).header("X-Request-Id", "mine-1");
    if matches!(method, "POST" | "PUT") { request.body("x") } else { request }
}

fn is_problem(response: &Response, status: u16, code: &str, executed: &str) {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{response:?}");
    assert_eq!(response.executed(), Some(executed), "{response:?}");
    let problem = response.json();
    assert_eq!(problem["status"], status);
    assert_eq!(problem["executed"], executed);
    assert_eq!(problem["type"], format!("https://hera.dev/errors#{code}"));
    assert_eq!(problem["request_id"], response.header("x-request-id").unwrap());
    let proxy_status = response.header("proxy-status").unwrap();
    assert!(proxy_status.starts_with("haproxy; error=") && proxy_status.contains(code), "{proxy_status}");
    assert_eq!(response.header("cache-control"), Some("no-store"));
}

fn exchange(caller: &mut HttpConnection, request: &Request) -> Response {
    caller.send(&request.bytes());
    caller.response_to(request.method())
}

#[test]
fn without_a_broker_every_call_is_503_and_a_post_surely_did_not_run() {
    let haproxy = Haproxy::changed(&["127.0.0.1:1".parse().unwrap()], &[], str::to_owned);
    for method in IDEMPOTENT {
        let response = haproxy.ask(&request(method, "/x"));
        is_problem(&response, 503, "no_broker", "maybe");
        assert_eq!(
            (response.header("x-request-id"), response.header("retry-after")),
            (Some("mine-1"), Some("1"))
        );
    }
    for method in ["POST", "PATCH"] {
        let response = haproxy.ask(&request(method, "/x"));
        is_problem(&response, 503, "no_broker", "no");
        assert_eq!(response.json()["retry_safe"], "yes");
    }
    let head = haproxy.ask(&request("HEAD", "/x"));
    assert_eq!((head.status, head.executed(), head.body.len()), (503, Some("maybe"), 0));
}

#[test]
fn list_without_brokers_serves_503() {
    let rendered = |text: &str| {
        text.lines().filter(|line| !line.contains("server b1 ")).collect::<Vec<_>>().join("\n") + "\n"
    };
    let haproxy = Haproxy::changed(&["127.0.0.1:1".parse().unwrap()], &[], rendered);

    is_problem(&haproxy.ask(&request("GET", "/x")), 503, "no_broker", "maybe");
    is_problem(&haproxy.ask(&request("POST", "/x")), 503, "no_broker", "no");
}

#[test]
fn broker_that_dies_with_a_call_gives_502_on_every_call_of_a_connection() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &[], str::to_owned);
    for method in ["POST", "PATCH", "GET", "PUT"] {
        // HAProxy left the second one without an answer before all calls passed `inner`.
        let mut caller = haproxy.caller();
        assert_eq!(exchange(&mut caller, &request(method, "/x")).status, 200);

        let response = exchange(&mut caller, &request(method, "/die"));

        is_problem(&response, 502, "broker_lost", "maybe");
        assert_eq!(response.header("hera-broker"), Some("b1"), "it says which");
    }
    let deaths =
        |method: &str| stub.calls().iter().filter(|head| head.starts_with(&format!("{method} /die"))).count();
    assert_eq!((deaths("POST"), deaths("PATCH")), (1, 1), "never sent again");
    assert!(deaths("GET") > 1 && deaths("PUT") > 1, "sent again where that is safe");
}

#[test]
fn large_put_is_sent_once_and_its_loss_told() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &[], str::to_owned);
    let put = |bytes| Request::new("PUT", "/die").body(vec![b'x'; bytes]);

    is_problem(&haproxy.ask(&put(100_000)), 502, "broker_lost", "maybe");
    assert_eq!(stub.calls().len(), 1);
    is_problem(&haproxy.ask(&put(40_000)), 502, "broker_lost", "maybe");
    assert_eq!(stub.calls().len(), 4);
}

#[test]
fn silent_broker_gives_504_from_haproxy() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &[], |text| {
        text.replace("timeout server 310s", "timeout server 300ms")
    });
    for method in ["GET", "POST"] {
        let mut caller = haproxy.caller();
        assert_eq!(exchange(&mut caller, &request(method, "/x")).status, 200);
        let response = exchange(&mut caller, &request(method, "/hang"));
        is_problem(&response, 504, "broker_timeout", "maybe");
        assert_eq!(response.header("hera-broker"), Some("b1"));
    }
    assert_eq!(
        stub.calls().iter().filter(|head| head.contains("/hang")).count(),
        2,
        "a deadline is no loss: nothing is sent again"
    );
}

#[test]
fn request_that_never_becomes_whole_gives_408_and_reaches_no_broker() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &[], |text| {
        text.replace("timeout http-request 10s", "timeout http-request 300ms")
    });
    let mut caller = haproxy.caller();
    caller.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf");

    is_problem(&caller.response(), 408, "request_timeout", "no");

    assert!(caller.is_closed());
    assert_eq!(stub.calls().len(), 0);
}

#[test]
fn bad_body_behind_a_whole_head_gives_400_and_reaches_no_broker() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &[], str::to_owned);
    let mut caller = haproxy.caller();
    caller.send(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    // What comes together with the head is refused before there is anything to label.
    wait_until("HAProxy to have the head", || haproxy.control("show sess").contains("fe=callers"));
    caller.send(b"zz\r\n");

    is_problem(&caller.response(), 400, "bad_request", "no");

    assert_eq!(stub.calls().len(), 0);
}

#[test]
fn what_stands_twice_gives_400_with_the_broker_s_code() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &[], str::to_owned);
    let twice = |name: &str| Request::get("/x").header(name, "1s").header(name, "2s");

    is_problem(&haproxy.ask(&twice("Hera-Token")), 400, "ambiguous_credentials", "no");
    is_problem(&haproxy.ask(&twice("Hera-Timeout")), 400, "bad_timeout", "no");

    assert_eq!(stub.calls().len(), 0);
}

#[test]
fn calls_that_find_all_brokers_full_wait_for_room_and_then_get_503() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &["--server-maxconn", "1"], |text| {
        text.replace("timeout queue 2s", "timeout queue 300ms").replace("slowstart 10s ", "")
    });
    let mut first = haproxy.caller();
    first.send(&request("POST", "/hang").bytes());
    wait_until("the first call to be there", || stub.calls().len() == 1);

    let mut second = haproxy.caller();
    second.patience(Duration::from_secs(5));
    is_problem(&exchange(&mut second, &request("POST", "/x")), 503, "no_broker", "no");
}
