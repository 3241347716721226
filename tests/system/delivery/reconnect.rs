//! Workers and brokers that come up in any order, and keys that are refused.

use crate::in_both_languages;
use crate::stage::{PREFIX, Stage};
use hera_testkit::wait_until;
use hera_tests::worker_process::{Language, Orders, WorkerProcess};

in_both_languages! {
    worker_waits_for_a_broker_and_comes_back_to_the_next_one
    refused_key_ends_the_worker_with_a_message
    refused_endpoint_ends_the_worker_with_a_message
}

fn worker_waits_for_a_broker_and_comes_back_to_the_next_one(language: Language) {
    let mut stage = Stage::new();
    stage.broker.kill();

    let worker = WorkerProcess::start(language, "early", &stage.orders);
    wait_until("the worker to say that nobody is there", || !worker.log().is_empty());
    assert!(worker.runs());
    for _ in 0..2 {
        stage.broker.restart();
        stage.wait_serving(&worker);
        let answer = stage.caller.call(format!("GET {PREFIX}/pid"));
        assert_eq!((answer.status, &answer.json()["pid"]), (200, &worker.pid().into()), "{}", answer.text());
        stage.broker.kill();
        assert!(worker.runs());
    }

    worker.sigterm();
    assert_eq!(worker.wait_exit().code(), Some(0));
}

fn refused_key_ends_the_worker_with_a_message(language: Language) {
    let stage = Stage::new();
    let secret = stage.broker.key("revoked", &["/0/work/**"]);
    assert_eq!(stage.broker.cli(["key", "revoke", "revoked"]).code, 0);

    let worker = WorkerProcess::start(language, "a", &Orders { secret, ..stage.orders.clone() });

    let status = worker.wait_exit();
    assert!(status.code().is_some_and(|code| code > 0), "{status}");
    wait_until("the reason in its log", || worker.log().contains("unauthenticated"));
}

fn refused_endpoint_ends_the_worker_with_a_message(language: Language) {
    let stage = Stage::new();

    let worker =
        WorkerProcess::start(language, "a", &Orders { prefix: "/0/other".into(), ..stage.orders.clone() });

    let status = worker.wait_exit();
    assert!(status.code().is_some_and(|code| code > 0), "{status}");
    wait_until("the endpoint and the reason in its log", || {
        let log = worker.log();
        log.contains("GET /0/other/pid") && log.contains("endpoint_forbidden")
    });
}
