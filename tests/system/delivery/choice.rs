//! Which worker gets a call when workers are not equally well (design section 6).

use crate::in_both_languages;
use crate::stage::{PREFIX, Stage, all_are_200, answered_by, times};
use hera_testkit::http::Request;
use hera_testkit::{Reply, TestBroker, wait_at_most, wait_until};
use hera_tests::worker_process::{Language, WorkerProcess};
use std::time::Duration;

/// From this share of its core on a worker burns; with nobody else on the machine it is 1.
const BURNS: f64 = 0.85;
const ROUNDS_MAX: u32 = 8;

in_both_languages! {
    worker_that_burns_its_cpu_gets_under_a_third
    ten_copies_all_get_calls
}

fn worker_that_burns_its_cpu_gets_under_a_third(language: Language) {
    let stage = Stage::alone();
    let burning = stage.worker_on_core(0, language, "burning");
    let other = stage.worker_on_core(1, language, "other");
    let told = stage.caller.call(format!("POST {PREFIX}/at/burning/burn/1"));
    assert!((200..300).contains(&told.status), "{}", told.text());

    // A round counts when the worker burned all through it: another program on this machine may take the core from it.
    let answers = (0..ROUNDS_MAX).find_map(|_| {
        let before = wait_cpu(&stage, &burning, |cpu| cpu > BURNS);
        // Long beside what a full machine adds, so that the two are equal but for the load that they report.
        let answers = stage.caller.calls(64, times(2000, "/sleep/50"));
        let after = wait_cpu(&stage, &burning, |cpu| cpu != before);
        (after > BURNS).then_some(answers)
    });

    let answers = answers.expect("the worker burns its core in one of the rounds");
    all_are_200(&answers);
    let share = answered_by(&answers, &burning);
    assert_eq!(share + answered_by(&answers, &other), 2000);
    assert!(share * 3 < 2000, "{share} of 2000 went to the burning worker: {:#?}", stage.records());
}

/// The share of its core that the worker reported, once it is as wanted; a report comes every 2 s.
fn wait_cpu(stage: &Stage, worker: &WorkerProcess, wanted: impl Fn(f64) -> bool) -> f64 {
    let mut found = None;
    wait_at_most(Duration::from_secs(30), "the worker's CPU in its reports", || {
        found = stage.record(worker).unwrap()["cpu"].as_f64().filter(|cpu| wanted(*cpu));
        found.is_some()
    });
    found.unwrap()
}

fn ten_copies_all_get_calls(language: Language) {
    let stage = Stage::alone();
    let name = |n| format!("copy-{n}");
    let copies: Vec<WorkerProcess> =
        (0..10).map(|n| WorkerProcess::start(language, &name(n), &stage.orders)).collect();
    copies.iter().for_each(|copy| stage.wait_serving(copy));

    let answers = stage.caller.calls(32, times(1000, "/sleep/2"));

    all_are_200(&answers);
    for copy in &copies {
        assert!(answered_by(&answers, copy) > 0, "{} got no call", copy.name());
    }
}

#[test]
fn blocked_event_loop_gets_no_new_calls_and_keeps_its_connection() {
    let stage = Stage::new();
    let blocked = stage.worker(Language::Node, "blocked");
    let other = stage.worker(Language::Node, "other");
    let before = stage.record(&blocked).unwrap();

    let told = stage.caller.call(format!("POST {PREFIX}/at/blocked/block/10000"));
    assert_eq!(told.status, 200, "{}", told.text());
    wait_until("the broker to call it busy", || stage.record(&blocked).unwrap()["state"] == "busy");
    let answers = stage.caller.calls(8, times(200, "/pid"));
    let during = stage.record(&blocked).unwrap();
    wait_at_most(Duration::from_secs(20), "the worker to be well again", || {
        stage.record(&blocked).unwrap()["state"] == "ok"
    });
    let after = stage.record(&blocked).unwrap();

    all_are_200(&answers);
    assert_eq!(answered_by(&answers, &other), 200);
    assert_eq!((&during["state"], &during["in_flight"]), (&"busy".into(), &0.into()));
    // The same connection: an address and a port that the worker has only once.
    for member in ["instance", "peer"] {
        assert_eq!((&before[member], &before[member]), (&during[member], &after[member]), "{member}");
    }
    wait_until("the worker to get calls again", || {
        answered_by(&stage.caller.calls(8, times(40, "/sleep/5")), &blocked) > 0
    });
}

