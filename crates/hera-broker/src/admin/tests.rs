use std::cell::Cell;

use hera_registry::{KnownEndpoint, Standalone, TokenText};
use serde_json::{Value, json};

use super::*;

struct Parts {
    _dir: tempfile::TempDir,
    files: Standalone,
    registry: Registry,
    token: AdminToken,
    hosts: Vec<String>,
    ready: bool,
    changes: Cell<u32>,
}

impl Parts {
    fn new() -> Parts {
        let dir = tempfile::tempdir().unwrap();
        let files = Standalone::open(dir.path(), None).unwrap();
        let token = files.admin_token().unwrap();
        let registry = Registry::Standalone(files.clone());
        let hosts = vec!["hera.example.com".to_owned()];
        Parts { _dir: dir, files, registry, token, hosts, ready: true, changes: Cell::new(0) }
    }

    fn ask(&self, method: &str, target: &str, body: Value) -> (u16, Value) {
        let reply = answered(&self.request(method, target, body), self);
        (reply.status, serde_json::from_slice(&reply.body).unwrap())
    }

    fn request(&self, method: &str, target: &str, body: Value) -> AdminRequest {
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        AdminRequest {
            method: method.into(),
            path: path.into(),
            query: query.map(str::to_owned),
            authorization: Some(format!("Bearer {}", self.token.expose())),
            host: Some("127.0.0.1:4380".into()),
            origin: None,
            body: if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() },
        }
    }
}

impl AdminParts for Parts {
    fn registry(&self) -> &Registry {
        &self.registry
    }
    fn registry_changed(&self) {
        self.changes.set(self.changes.get() + 1);
    }
    fn admin_token(&self) -> &AdminToken {
        &self.token
    }
    fn listen(&self) -> SocketAddr {
        ([192, 0, 2, 1], 4380).into()
    }
    fn hosts(&self) -> &[String] {
        &self.hosts
    }
    fn now_unix(&self) -> u64 {
        1_800_000_000
    }
    fn metrics_text(&self) -> String {
        "hera_calls_total 1\n# EOF\n".into()
    }
    fn workers_json(&self) -> String {
        r#"[{"service":"ads"}]"#.into()
    }
    fn endpoints_json(&self) -> String {
        r#"[{"endpoint":"GET /0/x"}]"#.into()
    }
    fn brokers_json(&self) -> String {
        r#"[{"id":"b-1"}]"#.into()
    }
    fn ready(&self) -> (bool, String) {
        (self.ready, r#"{"registry":"ok"}"#.into())
    }
}

#[test]
fn health_and_metrics_need_no_token() {
    let mut parts = Parts::new();
    let status = |parts: &Parts, method: &str, path: &str| {
        let request = AdminRequest { authorization: None, ..parts.request(method, path, Value::Null) };
        answered(&request, parts).status
    };

    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(status(&parts, "GET", path), 200);
        assert_eq!(status(&parts, "HEAD", path), 200);
        assert_eq!(status(&parts, "POST", path), 405);
    }
    parts.ready = false;
    assert_eq!(status(&parts, "GET", "/readyz"), 503);
    assert_eq!(status(&parts, "GET", "/healthz"), 200);
}

#[test]
fn everything_else_needs_the_very_token() {
    let parts = Parts::new();
    let token = parts.token.expose();
    let wrong = [
        None,
        Some(String::new()),
        Some("Bearer".into()),
        Some("Bearer ".into()),
        Some(format!("Basic {token}")),
        Some(format!("Bearer {}", &token[1..])),
        Some(format!("Bearer {token}0")),
        Some(token.clone()),
    ];
    for authorization in wrong {
        for path in ["/v1/tokens", "/v1/workers", "/v1/nothing"] {
            let request = AdminRequest {
                authorization: authorization.clone(),
                ..parts.request("GET", path, Value::Null)
            };
            let reply = answered(&request, &parts);
            assert_eq!(reply.status, 401);
            assert!(!String::from_utf8(reply.body).unwrap().contains(&token));
        }
    }
    let request = AdminRequest {
        authorization: Some(format!("bearer {token}")),
        ..parts.request("GET", "/v1/tokens", Value::Null)
    };
    assert_eq!(answered(&request, &parts).status, 200);
}

