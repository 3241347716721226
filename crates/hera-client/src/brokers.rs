//! The brokers that take our calls, and which of them takes the next.

use crate::lock::lock;
use crate::session::Session;
use hera_balance::ewma::Latency;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What is taken for the latency of a broker that was not called yet.
const GUESS_SECONDS: f32 = 0.001;

/// Sessions that are live, and offer `remote_call`.
pub(crate) struct Brokers {
    sessions: Mutex<Vec<Arc<Session>>>,
    next: AtomicUsize,
    start: Instant,
}

impl Default for Brokers {
    fn default() -> Brokers {
        Brokers { sessions: Mutex::default(), next: AtomicUsize::new(0), start: Instant::now() }
    }
}

/// How quickly a broker brings answers.
#[derive(Default)]
pub(crate) struct Quickness(AtomicU64);

/// What there is to choose from.
pub(crate) enum Choice {
    /// This one.
    Broker(Arc<Session>),
    /// Every broker has as many of our calls as it takes.
    Full,
    /// None is connected, or all were tried.
    Nobody,
}

impl Brokers {
    /// A broker serves us.
    pub(crate) fn add(&self, session: &Arc<Session>) {
        lock(&self.sessions).push(Arc::clone(session));
    }

    /// It is gone.
    pub(crate) fn remove(&self, session: &Arc<Session>) {
        lock(&self.sessions).retain(|other| !Arc::ptr_eq(other, session));
    }

    /// The one with the least `latency x (in flight + 1)`; one that drains only when there is no other.
    pub(crate) fn pick(&self, tried: &[Arc<Session>]) -> Choice {
        let sessions = lock(&self.sessions);
        let left =
            || sessions.iter().filter(|session| !tried.iter().any(|other| Arc::ptr_eq(other, session)));
        if left().next().is_none() {
            return Choice::Nobody;
        }
        let now_ms = self.now_ms();
        // Equals take turns.
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % sessions.len();
        let (first, second) = sessions.split_at(turn);
        let in_turn =
            second.iter().chain(first).filter(|session| left().any(|other| Arc::ptr_eq(other, session)));
        let best = in_turn.filter(|session| !session.remotes.is_full()).min_by(|one, other| {
            let cost = |session: &Session| {
                let latency = session.remotes.quickness.read(now_ms);
                (session.remotes.drains(), f64::from(latency) * (session.remotes.len() + 1) as f64)
            };
            let ((one_drains, one), (other_drains, other)) = (cost(one), cost(other));
            one_drains.cmp(&other_drains).then(one.total_cmp(&other))
        });
        best.map_or(Choice::Full, |session| Choice::Broker(Arc::clone(session)))
    }

    /// Notes that a broker brought an answer of a worker's.
    pub(crate) fn observe(&self, session: &Session, began: Instant) {
        session.remotes.quickness.observe(self.now_ms(), began.elapsed().as_secs_f32());
    }

    fn now_ms(&self) -> u32 {
        self.start.elapsed().as_millis() as u32
    }
}

impl Quickness {
    fn observe(&self, now_ms: u32, seconds: f32) {
        // Two answers at the same instant may lose one of two observations.
        let before = Latency::from_bits(self.0.load(Ordering::Relaxed));
        self.0.store(before.observe(now_ms, seconds).to_bits(), Ordering::Relaxed);
    }

    fn read(&self, now_ms: u32) -> f32 {
        let latency = Latency::from_bits(self.0.load(Ordering::Relaxed));
        if latency.is_unknown() { GUESS_SECONDS } else { latency.read(now_ms) }
    }
}
