//! Load and the choice of a worker: pure and seeded; no clock, no task, no shared state.
//!
//! Measuring and choosing are separate: [`ewma`] remembers latencies, [`load`] reads what a worker reports, and [`picker`] draws two
//! workers and takes the one of less cost.

pub mod ewma;
pub mod load;
pub mod picker;

pub use ewma::Latency;
pub use load::{BusyReason, Load, busy, cost, factor};
pub use picker::{Rng, pick};
