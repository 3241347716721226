//! Load and the choice of a worker: pure and seeded; no clock, no task, no shared state.
//!
//! Measuring and choosing are separate: [`ewma`] remembers latencies, [`load`] reads what a worker reports, [`health`] says who is to be
//! left alone for a while, and [`picker`] draws two workers and takes the one of less cost.

pub mod ewma;
pub mod health;
pub mod load;
pub mod picker;

pub use ewma::Latency;
pub use health::Health;
pub use load::{BusyReason, Load, busy, cost, factor};
pub use picker::{Rng, pick};
