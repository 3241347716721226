//! P-25 and P-26: what workers say of themselves is weighed, not believed.

use crate::stage::Stage;
use hera_testkit::http::Request;
use hera_testkit::{RawWorker, Reply, wait_until};
use serde_json::{Value, json};

/// The broker's view of the worker of this service.
fn seen(stage: &Stage, service: &str) -> Value {
    let verdict = stage.broker.cli(["workers", "--json"]);
    let workers: Vec<Value> = serde_json::from_str(&verdict.stdout).unwrap();
    workers.into_iter().find(|worker| worker["service"] == service).unwrap_or_default()
}

fn raw(stage: &Stage, service: &str, load: &Value) -> RawWorker {
    let mut worker = RawWorker::join(stage.broker.workers(), &stage.broker.key(service, &["/**"]));
    worker.load = load.clone();
    worker.declare(&["GET /x"]);
    worker
}

#[test]
fn value_that_is_no_finite_number_makes_a_worker_busy_until_a_good_one_comes() {
    let stage = Stage::new();
    let bad = [
        json!({"cpu": -1}),
        json!({"cpu": "NaN"}),
        json!({"delay_ms": null}),
        json!({"delay_ms": [1]}),
        json!({"rss_bytes": -1, "rss_limit_bytes": 5}),
        json!({"in_flight": true}),
    ];
    for (at, load) in bad.iter().enumerate() {
        let service = format!("liar-{at}");
        // Told with an answer: a poll would make it busy before the call came.
        let mut worker = raw(&stage, &service, &json!({}));
        let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
        worker.answer_with(call.id, json!({"status": 200, "headers": [], "load": load}), b"ok");
        assert_eq!(caller.response().status, 200);
        wait_until("it to be busy", || seen(&stage, &service)["state"] == "busy");

        let response = stage.ask(Request::get("/x").header("Hera-Timeout", "5s"));
        assert_eq!((response.code().as_str(), response.executed()), ("workers_busy", Some("no")), "{load}");
        worker.leave();
        wait_until("it to be gone", || seen(&stage, &service).is_null());
    }
    stage.canary.must_answer();
}

#[test]
fn worker_that_was_late_gets_calls_only_while_it_is_alone() {
    let stage = Stage::new();
    let late = json!({"delay_ms": 350});
    let alone = raw(&stage, "late", &late).serve(|_| Reply::ok("late"));
    wait_until("it to be busy", || seen(&stage, "late")["state"] == "busy");

    assert_eq!(stage.ask(Request::get("/x")).text(), "late");

    let _other = raw(&stage, "other", &json!({"delay_ms": 0})).serve(|_| Reply::ok("other"));
    let before = alone.calls();
    for _ in 0..50 {
        assert_eq!(stage.ask(Request::get("/x")).text(), "other");
    }
    assert_eq!(alone.calls(), before);
}

#[test]
fn number_beyond_every_range_is_no_number() {
    let stage = Stage::new();
    let mut worker = raw(&stage, "liar", &json!({}));
    let (mut caller, call) = stage.call(&mut worker, Request::get("/x"));
    let head = format!(
        r#"{{"jsonrpc":"2.0","id":{},"result":{{"status":200,"headers":[],"load":{{"cpu":1e400}}}}}}"#,
        call.id
    );

    worker.send_frame(head.as_bytes(), b"ok");

    assert_eq!(caller.response().text(), "ok");
    wait_until("it to be busy", || seen(&stage, "liar")["state"] == "busy");
    stage.canary.must_answer();
}

#[test]
fn worker_that_claims_to_be_idle_gets_at_most_twice_its_share() {
    let stage = Stage::new();
    let load = |cpu: f64| json!({"cpu": cpu, "delay_ms": 0, "in_flight": 0});
    let liar = raw(&stage, "liar", &load(0.0)).serve(|_| Reply::ok("liar"));
    let honest: Vec<_> = (0..3)
        .map(|n| raw(&stage, &format!("honest-{n}"), &load(0.5)).serve(|_| Reply::ok("honest")))
        .collect();

    let mut caller = stage.broker.caller();
    for _ in 0..400 {
        caller.send(&Request::get("/x").token(&stage.token).bytes());
        assert_eq!(caller.response().status, 200);
    }

    let all: u64 = liar.calls() + honest.iter().map(|worker| worker.calls()).sum::<u64>();
    assert_eq!(all, 400);
    // Of two that are drawn one is chosen, so the best of four gets a call whenever it is drawn: half of them, and what chance adds (four deviations).
    assert!(liar.calls() <= 240, "{} of 400 went to one of four", liar.calls());
}

#[test]
fn worker_that_does_not_answer_polls_gets_no_calls_and_keeps_its_connection() {
    let stage = Stage::new();
    let mut worker = raw(&stage, "mute", &Value::Null);

    wait_until("it to be busy", || seen(&stage, "mute")["state"] == "busy");
    assert_eq!(stage.ask(Request::get("/x")).code(), "workers_busy");
    stage.stands_and_logged_once(&["worker is busy", "mute/"]);

    worker.load = json!({});
    // It answers the polls that waited, and those to come.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let call = worker.call();
            worker.answer(call.id, 200, &[], b"back");
        });
        wait_until("it to be back", || {
            let response = stage.ask(Request::get("/x"));
            response.status == 200 && response.text() == "back"
        });
    });
}
