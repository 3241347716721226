//! Revoked is refused everywhere within two seconds, on open connections too.

use crate::stage::Stage;
use hera_testkit::RawWorker;
use hera_testkit::http::Request;
use hera_testkit::wait_until;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(2);

#[test]
fn session_of_a_revoked_key_is_cut() {
    let stage = Stage::new();
    for (service, on_files) in [("by-admin", false), ("by-files", true)] {
        let key = stage.broker.key(service, &["/**"]);
        let mut worker = RawWorker::join(stage.broker.workers(), &key);
        worker.declare(&["GET /x"]);

        let revoke = ["key", "revoke", service];
        let verdict = if on_files { stage.broker.cli_on_files(revoke) } else { stage.broker.cli(revoke) };
        let begun = Instant::now();

        assert_eq!(verdict.code, 0, "{}", verdict.stderr);
        assert_eq!(worker.cut(), ["unauthenticated"]);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        stage.stands_and_logged_once(&["session cut", "\"code\":\"unauthenticated\"", service]);
        // Nor does it come back.
        let mut again = RawWorker::connect(stage.broker.workers());
        let key = hera_protocol::key::WorkerKey::parse(&key).unwrap();
        assert_eq!(hera_testkit::refusal(&again.shake(&key, &hera_testkit::hello(&key))), "unauthenticated");
    }
    assert_eq!(stage.ask(Request::get("/x")).code(), "no_worker");
}

#[test]
fn session_that_serves_outside_its_changed_key_is_cut() {
    let stage = Stage::new();
    let mut worker = RawWorker::join(stage.broker.workers(), &stage.broker.key("raw", &["/**"]));
    worker.declare(&["GET /x"]);

    let verdict = stage.broker.cli(["key", "update", "raw", "--serve", "/elsewhere/**"]);

    assert_eq!(verdict.code, 0, "{}", verdict.stderr);
    assert_eq!(worker.cut(), ["endpoint_forbidden"]);
    stage.stands_and_logged_once(&["session cut", "\"code\":\"endpoint_forbidden\""]);
}

#[test]
fn revoked_token_is_refused_on_an_open_connection() {
    let stage = Stage::new();
    for on_files in [false, true] {
        let name = format!("doomed-{on_files}");
        let token = stage.broker.token_with(&["--name", &name, "--allow", "GET /**"]);
        let mut caller = stage.broker.caller();
        let request = Request::get("/canary").token(&token).bytes();
        caller.send(&request);
        assert_eq!(caller.response().status, 200);

        let revoke = ["token", "revoke", &name];
        let verdict = if on_files { stage.broker.cli_on_files(revoke) } else { stage.broker.cli(revoke) };
        assert_eq!(verdict.code, 0, "{}", verdict.stderr);
        let begun = Instant::now();

        wait_until("the refusal", || {
            caller.send(&request);
            caller.response().status == 401
        });
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        stage.canary.must_answer();
    }
}
