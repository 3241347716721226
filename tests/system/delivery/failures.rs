//! Handlers that throw or never answer, and callers that leave (D2, D3).

use crate::curl_process::CurlProcess;
use crate::in_both_languages;
use crate::stage::{PREFIX, Stage};
use hera_testkit::http::Request;
use hera_testkit::wait_until;
use hera_tests::worker_process::Language;
use std::time::{Duration, Instant};

/// A status comes before the deadline and so much more (D2).
const GRACE: Duration = Duration::from_secs(1);

in_both_languages! {
    handler_that_throws_is_500_and_its_text_stays_in_the_workers_log
    handler_that_never_answers_is_504_at_the_deadline_and_cancelled
    caller_may_shorten_the_deadline
    caller_that_leaves_cancels_its_call
}

fn handler_that_throws_is_500_and_its_text_stays_in_the_workers_log(language: Language) {
    let stage = Stage::new();
    let worker = stage.worker(language, "a");

    let answer = stage.caller.call(format!("GET {PREFIX}/throw"));

    assert_eq!((answer.status, answer.header("hera-executed")), (500, Some("maybe")));
    assert_eq!(answer.json()["code"], "handler_failed");
    let id = answer.header("x-request-id").unwrap();
    wait_until("the worker's log", || {
        worker.log().contains(&format!("the handler broke on purpose for {id}"))
    });
    assert!(worker.log().contains(id));
    stage.broker.wait_log("the access line", |line| line.contains(id));
    let seen = [answer.text(), format!("{:?}", answer.headers), stage.broker.log().lines().join("\n")];
    assert!(seen.iter().all(|text| !text.contains("on purpose")), "{seen:?}");
    assert_eq!(stage.caller.call(format!("GET {PREFIX}/pid")).status, 200);
}

fn handler_that_never_answers_is_504_at_the_deadline_and_cancelled(language: Language) {
    let stage = Stage::new();
    let worker = stage.worker(language, "a");

    let begun = Instant::now();
    let answer = stage.caller.call(format!("GET {PREFIX}/never"));
    let took = begun.elapsed();

    assert_eq!((answer.status, answer.header("hera-executed")), (504, Some("maybe")));
    assert_eq!(answer.json()["code"], "deadline_exceeded");
    let deadline = Duration::from_secs(1);
    assert!(deadline <= took && took < deadline + GRACE, "{took:?}");
    stage.wait_event(&worker, "cancelled", answer.header("x-request-id").unwrap());
}

fn caller_may_shorten_the_deadline(language: Language) {
    let stage = Stage::new();
    let worker = stage.worker(language, "a");

    let begun = Instant::now();
    let request = Request::get(&format!("{PREFIX}/forever")).token(&stage.token);
    let answer = stage.broker.ask(&request.header("Hera-Timeout", "300ms").header("X-Request-Id", "short"));
    let took = begun.elapsed();

    assert_eq!((answer.status, answer.header("hera-executed")), (504, Some("maybe")));
    let deadline = Duration::from_millis(300);
    assert!(deadline <= took && took < deadline + GRACE, "{took:?}");
    stage.wait_event(&worker, "cancelled", "short");
}

fn caller_that_leaves_cancels_its_call(language: Language) {
    let stage = Stage::new();
    let worker = stage.worker(language, "a");
    let mut curl = CurlProcess::start(&stage, &format!("{PREFIX}/forever"), "left", &[]);
    stage.wait_event(&worker, "began", "left");

    curl.kill();

    stage.wait_event(&worker, "cancelled", "left");
    stage.wait_in_flight(&worker, 0);
}
