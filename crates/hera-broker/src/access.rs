//! Who may do what, as the cores read it: the registry's snapshot, with what is counted for each token.

use crate::access_log;
use hera_protocol::message::call::begin_caller;
use hera_registry::token::TokenRecord;
use hera_registry::worker_key::KeyRecord;
use hera_registry::{Rate, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Tokens and keys at one moment.
#[derive(Debug, Default)]
pub struct Access {
    /// By the SHA-256 of the token's text: a lookup tells nothing about how near a guess is.
    pub tokens: HashMap<[u8; 32], Arc<Caller>>,
    /// For calls without a token; `None` refuses them.
    pub anonymous: Option<Arc<Caller>>,
    /// Worker keys by id.
    pub keys: HashMap<String, Arc<KeyRecord>>,
}

/// A token, and what is counted for it on this broker.
#[derive(Debug)]
pub struct Caller {
    /// Name, scopes, rate, labels.
    pub record: Arc<TokenRecord>,
    /// Outlives changes of other tokens.
    pub usage: Arc<Usage>,
    /// What a worker is told of it, up to the address.
    pub for_worker: String,
    /// Its member of a line of the access log.
    pub for_log: String,
}

impl Caller {
    fn new(record: Arc<TokenRecord>, usage: Arc<Usage>) -> Caller {
        let name = record.digest.is_some().then_some(record.name.as_str());
        Caller {
            for_worker: begin_caller(name, &record.labels),
            for_log: access_log::member("token", &record.name),
            record,
            usage,
        }
    }
}

impl Access {
    /// What `snapshot` says; counts are taken over from `before`.
    pub fn build(snapshot: Snapshot, before: &Access) -> Access {
        let usages: HashMap<&str, &Arc<Usage>> = before
            .tokens
            .values()
            .chain(&before.anonymous)
            .map(|caller| (caller.record.id.as_str(), &caller.usage))
            .collect();
        let caller = |record: Arc<TokenRecord>| {
            let usage = usages.get(record.id.as_str()).map(|usage| Arc::clone(usage)).unwrap_or_default();
            Arc::new(Caller::new(record, usage))
        };
        Access {
            tokens: snapshot.tokens.into_iter().map(|(digest, record)| (digest, caller(record))).collect(),
            anonymous: snapshot.anonymous.map(caller),
            keys: snapshot.keys,
        }
    }
}

/// What a token uses of this broker.
#[derive(Debug, Default)]
pub struct Usage {
    /// Calls in flight.
    pub in_flight: AtomicUsize,
    arrival_ns: AtomicU64,
}

impl Usage {
    /// Takes one call off the rate, or gives the seconds after which there is room again.
    ///
    /// GCRA: one number, the time at which the bucket would be empty; a burst of one unit's calls is allowed. Source: ITU-T I.371, annex A.
    pub fn take(&self, rate: &Rate, now_ns: u64) -> Result<(), u32> {
        let per = rate.per.as_nanos() as u64;
        let step = per / u64::from(rate.calls.max(1));
        let mut arrival = self.arrival_ns.load(Ordering::Relaxed);
        loop {
            let next = arrival.max(now_ns) + step;
            if next > now_ns + per {
                return Err(((next - now_ns - per) / 1_000_000_000) as u32 + 1);
            }
            match self.arrival_ns.compare_exchange_weak(arrival, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(()),
                Err(other) => arrival = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_lets_a_units_burst_through_and_then_one_call_for_each_step() {
        let usage = Usage::default();
        let rate = Rate::parse("10/s").unwrap();
        let second = 1_000_000_000;
        assert_eq!((0..20).filter(|_| usage.take(&rate, second).is_ok()).count(), 10);
        assert_eq!(usage.take(&rate, second), Err(1));
        assert_eq!((0..20).filter(|_| usage.take(&rate, second + second / 10).is_ok()).count(), 1);
        assert_eq!((0..20).filter(|_| usage.take(&rate, 3 * second).is_ok()).count(), 10);
    }
}
