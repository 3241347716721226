//! SIGTERM on a worker or a broker loses nothing (D4).

use crate::in_both_languages;
use crate::stage::{PREFIX, Stage, all_are_200, answered_by, times};
use hera_testkit::wait_until;
use hera_tests::worker_process::Language;

in_both_languages! {
    draining_worker_answers_200_calls_in_flight_and_exits_0
    draining_single_worker_answers_all_and_new_calls_are_told_no
    draining_broker_answers_200_calls_in_flight_and_workers_find_the_next_one
}

fn draining_worker_answers_200_calls_in_flight_and_exits_0(language: Language) {
    let stage = Stage::new();
    let leaving = stage.worker(language, "leaving");
    let held = stage.caller.begin(200, times(200, "/hold"));
    stage.wait_in_flight(&leaving, 200);
    let staying = stage.worker(language, "staying");

    leaving.sigterm();
    wait_until("the worker to drain", || {
        stage.record(&leaving).is_none_or(|record| record["state"] == "draining")
    });
    let new = stage.caller.calls(50, times(200, "/pid"));
    stage.open_gate();
    let held = held.finish();

    all_are_200(&held);
    all_are_200(&new);
    assert_eq!((answered_by(&held, &leaving), answered_by(&new, &staying)), (200, 200));
    assert_eq!(leaving.wait_exit().code(), Some(0));
}

fn draining_single_worker_answers_all_and_new_calls_are_told_no(language: Language) {
    let stage = Stage::new();
    let leaving = stage.worker(language, "leaving");
    let held = stage.caller.begin(200, times(200, "/hold"));
    stage.wait_in_flight(&leaving, 200);

    leaving.sigterm();
    wait_until("the worker to drain", || {
        stage.record(&leaving).is_none_or(|record| record["state"] == "draining")
    });
    let refused = stage.caller.call(format!("GET {PREFIX}/pid"));
    stage.open_gate();
    let held = held.finish();

    all_are_200(&held);
    assert_eq!((refused.status, refused.header("hera-executed")), (503, Some("no")), "{}", refused.text());
    assert_eq!(refused.json()["code"], "no_worker");
    assert_eq!(leaving.wait_exit().code(), Some(0));
}

fn draining_broker_answers_200_calls_in_flight_and_workers_find_the_next_one(language: Language) {
    let mut stage = Stage::new();
    let worker = stage.worker(language, "a");
    let held = stage.caller.begin(200, times(200, "/hold"));
    stage.wait_in_flight(&worker, 200);

    stage.broker.sigterm();
    wait_until("/-/ready to say 404", || stage.caller.call("GET /-/ready").status == 404);
    let new = stage.caller.call(format!("GET {PREFIX}/pid"));
    stage.open_gate();
    let held = held.finish();

    all_are_200(&held);
    assert_eq!(new.status, 200, "{}", new.text());
    for answer in held.iter().chain([&new]) {
        assert_eq!(answer.header("connection").map(str::to_lowercase).as_deref(), Some("close"));
    }
    assert_eq!(stage.broker.wait_exit(), 0);

    stage.broker.restart();
    stage.wait_serving(&worker);
    let again = stage.caller.call(format!("GET {PREFIX}/pid"));

    assert!(worker.runs());
    assert_eq!((again.status, answered_by(&[again], &worker)), (200, 1));
}
