//! Callers that make load in a thread of their own.

use crate::call::{Call, Outcome};
use crate::http::Connection;
use crate::plan::{Pace, Plan, Planned};
use crate::run::now_us;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// A caller gives up so long after the deadline, when an answer has long been late.
const PATIENCE: Duration = Duration::from_secs(10);
/// Under HAProxy's and the brokers' time for idle connections, so that a call never meets a close on its way.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// Between tries to connect to somebody who is not there.
const AWAY: Duration = Duration::from_millis(20);
/// How often a caller that waits for its turn looks whether it is over.
const LOOK: Duration = Duration::from_millis(100);

/// Callers under way.
#[derive(Debug)]
pub struct Swarm {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    stopped: AtomicBool,
    next: AtomicU64,
    begun: AtomicU64,
    answered: AtomicU64,
    failures: AtomicU64,
    ended: Mutex<Vec<Call>>,
}

impl Swarm {
    /// Begins, and prints the seed.
    pub fn start(plan: Plan) -> Swarm {
        eprintln!("swarm: seed {}, {} connections, {:?}", plan.seed, plan.connections, plan.pace);
        let state = Arc::new(State::default());
        let theirs = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("swarm cannot start: {error}"));
            runtime.block_on(async {
                let (plan, begun) = (Arc::new(plan), Instant::now());
                let mut callers = tokio::task::JoinSet::new();
                for _ in 0..plan.connections {
                    callers.spawn(call_on(plan.clone(), theirs.clone(), begun));
                }
                callers.join_all().await;
            });
        });
        Swarm { state, thread: Some(thread) }
    }

    /// Calls that began.
    pub fn begun(&self) -> u64 {
        self.state.begun.load(Ordering::Relaxed)
    }

    /// Calls that ended, however.
    pub fn ended(&self) -> u64 {
        self.state.answered.load(Ordering::Relaxed)
    }

    /// Calls that ended in anything but 2xx.
    pub fn failures(&self) -> u64 {
        self.state.failures.load(Ordering::Relaxed)
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u64 {
        // In this order: a call that ends in between must not count below zero.
        let ended = self.ended();
        self.begun().saturating_sub(ended)
    }

    /// Whether all calls of the plan ended.
    pub fn is_done(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Calls that ended since the last time.
    pub fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.state.ended.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// No new calls.
    pub fn stop(&self) {
        self.state.stopped.store(true, Ordering::Relaxed);
    }

    /// Waits for the calls of the plan, after [`Swarm::stop`] for those under way; gives all that were not taken.
    pub fn finish(mut self) -> Vec<Call> {
        self.join();
        self.take()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the swarm broke");
        }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.stop();
        self.join();
    }
}

/// One caller: one call after the other, over one connection as long as that holds.
async fn call_on(plan: Arc<Plan>, state: Arc<State>, begun: Instant) {
    let mut kept: Option<(Connection, Instant)> = None;
    loop {
        let n = state.next.fetch_add(1, Ordering::Relaxed);
        if plan.calls.is_some_and(|calls| n >= calls) {
            return;
        }
        let due = match plan.pace {
            Pace::Closed => Instant::now(),
            Pace::Open(rate) => begun + Duration::from_secs_f64(n as f64 / rate),
        };
        while Instant::now() < due && !state.stopped.load(Ordering::Relaxed) {
            sleep_until(due.min(Instant::now() + LOOK)).await;
        }
        if state.stopped.load(Ordering::Relaxed) {
            return;
        }
        let planned = plan.call(n);
        state.begun.fetch_add(1, Ordering::Relaxed);
        let (began, begun_us) = (Instant::now(), now_us());
        let fresh = kept.take().filter(|(c, last)| last.elapsed() < IDLE_MAX && !c.is_stale());
        let mut head_at = None;
        let (outcome, connection) = exchange(&plan, fresh.map(|(c, _)| c), &planned, &mut head_at).await;
        kept = connection.map(|connection| (connection, Instant::now()));
        let away = matches!(outcome, Outcome::NotSent(_));
        state.enter(Call {
            nonce: planned.nonce,
            method: planned.method,
            idempotent: planned.idempotent,
            begun_us,
            lag: began.saturating_duration_since(due),
            head: head_at.unwrap_or_else(Instant::now).saturating_duration_since(began),
            took: began.elapsed(),
            deadline: planned.deadline,
            outcome,
        });
        if away {
            sleep(AWAY).await;
        }
    }
}

async fn exchange(
    plan: &Plan,
    kept: Option<Connection>,
    planned: &Planned,
    head_at: &mut Option<Instant>,
) -> (Outcome, Option<Connection>) {
    let until = Instant::now() + planned.deadline + PATIENCE;
    let connection = match kept {
        Some(connection) => connection,
        None => match timeout_at(until, Connection::open(plan.address)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return (Outcome::NotSent(error.to_string()), None),
            Err(_) => return (Outcome::NotSent("nobody took the connection in time".to_owned()), None),
        },
    };
    let exchanged = timeout_at(until, connection.exchange(&planned.bytes, planned.nonce, head_at)).await;
    exchanged.unwrap_or_else(|_| {
        (Outcome::NoAnswer(format!("nothing came within {PATIENCE:?} of its deadline")), None)
    })
}

impl State {
    fn enter(&self, call: Call) {
        let failed = !matches!(&call.outcome, Outcome::Answered(answer) if answer.is_success());
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        self.failures.fetch_add(u64::from(failed), Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }
}
