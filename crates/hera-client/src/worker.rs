//! What all connections of one worker share.

use crate::brokers::Brokers;
use crate::compose::Layer;
use crate::router::Router;
use crate::status::Monitor;
use hera_protocol::key::WorkerKey;
use hera_protocol::limits::Limits;
use hera_protocol::message::declare::Declared;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

/// One worker process, as its brokers see it.
pub(crate) struct Worker {
    /// Who answers what.
    pub(crate) router: Router,
    /// What is told to every broker.
    pub(crate) endpoints: Vec<Declared>,
    /// Around every handler, the outermost first.
    pub(crate) layers: Arc<[Layer]>,
    /// What it proves itself with.
    pub(crate) key: WorkerKey,
    /// Unique per process.
    pub(crate) instance: String,
    /// Of the application.
    pub(crate) version: String,
    /// What it accepts.
    pub(crate) limits: Limits,
    /// Calls in flight, over all brokers.
    pub(crate) in_flight: AtomicUsize,
    /// The brokers that take our calls.
    pub(crate) brokers: Brokers,
    /// How loaded the process is.
    pub(crate) monitor: Monitor,
}

/// Where a worker is in its life; every connection watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connects, serves, connects again.
    Serving,
    /// Takes nothing new, finishes the rest, and goes.
    Draining,
    /// Goes at once.
    Stopped,
}

impl Worker {
    /// The answer to `status` (P-25).
    pub(crate) fn load(&self) -> hera_protocol::message::load::Load {
        self.monitor.load(self.in_flight.load(std::sync::atomic::Ordering::Relaxed))
    }
}
