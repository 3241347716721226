//! A broker with one service, `work`, that may serve `/0/work/**`, and a token that may call it.

use hera_testkit::http::Request;
use hera_testkit::{TestBroker, wait_at_most, wait_until};
use hera_tests::caller::{Answer, Caller};
use hera_tests::worker_process::{Language, Orders, WorkerProcess};
use serde_json::Value;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// Front of every path of the workers.
pub(crate) const PREFIX: &str = "/0/work";

/// Two cores: what measures or moves much runs alone, the rest beside each other.
static CORES: RwLock<()> = RwLock::new(());

enum Turn {
    Shared { _guard: RwLockReadGuard<'static, ()> },
    Alone { _guard: RwLockWriteGuard<'static, ()> },
}

/// What a test acts on.
pub(crate) struct Stage {
    pub(crate) broker: TestBroker,
    pub(crate) caller: Caller,
    pub(crate) token: String,
    pub(crate) orders: Orders,
    _turn: Turn,
}

impl Stage {
    /// For tests that are mostly waiting.
    pub(crate) fn new() -> Stage {
        Stage::with(Turn::Shared { _guard: CORES.read().unwrap_or_else(PoisonError::into_inner) })
    }

    /// For tests that need the machine for themselves.
    pub(crate) fn alone() -> Stage {
        Stage::with(Turn::Alone { _guard: CORES.write().unwrap_or_else(PoisonError::into_inner) })
    }

    fn with(turn: Turn) -> Stage {
        let broker = TestBroker::start();
        let token = broker.token(&["* /0/**"]);
        let secret = broker.key("work", &["/0/work/**"]);
        let orders = Orders {
            brokers: broker.workers_url(),
            secret,
            prefix: PREFIX.into(),
            environment: vec![("GATE", broker.dir().join("gate")), ("RUNS", broker.dir().join("runs"))],
        };
        let caller = Caller::new(broker.http(), token.clone());
        Stage { broker, caller, token, orders, _turn: turn }
    }

    /// Starts a worker and waits until it serves.
    pub(crate) fn worker(&self, language: Language, name: &str) -> WorkerProcess {
        let worker = WorkerProcess::start(language, name, &self.orders);
        self.wait_serving(&worker);
        worker
    }

    /// The same on one core.
    pub(crate) fn worker_on_core(&self, core: usize, language: Language, name: &str) -> WorkerProcess {
        let worker = WorkerProcess::start_on_core(core, language, name, &self.orders);
        self.wait_serving(&worker);
        worker
    }

    /// Waits until the broker has heard of the worker's load and may send it calls: one that began on a full machine is busy for a moment.
    pub(crate) fn wait_serving(&self, worker: &WorkerProcess) {
        // Ten processes of Node that start at once take their time on two cores.
        wait_at_most(Duration::from_secs(30), &format!("worker {} to serve", worker.name()), || {
            assert!(worker.runs(), "worker {} ended before it served", worker.name());
            self.record(worker).is_some_and(|record| takes_calls(&record) && !record["cpu"].is_null())
        });
    }

    /// Lets the calls of `GET hold` go.
    pub(crate) fn open_gate(&self) {
        std::fs::write(self.file("GATE"), "open").unwrap();
    }

    /// Nonces of all runs of all workers, in order.
    pub(crate) fn runs(&self) -> Vec<String> {
        std::fs::read_to_string(self.file("RUNS")).unwrap().lines().map(str::to_owned).collect()
    }

    fn file(&self, name: &str) -> &PathBuf {
        self.orders.environment.iter().find(|(found, _)| *found == name).map(|(_, path)| path).unwrap()
    }

    /// All workers as the admin API tells of them.
    pub(crate) fn records(&self) -> Vec<Value> {
        let response = self.broker.ask_admin(Request::get("/v1/workers"));
        assert_eq!(response.status, 200);
        serde_json::from_slice(&response.body).unwrap()
    }

    /// This worker as the admin API tells of it; an instance name holds the process id.
    pub(crate) fn record(&self, worker: &WorkerProcess) -> Option<Value> {
        let pid = format!("-{}-", worker.pid());
        self.records().into_iter().find(|record| record["instance"].as_str().unwrap().contains(&pid))
    }

    /// Waits until the broker counts so many calls in flight at this worker.
    pub(crate) fn wait_in_flight(&self, worker: &WorkerProcess, calls: u64) {
        wait_until(&format!("{calls} calls in flight at worker {}", worker.name()), || {
            self.record(worker).is_some_and(|record| record["in_flight"] == calls)
        });
    }

    /// What the worker tells of itself.
    pub(crate) fn state(&self, worker: &WorkerProcess) -> Value {
        let answer = self.caller.call(format!("GET {PREFIX}/at/{}/state", worker.name()));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Details of the events of this kind that the worker noted for a request.
    pub(crate) fn events(&self, worker: &WorkerProcess, what: &str, request_id: &str) -> Vec<String> {
        let state = self.state(worker);
        let wanted =
            state["events"].as_array().unwrap().iter().filter(|e| e["what"] == what && e["id"] == request_id);
        wanted.map(|event| event["detail"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn wait_event(&self, worker: &WorkerProcess, what: &str, request_id: &str) {
        wait_until(&format!("event {what} of {request_id}"), || {
            !self.events(worker, what, request_id).is_empty()
        });
    }
}

/// `n` times the same request.
pub(crate) fn times(n: usize, request: &str) -> impl Iterator<Item = String> {
    std::iter::repeat_n(format!("GET {PREFIX}{request}"), n)
}

/// Fails with the first answer that is not 200.
pub(crate) fn all_are_200(answers: &[Answer]) {
    let bad: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200).collect();
    if let Some(first) = bad.first() {
        panic!(
            "{} of {} are not 200; {} is {}: {}",
            bad.len(),
            answers.len(),
            first.request,
            first.status,
            first.text()
        );
    }
}

/// How many of these answers this worker gave.
pub(crate) fn answered_by(answers: &[Answer], worker: &WorkerProcess) -> usize {
    answers.iter().filter(|answer| answer.json()["pid"] == worker.pid()).count()
}

/// Whether a worker is well, be it that it only just joined.
fn takes_calls(record: &Value) -> bool {
    matches!(record["state"].as_str(), Some("ok" | "starting"))
}
