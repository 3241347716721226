//! Who is let in: tokens, scopes, the anonymous record.

use crate::stage::{Stage, says, values};
use hera_testkit::http::{Request, Response};
use serde_json::json;

/// What must not tell one unauthorized answer from another.
fn told(response: &Response) -> (u16, Vec<(String, Vec<u8>)>, serde_json::Value) {
    let varying = ["date", "x-request-id", "server-timing"];
    let headers =
        response.headers.iter().filter(|(name, _)| !varying.contains(&name.as_str())).cloned().collect();
    let mut body = response.json();
    body["request_id"].take();
    (response.status, headers, body)
}

#[test]
fn missing_unknown_and_malformed_tokens_get_one_answer_for_every_path() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /known", "POST /post-only"]);
    let narrow = stage.broker.token_with(&["--name", "gone", "--allow", "GET /**"]);
    assert_eq!(stage.broker.cli(["token", "revoke", "gone"]).code, 0);
    let mut wrong_digit = stage.token.clone().into_bytes();
    let last = wrong_digit.len() - 1;
    wrong_digit[last] = if wrong_digit[last] == b'a' { b'b' } else { b'a' };
    let wrong_digit = String::from_utf8(wrong_digit).unwrap();
    let tokens =
        ["", "x", "hera_", "hera_\u{e9}", &"hera_a".repeat(1000), narrow.as_str(), wrong_digit.as_str()];

    let first = told(&stage.broker.ask(&Request::get("/known")));
    assert_eq!((first.0, &first.2["code"]), (401, &json!("unauthorized")));
    for path in ["/known", "/unknown", "/post-only", "/known/deeper"] {
        assert_eq!(told(&stage.broker.ask(&Request::get(path))), first, "{path}");
        for token in tokens {
            assert_eq!(
                told(&stage.broker.ask(&Request::get(path).token(token))),
                first,
                "{path} {token:.20}"
            );
        }
    }
    let response = stage.broker.ask(&Request::get("/known"));
    assert_eq!(response.header("www-authenticate"), Some("Bearer realm=\"hera\""));
    assert_eq!(response.executed(), Some("no"));
}

#[test]
fn header_that_can_be_no_token_is_refused_before_it_is_looked_up() {
    let stage = Stage::new();
    let worker = stage.mirror(&["GET /x"]);
    let ask = |header: Vec<u8>| {
        let mut caller = stage.broker.caller();
        caller.try_send(&[b"GET /x HTTP/1.1\r\nHost: h\r\n", &header[..], b"\r\n\r\n"].concat());
        caller.response()
    };
    let token = stage.token.as_bytes();

    assert_eq!(
        says(&ask([b"Hera-Token: ", &vec![b'a'; 1 << 20][..]].concat())),
        (431, "head_too_large".into(), Some("no"))
    );
    for control in [b"\0", b"\r", b"\x0b", b"\x7f"] {
        let header = [b"Hera-Token: ", token, control, token].concat();
        assert_eq!(ask(header).code(), "bad_request", "{control:?}");
    }
    for odd in [b"\xe9".as_slice(), b",", b", ", b";", b"=", b"\t", b" "] {
        let header = [b"Hera-Token: ", token, odd, token].concat();
        assert_eq!(ask(header).code(), "unauthorized", "{odd:?}");
        let header = [b"Authorization: Bearer ", token, odd, token].concat();
        assert_eq!(ask(header).code(), "unauthorized", "{odd:?}");
    }
    assert_eq!(
        ask([b"Hera-Token:\t ", token, b" \t"].concat()).status,
        200,
        "space around a value is none of it"
    );
    assert_eq!(worker.calls(), 1);
}

#[test]
fn token_in_the_query_is_none() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    for name in ["token", "Hera-Token", "hera_token", "access_token"] {
        let target = format!("/x?{name}={}", stage.token);
        assert_eq!(says(&stage.broker.ask(&Request::get(&target))), (401, "unauthorized".into(), Some("no")));
    }
}

#[test]
fn call_out_of_scope_is_told_the_command_that_would_allow_it() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /0/a", "POST /0/a", "GET /0/b"]);
    let token = stage.broker.token_with(&["--name", "narrow", "--allow", "GET /0/a"]);

    let ask = |method: &str, path: &str| stage.broker.ask(&Request::new(method, path).token(&token));

    assert_eq!(ask("GET", "/0/a").status, 200);
    assert_eq!(ask("HEAD", "/0/a").status, 200);
    for (method, path) in
        [("POST", "/0/a"), ("GET", "/0/b"), ("GET", "/0/a/deeper"), ("GET", "/nowhere"), ("DELETE", "/0/a")]
    {
        let response = ask(method, path);
        assert_eq!(says(&response), (403, "forbidden".into(), Some("no")), "{method} {path}");
        let detail = response.json()["detail"].as_str().unwrap().to_owned();
        assert!(
            detail.contains("hera token create") && detail.contains(&format!("'{method} {path}'")),
            "{detail}"
        );
        assert!(!detail.contains(&token), "{detail}");
    }
}

