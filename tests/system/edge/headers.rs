//! Headers both ways: kept as they were, or ended here.

use crate::stage::{Stage, values};
use hera_testkit::http::Request;
use hera_testkit::{TestBroker, wait_until};
use serde_json::json;

#[test]
fn repeated_headers_keep_their_order_both_ways() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let request = Request::get("/x")
        .header("X-A", "1")
        .header("x-b", "2")
        .header("x-a", "3")
        .header("Cookie", "a=1; b=2");
    let (mut caller, call) = stage.call(&mut worker, request);
    worker.answer(
        call.id,
        200,
        &[("Set-Cookie", "a=1"), ("X-B", "x"), ("set-cookie", "b=2"), ("Set-Cookie", "a=1")],
        b"",
    );
    let response = caller.response();

    let sent: Vec<_> =
        call.headers().into_iter().filter(|(name, _)| name.starts_with("x-") || name == "cookie").collect();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(sent, [pair("x-a", "1"), pair("x-b", "2"), pair("x-a", "3"), pair("cookie", "a=1; b=2")]);
    assert_eq!(response.all("set-cookie"), [b"a=1", b"b=2", b"a=1"]);
}

#[test]
fn values_are_latin_1_both_ways() {
    let stage = Stage::new();
    let mut worker = stage.worker(&["GET /x"]);
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x").header("X-A", b"caf\xe9\xff\x80"));
    worker.answer(call.id, 200, &[("x-b", "caf\u{e9}\u{ff}\u{80}"), ("x-empty", ""), ("x-tab", "a\tb")], b"");
    let response = caller.response();

    assert_eq!(call.header("x-a"), ["caf\u{e9}\u{ff}\u{80}"]);
    assert_eq!(response.all("x-b"), [b"caf\xe9\xff\x80"]);
    assert_eq!((response.header("x-empty"), response.header("x-tab")), (Some(""), Some("a\tb")));
}

