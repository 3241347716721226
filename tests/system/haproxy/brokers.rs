//! Brokers that drain, freeze, have no worker, or take their time, with callers in front of HAProxy.

use crate::stub::Stub;
use hera_testkit::http::Request;
use hera_testkit::{
    BrokerBuilder, Call, Haproxy, RawWorker, Reply, Serving, TestBroker, wait_at_most, wait_until,
};
use hera_tests::caller::Caller;
use std::time::{Duration, Instant};

/// Two brokers that know the same token and endpoints; workers come by the key.
struct Two {
    brokers: [TestBroker; 2],
    token: String,
    key: String,
}

impl Two {
    fn new() -> Two {
        let first = TestBroker::start();
        let (token, key) = (first.token(&["* /0/**"]), first.key("work", &["/0/**"]));
        // So that the other one knows the endpoints too, which are then ones without a worker there.
        drop(serving(&first, &key, |_| Reply::ok("")));
        let second = BrokerBuilder::default().with_records_of(&first).start();
        Two { brokers: [first, second], token, key }
    }

    fn haproxy(&self, options: &[&str], change: impl FnOnce(&str) -> String) -> Haproxy {
        for broker in &self.brokers {
            wait_until("the brokers to be ready", || broker.ask(&Request::get("/-/ready")).status == 200);
        }
        let haproxy = Haproxy::changed(&[self.brokers[0].http(), self.brokers[1].http()], options, change);
        haproxy.wait_up(&["b1", "b2"]);
        haproxy
    }

    fn caller(&self, haproxy: &Haproxy) -> Caller {
        Caller::new(haproxy.address(), self.token.clone())
    }
}

const ENDPOINTS: [&str; 2] = ["GET /0/work", "POST /0/work"];

fn serving(broker: &TestBroker, key: &str, handler: impl FnMut(&Call) -> Reply + Send + 'static) -> Serving {
    let mut worker = RawWorker::join(broker.workers(), key);
    worker.declare(&ENDPOINTS);
    worker.serve(handler)
}

fn calls(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("{} /0/work", if n % 2 == 0 { "GET" } else { "POST" }))
}

#[test]
fn broker_without_worker_costs_no_call_and_425_is_never_seen() {
    let two = Two::new();
    let worker = serving(&two.brokers[1], &two.key, |_| Reply::ok("here"));
    let haproxy = two.haproxy(&[], str::to_owned);

    let answers = two.caller(&haproxy).calls(4, calls(60));
    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
    assert_eq!(worker.calls(), 60);

    drop(worker);
    wait_until("the worker to be gone", || {
        two.brokers[1].ask(&Request::get("/0/work").token(&two.token)).status == 503
    });
    for answer in two.caller(&haproxy).calls(2, calls(8)) {
        assert_eq!((answer.status, answer.header("hera-executed")), (503, Some("no")), "{answer:?}");
        assert!(String::from_utf8(answer.body).unwrap().contains("no_worker"));
    }
}

#[test]
fn drain_of_one_of_two_brokers_under_load_loses_nothing() {
    let two = Two::new();
    let handler = |_: &Call| Reply::ok("here");
    let workers = [serving(&two.brokers[0], &two.key, handler), serving(&two.brokers[1], &two.key, handler)];
    let haproxy = two.haproxy(&[], str::to_owned);

    let load = two.caller(&haproxy).begin(8, calls(16_000));
    wait_until("calls at the broker", || workers[0].calls() > 200);
    two.brokers[0].sigterm();
    assert_eq!(two.brokers[0].wait_exit(), 0);
    wait_until("HAProxy to see its end", || {
        haproxy.servers().iter().all(|state| state.server != "b1" || state.status == "DOWN")
    });
    let answers = load.finish();

    let bad = answers.iter().find(|answer| answer.status != 200);
    assert!(bad.is_none(), "{bad:?}");
    let by = |broker: &TestBroker| {
        answers.iter().filter(|answer| answer.header("hera-broker") == Some(broker.id())).count()
    };
    assert!(by(&two.brokers[0]) > 100 && by(&two.brokers[1]) > 100);
}

