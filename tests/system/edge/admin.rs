//! The admin door: who may ask, and what its files look like.

use crate::stage::Stage;
use hera_testkit::http::{HttpConnection, Request, Response};
use std::os::unix::fs::PermissionsExt;

fn ask(stage: &Stage, request: Request) -> Response {
    let mut connection = HttpConnection::open(stage.broker.admin());
    connection.send(&request.bytes());
    connection.response_to(request.method())
}

#[test]
fn admin_api_needs_its_token() {
    let stage = Stage::new();
    let verbs = [
        ("GET", "/v1/tokens"),
        ("POST", "/v1/tokens"),
        ("GET", "/v1/workers"),
        ("DELETE", "/v1/keys/x"),
        ("GET", "/v1/none"),
    ];
    for (method, path) in verbs {
        assert_eq!(ask(&stage, Request::new(method, path)).status, 401, "{method} {path}");
        for wrong in [
            "Bearer wrong".to_owned(),
            "Basic eDp5".into(),
            format!("Bearer {}", stage.token),
            "Bearer ".into(),
        ] {
            assert_eq!(
                ask(&stage, Request::new(method, path).header("Authorization", &wrong)).status,
                401,
                "{wrong}"
            );
        }
    }
    assert_eq!(stage.broker.ask_admin(Request::get("/v1/tokens")).status, 200);
    assert_eq!(ask(&stage, Request::get("/healthz")).status, 200);
}

#[test]
fn pages_of_other_hosts_and_origins_may_not_ask() {
    let stage = Stage::new();
    let status = |request: Request| stage.broker.ask_admin(request).status;
    let list = || Request::get("/v1/tokens");

    for host in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:80", "10.1.2.3"] {
        assert_eq!(status(list().header("Host", host)), 403, "{host}");
    }
    for host in ["localhost", "localhost:4380", "127.0.0.1:1", "[::1]:4380"] {
        assert_eq!(status(list().header("Host", host)), 200, "{host}");
    }
    for origin in ["http://evil.example", "null", "http://localhost:1", "file://"] {
        assert_eq!(status(list().header("Host", "localhost:4380").header("Origin", origin)), 403, "{origin}");
    }
    assert_eq!(
        status(list().header("Host", "localhost:4380").header("Origin", "http://localhost:4380")),
        200
    );
}

#[test]
fn admin_api_shows_no_secret() {
    let stage = Stage::new();
    let key = stage.broker.key("svc", &["/**"]);
    let shown = [
        stage.broker.ask_admin(Request::get("/v1/tokens")),
        stage.broker.ask_admin(Request::get("/v1/keys")),
    ];
    for response in shown {
        assert_eq!(response.status, 200);
        assert!(!response.text().contains(&stage.token[20..]), "{}", response.text());
        assert!(!response.text().contains(&key[24..88]), "{}", response.text());
    }
}

#[test]
fn state_is_readable_by_its_owner_alone() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    stage.ask(Request::get("/x"));
    hera_testkit::wait_until("the catalogue to be written", || {
        stage.broker.cli_on_files(["endpoints", "--json"]).stdout.contains("GET /x")
    });

    let mut folders = vec![stage.broker.data_dir()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        let mode = std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = std::fs::metadata(&path).unwrap();
            if metadata.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
    }
    assert!(files >= 4, "{files}");
}

#[test]
fn ready_and_health_are_told_apart() {
    let stage = Stage::new();
    hera_testkit::wait_until("readiness", || ask(&stage, Request::get("/readyz")).status == 200);
    assert_eq!(ask(&stage, Request::get("/readyz")).json()["ready"], true);
}