#[test]
fn foreign_host_is_refused_on_every_path() {
    let parts = Parts::new();
    let status = |host: Option<&str>, path: &str| {
        let request =
            AdminRequest { host: host.map(str::to_owned), ..parts.request("GET", path, Value::Null) };
        answered(&request, &parts).status
    };
    for path in ["/metrics", "/healthz", "/v1/tokens"] {
        for host in [
            "127.0.0.1",
            "127.9.9.9:1",
            "localhost:9000",
            "LOCALHOST",
            "[::1]:4380",
            "192.0.2.1:4380",
            "Hera.Example.com",
        ] {
            assert_eq!(status(Some(host), path), 200, "{host}");
        }
        for host in [
            "evil.example",
            "192.0.2.2",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "hera.example.com.",
            "0.0.0.0",
        ] {
            assert_eq!(status(Some(host), path), 403, "{host}");
        }
        for host in [None, Some(""), Some("a/b:80")] {
            let status = status(host, path);
            assert!(status == 400 || status == 403);
        }
    }
}

#[test]
fn page_of_another_origin_is_refused() {
    let parts = Parts::new();
    let status = |origin: &str| {
        let request =
            AdminRequest { origin: Some(origin.into()), ..parts.request("GET", "/v1/tokens", Value::Null) };
        answered(&request, &parts).status
    };
    assert_eq!(status("http://127.0.0.1:4380"), 200);
    assert_eq!(status("https://127.0.0.1:4380"), 200);
    for origin in [
        "null",
        "",
        "http://127.0.0.1",
        "http://127.0.0.1:4381",
        "http://evil.example",
        "ftp://127.0.0.1:4380",
        "http://127.0.0.1:4380.evil",
    ] {
        assert_eq!(status(origin), 403, "{origin}");
    }
}

#[test]
fn token_lives_from_create_to_revoke() {
    let parts = Parts::new();

    let (status, made) =
        parts.ask("POST", "/v1/tokens", json!({"name": "ads", "allow": ["GET /0/**"], "rate": "10/s"}));
    assert_eq!(status, 201);
    let text = made["token"].as_str().unwrap();
    assert!(
        parts
            .files
            .load_snapshot()
            .unwrap()
            .tokens
            .contains_key(&TokenText::parse(text.as_bytes()).unwrap().digest())
    );

    let (status, listed) = parts.ask("GET", "/v1/tokens", Value::Null);
    assert_eq!(
        (status, &listed[0]["allow"][0], &listed[0]["rate"]),
        (200, &json!("GET /0/**"), &json!("10/s"))
    );
    assert!(!listed.to_string().contains(text));

    let (status, rotated) = parts.ask("POST", "/v1/tokens/ads/rotate", Value::Null);
    assert_eq!(status, 201);
    assert_ne!(rotated["token"], made["token"]);

    let (status, gone) = parts.ask("DELETE", "/v1/tokens/ads", Value::Null);
    assert_eq!((status, &gone["name"]), (200, &json!("ads")));
    assert_eq!(parts.ask("DELETE", "/v1/tokens/ads", Value::Null).0, 404);
    assert_eq!(parts.changes.get(), 3);
}

