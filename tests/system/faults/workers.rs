//! Workers that are killed, frozen, hang, and are restarted one by one (A1, A2, A3, A8).

use crate::in_every_language;
use crate::stage::{Stage, failed, is_long, other, record, us, wait_calls};
use hera_ledger::run::now_us;
use hera_ledger::{Broken, Kind, Method, Mix, Plan, Swarm, Terms};
use hera_testkit::{signal, wait_at_most, wait_until};
use hera_tests::worker_process::{Language, WorkerProcess};
use std::time::{Duration, Instant};

/// A killed worker is out of routing in that time.
const OUT_AFTER: Duration = Duration::from_millis(100);
/// A frozen one: two polls of its load missed, and the look that sees it.
const BYPASSED_AFTER: Duration = Duration::from_millis(4_600);

in_every_language! {
    killed_worker_under_500_calls_costs_only_what_may_not_run_again
    frozen_worker_is_bypassed_and_wakes_without_ghosts
    hanging_handler_costs_its_own_calls_alone
}

fn killed_worker_under_500_calls_costs_only_what_may_not_run_again(language: Language) {
    let stage = Stage::of(1);
    let [dying, _other] = stage.workers([(language, "dying"), (other(language), "other")]);

    let mix = Mix::of([
        (5, Method::Post, Kind::Slow(300)),
        (1, Method::Patch, Kind::Slow(300)),
        (2, Method::Get, Kind::Slow(300)),
        (1, Method::Put, Kind::Slow(300)),
        (1, Method::Delete, Kind::Slow(300)),
        (1, Method::Post, Kind::Again(300)),
    ]);
    let swarm = Swarm::start(Plan { connections: 500, mix, ..stage.plan(stage.brokers[0].http()) });
    wait_calls(&swarm, 1_000);
    wait_until("500 calls in flight", || swarm.in_flight() == 500 && in_flight(&stage, &dying) > 50);
    dying.kill();
    let out_us = now_us() + us(OUT_AFTER);
    wait_calls(&swarm, 1_500);
    let (verdict, calls) = stage.judge(swarm, Terms::default());

    verdict.must_be_clean();
    let honest =
        |method: Method, label: &str| !method.is_idempotent() && label == "502 maybe worker_lost by broker";
    assert_eq!(verdict.failures(), verdict.count_of(honest), "{verdict}");
    assert!((1..=500).contains(&verdict.failures()), "{verdict}");
    let again = failed(&calls).find(|call| call.idempotent);
    assert!(again.is_none(), "it could have run again: {again:?}");
    let late = failed(&calls).find(|call| call.begun_us > out_us);
    assert!(late.is_none(), "it began {OUT_AFTER:?} after the worker's end: {late:?}");
}

fn frozen_worker_is_bypassed_and_wakes_without_ghosts(language: Language) {
    let stage = Stage::of(1);
    let [freezing, _other] = stage.workers([(language, "freezing"), (other(language), "other")]);
    let frozen_for = Duration::from_secs(if is_long() { 30 } else { 7 });

    let plan = Plan {
        connections: 32,
        mix: Mix::all(Kind::Slow(50)),
        timeout: Some(Duration::from_secs(2)),
        ..stage.plan(stage.brokers[0].http())
    };
    let swarm = Swarm::start(plan);
    wait_calls(&swarm, 1_000);
    wait_until("it to have its share", || in_flight(&stage, &freezing) >= 4);
    signal("STOP", freezing.pid());
    let (frozen, frozen_us) = (Instant::now(), now_us());
    wait_at_most(frozen_for * 2, "the time of the freeze", || frozen.elapsed() >= frozen_for);
    let woken_us = now_us();
    signal("CONT", freezing.pid());
    stage.wait_serving(&freezing);
    wait_calls(&swarm, 1_000);
    let (verdict, calls) = stage.judge(swarm, Terms::default());

    // One call may have been in the very act of starting when its process was frozen: no program can call that one back.
    let begun = verdict.violations().iter().filter(|violation| {
        violation.broken == Broken::RanLate
            && violation.call.as_ref().is_some_and(|call| call.begun_us < frozen_us)
    });
    let ghosts = verdict.violations().len() - begun.count().min(1);
    assert_eq!(ghosts, 0, "{verdict}");
    assert_eq!(verdict.runs_again, 0, "a deadline that passed is no reason to run it again: {verdict}");
    assert_eq!(verdict.failures(), verdict.count_of(|_, label| label.starts_with("504 ")), "{verdict}");
    assert!(verdict.failures() > 0, "some calls were there when it froze: {verdict}");
    let bypassed_us = frozen_us + us(BYPASSED_AFTER);
    let late = failed(&calls).find(|call| (bypassed_us..woken_us).contains(&call.begun_us));
    assert!(late.is_none(), "it was sent to the frozen worker after {BYPASSED_AFTER:?}: {late:?}");
}