#[test]
fn both_headers_carry_a_token_and_neither_reaches_the_worker() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let token = &stage.token;

    for request in [
        Request::get("/x").header("Hera-Token", token),
        Request::get("/x").header("hera-token", token),
        Request::get("/x").header("Authorization", format!("Bearer {token}")),
        Request::get("/x").header("authorization", format!("bearer {token}")),
        Request::get("/x").header("AUTHORIZATION", format!("BEARER   {token}")),
    ] {
        let response = stage.broker.ask(&request);
        assert_eq!(response.status, 200, "{request:?}");
        assert!(!response.text().contains(&token[..20]), "{}", response.text());
    }
}

#[test]
fn applications_own_authorization_passes_beside_a_hera_token() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);

    let seen = stage.seen(Request::get("/x").header("Authorization", "Basic dXNlcjpwYXNz"));

    assert_eq!(values(&seen, "authorization"), ["Basic dXNlcjpwYXNz"]);
}

#[test]
fn two_credentials_are_ambiguous() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let token = &stage.token;
    let bearer = format!("Bearer {token}");

    for request in [
        Request::get("/x").token(token).token(token),
        Request::get("/x").token(token).header("Authorization", &bearer),
        Request::get("/x").header("Authorization", &bearer).header("Authorization", &bearer),
        Request::get("/x").token(token).header("Authorization", "Basic a").header("Authorization", "Basic b"),
        // A bad one never falls back to the other.
        Request::get("/x").token("nonsense").header("Authorization", &bearer),
    ] {
        let response = stage.broker.ask(&request);
        assert_eq!(says(&response), (400, "ambiguous_credentials".into(), Some("no")), "{request:?}");
    }
}

#[test]
fn anonymous_record_lets_calls_in_and_a_bad_token_does_not_fall_back_to_it() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /open", "GET /closed"]);
    stage.broker.token_with(&["--anonymous", "--allow", "GET /open", "--label", "who=anyone"]);

    let open = stage.broker.ask(&Request::get("/open").header("Authorization", "Bearer of-the-application"));

    assert_eq!(open.status, 200, "{open:?}");
    let seen = open.json();
    assert_eq!(seen["params"]["caller"]["token"], json!(null));
    assert_eq!(seen["params"]["caller"]["labels"], json!({"who": "anyone"}));
    assert_eq!(values(&seen, "authorization"), ["Bearer of-the-application"]);
    assert_eq!(stage.broker.ask(&Request::get("/closed")).code(), "forbidden");
    assert_eq!(stage.broker.ask(&Request::get("/open").token("hera_bad")).code(), "unauthorized");
    assert_eq!(stage.broker.ask(&Request::get("/open").token("")).code(), "unauthorized");
}

#[test]
fn name_labels_and_address_reach_the_worker() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let token = stage
        .broker
        .token_with(&["--name", "ads", "--allow", "GET /x", "--label", "team=ads", "--label", "env=prod"]);

    let seen = stage.broker.ask(&Request::get("/x").token(&token)).json();

    let caller = json!({"token": "ads", "labels": {"team": "ads", "env": "prod"}, "ip": "127.0.0.1"});
    assert_eq!(seen["params"]["caller"], caller);
}

#[test]
fn token_made_on_the_files_of_a_running_broker_works_at_once() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    for n in 0..5 {
        let verdict =
            stage.broker.cli_on_files(["token", "create", "--name", &format!("t{n}"), "--allow", "GET /x"]);
        assert_eq!(verdict.code, 0, "{}", verdict.stderr);
        let response = stage.broker.ask(&Request::get("/x").token(verdict.stdout.trim()));
        assert_eq!(response.status, 200, "{response:?}");
    }
}

#[test]
fn key_made_on_the_files_of_a_running_broker_works_at_once() {
    let stage = Stage::new();
    for n in 0..5 {
        let verdict = stage.broker.cli_on_files([
            "key",
            "create",
            "--name",
            &format!("k{n}"),
            "--serve",
            &format!("/{n}/**"),
        ]);
        assert_eq!(verdict.code, 0, "{}", verdict.stderr);
        hera_testkit::RawWorker::join(stage.broker.workers(), verdict.stdout.trim())
            .declare(&[&format!("GET /{n}/x")]);
    }
}

#[test]
fn expired_token_is_refused() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    let token = stage.broker.token_with(&["--allow", "GET /x", "--expires", "1s"]);
    hera_testkit::wait_until("the expiry", || {
        stage.broker.ask(&Request::get("/x").token(&token)).status == 401
    });
}

#[test]
fn secrets_stand_in_no_log() {
    let stage = Stage::new();
    let _worker = stage.mirror(&["GET /x"]);
    stage.ask(Request::get("/x"));
    stage.ask(Request::get("/nowhere"));
    stage.broker.ask(&Request::get("/x").token(&format!("{}x", stage.token)));
    let bearer = format!("Bearer {}", stage.token);
    stage.broker.ask(&Request::get("/x").header("Authorization", bearer).token(&stage.token));
    stage.broker.wait_log("the last line", |line| line.contains("ambiguous_credentials"));

    let secret = &stage.token[stage.token.len() - 40..];

    assert!(stage.broker.log().matching(|line| line.contains(secret)).is_empty());
    assert!(!stage.broker.metrics().contains(secret));
}