#[test]
fn hop_by_hop_and_hera_headers_end_at_the_broker() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let gone = [
        ("Connection", "keep-alive, X-Named, Hera-User"),
        ("X-Named", "1"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Trailer", "X"),
        ("Upgrade", "h2c"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic x"),
        ("Hera-User", "root"),
        ("HERA-Worker", "evil"),
        ("Hera-Timeout", "5s"),
        ("Hera-Peer", "retry-425"),
        ("Hera_User", "root"),
        ("Hera-Executed", "no"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X_Forwarded_For", "198.51.100.9"),
        ("X_Named", "1"),
        ("hERA-uSER", "root"),
        ("Expect", "100-continue"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
    ];
    let request = gone.iter().fold(Request::get("/x"), |request, (name, value)| request.header(name, value));
    // A proxy's call goes elsewhere until then.
    wait_until("the broker to be ready", || stage.broker.ask(&Request::get("/-/ready")).status == 200);

    let seen = stage.seen(request.header("X-Kept", "1"));

    let names: Vec<&str> =
        seen["params"]["headers"].as_array().unwrap().iter().map(|h| h[0].as_str().unwrap()).collect();
    assert_eq!(names, ["host", "x-kept"]);
    assert_eq!((&seen["params"]["method"], &seen["params"]["path"]), (&json!("GET"), &json!("/x")));
    assert_eq!(seen["params"]["caller"]["ip"], "127.0.0.1");
}

#[test]
fn credentials_named_by_connection_are_still_judged() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let bearer = format!("Bearer {}", stage.token);
    let request =
        Request::get("/x").header("Connection", "Authorization, Hera-Token").header("Authorization", bearer);
    assert_eq!(stage.broker.ask(&request).status, 200);
    assert_eq!(stage.broker.ask(&request.token("other")).code(), "ambiguous_credentials");
}

#[test]
fn forwarded_headers_are_believed_of_trusted_peers_alone() {
    let headers = [
        ("X-Forwarded-For", "198.51.100.1, 203.0.113.7"),
        ("X-Forwarded-Proto", "https"),
        ("Forwarded", "for=203.0.113.7"),
        ("X-Forwarded-Host", "public.example"),
    ];
    let request =
        headers.iter().fold(Request::get("/x"), |request, (name, value)| request.header(name, value));

    let trusting = Stage::new();
    let _worker = trusting.mirror(&["GET /x"]);
    let seen = trusting.seen(request.clone());
    assert_eq!(seen["params"]["caller"]["ip"], "203.0.113.7");
    assert_eq!(values(&seen, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&seen, "forwarded"), ["for=203.0.113.7"]);

    let wary = Stage::of(TestBroker::with_config("[http]\ntrusted_peers = []\n"));
    let _worker = wary.mirror(&["GET /x"]);
    let seen = wary.seen(request);
    assert_eq!(seen["params"]["caller"]["ip"], "127.0.0.1");
    for (name, _) in headers {
        assert!(values(&seen, &name.to_lowercase()).is_empty(), "{name}");
    }
}

#[test]
fn request_id_is_kept_where_it_fits_and_replaced_where_not() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let id = |given: &str| {
        let response = stage.ask(Request::get("/x").header("X-Request-Id", given));
        let shown = response.header("x-request-id").unwrap().to_owned();
        assert_eq!(response.json()["params"]["request_id"], shown.as_str());
        shown
    };

    assert_eq!(id("my.Request_1-x"), "my.Request_1-x");
    assert_eq!(id(&"a".repeat(128)), "a".repeat(128));
    let fresh = stage.ask(Request::get("/x")).header("x-request-id").unwrap().to_owned();
    assert_eq!((fresh.len(), fresh.as_bytes()[14]), (36, b'7'), "{fresh} is a UUIDv7");
    for bad in ["", "has space", "a/b", "<script>", &"a".repeat(129), "\"quoted\"", "caf\u{e9}"] {
        let made = id(bad);
        assert_eq!((made.len(), made.as_bytes()[14]), (36, b'7'), "{bad} became {made}");
    }
}

#[test]
fn timeout_header_is_one_number_with_its_unit() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    for (good, most) in
        [("1500ms", 1500), ("2s", 2000), ("300s", 15_000), ("300000ms", 15_000), ("900ms", 900)]
    {
        let seen = stage.seen(Request::get("/x").header("Hera-Timeout", good));
        let left = seen["params"]["timeout_ms"].as_u64().unwrap();
        assert!(left <= most && left > most / 2, "{good}: {left}");
    }
    for bad in [
        "",
        "5",
        "0ms",
        "0s",
        "-1s",
        "+1s",
        "1.5s",
        "1e3ms",
        "301s",
        "300001ms",
        "1m",
        "1S",
        "1 s",
        "99999999999999999999ms",
        "s",
        "ms",
    ] {
        let response = stage.ask(Request::get("/x").header("Hera-Timeout", bad));
        assert_eq!(
            (response.status, response.code().as_str(), response.executed()),
            (400, "bad_timeout", Some("no")),
            "{bad:?}"
        );
    }
    let twice = Request::get("/x").header("Hera-Timeout", "1s").header("Hera-Timeout", "1s");
    assert_eq!(stage.ask(twice).code(), "bad_timeout");
}

#[test]
fn worker_gets_the_headers_that_it_asked_for() {
    let stage = Stage::new();
    let mut worker = stage.broker.worker("raw", &[]);
    worker.declare_with(json!([{"endpoint": "GET /x", "headers": ["accept", "x-a"]}]));
    let request = Request::get("/x").header("X-A", "1").header("X-B", "2").header("Accept", "text/html");

    let (_, call) = stage.call(&mut worker, request);

    let names: Vec<String> = call.headers().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["x-a", "accept"]);
}

#[test]
fn trace_context_reaches_the_worker_when_it_is_well_formed() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let seen = stage.seen(Request::get("/x").header("traceparent", parent).header("tracestate", "a=b"));
    assert_eq!(seen["params"]["trace"], json!({"traceparent": parent, "tracestate": "a=b"}));
    let seen = stage.seen(Request::get("/x").header("traceparent", "00-zz-zz-01"));
    assert!(seen["params"].get("trace").is_none_or(|trace| trace.is_null()), "{seen}");
}
