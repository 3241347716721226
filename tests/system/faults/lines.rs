//! Lines between a worker and its broker that go dead, tear what goes over them, or are slow (A10 to A14).

use crate::in_both_languages;
use crate::stage::{Stage, failed, other, record, us, wait_calls};
use hera_ledger::run::now_us;
use hera_ledger::{Method, Pace, Plan, Swarm, Terms};
use hera_testkit::{BrokerBuilder, Cut, Harm, Netns, Relay, TestBroker, wait_at_most};
use hera_tests::worker_process::Language::{self, Node, Rust};
use std::time::{Duration, Instant};

/// A stream that had begun ends where its worker's line is given up; all else holds.
const LINE_GONE: Terms = Terms { cut_answers: true, ..Terms::PROMISES };
/// These tests wait most of the time, beside each other.
const GENTLE: Pace = Pace::Open(200.0);
/// Two polls of its load missed, and the look that sees it.
const BYPASSED_AFTER: Duration = Duration::from_millis(4_600);
/// Both sides have given up a line that is dead.
const CLOSED_AFTER: Duration = Duration::from_secs(10);
/// Back-off of a worker that dials, and its start.
const BACK_AFTER: Duration = Duration::from_secs(30);

in_both_languages! {
    dead_line_is_bypassed_and_closed_and_the_worker_dials_again
    answers_are_the_same_byte_by_byte
    reset_in_mid_frame_costs_only_what_may_not_run_again
    slow_line_is_no_reason_to_give_up_a_worker
}

fn dead_line_is_bypassed_and_closed_and_the_worker_dials_again(language: Language) {
    go_dead(language, Cut::Both);
}

#[test]
fn worker_that_hears_nothing_is_bypassed() {
    go_dead(Rust, Cut::In);
}

#[test]
fn worker_that_nobody_hears_is_bypassed() {
    go_dead(Node, Cut::Out);
}

/// A worker behind a line of its own, which goes dead under load and comes back.
fn go_dead(language: Language, cut: Cut) {
    if !Netns::is_possible() {
        eprintln!("skipped: a network namespace needs root");
        return;
    }
    let netns = Netns::new();
    let broker = BrokerBuilder::default()
        .with_args(["--workers", &format!("{}:0", netns.outside())])
        .with_config("workers.plain_off_loopback = true\n");
    let stage = Stage::beside_others(broker);
    let broker = &stage.brokers[0];
    let far = stage.worker_in(&netns, language, "far");
    let _near = stage.worker(other(language), "near");
    let timeout = Some(Duration::from_secs(2));
    let swarm = Swarm::start(Plan { timeout, pace: GENTLE, ..stage.plan(broker.http()) });
    wait_calls(&swarm, 500);
    let open = descriptors(broker);

    netns.cut(cut);
    let (dead, dead_us) = (Instant::now(), now_us());
    wait_at_most(CLOSED_AFTER, "the broker to close the dead line", || record(broker, &far).is_none());
    eprintln!("{cut:?}: the broker gave it up after {:?}", dead.elapsed());
    wait_at_most(CLOSED_AFTER.saturating_sub(dead.elapsed()), "the worker to close the dead line", || {
        ["away", "closed", "no frame"].iter().any(|word| far.log().contains(word))
    });
    eprintln!("{cut:?}: the worker gave it up after {:?}", dead.elapsed());
    wait_calls(&swarm, 200);
    let healed_us = now_us();
    netns.heal();
    wait_at_most(BACK_AFTER, "the worker to be back", || record(broker, &far).is_some());
    stage.wait_serving(&far);
    wait_calls(&swarm, 500);
    let (verdict, calls) = stage.judge(swarm, LINE_GONE);

    verdict.must_be_clean();
    // An answer that was begun when the line died is cut, and its caller sees that.
    let honest =
        |_, label: &str| ["504 maybe", "502 maybe", "200 cut"].iter().any(|start| label.starts_with(start));
    assert_eq!(verdict.failures(), verdict.count_of(honest), "{verdict}");
    let bypassed_us = dead_us + us(BYPASSED_AFTER);
    let late = failed(&calls).find(|call| (bypassed_us..healed_us).contains(&call.begun_us));
    assert!(late.is_none(), "it was sent over the dead line after {BYPASSED_AFTER:?}: {late:?}");
    // Callers' connections are closed after some failures and opened anew; the dead one must not be there still.
    wait_at_most(CLOSED_AFTER, "descriptors of the dead line to be free", || descriptors(broker) <= open);
}

fn answers_are_the_same_byte_by_byte(language: Language) {
    let stage = Stage::beside_others(BrokerBuilder::default());
    let relay = Relay::to(stage.brokers[0].workers());
    let _worker = stage.worker_over(&relay, language, "torn");
    relay.set_both(Harm { piece_bytes: 1, ..Harm::default() });

    let swarm =
        Swarm::start(Plan { calls: Some(300), connections: 4, ..stage.plan(stage.brokers[0].http()) });
    wait_at_most(BACK_AFTER, "all calls to end", || swarm.is_done());
    let (verdict, _) = stage.judge(swarm, Terms::default());

    verdict.must_be_clean();
    assert_eq!((verdict.failures(), verdict.runs_again), (0, 0), "{verdict}");
}

fn reset_in_mid_frame_costs_only_what_may_not_run_again(language: Language) {
    let stage = Stage::beside_others(BrokerBuilder::default());
    let relay = Relay::to(stage.brokers[0].workers());
    let torn = stage.worker_over(&relay, language, "torn");
    let _sound = stage.worker(other(language), "sound");
    // At any moment some frame is half way.
    relay.set_both(Harm { piece_bytes: 7, bytes_per_second: 100_000, ..Harm::default() });

    let swarm = Swarm::start(Plan { connections: 32, pace: GENTLE, ..stage.plan(stage.brokers[0].http()) });
    for _ in 0..3 {
        wait_calls(&swarm, 500);
        relay.reset();
        stage.wait_serving(&torn);
    }
    wait_calls(&swarm, 500);
    let (verdict, calls) = stage.judge(swarm, Terms { cut_answers: true, ..Terms::default() });

    verdict.must_be_clean();
    let honest = |method: Method, label: &str| {
        label.ends_with(" cut") || !method.is_idempotent() && label == "502 maybe worker_lost by broker"
    };
    assert_eq!(verdict.failures(), verdict.count_of(honest), "{:?}\n{verdict}", failed(&calls).next());
}

fn slow_line_is_no_reason_to_give_up_a_worker(language: Language) {
    let stage = Stage::beside_others(BrokerBuilder::default());
    let relay = Relay::to(stage.brokers[0].workers());
    let _worker = stage.worker_over(&relay, language, "slow");
    let ms = Duration::from_millis;
    relay.set_both(Harm { delay: ms(150), jitter: ms(50), bytes_per_second: 125_000, ..Harm::default() });

    let swarm = Swarm::start(Plan { connections: 8, pace: GENTLE, ..stage.plan(stage.brokers[0].http()) });
    // Longer than any time after which a worker that is not heard would be given up.
    let (begun, long) = (Instant::now(), Duration::from_secs(10));
    wait_at_most(long * 2, "the time that a silent worker has", || begun.elapsed() > long);
    let (verdict, _) = stage.judge(swarm, Terms::default());

    verdict.must_be_clean();
    assert_eq!(verdict.failures(), 0, "{verdict}");
    assert_eq!(relay.accepted(), 1, "the worker had to dial again");
}

fn descriptors(broker: &TestBroker) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).unwrap().count()
}
