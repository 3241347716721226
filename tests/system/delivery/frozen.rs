//! A broker that was frozen begins nothing that nobody waits for any more (D3, A6).

use hera_testkit::http::Request;
use hera_testkit::{Reply, TestBroker, wait_at_most, wait_until};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[test]
fn frozen_broker_runs_no_call_whose_caller_left_or_whose_time_is_over() {
    let broker = TestBroker::start();
    let token = broker.token(&["* /0/**"]);
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let worker = broker.worker("ads", &["POST /0/left", "POST /0/late", "POST /0/fine"]);
    let _serving = worker.serve(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        Reply::ok("{}")
    });
    let post = |path: &str| Request::post(path, "{}").token(&token);
    wait_until("the worker to serve", || broker.ask(&post("/0/fine")).status == 200);
    let before = runs.load(Ordering::Relaxed);
    let (mut leaver, mut late, mut patient) = (broker.caller(), broker.caller(), broker.caller());

    broker.signal("STOP");
    leaver.send(&post("/0/left").bytes());
    drop(leaver);
    late.send(&post("/0/late").header("Hera-Timeout", "300ms").bytes());
    patient.send(&post("/0/fine").bytes());
    let frozen = Instant::now();
    wait_at_most(Duration::from_secs(5), "the freeze to last", || frozen.elapsed() > Duration::from_secs(2));
    broker.signal("CONT");

    let answer = late.response();
    assert_eq!(
        (answer.status, answer.code().as_str(), answer.executed()),
        (504, "deadline_exceeded", Some("no"))
    );
    assert_eq!(patient.response().status, 200);
    assert_eq!(runs.load(Ordering::Relaxed) - before, 1, "the patient one alone");
}

#[test]
fn broker_that_was_frozen_is_not_ready_until_it_read_what_waited() {
    let broker = TestBroker::start();
    let ready = Request::get("/-/ready");
    wait_until("it to be ready", || broker.ask(&ready).status == 200);
    let mut prober = broker.caller();

    broker.signal("STOP");
    prober.send(&ready.bytes());
    let frozen = Instant::now();
    wait_at_most(Duration::from_secs(5), "the freeze to last", || frozen.elapsed() > Duration::from_secs(2));
    broker.signal("CONT");

    let answer = prober.response();
    assert_eq!((answer.status, answer.text()), (503, "frozen a moment ago\n"));
    wait_until("it to be ready again", || broker.ask(&ready).status == 200);
}
