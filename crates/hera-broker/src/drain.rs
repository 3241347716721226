//! Young, ready, draining: what `/-/ready` says, and how a broker leaves without losing a call (D4, D5).

use crate::core::Shared;
use crate::mail::Mail;
use crate::moment::Moment;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// No new worker for so long means that those who are there have come.
const CALM: Duration = Duration::from_secs(2);
/// A broker is young no longer than this.
const YOUTH_MAX: Duration = Duration::from_secs(10);
const PROBERS_MAX: usize = 64;
const PROBER_FORGOTTEN: Duration = Duration::from_secs(10);
const PROBES_AFTER_DRAIN: u32 = 3;
const STAY_MIN: Duration = Duration::from_secs(2);
const STAY_MAX: Duration = Duration::from_secs(5);
/// A registry that does not answer holds up no drain.
const LEAVE: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

/// Where a broker is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseName {
    /// It takes calls and workers.
    Serving,
    /// It answers what comes, and takes no new worker.
    Draining,
}

/// What `/-/ready` answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// 200.
    Ready,
    /// 404: HAProxy's `disable-on-404` takes it out of balancing and keeps its connections.
    Draining,
    /// 503: workers may still be on their way here.
    Young,
}

/// The phase, and who asks for it.
#[derive(Debug, Default)]
pub struct Phase {
    name: AtomicU8,
    /// It was ready once. Youth does not come back: where all brokers are fresh, one worker that joins would take them all out of balancing.
    grown: AtomicBool,
    probers: Mutex<HashMap<IpAddr, Prober>>,
}

#[derive(Clone, Copy, Debug)]
struct Prober {
    last: Moment,
    told: u32,
}

impl Phase {
    /// Where the broker is.
    pub fn name(&self) -> PhaseName {
        if self.name.load(Ordering::Relaxed) == 0 { PhaseName::Serving } else { PhaseName::Draining }
    }

    /// What a prober is told; that it asked is noted.
    pub fn asked_by(&self, peer: IpAddr, shared: &Shared) -> Readiness {
        let readiness = self.readiness(shared, Moment::now());
        // Probes come a few times a second; the lock is held for one map access.
        let mut probers = self.probers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Moment::now();
        if probers.len() >= PROBERS_MAX {
            probers.retain(|_, prober| now.since(prober.last) < PROBER_FORGOTTEN);
        }
        if probers.len() < PROBERS_MAX || probers.contains_key(&peer) {
            let prober = probers.entry(peer).or_insert(Prober { last: now, told: 0 });
            prober.last = now;
            prober.told += u32::from(readiness == Readiness::Draining);
        }
        readiness
    }

    /// What it is right now.
    pub fn readiness(&self, shared: &Shared, now: Moment) -> Readiness {
        let age = now.since(shared.start);
        let joined = Duration::from_millis(shared.roster.joined_ms());
        match self.name() {
            PhaseName::Draining => Readiness::Draining,
            PhaseName::Serving if !shared.registry.is_loaded() || shared.registry.is_closed() => {
                Readiness::Young
            }
            PhaseName::Serving if self.grown.load(Ordering::Relaxed) => Readiness::Ready,
            PhaseName::Serving if age >= YOUTH_MAX || age.saturating_sub(joined) >= CALM && age >= CALM => {
                self.grown.store(true, Ordering::Relaxed);
                Readiness::Ready
            }
            PhaseName::Serving => Readiness::Young,
        }
    }

    /// Whether every prober of the last 10 s has been told three times.
    fn everyone_knows(&self, now: Moment) -> bool {
        let probers = self.probers.lock().unwrap_or_else(PoisonError::into_inner);
        probers
            .values()
            .filter(|prober| now.since(prober.last) < PROBER_FORGOTTEN)
            .all(|prober| prober.told >= PROBES_AFTER_DRAIN)
    }
}

/// Drains: says 404, leaves the registry, tells the workers, serves on until the last call is finished and every prober knows, then stops the cores.
///
/// Calls that run longer than `drain.timeout` are answered 502 `maybe`. Gives how many those were.
pub async fn drain(shared: &Shared) -> usize {
    let begun = Moment::now();
    shared.phase.name.store(1, Ordering::Relaxed);
    // Before the workers are told: who leaves us must not find us in the list.
    shared.registry.left(LEAVE).await;
    shared.review();
    tracing::info!(calls = shared.calls_in_flight.load(Ordering::Relaxed), "draining");
    let limit = shared.config.drain.timeout;
    let left = loop {
        let (passed, calls) = (begun.elapsed(), shared.calls_in_flight.load(Ordering::Relaxed));
        let known = passed >= STAY_MIN && (passed >= STAY_MAX || shared.phase.everyone_knows(Moment::now()));
        if calls == 0 && known || passed >= limit {
            break calls;
        }
        crate::clock::pause(LOOK).await;
    };
    if left > 0 {
        tracing::warn!(calls = left, "drain.timeout is over: these calls are answered 502");
    }
    shared.tell_cores(|| Mail::Stop);
    left
}
