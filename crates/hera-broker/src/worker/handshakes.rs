//! Strangers at the workers' door: how many there may be, and how long a wrong proof waits for its answer (P-19, P-21).

use crate::moment::Moment;
use hera_protocol::limits::HANDSHAKES_MAX;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Addresses whose failures are remembered; one more makes the oldest forgotten.
pub const ADDRESS_FAILURES_MAX: usize = 4096;
const FORGET_AFTER: Duration = Duration::from_secs(60);
const DELAY_MIN: Duration = Duration::from_millis(50);
const DELAY_MAX: Duration = Duration::from_secs(2);

/// Connections without a session, and addresses that failed lately.
#[derive(Debug, Default)]
pub struct Handshakes {
    open: Arc<AtomicUsize>,
    failures: Mutex<HashMap<IpAddr, (u32, Moment)>>,
}

/// A place among the strangers; dropping it frees it.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Handshakes {
    /// A place for one more stranger, or `None`: 256 wait already.
    pub fn enter(&self) -> Option<Place> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= HANDSHAKES_MAX {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place(self.open.clone()))
    }

    /// Notes a failure and gives the time that its answer has to wait: 50 ms, doubled with each failure within a minute, at most 2 s.
    ///
    /// Only failures wait: a right key from the same address is not delayed, so a wrong neighbour costs nobody anything.
    pub fn failed(&self, address: IpAddr, now: Moment) -> Duration {
        // Locked for a map access, on failed handshakes alone.
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= ADDRESS_FAILURES_MAX && !failures.contains_key(&address) {
            failures.retain(|_, (_, last)| now.since(*last) < FORGET_AFTER);
            if failures.len() >= ADDRESS_FAILURES_MAX
                && let Some(oldest) = failures.iter().min_by_key(|(_, (_, last))| *last).map(|(ip, _)| *ip)
            {
                failures.remove(&oldest);
            }
        }
        let (count, last) = failures.entry(address).or_insert((0, now));
        *count = if now.since(*last) < FORGET_AFTER { count.saturating_add(1) } else { 1 };
        *last = now;
        DELAY_MIN.saturating_mul(1 << (*count - 1).min(10)).min(DELAY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_come_back() {
        let handshakes = Handshakes::default();
        let mut places: Vec<_> = (0..HANDSHAKES_MAX).map(|_| handshakes.enter().unwrap()).collect();
        assert!(handshakes.enter().is_none());
        places.pop();
        assert!(handshakes.enter().is_some());
    }

    #[test]
    fn failures_of_an_address_wait_longer_and_longer_up_to_two_seconds() {
        let handshakes = Handshakes::default();
        let (now, me, other) = (Moment::now(), IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let waits: Vec<u128> = (0..8).map(|_| handshakes.failed(me, now).as_millis()).collect();

        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        assert_eq!(handshakes.failed(other, now).as_millis(), 50);
        assert_eq!(handshakes.failed(me, now + FORGET_AFTER).as_millis(), 50);
    }

    #[test]
    fn remembered_addresses_are_bounded() {
        let handshakes = Handshakes::default();
        let now = Moment::now();
        for n in 0..(ADDRESS_FAILURES_MAX as u32 + 100) {
            handshakes.failed(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(handshakes.failures.lock().unwrap().len() <= ADDRESS_FAILURES_MAX);
    }
}
