//! Brokers with the same records, one service, a token that may call it, and a folder of runs.

use hera_ledger::{Call, Kind, Ledger, Method, Mix, Outcome, Plan, RunFiles, Swarm, Terms, Verdict};
use hera_testkit::http::Request;
use hera_testkit::{BrokerBuilder, Haproxy, Netns, Relay, TestBroker, TestCluster, wait_at_most, wait_until};
use hera_tests::worker_process::{Language, Orders, WorkerProcess, beside_test, java, root};
use serde_json::Value;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

pub(crate) const PREFIX: &str = "/0/ledger";
/// Ten processes that start at once take their time on two cores.
const START: Duration = Duration::from_secs(30);

const CANARY: Duration = Duration::from_secs(1);

/// Two cores: most faults have them for themselves, and those that mostly wait share them.
static MACHINE: RwLock<()> = RwLock::new(());

/// A test's share of the machine, for as long as it lives.
enum Share {
    Alone { _held: RwLockWriteGuard<'static, ()> },
    Beside { _held: RwLockReadGuard<'static, ()> },
}

impl Share {
    fn alone() -> Share {
        Share::Alone { _held: MACHINE.write().unwrap_or_else(PoisonError::into_inner) }
    }

    fn beside_others() -> Share {
        Share::Beside { _held: MACHINE.read().unwrap_or_else(PoisonError::into_inner) }
    }
}

/// What a test acts on.
pub(crate) struct Stage {
    pub(crate) brokers: Vec<TestBroker>,
    token: String,
    orders: Orders,
    runs: tempfile::TempDir,
    /// With ZooKeeper: the servers and the cluster on them.
    cluster: Option<TestCluster>,
    _share: Share,
}

impl Stage {
    /// So many brokers.
    pub(crate) fn of(count: usize) -> Stage {
        Stage::with(Share::alone(), BrokerBuilder::default(), count)
    }

    /// One, made like this, for a test that mostly waits: others go on beside it.
    pub(crate) fn beside_others(first: BrokerBuilder) -> Stage {
        Stage::with(Share::beside_others(), first, 1)
    }

    fn with(share: Share, first: BrokerBuilder, count: usize) -> Stage {
        let first = first.start();
        let scopes = (&["/0/ledger/**"], &["* /0/ledger/**"]);
        let (token, secret) = (first.token(&["* /0/**"]), first.calling_key("ledger", scopes.0, scopes.1));
        let mut brokers = vec![first];
        for _ in 1..count {
            brokers.push(BrokerBuilder::default().with_records_of(&brokers[0]).start());
        }
        let runs = tempfile::tempdir().unwrap();
        let addresses: Vec<String> = brokers.iter().map(|broker| broker.workers().to_string()).collect();
        let orders = Orders {
            brokers: format!("hera://{}", addresses.join(",")),
            secret,
            prefix: PREFIX.into(),
            environment: vec![("RUNS_DIR", runs.path().to_owned())],
        };
        Stage { brokers, token, orders, runs, cluster: None, _share: share }
    }

    /// So many brokers on so many ZooKeeper servers, named `b-1`, `b-2` and so on; workers find them there.
    pub(crate) fn on_zookeeper(servers: usize, count: usize) -> Stage {
        Stage::on(TestCluster::ensemble(servers), count, |_, builder| builder)
    }

    /// The same on this cluster, with a last word on how each broker is made.
    pub(crate) fn on(
        cluster: TestCluster,
        count: usize,
        made: impl Fn(usize, BrokerBuilder) -> BrokerBuilder,
    ) -> Stage {
        let share = Share::alone();
        let (token, secret) = (cluster.token(&["* /0/**"]), cluster.key("ledger", &["/0/ledger/**"]));
        let builder =
            |n: usize| made(n, cluster.builder().with_env("HERA_BROKER__ID", &format!("b-{}", n + 1)));
        let brokers = (0..count).map(|n| builder(n).start()).collect();
        let runs = tempfile::tempdir().unwrap();
        let orders = Orders {
            brokers: cluster.url(),
            secret,
            prefix: PREFIX.into(),
            environment: vec![
                ("RUNS_DIR", runs.path().to_owned()),
                ("HERA_STATE_DIR", cluster.dir().join("state")),
            ],
        };
        Stage { brokers, token, orders, runs, cluster: Some(cluster), _share: share }
    }

    /// The cluster of a stage on ZooKeeper.
    pub(crate) fn cluster(&mut self) -> &mut TestCluster {
        self.cluster.as_mut().unwrap()
    }

    /// Starts a worker and waits until all brokers send it calls.
    pub(crate) fn worker(&self, language: Language, name: &str) -> WorkerProcess {
        let worker = self.begin_worker(language, name);
        self.wait_serving(&worker);
        worker
    }

    /// Starts workers beside each other and waits until all brokers send calls to each: a worker that joins others starts slowly.
    pub(crate) fn workers<const N: usize>(&self, names: [(Language, &str); N]) -> [WorkerProcess; N] {
        let workers = names.map(|(language, name)| self.begin_worker(language, name));
        for worker in &workers {
            self.wait_serving(worker);
        }
        workers
    }

    /// Starts a worker.
    pub(crate) fn begin_worker(&self, language: Language, name: &str) -> WorkerProcess {
        WorkerProcess::spawn(&mut program(language), name, &self.orders)
    }

    /// Starts so many workers in one process, and waits until all brokers know them all.
    pub(crate) fn crowd(&self, copies: usize) -> WorkerProcess {
        let mut command = program(Language::Rust);
        let crowd = WorkerProcess::spawn(command.env("COPIES", copies.to_string()), "crowd", &self.orders);
        for broker in &self.brokers {
            wait_at_most(START, "a crowd of workers to serve", || {
                assert!(crowd.runs(), "the crowd ended before it served");
                let workers = broker.ask_admin(Request::get("/v1/workers")).json();
                let pid = format!("-{}-", crowd.pid());
                let of_it = |worker: &&Value| worker["instance"].as_str().unwrap().contains(&pid);
                workers.as_array().unwrap().iter().filter(of_it).count() == copies
            });
        }
        crowd
    }

    /// Starts a worker that knows this broker alone, and waits until that sends it calls.
    pub(crate) fn worker_at(&self, broker: &TestBroker, language: Language, name: &str) -> WorkerProcess {
        let orders = Orders { brokers: broker.workers_url(), ..self.orders.clone() };
        let worker = WorkerProcess::spawn(&mut program(language), name, &orders);
        wait_serving_at(broker, &worker);
        worker
    }

    /// Starts a worker in a namespace and waits until all brokers send it calls.
    pub(crate) fn worker_in(&self, netns: &Netns, language: Language, name: &str) -> WorkerProcess {
        let worker = WorkerProcess::spawn(&mut netns.command(&program(language)), name, &self.orders);
        self.wait_serving(&worker);
        worker
    }

    /// Starts a worker that dials the first broker through a relay, and waits until it serves.
    pub(crate) fn worker_over(&self, relay: &Relay, language: Language, name: &str) -> WorkerProcess {
        let orders = Orders { brokers: format!("hera://{}", relay.address()), ..self.orders.clone() };
        let worker = WorkerProcess::spawn(&mut program(language), name, &orders);
        self.wait_serving(&worker);
        worker
    }

    /// Waits until all brokers that run send calls to this worker.
    pub(crate) fn wait_serving(&self, worker: &WorkerProcess) {
        for broker in self.brokers.iter().filter(|broker| broker.is_running()) {
            wait_at_most(START, &format!("worker {} to serve", worker.name()), || {
                assert!(worker.runs(), "worker {} ended before it served", worker.name());
                record(broker, worker).is_some_and(|record| takes_calls(&record) && !record["cpu"].is_null())
            });
        }
    }

    /// HAProxy before all brokers, once all are ready.
    pub(crate) fn haproxy(&self) -> Haproxy {
        for broker in &self.brokers {
            wait_at_most(START, "all brokers to be ready", || {
                broker.ask(&Request::get("/-/ready")).status == 200
            });
        }
        let addresses: Vec<SocketAddr> = self.brokers.iter().map(TestBroker::http).collect();
        let haproxy = Haproxy::before_all(&addresses);
        self.wait_all_up(&haproxy);
        haproxy
    }

    /// Waits until HAProxy has all brokers.
    pub(crate) fn wait_all_up(&self, haproxy: &Haproxy) {
        let names: Vec<String> = (1..=self.brokers.len()).map(|n| format!("b{n}")).collect();
        haproxy.wait_up(&names.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// Calls of the usual mix.
    pub(crate) fn plan(&self, address: SocketAddr) -> Plan {
        Plan::new(address, self.token.clone(), PREFIX)
    }

    /// The text of a call of a worker's own endpoint, through the first broker.
    pub(crate) fn ask(&self, target: &str) -> String {
        let response = self.brokers[0].ask(&Request::get(&format!("{PREFIX}{target}")).token(&self.token));
        assert_eq!(response.status, 200, "{response:?}");
        response.text().to_owned()
    }

    /// Ends the swarm and holds all its calls against all runs; prints the counts. Each broker that runs must answer a caller that is new to
    /// it within a second, whatever was done to it before.
    pub(crate) fn judge(&self, swarm: Swarm, terms: Terms) -> (Verdict, Vec<Call>) {
        swarm.stop();
        let mut calls = swarm.finish();
        for broker in self.brokers.iter().filter(|broker| broker.is_running()) {
            let mix = Mix::of([(1, Method::Get, Kind::Now)]);
            let plan = Plan { mix, calls: Some(1), connections: 1, ..self.plan(broker.http()) };
            let canary = Swarm::start(plan).finish();
            let in_time = canary[0].took < CANARY && failed(&canary).next().is_none();
            assert!(in_time, "the canary at broker {}: {:?}", broker.id(), canary[0]);
            calls.extend(canary);
        }
        self.judge_calls(calls, terms)
    }

    /// Holds calls against all runs; prints the counts.
    pub(crate) fn judge_calls(&self, calls: Vec<Call>, terms: Terms) -> (Verdict, Vec<Call>) {
        let mut ledger = Ledger::new(terms);
        ledger.calls(calls.iter().cloned());
        ledger.runs(RunFiles::new(self.runs.path()).more().unwrap());
        let verdict = ledger.close();
        eprintln!("{verdict}");
        (verdict, calls)
    }
}

fn wait_serving_at(broker: &TestBroker, worker: &WorkerProcess) {
    wait_at_most(START, &format!("worker {} to serve", worker.name()), || {
        assert!(worker.runs(), "worker {} ended before it served", worker.name());
        record(broker, worker).is_some_and(|record| takes_calls(&record) && !record["cpu"].is_null())
    });
}

/// This worker as a broker tells of it; an instance name holds the process id.
pub(crate) fn record(broker: &TestBroker, worker: &WorkerProcess) -> Option<Value> {
    let response = broker.ask_admin(Request::get("/v1/workers"));
    assert_eq!(response.status, 200);
    let records: Vec<Value> = serde_json::from_slice(&response.body).unwrap();
    let pid = format!("-{}-", worker.pid());
    records.into_iter().find(|record| record["instance"].as_str().unwrap().contains(&pid))
}

/// Waits until so many more calls ended.
pub(crate) fn wait_calls(swarm: &Swarm, more: u64) {
    let until = swarm.ended() + more;
    wait_until(&format!("{more} more calls to end"), || swarm.ended() >= until);
}

/// Calls that ended in anything but 2xx.
pub(crate) fn failed(calls: &[Call]) -> impl Iterator<Item = &Call> {
    calls.iter().filter(|call| !matches!(&call.outcome, Outcome::Answered(answer) if answer.is_success()))
}

/// In the unit of the ledger's times.
pub(crate) fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap()
}

/// Whether tests are to be as large as the table of faults asks.
pub(crate) fn is_long() -> bool {
    std::env::var("FAULTS").is_ok_and(|value| value == "long")
}

/// Another one than this.
pub(crate) fn other(language: Language) -> Language {
    match language {
        Language::Rust => Language::Node,
        Language::Node | Language::Java => Language::Rust,
    }
}

fn program(language: Language) -> Command {
    match language {
        Language::Rust => Command::new(beside_test("hera-ledger-worker")),
        Language::Node => {
            let mut node = Command::new("node");
            node.arg(root().join("tests/workers/ledger.mjs"));
            node
        }
        Language::Java => java("Ledger"),
    }
}

/// Whether a worker is well, be it that it only just joined.
fn takes_calls(record: &Value) -> bool {
    matches!(record["state"].as_str(), Some("ok" | "starting"))
}
