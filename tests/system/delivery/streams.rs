//! Bodies that do not fit memory: byte-exact at the slower end's pace, harmless to other calls, and never ended when they were cut (P-38 to P-42).
//!
//! The slow end takes 32 MiB/s; with `HERA_LONG_TESTS=1` in the environment it takes 4 MiB/s, and a test a good minute.

use crate::curl_process::{CurlProcess, Got};
use crate::in_both_languages;
use crate::stage::{PREFIX, Stage, all_are_200, times};
use hera_testkit::wait_until;
use hera_tests::pattern;
use hera_tests::worker_process::{Language, WorkerProcess};
use std::io::Write;
use std::path::Path;

const MIB: u64 = 1024 * 1024;
const BODY_BYTES: u64 = 256 * MIB;
/// What a broker's memory may grow by while a body goes through.
const GROWTH_MAX: u64 = 8 * MIB;
/// Statuses of curl for a body that was cut: fewer bytes than promised, and a connection that was reset.
const CUT: [i32; 2] = [18, 56];

in_both_languages! {
    large_upload_to_a_slow_worker_is_exact_and_holds_up_nobody
    large_download_to_a_slow_caller_is_exact_and_holds_up_nobody
    large_body_is_echoed_exactly_while_it_comes
    bodies_under_way_survive_the_drain_of_their_worker
    bodies_under_way_survive_the_drain_of_their_broker
    upload_cut_by_its_caller_is_an_error_to_the_worker
    download_cut_by_its_caller_is_told_to_the_worker
    download_cut_by_a_killed_worker_is_an_error_to_the_caller
}

fn large_upload_to_a_slow_worker_is_exact_and_holds_up_nobody(language: Language) {
    let stage = Stage::alone();
    let worker = stage.worker(language, "a");
    let file = stage.broker.dir().join("body");
    write_pattern(&file, BODY_BYTES);
    warm_up(&stage);

    let path = format!("{PREFIX}/upload?rate={}", rate());
    let got = watched(&stage, || {
        let body = file.display().to_string();
        CurlProcess::start(&stage, &path, "large-up", &["--max-time", "300", "-X", "POST", "-T", &body])
    });

    let said: serde_json::Value = serde_json::from_str(&got.beginning).unwrap();
    assert_eq!((got.exit, &said["bytes"]), (0, &BODY_BYTES.into()), "{got:?}");
    assert_eq!(said["sha256"], pattern::sha256(BODY_BYTES));
    stage.wait_in_flight(&worker, 0);
}

fn large_download_to_a_slow_caller_is_exact_and_holds_up_nobody(language: Language) {
    let stage = Stage::alone();
    let worker = stage.worker(language, "a");
    warm_up(&stage);

    let path = format!("{PREFIX}/download/{BODY_BYTES}");
    let got = watched(&stage, || {
        CurlProcess::start(
            &stage,
            &path,
            "large-down",
            &["--max-time", "300", "--limit-rate", &rate().to_string()],
        )
    });

    assert_eq!((got.exit, got.bytes), (0, BODY_BYTES), "{}", got.beginning);
    assert_eq!(got.sha256, pattern::sha256(BODY_BYTES));
    stage.wait_in_flight(&worker, 0);
}

fn large_body_is_echoed_exactly_while_it_comes(language: Language) {
    let stage = Stage::alone();
    let worker = stage.worker(language, "a");
    let bytes = 32 * MIB + 1;
    let file = stage.broker.dir().join("body");
    write_pattern(&file, bytes);

    let body = file.display().to_string();
    let path = format!("{PREFIX}/stream");
    let got =
        CurlProcess::start(&stage, &path, "echo", &["--max-time", "60", "-X", "POST", "-T", &body]).finish();

    assert_eq!((got.exit, got.bytes), (0, bytes), "{}", got.beginning);
    assert_eq!(got.sha256, pattern::sha256(bytes));
    stage.wait_in_flight(&worker, 0);
}

fn bodies_under_way_survive_the_drain_of_their_worker(language: Language) {
    let stage = Stage::new();
    let worker = stage.worker(language, "a");

    bodies_survive(&stage, &worker, || worker.sigterm());

    assert_eq!(worker.wait_exit().code(), Some(0));
}

fn bodies_under_way_survive_the_drain_of_their_broker(language: Language) {
    let stage = Stage::new();
    let worker = stage.worker(language, "a");

    bodies_survive(&stage, &worker, || stage.broker.sigterm());

    assert_eq!(stage.broker.wait_exit(), 0);
}

