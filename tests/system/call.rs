//! `hera call`: what it prints where, and its exit codes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it stands")]

use hera_testkit::{Reply, Serving, TestBroker, command};
use std::io::Write;
use std::process::{Output, Stdio};

struct Stage {
    broker: TestBroker,
    key: String,
    _users: Serving,
}

impl Stage {
    fn new() -> Stage {
        let broker = TestBroker::start();
        let key = broker.calling_key("me", &[], &["GET /0/users/**", "POST /0/echo"]);
        let users = broker.worker("users", &["GET /0/users/{id}", "POST /0/echo", "GET /0/other"]);
        let users = users.serve(|call| match call.endpoint.as_str() {
            "POST /0/echo" => Reply::ok(call.body.to_vec()).header("x-a", &call.header("x-a").join(",")),
            _ if call.params["path"] == "/0/users/0" => Reply::ok("nobody").status(404),
            _ => Reply::ok(r#"{"name":"Ada"}"#).header("content-type", "application/json"),
        });
        Stage { broker, key, _users: users }
    }

    fn call(&self, args: &[&str], input: &[u8]) -> Output {
        let mut hera = command();
        hera.arg("call").args(args).env("SECRET", &self.key).env("HERA", self.broker.workers_url());
        let mut child =
            hera.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Who does not read stdin may be gone before it is written.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }
}

fn told(output: &Output) -> (i32, &str, &str) {
    let text = |bytes| std::str::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn body_goes_to_stdout_alone_and_the_rest_to_stderr() {
    let stage = Stage::new();

    let output = stage.call(&["GET", "/0/users/42"], b"");
    let (code, stdout, stderr) = told(&output);

    assert_eq!((code, stdout), (0, r#"{"name":"Ada"}"#));
    assert!(stderr.starts_with("200 from users/1.0/"), "{stderr}");
}

#[test]
fn json_has_all_of_the_answer() {
    let stage = Stage::new();

    let output = stage.call(&["POST", "/0/echo", "-H", "X-A: b", "-d", "@-", "--json"], b"[1,2]");
    let (code, stdout, _) = told(&output);
    let answer: serde_json::Value = serde_json::from_str(stdout).unwrap();

    assert_eq!(code, 0);
    assert_eq!((&answer["status"], &answer["body"]), (&200.into(), &serde_json::json!([1, 2])));
    assert_eq!(answer["headers"]["x-a"], "b");
    assert!(answer["worker"].as_str().unwrap().starts_with("users/1.0/"), "{answer}");
}

#[test]
fn failures_say_what_happened_and_whether_it_ran() {
    let stage = Stage::new();

    let output = stage.call(&["GET", "/0/users/0"], b"");
    let (code, stdout, stderr) = told(&output);
    assert_eq!((code, stdout), (1, "nobody"));
    assert!(stderr.contains("the worker answered 404"), "{stderr}");

    let output = stage.call(&["GET", "/0/other"], b"");
    let (code, _, stderr) = told(&output);
    assert!(code == 1 && stderr.contains("forbidden") && stderr.contains("hera key update me"), "{stderr}");
    assert!(stderr.contains("no worker started on it"), "{stderr}");
}

#[test]
fn what_can_never_be_is_refused_before_anything_is_dialled() {
    let stage = Stage::new();
    for args in [&["GET", "/0/users/1", "--timeout", "7"][..], &["GET", "/0/users/1", "-H", "no colon"]] {
        let output = stage.call(args, b"");
        assert_eq!(told(&output).0, 2, "{output:?}");
    }
    let output = command().args(["call", "GET", "/x"]).env_remove("SECRET").output().unwrap();
    let (code, _, stderr) = told(&output);
    assert!(code == 78 && stderr.contains("hera key create --name NAME --call"), "{code} {stderr}");
}
