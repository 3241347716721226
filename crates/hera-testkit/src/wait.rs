//! Waiting for a condition.

use std::time::{Duration, Instant};

/// No wait of a test is longer, but where it says so.
pub const PATIENCE: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(10);

/// Waits until `condition` holds; panics with `what` after 10 s.
pub fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    wait_at_most(PATIENCE, what, condition);
}

/// The same with another bound.
pub fn wait_at_most(limit: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < until, "waited {limit:?} in vain for {what}");
        // The only pause of all tests. What a process does next is seen from outside alone; a busy loop would
        // take one of two cores from the process that is waited for.
        #[allow(clippy::disallowed_methods, reason = "no runtime thread: a test's own, between two looks")]
        std::thread::sleep(EVERY);
    }
}
