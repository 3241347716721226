//! What passes from callers to brokers, and over what.

use crate::configuration::{certificate, front_certificate};
use crate::stub::Stub;
use hera_testkit::http::Request;
use hera_testkit::{Haproxy, TestBroker, curl};

/// The head that the broker got, without what varies.
fn forwarded(haproxy: &Haproxy, stub: &Stub, request: &Request) -> Vec<String> {
    let before = stub.calls().len();
    assert_eq!(haproxy.ask(request).status, 200);
    let calls = stub.calls();
    calls[before].lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
}

#[test]
fn brokers_see_headers_that_only_haproxy_sets_and_two_that_are_the_caller_s() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &[], str::to_owned);
    for method in ["GET", "POST"] {
        let request = Request::new(method, "/x")
            .header("Hera-User", "root")
            .header("HERA-PEER", "evil")
            .header("Hera-Token", "t")
            .header("Hera-Timeout", "1s")
            .header("X-Forwarded-For", "198.51.100.9")
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", "evil")
            .header("Forwarded", "for=198.51.100.9")
            .header("X-Request-Id", "mine-1");

        let mut lines = forwarded(&haproxy, &stub, &request);

        lines.retain(|line| {
            ["hera", "x-", "forwarded"].iter().any(|front| line.to_ascii_lowercase().starts_with(front))
        });
        lines.sort();
        let expected = [
            "hera-peer: retry-425",
            "hera-timeout: 1s",
            "hera-token: t",
            "x-forwarded-for: 127.0.0.1",
            "x-forwarded-proto: http",
            "x-request-id: mine-1",
        ];
        assert_eq!(lines, expected, "{method}");
    }
}

#[test]
fn request_id_that_a_broker_would_not_take_is_replaced() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &[], str::to_owned);
    for bad in ["a b", "a\"b", &"a".repeat(129), ""] {
        let lines = forwarded(&haproxy, &stub, &Request::get("/x").header("X-Request-Id", bad));

        let ids: Vec<&str> = lines.iter().filter_map(|line| line.strip_prefix("x-request-id: ")).collect();
        assert_eq!((ids.len(), ids[0].len()), (1, 36), "{lines:?}");
    }
}

#[test]
fn each_call_is_one_line_of_json_without_its_query() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&[stub.address], &[], str::to_owned);
    haproxy.ask(&Request::get("/a%22b?secret=1").header("X-Request-Id", "mine-1"));

    let line = haproxy.log().wait("the call", |line| line.contains("mine-1"));

    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((line["status"].as_u64(), line["broker"].as_str()), (Some(200), Some("stub")), "{line}");
    assert_eq!(
        (line["path"].as_str(), line["client"].as_str()),
        (Some("/a%22b"), Some("127.0.0.1")),
        "{line}"
    );
    assert!(!haproxy.log().lines().concat().contains("secret"));
    haproxy.ask(&Request::get("/425").header("X-Request-Id", "mine-2"));
    let inner = haproxy
        .log()
        .wait("what became of it inside", |line| line.contains("mine-2") && line.contains("inner"));
    let inner: serde_json::Value = serde_json::from_str(&inner).unwrap();
    assert_eq!((inner["status"].as_u64(), inner["backend"].as_str()), (Some(425), Some("idem")), "{inner}");
}

#[test]
fn callers_speak_http_2_over_tls_and_the_broker_is_held_to_its_certificate() {
    let config =
        format!("[tls]\ncert = {:?}\nkey = {:?}\n", certificate("broker.pem"), certificate("broker.key"));
    let broker = TestBroker::with_config(&config).start();
    let token = broker.token(&["GET /0/**"]);
    let dir = tempfile::tempdir().unwrap();
    let (front, authority) = (front_certificate(dir.path()), certificate("ca.pem").display().to_string());
    let server = format!("server b1 localhost:{} ", broker.http().port());
    let trusting = |authority: &str| {
        let secured = format!(
            "{server} ssl verify required ca-file {authority} sni str(localhost) verifyhost localhost "
        );
        Haproxy::changed(&[broker.http()], &["--tls-cert", &front], |text| {
            text.replace(&format!("server b1 {} ", broker.http()), &secured)
                .replace(&format!("server b1 {}\n", broker.http()), &format!("{}\n", secured.trim_end()))
        })
    };
    let haproxy = trusting(&authority);
    haproxy.wait_up(&["b1"]);

    let url = format!("https://localhost:{}/0/work", haproxy.address().port());
    let header = format!("Hera-Token: {token}");
    let answer = curl(["--http2", "--cacert", &authority, "-H", &header, "-D", "-", &url]);

    assert_eq!(answer.status, 404, "{answer:?}");
    assert!(
        answer.text().starts_with("HTTP/2 404") && answer.text().contains("not_found"),
        "{}",
        answer.text()
    );
    assert!(answer.text().contains(&format!("hera-broker: {}", broker.id())), "{}", answer.text());
    let older = curl(["--tls-max", "1.1", "--cacert", &authority, "-H", &header, &url]);
    assert_ne!(older.exit, 0, "TLS 1.1 is refused");
    let unknown = trusting(&front);
    hera_testkit::wait_until("the broker to be down", || {
        unknown.servers().iter().any(|state| state.server == "b1" && state.status == "DOWN")
    });
}
