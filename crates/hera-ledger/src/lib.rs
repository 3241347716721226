//! The judge of Hera's promises on delivery (D1 to D3 in the tests of faults).
//!
//! ```text
//! Plan ── call n: nonce, method, path ──> Swarm ── HTTP ──> Hera ──> worker ── RunLog: one line before the handler runs
//!                                           │ Call                              │ Run
//!                                           └──────────────> Ledger <───────────┘
//!                                                              └──> Verdict: counts, and each promise that was broken
//! ```
//!
//! Each call carries a nonce that no other call has. Callers note what became of it, workers that they ran it; [`Ledger`] holds one
//! against the other. It knows no clock and no socket, so that its own tests are ledgers written by hand.

pub mod call;
pub mod http;
pub mod ledger;
pub mod nonce;
pub mod plan;
pub mod run;
pub mod swarm;
pub mod verdict;

pub use call::{Answer, Call, Executed, Method, Outcome};
pub use ledger::{Broken, Ledger, Terms};
pub use nonce::Nonce;
pub use plan::{Kind, Mix, Pace, Plan};
pub use run::{Run, RunFiles, RunLog};
pub use swarm::Swarm;
pub use verdict::{Verdict, Violation};