#[test]
fn frozen_broker_loses_no_get_and_answers_for_its_posts_with_502() {
    let two = Two::new();
    let handler = |_: &Call| Reply::ok("here");
    let workers = [serving(&two.brokers[0], &two.key, handler), serving(&two.brokers[1], &two.key, handler)];
    let haproxy = two.haproxy(&[], str::to_owned);

    let load = two.caller(&haproxy).begin(8, calls(6_000));
    wait_until("calls at the broker", || workers[0].calls() > 100);
    two.brokers[0].signal("STOP");
    let answers = load.finish();
    two.brokers[0].signal("CONT");

    for answer in answers.iter().filter(|answer| answer.status != 200) {
        assert!(answer.request.starts_with("POST"), "{answer:?}");
        assert_eq!((answer.status, answer.header("hera-executed")), (502, Some("maybe")), "{answer:?}");
    }
    let lost = answers.iter().filter(|answer| answer.status != 200).count();
    assert!(lost <= 8, "at most what was under way: {lost}");
}

#[test]
fn caller_that_leaves_cancels_its_call() {
    let broker = TestBroker::start();
    let token = broker.token(&["* /0/**"]);
    let mut worker = broker.worker("work", &ENDPOINTS);
    let haproxy = Haproxy::before(&broker);
    for request in [Request::get("/0/work"), Request::post("/0/work", "x")] {
        let mut caller = haproxy.caller();
        caller.send(&request.token(&token).bytes());
        let call = worker.call();

        drop(caller);

        let (params, _) = worker.notified("cancel");
        assert_eq!(params["id"], call.id);
    }
}

#[test]
fn deadline_is_the_broker_s_to_tell() {
    let broker = TestBroker::start();
    let token = broker.token(&["* /0/**"]);
    let _worker = broker.worker("work", &ENDPOINTS);
    let haproxy = Haproxy::before(&broker);

    let response = haproxy.ask(&Request::get("/0/work").token(&token).header("Hera-Timeout", "200ms"));

    assert_eq!((response.status, response.code().as_str()), (504, "deadline_exceeded"));
    assert_eq!(response.executed(), Some("maybe"));
    assert_eq!(response.header("hera-broker"), Some(broker.id()));
}

/// The one test that takes its time: HAProxy waits for a caller that sends nothing for 30 s, and this one waits longer for its answer.
#[test]
fn answer_may_take_longer_than_haproxy_waits_for_a_caller() {
    let broker = TestBroker::start();
    let token = broker.token(&["* /0/**"]);
    let mut worker = broker.worker("work", &[]);
    worker.declare_with(serde_json::json!([{"endpoint": "POST /0/report", "timeout_ms": 60_000}]));
    let haproxy = Haproxy::before(&broker);
    let mut caller = haproxy.caller();
    caller.patience(Duration::from_secs(60));
    let begun = Instant::now();
    caller.send(&Request::post("/0/report", "x").token(&token).bytes());
    let call = worker.call();

    // The worker goes on answering the broker's polls meanwhile.
    let answered = std::thread::spawn(move || {
        wait_at_most(Duration::from_secs(40), "31 s to pass", || {
            worker.ping();
            begun.elapsed() > Duration::from_secs(31)
        });
        worker.answer(call.id, 200, &[], b"at last");
        worker
    });
    let response = caller.response_to("POST");

    assert_eq!((response.status, response.text()), (200, "at last"));
    drop(answered.join());
}

#[test]
fn dead_broker_beside_a_live_one_costs_no_call() {
    let stub = Stub::start();
    let haproxy = Haproxy::changed(&["127.0.0.1:1".parse().unwrap(), stub.address], &[], str::to_owned);

    let answers = Caller::new(haproxy.address(), "t").calls(4, calls(40));

    assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
}