fn hanging_handler_costs_its_own_calls_alone(language: Language) {
    const HANGING: u64 = 50;
    let stage = Stage::of(1);
    let worker = stage.worker(language, "worker");
    let broker = stage.brokers[0].http();

    let sound = Swarm::start(Plan { connections: 4, ..stage.plan(broker) });
    wait_calls(&sound, 200);
    let hanging = Swarm::start(Plan {
        connections: 50,
        calls: Some(HANGING),
        mix: Mix::all(Kind::Hang),
        timeout: Some(Duration::from_secs(1)),
        ..stage.plan(broker)
    });
    wait_until("all calls to hang", || hanging.is_done() || in_flight(&stage, &worker) >= HANGING);
    let hung = hanging.finish();
    wait_until("the worker to cancel them all", || stage.ask("/at/worker/cancelled") == HANGING.to_string());
    wait_until("their places to be free", || in_flight(&stage, &worker) <= 4);
    wait_calls(&sound, 200);
    sound.stop();
    let sound = sound.finish();

    assert_eq!(failed(&sound).count(), 0, "another endpoint was hurt: {:?}", failed(&sound).next());
    let (verdict, _) = stage.judge_calls(hung.into_iter().chain(sound).collect(), Terms::default());
    verdict.must_be_clean();
    assert_eq!(
        verdict.count_of(|_, label| label == "504 maybe deadline_exceeded by broker"),
        HANGING,
        "{verdict}"
    );
    assert_eq!(verdict.runs_again, 0, "{verdict}");
}

#[test]
fn rolling_restart_of_workers_loses_nothing() {
    let stage = Stage::of(2);
    let rounds = if is_long() { 5 } else { 1 };
    let names = [(Language::Rust, "rust"), (Language::Node, "node"), (Language::Java, "java")];
    let mut workers: Vec<(Language, WorkerProcess)> =
        names.into_iter().map(|(language, name)| (language, stage.worker(language, name))).collect();
    let haproxy = stage.haproxy();

    let swarm = Swarm::start(stage.plan(haproxy.address()));
    wait_calls(&swarm, 500);
    for round in 0..rounds {
        for (language, worker) in &mut workers {
            let next = stage.worker(*language, &format!("{language:?}-{round}").to_lowercase());
            let old = std::mem::replace(worker, next);
            old.sigterm();
            assert_eq!(old.wait_exit().code(), Some(0), "{}", old.log());
            wait_calls(&swarm, 200);
        }
        // And those of which there is none to take over first: the other one has it all.
        for (language, worker) in &mut workers {
            worker.sigterm();
            assert_eq!(worker.wait_exit().code(), Some(0), "{}", worker.log());
            wait_calls(&swarm, 200);
            *worker = stage.worker(*language, &format!("{language:?}-{round}-again").to_lowercase());
        }
    }
    wait_calls(&swarm, 200);
    let (verdict, calls) = stage.judge(swarm, Terms::default());

    verdict.must_be_clean();
    assert_eq!(verdict.failures(), 0, "{:?}\n{verdict}", failed(&calls).next());
}

fn in_flight(stage: &Stage, worker: &WorkerProcess) -> u64 {
    record(&stage.brokers[0], worker).and_then(|record| record["in_flight"].as_u64()).unwrap_or(0)
}
