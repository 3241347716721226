//! All endpoints known, served right now or not: what makes a 503 out of a 404 when workers are away.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const DAY: u64 = 86_400;
const FORGOTTEN_AFTER: u64 = 7 * DAY;

/// An endpoint as a worker declared it, with the limits that the broker needs before it has a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownEndpoint {
    /// `METHOD PATTERN`, as declared.
    pub endpoint: String,
    /// Longest time of a call.
    pub timeout_ms: u64,
    /// Largest body of a call.
    pub body_bytes_max: u64,
    /// Whether it was declared that it may run twice.
    #[serde(default)]
    pub idempotent: bool,
}

/// An endpoint with its service and when it was last declared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueEntry {
    /// The service that declared it.
    pub service: String,
    /// What was declared.
    #[serde(flatten)]
    pub known: KnownEndpoint,
    /// Unix seconds, exact to a day: it is moved on when it is over a day old.
    pub last_seen: u64,
}

/// The endpoints of all services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    /// By service and endpoint text, so a merge looks up and never searches.
    entries: BTreeMap<(String, String), CatalogueEntry>,
}

impl Catalogue {
    /// Takes what a worker of `service` declared, or still serves.
    ///
    /// Gives whether there is something to write: an endpoint or limit is new, or a time was over a day old. An endpoint
    /// that is not in `declared` stays, since other workers of the service may be of another version. A broker calls
    /// this again, at least daily, for what is being served, or a worker that stays connected would be forgotten.
    pub fn merge(&mut self, service: &str, declared: &[KnownEndpoint], now_unix: u64) -> bool {
        let mut changed = false;
        for known in declared {
            let key = (service.to_owned(), known.endpoint.clone());
            let same = self.entries.get(&key).is_some_and(|entry| entry.known == *known);
            let fresh =
                self.entries.get(&key).is_some_and(|entry| now_unix.saturating_sub(entry.last_seen) <= DAY);
            if !(same && fresh) {
                let entry =
                    CatalogueEntry { service: service.to_owned(), known: known.clone(), last_seen: now_unix };
                self.entries.insert(key, entry);
                changed = true;
            }
        }
        changed
    }

    /// Takes an entry that was stored.
    pub fn insert(&mut self, entry: CatalogueEntry) {
        self.entries.insert((entry.service.clone(), entry.known.endpoint.clone()), entry);
    }

    /// Forgets what nobody declared for seven days; gives how many.
    pub fn forget_unseen(&mut self, now_unix: u64) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| now_unix.saturating_sub(entry.last_seen) < FORGOTTEN_AFTER);
        before - self.entries.len()
    }

    /// Forgets one endpoint by its text, of all services; gives how many.
    pub fn forget(&mut self, endpoint: &str) -> usize {
        let before = self.entries.len();
        self.entries.retain(|_, entry| entry.known.endpoint != endpoint);
        before - self.entries.len()
    }

    /// All entries, by service and endpoint.
    pub fn iter(&self) -> impl Iterator<Item = &CatalogueEntry> {
        self.entries.values()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was ever declared.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(endpoint: &str) -> KnownEndpoint {
        KnownEndpoint {
            endpoint: endpoint.into(),
            timeout_ms: 15_000,
            body_bytes_max: 1 << 20,
            idempotent: false,
        }
    }

    #[test]
    fn only_news_and_day_old_times_are_to_be_written() {
        let mut catalogue = Catalogue::default();

        assert!(catalogue.merge("ads", &[known("GET /0/a")], 1_000));
        assert!(!catalogue.merge("ads", &[known("GET /0/a")], 1_000 + DAY));
        assert!(catalogue.merge("ads", &[known("GET /0/a")], 1_001 + DAY));
        assert!(!catalogue.merge("ads", &[known("GET /0/a")], 1_002 + DAY));
        assert!(catalogue.merge("ads", &[KnownEndpoint { timeout_ms: 1, ..known("GET /0/a") }], 1_002 + DAY));
        assert!(catalogue.merge("shop", &[known("GET /0/a")], 1_002 + DAY));
        assert_eq!(catalogue.len(), 2);
    }

    #[test]
    fn small_steps_still_move_the_time_on() {
        let mut catalogue = Catalogue::default();
        catalogue.merge("ads", &[known("GET /0/a")], 0);

        let written =
            (1..=48).filter(|hour| catalogue.merge("ads", &[known("GET /0/a")], hour * 3_600)).count();

        assert_eq!(written, 1);
    }

    #[test]
    fn endpoint_is_forgotten_after_seven_days_or_by_command() {
        let mut catalogue = Catalogue::default();
        catalogue.merge("ads", &[known("GET /0/a"), known("GET /0/b")], 0);
        catalogue.merge("ads", &[known("GET /0/b")], 3 * DAY);

        assert_eq!(catalogue.forget_unseen(7 * DAY - 1), 0);
        assert_eq!(catalogue.forget_unseen(7 * DAY), 1);
        assert_eq!(catalogue.forget("GET /0/a"), 0);
        assert_eq!(catalogue.forget("GET /0/b"), 1);
        assert!(catalogue.is_empty());
    }

    #[test]
    fn clock_set_back_forgets_nothing() {
        let mut catalogue = Catalogue::default();
        catalogue.merge("ads", &[known("GET /0/a")], 100 * DAY);

        assert_eq!(catalogue.forget_unseen(DAY), 0);
        assert!(!catalogue.merge("ads", &[known("GET /0/a")], DAY));
    }
}