#[test]
fn key_lives_from_create_to_revoke() {
    let parts = Parts::new();

    let (status, made) = parts.ask("POST", "/v1/keys", json!({"name": "ads", "serve": ["/0/ads/**"]}));
    assert_eq!((status, made["key"].as_str().unwrap().len()), (201, 160));

    let (status, changed) = parts.ask("PATCH", "/v1/keys/ads", json!({"call": ["GET /1/**"]}));
    assert_eq!(
        (status, &changed["call"][0], &changed["serve"][0]),
        (200, &json!("GET /1/**"), &json!("/0/ads/**"))
    );

    assert_eq!(parts.ask("POST", "/v1/keys/ads/rotate", Value::Null).0, 201);
    assert_eq!(parts.ask("GET", "/v1/keys", Value::Null).1.as_array().unwrap().len(), 1);
    assert_eq!(parts.ask("DELETE", "/v1/keys/ads", Value::Null).0, 200);
}

#[test]
fn refusals_carry_the_code_of_the_registry() {
    let parts = Parts::new();
    parts.ask("POST", "/v1/keys", json!({"name": "ads", "serve": ["/0/ads/**"]}));
    let refused = |method: &str, path: &str, body: Value| {
        let (status, answer) = parts.ask(method, path, body);
        (status, answer["code"].as_str().unwrap().to_owned())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());

    assert_eq!(refused("POST", "/v1/keys", json!({"name": "ads"})), is(409, "name_taken"));
    assert_eq!(
        refused("POST", "/v1/keys", json!({"name": "shop", "serve": ["/**"]})),
        is(409, "prefix_owned")
    );
    assert_eq!(refused("POST", "/v1/tokens", json!({"name": "a b"})), is(400, "bad_name"));
    assert_eq!(refused("POST", "/v1/tokens", json!({"name": "a", "alow": []})), is(400, "bad_request"));
    assert_eq!(refused("POST", "/v1/tokens", Value::Null), is(400, "bad_request"));
    assert_eq!(refused("PATCH", "/v1/keys/nobody", json!({})), is(404, "not_found"));
    assert_eq!(refused("PUT", "/v1/tokens", Value::Null), is(405, "method_not_allowed"));
    assert_eq!(refused("GET", "/v1/tokens/ads", Value::Null), is(405, "method_not_allowed"));
    assert_eq!(refused("POST", "/v1/workers", Value::Null), is(405, "method_not_allowed"));
    assert_eq!(refused("GET", "/v1/nothing", Value::Null), is(404, "not_found"));
    assert_eq!(refused("GET", "/v1/tokens/a/b/c", Value::Null), is(404, "not_found"));
    assert_eq!(refused("GET", "/v2/tokens", Value::Null), is(404, "not_found"));
    assert_eq!(parts.changes.get(), 1);
}

#[test]
fn endpoint_is_forgotten_by_its_encoded_text() {
    let parts = Parts::new();
    let declared =
        KnownEndpoint { endpoint: "GET /0/a+b".into(), timeout_ms: 1, body_bytes_max: 0, idempotent: true };
    parts.files.merge_endpoints("ads", &[declared], 0).unwrap();

    assert_eq!(parts.ask("DELETE", "/v1/endpoints", Value::Null).0, 400);
    assert_eq!(parts.ask("DELETE", "/v1/endpoints?endpoint=%zz", Value::Null).0, 400);
    assert_eq!(parts.ask("DELETE", "/v1/endpoints?endpoint=GET%20/0/b", Value::Null).0, 404);
    assert_eq!(parts.ask("DELETE", "/v1/endpoints?endpoint=GET%20/0/a+b", Value::Null).0, 200);

    assert!(parts.files.load_catalogue().unwrap().0.is_empty());
}

#[test]
fn state_of_the_broker_is_passed_on() {
    let parts = Parts::new();

    assert_eq!(parts.ask("GET", "/v1/workers", Value::Null).1[0]["service"], "ads");
    assert_eq!(parts.ask("GET", "/v1/brokers", Value::Null).1[0]["id"], "b-1");
    assert_eq!(parts.ask("GET", "/v1/endpoints", Value::Null).1[0]["endpoint"], "GET /0/x");
}

/// These verbs are on files and never wait.
fn answered(request: &AdminRequest, parts: &dyn AdminParts) -> AdminReply {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(answer(request, parts))
}
