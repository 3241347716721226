//! `kill -9` of a worker under load: what may run twice is answered, what may not is told, and never runs twice (D1, D2).

use crate::in_both_languages;
use crate::stage::{PREFIX, Stage, all_are_200, answered_by, times};
use hera_testkit::wait_until;
use hera_tests::worker_process::{Language, WorkerProcess};
use std::collections::{HashMap, HashSet};

in_both_languages! {
    killed_worker_loses_none_of_1000_gets
    killed_worker_loses_none_of_1000_gets_in_flight_at_once
    killed_worker_loses_posts_as_maybe_and_none_runs_twice
}

fn killed_worker_loses_none_of_1000_gets(language: Language) {
    let stage = Stage::alone();
    let dying = stage.worker(language, "dying");
    let other = stage.worker(language, "other");

    let load = stage.caller.begin(64, times(1000, "/sleep/20"));
    kill_under_load(&stage, &dying);
    let answers = load.finish();

    all_are_200(&answers);
    assert!(answered_by(&answers, &dying) >= 100);
    assert!(answered_by(&answers, &other) >= 100);
}

fn killed_worker_loses_none_of_1000_gets_in_flight_at_once(language: Language) {
    let stage = Stage::alone();
    let dying = stage.worker(language, "dying");
    let other = stage.worker(language, "other");
    let in_flight = |worker| stage.record(worker).and_then(|r| r["in_flight"].as_u64()).unwrap_or(0);

    let load = stage.caller.begin(1000, times(1000, "/hold"));
    wait_until("all calls to be in flight", || in_flight(&dying) + in_flight(&other) == 1000);
    let shares = (in_flight(&dying), in_flight(&other));
    dying.kill();
    wait_until("the other worker to have them all", || in_flight(&other) == 1000);
    stage.open_gate();

    all_are_200(&load.finish());
    assert!(shares.0 >= 200 && shares.1 >= 200, "a fresh route is shared: {shares:?}");
}

fn killed_worker_loses_posts_as_maybe_and_none_runs_twice(language: Language) {
    let stage = Stage::alone();
    let dying = stage.worker(language, "dying");
    let _other = stage.worker(language, "other");

    let load = stage.caller.begin(64, (0..1000).map(|n| format!("POST {PREFIX}/run/n{n}?ms=20")));
    kill_under_load(&stage, &dying);
    let answers = load.finish();

    let mut runs: HashMap<String, u32> = HashMap::new();
    for nonce in stage.runs() {
        *runs.entry(nonce).or_default() += 1;
    }
    assert_eq!(runs.values().max(), Some(&1), "a POST ran twice");
    let lost: HashSet<&str> =
        answers.iter().filter(|a| a.status != 200).map(|a| a.request.as_str()).collect();
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert_eq!(
            (answer.status, answer.header("hera-executed")),
            (502, Some("maybe")),
            "{}",
            answer.text()
        );
        assert_eq!(answer.json()["code"], "worker_lost");
    }
    // Those that were answered did run.
    for n in 0..1000 {
        let ran = runs.contains_key(&format!("n{n}"));
        assert!(
            ran || lost.contains(format!("POST {PREFIX}/run/n{n}?ms=20").as_str()),
            "n{n} was answered and never ran"
        );
    }
    assert!(!lost.is_empty() && lost.len() <= 64, "{} calls were in flight at the killed worker", lost.len());
}

/// Kills it in the middle: it has answered some, and has some.
fn kill_under_load(stage: &Stage, worker: &WorkerProcess) {
    wait_until("the load to be under way", || {
        stage.record(worker).is_some_and(|record| {
            record["answered"].as_u64() >= Some(100) && record["in_flight"].as_u64() > Some(0)
        })
    });
    worker.kill();
}