/// The state of each worker of a broker, as `hera workers` shows it, by what `key` of it says.
fn shown(broker: &TestBroker, instance: &str, key: &str) -> serde_json::Value {
    let workers = broker.ask_admin(Request::get("/v1/workers")).json();
    let worker = workers.as_array().unwrap().iter().find(|worker| worker["instance"] == instance);
    worker.map(|worker| worker[key].clone()).unwrap_or_default()
}

#[test]
fn worker_that_fails_five_times_in_a_row_is_left_alone_and_asked_again() {
    let broker = TestBroker::start();
    let token = broker.token(&["* /0/**"]);
    let status = || broker.ask(&Request::new("POST", "/0/x").token(&token)).status;
    let (well, ill) = (broker.worker("well", &["POST /0/x"]), broker.worker("ill", &["POST /0/x"]));
    let instance = ill.instance.clone();
    // Slow enough that many calls at once make the ill one look the better choice.
    let _well = well.serve(|_| {
        let (_held, never) = std::sync::mpsc::channel::<()>();
        let _ = never.recv_timeout(Duration::from_millis(10));
        Reply::ok("{}")
    });
    let ill = ill.serve(|_| Reply::ok("{}").status(503));
    let crowd = || {
        let mut callers: Vec<_> = (0..50).map(|_| broker.caller()).collect();
        let request = Request::new("POST", "/0/x").token(&token).bytes();
        callers.iter_mut().for_each(|caller| caller.send(&request));
        callers.iter_mut().for_each(|caller| drop(caller.response()));
    };

    wait_at_most(Duration::from_secs(60), "the worker to be ejected", || {
        crowd();
        shown(&broker, &instance, "ejected") == 1
    });

    let calls = ill.calls();
    assert!((0..100).all(|_| status() == 200), "the other one serves");
    assert_eq!(ill.calls(), calls);
    assert_eq!(broker.metric("hera_ejections_total"), 1.0);
    wait_at_most(Duration::from_secs(60), "the worker to be asked again", || {
        crowd();
        ill.calls() > calls
    });
}

#[test]
fn nobody_is_left_alone_who_is_the_only_one() {
    let broker = TestBroker::start();
    let token = broker.token(&["* /0/**"]);
    let ill = broker.worker("ill", &["POST /0/x"]).serve(|_| Reply::ok("{}").status(503));

    for _ in 0..30 {
        assert_eq!(broker.ask(&Request::new("POST", "/0/x").token(&token)).status, 503);
    }

    assert_eq!(ill.calls(), 30, "each call was tried");
    assert_eq!(broker.metric("hera_ejections_total"), 0.0);
}

#[test]
fn caller_in_a_hurry_ejects_nobody() {
    let broker = TestBroker::start();
    let token = broker.token(&["* /0/**"]);
    let serve = |name: &str| {
        broker.worker(name, &["GET /0/x"]).serve(|_| {
            let (_held, never) = std::sync::mpsc::channel::<()>();
            let _ = never.recv_timeout(Duration::from_millis(60));
            Reply::ok("{}")
        })
    };
    let (_one, _two) = (serve("one"), serve("two"));

    for _ in 0..20 {
        let hasty = Request::get("/0/x").token(&token).header("Hera-Timeout", "1ms");
        assert_eq!(broker.ask(&hasty).status, 504);
    }

    assert_eq!(broker.metric("hera_ejections_total"), 0.0);
}
