//! Takes the steps of a scenario.

use crate::file::{Asked, Expected, Revoked, Scenario, Step};
use hera_testkit::http::{HttpConnection, Response};
use hera_testkit::{BrokerBuilder, TestBroker, wait_until};
pub(crate) use hera_tests::worker_process::Language;
use hera_tests::worker_process::{Orders, WorkerProcess, beside_test, java, root};
use std::collections::BTreeMap;
use std::process::Command;

/// Plays one file with the worker of one language.
pub(crate) fn play(name: &str, language: Language) {
    let scenario = Scenario::read(name);
    let mut stage = Stage::new(&scenario, language);
    for (at, step) in scenario.steps.iter().enumerate() {
        if let Err(what) = stage.take(step) {
            panic!("{name}.json, step {}: {what}\n{step:?}", at + 1);
        }
    }
}

struct Stage {
    language: Language,
    brokers: Vec<TestBroker>,
    token: String,
    orders: Orders,
    workers: BTreeMap<String, WorkerProcess>,
    begun: BTreeMap<String, (String, HttpConnection)>,
}

impl Stage {
    fn new(scenario: &Scenario, language: Language) -> Stage {
        let first = TestBroker::start();
        let token = first.token_with(&["--name", "shop", "--label", "team=ads", "--allow", "* /**"]);
        let serve: Vec<&str> = scenario.serve.iter().map(String::as_str).collect();
        let call: Vec<&str> = scenario.call.iter().map(String::as_str).collect();
        let secret = first.calling_key("scenario", &serve, &call);
        let mut brokers = vec![first];
        for _ in 1..scenario.brokers {
            brokers.push(BrokerBuilder::default().with_records_of(&brokers[0]).start());
        }
        let addresses: Vec<String> = brokers.iter().map(|broker| broker.workers().to_string()).collect();
        let orders = Orders {
            brokers: format!("hera://{}", addresses.join(",")),
            secret,
            prefix: String::new(),
            environment: Vec::new(),
        };
        Stage { language, brokers, token, orders, workers: BTreeMap::new(), begun: BTreeMap::new() }
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Start { start } => {
                let worker = self.worker(start);
                wait_until("the worker to be ready", || has_line(&worker, "ready"));
                self.workers.insert(start.clone(), worker);
            }
            Step::Refused { refused } => {
                let worker = self.worker("refused");
                let status = worker.wait_exit();
                let line = format!("refused {refused}");
                if !has_line(&worker, &line) || status.code() != Some(3) {
                    return Err(format!("no {line:?} and exit code 3, but {status}: {}", worker.log()));
                }
            }
            Step::Ask { ask, at, expect } => expect.check(&self.ask(ask, *at))?,
            Step::Until { until, at, expect } => {
                let mut last = Ok(());
                let mut tries = 0;
                wait_until(&format!("{expect:?}"), || {
                    tries += 1;
                    last = expect.check(&self.ask(until, *at));
                    if tries % 200 == 0 {
                        eprintln!("not yet: {last:?}");
                    }
                    last.is_ok()
                });
            }
            Step::Begin { begin, at, r#as } => {
                let call = self.begin(begin, *at);
                self.begun.insert(r#as.clone(), call);
            }
            Step::End { end, expect } => {
                let (method, mut caller) = self.begun.remove(end).ok_or("nothing of this name was begun")?;
                Expected::check(expect, &caller.response_to(&method))?;
            }
            Step::Leave { leave } => {
                self.begun.remove(leave).ok_or("nothing of this name was begun")?;
            }
            Step::Term { term } => self.of(term)?.sigterm(),
            Step::Exits { exits } => {
                let status = self.of(exits)?.wait_exit();
                if !status.success() {
                    return Err(status.to_string());
                }
            }
            Step::Kill { kill } => self.broker(*kill)?.kill(),
            Step::Restart { restart } => self.broker(*restart)?.restart(),
            Step::Revoke { revoke: Revoked::Key } => {
                let verdict = self.brokers[0].cli(["key", "revoke", "scenario"]);
                if verdict.code != 0 {
                    return Err(verdict.stderr);
                }
            }
        }
        Ok(())
    }

    fn worker(&self, name: &str) -> WorkerProcess {
        let mut program = match self.language {
            Language::Rust => Command::new(beside_test("hera-scenario-worker")),
            Language::Node => {
                let mut node = Command::new("node");
                node.arg(root().join("tests/workers/scenario.mjs"));
                node
            }
            Language::Java => java("Scenario"),
        };
        WorkerProcess::spawn(&mut program, name, &self.orders)
    }

    fn of(&self, name: &str) -> Result<&WorkerProcess, String> {
        self.workers.get(name).ok_or_else(|| format!("no worker {name:?} was started"))
    }

    fn broker(&mut self, number: usize) -> Result<&mut TestBroker, String> {
        self.brokers.get_mut(number - 1).ok_or_else(|| format!("there is no broker {number}"))
    }

    fn begin(&self, asked: &Asked, at: usize) -> (String, HttpConnection) {
        let (method, bytes) = asked.bytes(&self.token);
        let mut caller = HttpConnection::open(self.brokers[at - 1].http());
        // A broker may refuse a body before it read all of it.
        caller.try_send(&bytes);
        (method, caller)
    }

    fn ask(&self, asked: &Asked, at: usize) -> Response {
        let (method, mut caller) = self.begin(asked, at);
        caller.response_to(&method)
    }
}

fn has_line(worker: &WorkerProcess, line: &str) -> bool {
    worker.log().lines().any(|other| other == line)
}
