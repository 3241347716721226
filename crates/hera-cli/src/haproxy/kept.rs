//! Brokers that left the list stay in the file for a while: they drain, and calls still run through HAProxy to them.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::server::Server;

/// Who was in the list lately.
pub(super) struct Kept {
    keep: Duration,
    seen: BTreeMap<String, (Server, Instant)>,
}

impl Kept {
    pub(super) fn new(keep: Duration) -> Kept {
        Kept { keep, seen: BTreeMap::new() }
    }

    /// The list, and those that left it less than `keep` ago, by id. One whose address has another now is the same broker, started again.
    pub(super) fn with(&mut self, listed: Vec<Server>, now: Instant) -> Vec<Server> {
        let keep = self.keep;
        self.seen.retain(|_, (gone, seen)| {
            now.saturating_duration_since(*seen) < keep
                && !listed.iter().any(|server| (&server.host, server.port) == (&gone.host, gone.port))
        });
        self.seen.extend(listed.into_iter().map(|server| (server.id.clone(), (server, now))));
        self.seen.values().map(|(server, _)| server.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers(texts: &[&str]) -> Vec<Server> {
        texts.iter().map(|text| Server::parse(text).unwrap()).collect()
    }

    #[test]
    fn broker_that_left_stays_for_its_time() {
        let mut kept = Kept::new(Duration::from_secs(60));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let both = servers(&["a=10.0.0.1:80", "b=10.0.0.2:80"]);

        assert_eq!(kept.with(both.clone(), start), both);
        assert_eq!(kept.with(both[..1].to_vec(), after(59)), both);
        assert_eq!(kept.with(both[..1].to_vec(), after(60)), both[..1]);
        assert_eq!(kept.with(both.clone(), after(61)), both);
    }

    #[test]
    fn broker_that_was_started_again_under_another_id_is_one_broker() {
        let mut kept = Kept::new(Duration::from_secs(60));
        let start = Instant::now();
        kept.with(servers(&["old=10.0.0.1:80", "b=10.0.0.2:80"]), start);

        let now = kept.with(servers(&["new=10.0.0.1:80", "b=10.0.0.2:81"]), start);

        assert_eq!(now, servers(&["b=10.0.0.2:81", "new=10.0.0.1:80"]));
    }
}
