//! A broker that cannot start says why in one line, and with which exit code.

use hera_testkit::http::Request;
use hera_testkit::{BrokerBuilder, Reply, TestBroker, Verdict, wait_until};

/// One line on stderr with all these parts, nothing on stdout, and this exit code.
fn says(verdict: &Verdict, code: i32, parts: &[&str]) {
    let lines: Vec<&str> = verdict.stderr.lines().collect();
    assert_eq!((lines.len(), verdict.stdout.as_str()), (1, ""), "{verdict:?}");
    assert_eq!(verdict.code, code, "{verdict:?}");
    for part in parts {
        assert!(lines[0].contains(part), "{part:?} is not in {:?}", lines[0]);
    }
}

#[test]
fn unknown_key_is_named_with_file_line_and_the_nearest_one() {
    let verdict = TestBroker::with_config("[http]\n\nlissen = \"127.0.0.1:0\"\n").run();
    says(&verdict, 78, &["hera.toml:3", "http.lissen", "http.listen"]);
}

#[test]
fn unknown_section_is_named() {
    let verdict = TestBroker::with_config("[htpt]\nlisten = \"127.0.0.1:0\"\n").run();
    says(&verdict, 78, &["hera.toml:", "htpt"]);
}

#[test]
fn wrong_value_is_named_with_what_is_allowed() {
    let verdict = TestBroker::with_config("[drain]\ntimeout = \"15 minutes\"\n").run();
    says(&verdict, 78, &["hera.toml:2", "drain.timeout", "15 minutes"]);
    let verdict = TestBroker::with_config("[http]\nconnections_max = 0\n").run();
    says(&verdict, 78, &["hera.toml:2", "http.connections_max"]);
}

#[test]
fn file_that_is_no_toml_is_named_with_its_line() {
    let verdict = TestBroker::with_config("[http]\nlisten = \n").run();
    says(&verdict, 78, &["hera.toml:2"]);
}

#[test]
fn file_that_is_not_there_is_named() {
    let verdict = TestBroker::with_args(["--config", "none.toml"]).run();
    says(&verdict, 78, &["none.toml"]);
}

#[test]
fn unknown_or_wrong_variable_is_named() {
    let verdict = TestBroker::with_env("HERA_HTTP__LISSEN", "127.0.0.1:0").run();
    says(&verdict, 78, &["HERA_HTTP__LISSEN"]);
    let verdict = TestBroker::with_env("HERA_DRAIN__TIMEOUT", "soon").run();
    says(&verdict, 78, &["HERA_DRAIN__TIMEOUT", "soon"]);
}

#[test]
fn wrong_flag_is_named() {
    let verdict = TestBroker::with_args(["--http", "localhost"]).run();
    says(&verdict, 78, &["--http", "localhost"]);
}

#[test]
fn plain_listeners_stay_on_loopback_unless_asked() {
    let verdict = TestBroker::with_args(["--http", "0.0.0.0:0"]).run();
    says(&verdict, 78, &["http.listen", "plain_off_loopback"]);
    let verdict = TestBroker::with_args(["--workers", "0.0.0.0:0"]).run();
    says(&verdict, 78, &["workers.listen", "plain_off_loopback"]);
    let verdict = TestBroker::with_args(["--admin", "0.0.0.0:0"]).run();
    says(&verdict, 78, &["admin.listen"]);
}

#[test]
fn port_that_is_taken_is_named_with_what_to_do() {
    let broker = TestBroker::start();
    for (flag, address) in
        [("--http", broker.http()), ("--workers", broker.workers()), ("--admin", broker.admin())]
    {
        let verdict = TestBroker::with_args([flag, &address.to_string()]).run();
        says(&verdict, 1, &[flag, &address.to_string()]);
    }
    // The first one still owns its doors.
    assert!(broker.is_running());
    assert_eq!(broker.cli(["brokers"]).code, 0);
}

#[test]
fn data_dir_that_cannot_be_is_named() {
    // A folder under a file can be made by nobody, not even by root.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let path = file.join("data").display().to_string();
    let verdict = TestBroker::with_args(["--data-dir", &path]).run();
    says(&verdict, 1, &[&path]);
}

#[test]
fn second_broker_of_a_data_dir_does_not_start() {
    let broker = TestBroker::start();
    let path = broker.data_dir().display().to_string();
    let verdict = TestBroker::with_args(["--data-dir", &path]).run();
    says(&verdict, 1, &[&path, "another broker"]);
    assert!(broker.is_running());
}

#[test]
fn usage_that_is_wrong_is_exit_2() {
    let verdict = TestBroker::with_args(["--no-such-flag"]).run();
    assert_eq!((verdict.code, verdict.stdout.as_str()), (2, ""));
    assert!(verdict.stderr.contains("--no-such-flag"));
}

#[test]
fn sigterm_ends_an_idle_broker_with_0() {
    let broker = BrokerBuilder::default().start();
    broker.sigterm();
    assert_eq!(broker.wait_exit(), 0);
}

#[test]
fn second_sigterm_ends_it_at_once() {
    let broker = TestBroker::start();
    let worker = broker.worker("raw", &["GET /x"]);
    broker.sigterm();
    broker.sigterm();
    assert_eq!(broker.wait_exit(), 0);
    worker.leave();
}

#[test]
fn young_broker_serves_callers_and_sends_the_calls_of_a_proxy_elsewhere() {
    let broker = TestBroker::start();
    let worker = broker.worker("early", &["GET /x"]);
    let _serving = worker.serve(|_| Reply::ok("{}"));
    let token = broker.token(&["* /x"]);
    let ask = || broker.ask(&Request::get("/x").token(&token).header("Hera-Peer", "retry-425"));
    let direct = || broker.ask(&Request::get("/x").token(&token)).status;
    let ready = || broker.ask(&Request::get("/-/ready")).status == 200;

    let (first, before) = (ask(), ready());

    // Not ready at a look behind it, so not ready then.
    if !before {
        assert_eq!((first.status, first.code().as_str(), first.executed()), (425, "no_worker", Some("no")));
        assert_eq!(direct(), 200);
    }
    wait_until("the broker to be ready", ready);
    assert_eq!(ask().status, 200);
}

#[test]
fn worker_that_joins_does_not_make_a_ready_broker_young_again() {
    let broker = TestBroker::start();
    let readiness = || broker.ask(&Request::get("/-/ready")).status;
    wait_until("the broker to be ready", || readiness() == 200);

    let _worker = broker.worker("late", &["GET /a"]);

    assert_eq!(readiness(), 200);
}