/// Begins a slow upload and a slow download, does what `drain` does, and expects both to be whole.
fn bodies_survive(stage: &Stage, worker: &WorkerProcess, drain: impl FnOnce()) {
    let bytes = 16 * MIB;
    let file = stage.broker.dir().join("body");
    write_pattern(&file, bytes);
    let body = file.display().to_string();
    let (up, down) = (format!("{PREFIX}/upload?rate={}", 8 * MIB), format!("{PREFIX}/download/{bytes}"));
    let up = CurlProcess::start(stage, &up, "up", &["--max-time", "60", "-X", "POST", "-T", &body]);
    let down = CurlProcess::start(stage, &down, "down", &["--max-time", "60", "--limit-rate", "8M"]);
    stage.wait_event(worker, "upload_began", "up");
    down.wait_bytes();

    drain();
    let (up, down) = (up.finish(), down.finish());

    let said: serde_json::Value = serde_json::from_str(&up.beginning).unwrap_or_default();
    let sha256 = pattern::sha256(bytes);
    assert_eq!((up.exit, &said["sha256"]), (0, &sha256.clone().into()), "{up:?}");
    assert_eq!((down.exit, down.bytes, down.sha256), (0, bytes, sha256), "{}", down.beginning);
}

fn upload_cut_by_its_caller_is_an_error_to_the_worker(language: Language) {
    let stage = Stage::new();
    let worker = stage.worker(language, "a");
    let file = stage.broker.dir().join("body");
    write_pattern(&file, 16 * MIB);
    let body = file.display().to_string();
    let path = format!("{PREFIX}/upload?rate={MIB}");
    let mut curl = CurlProcess::start(&stage, &path, "cut-up", &["-X", "POST", "-T", &body]);
    stage.wait_event(&worker, "upload_began", "cut-up");

    curl.kill();

    stage.wait_event(&worker, "upload_cut", "cut-up");
    assert!(stage.events(&worker, "upload_end", "cut-up").is_empty());
    stage.wait_in_flight(&worker, 0);
}

fn download_cut_by_its_caller_is_told_to_the_worker(language: Language) {
    let stage = Stage::new();
    let worker = stage.worker(language, "a");
    let path = format!("{PREFIX}/download/{}", 64 * MIB);
    let mut curl = CurlProcess::start(&stage, &path, "cut-down", &["--limit-rate", "1M"]);
    curl.wait_bytes();

    curl.kill();

    stage.wait_event(&worker, "download_cut", "cut-down");
    assert!(stage.events(&worker, "download_end", "cut-down").is_empty());
    stage.wait_in_flight(&worker, 0);
}

fn download_cut_by_a_killed_worker_is_an_error_to_the_caller(language: Language) {
    for query in ["", "?length=1"] {
        let stage = Stage::new();
        let worker = stage.worker(language, "a");
        let path = format!("{PREFIX}/download/{}{query}", 64 * MIB);
        let curl =
            CurlProcess::start(&stage, &path, "lost-down", &["--max-time", "60", "--limit-rate", "4M"]);
        curl.wait_bytes();

        worker.kill();
        let got = curl.finish();

        assert!(
            CUT.contains(&got.exit) && got.bytes < 64 * MIB,
            "curl ended with {} after {} bytes",
            got.exit,
            got.bytes
        );
        stage.broker.wait_log("the access line", |line| line.contains("lost-down"));
    }
}

/// Runs a large call, 1,000 small ones beside it over the same session, and holds the broker's memory to its bound.
fn watched(stage: &Stage, start: impl FnOnce() -> CurlProcess) -> Got {
    let before = stage.broker.rss_bytes();
    let mut greatest = before;
    let mut curl = start();
    for _ in 0..20 {
        all_are_200(&stage.caller.calls(8, times(50, "/pid")));
        greatest = greatest.max(stage.broker.rss_bytes());
    }
    assert!(curl.runs(), "the large call was over before the small ones were");
    let end = std::thread::spawn(move || curl.finish());
    while !end.is_finished() {
        all_are_200(&stage.caller.calls(1, times(5, "/sleep/20")));
        greatest = greatest.max(stage.broker.rss_bytes());
    }
    let grown = greatest - before;
    assert!(grown < GROWTH_MAX, "the broker grew by {} KiB from {} KiB", grown / 1024, before / 1024);
    end.join().unwrap()
}

/// The memory that calls of any kind need, and a body on its way should add little to.
fn warm_up(stage: &Stage) {
    all_are_200(&stage.caller.calls(8, times(1000, "/pid")));
    wait_until("the calls to be over", || stage.records().iter().all(|record| record["in_flight"] == 0));
}

fn rate() -> u64 {
    let long = std::env::var_os("HERA_LONG_TESTS").is_some_and(|value| value == "1");
    if long { 4 * MIB } else { 32 * MIB }
}

fn write_pattern(path: &Path, bytes: u64) {
    let mut file = std::fs::File::create(path).unwrap();
    pattern::blocks(bytes).for_each(|block| file.write_all(&block).unwrap());
}
