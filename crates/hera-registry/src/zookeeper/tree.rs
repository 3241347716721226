//! The tree of a cluster as a value: what of it is believed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::node::BrokerNode;
use crate::catalogue::{Catalogue, CatalogueEntry, KnownEndpoint};
use crate::snapshot::Snapshot;
use crate::store::Stamp;
use crate::token::TokenRecord;
use crate::worker_key::KeyRecord;

/// Everything that brokers share.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// By id.
    pub tokens: HashMap<String, Arc<TokenRecord>>,
    /// By id.
    pub keys: HashMap<String, Arc<KeyRecord>>,
    /// By service.
    pub services: BTreeMap<String, Service>,
    /// By id.
    pub brokers: BTreeMap<String, BrokerNode>,
    /// Why a node is not believed, by its path. Counted, and told once.
    pub skipped: BTreeMap<String, String>,
}

impl Tree {
    /// Tokens and keys the way calls ask for them.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(
            self.tokens.values().cloned(),
            self.keys.values().cloned(),
            Vec::new(),
            Stamp::default(),
        )
    }

    /// All endpoints known.
    pub fn catalogue(&self) -> Catalogue {
        let mut catalogue = Catalogue::default();
        self.services.values().flat_map(Service::entries).for_each(|entry| catalogue.insert(entry));
        catalogue
    }
}

/// The record of `/services/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name, so that a record cannot be another service's.
    pub service: String,
    /// What its workers declared.
    pub endpoints: Vec<ServiceEndpoint>,
}

/// One endpoint of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceEndpoint {
    /// What was declared.
    #[serde(flatten)]
    pub known: KnownEndpoint,
    /// Unix seconds, exact to a day.
    pub last_seen: u64,
}

impl Service {
    /// Of the entries of a catalogue that belong to this service.
    pub(crate) fn of(service: &str, catalogue: &Catalogue) -> Service {
        let entries = catalogue.iter().filter(|entry| entry.service == service);
        let endpoints = entries
            .map(|entry| ServiceEndpoint { known: entry.known.clone(), last_seen: entry.last_seen })
            .collect();
        Service { service: service.to_owned(), endpoints }
    }

    /// As entries of the catalogue.
    pub(crate) fn entries(&self) -> impl Iterator<Item = CatalogueEntry> + '_ {
        self.endpoints.iter().map(|endpoint| CatalogueEntry {
            service: self.service.clone(),
            known: endpoint.known.clone(),
            last_seen: endpoint.last_seen,
        })
    }
}

/// The record of `/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRecord {
    /// 32 random hex digits: tells a cluster from one that was made anew in its place.
    pub cluster: String,
    /// Unix seconds.
    pub created: u64,
}
