//! The links to all brokers, as the list of brokers changes: what is new is dialled, what lives is kept.

use crate::link::{Link, News};
use crate::options::{Address, Brokers};
use crate::tls::Tls;
use crate::worker::{Phase, Worker};
use hera_registry::zookeeper::{Dial, discovery};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// What every link is made of.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) worker: Arc<Worker>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) news: mpsc::UnboundedSender<News>,
}

/// All links of a worker.
pub(crate) struct Links {
    parts: Parts,
    running: JoinSet<Address>,
    /// Whether a link is to dial again when its connection ends.
    wanted: HashMap<Address, watch::Sender<bool>>,
}

impl Links {
    /// No links yet.
    pub(crate) fn new(parts: Parts) -> Links {
        Links { parts, running: JoinSet::new(), wanted: HashMap::new() }
    }

    /// Keeps a link to every broker until the worker has left them all.
    pub(crate) async fn run(mut self, brokers: Brokers) {
        let mut list = match brokers {
            Brokers::Fixed(addresses) => {
                self.follow(&addresses);
                None
            }
            Brokers::ZooKeeper { access, saved } => {
                let (found, list) = watch::channel(Vec::new());
                tokio::spawn(discovery::run(*access, saved, found));
                Some(list)
            }
        };
        let mut phase = self.parts.phase.clone();
        let mut serving = true;
        while serving && list.is_some() || !self.running.is_empty() {
            tokio::select! {
                found = next(&mut list), if serving => {
                    let addresses = self.dialable(&found);
                    self.follow(&addresses);
                }
                Some(ended) = self.running.join_next() => {
                    // A link that panicked is a defect of ours, and its address is dialled again with the next list.
                    if let Ok(address) = ended {
                        let again = self.wanted.remove(&address).is_some_and(|wanted| *wanted.borrow());
                        // Unwanted when it ended, and wanted again since.
                        if again && serving && list.is_some() {
                            self.start(address);
                        }
                    }
                }
                _ = phase.wait_for(|phase| *phase != Phase::Serving), if serving => serving = false,
            }
        }
    }

    /// Has a link to each of these, and lets the others end with their connections.
    fn follow(&mut self, addresses: &[Address]) {
        for (address, wanted) in &self.wanted {
            wanted.send_replace(addresses.contains(address));
        }
        for address in addresses {
            if !self.wanted.contains_key(address) {
                self.start(address.clone());
            }
        }
    }

    fn start(&mut self, address: Address) {
        let (wanted, watched) = watch::channel(true);
        let Parts { tls, worker, phase, news } = self.parts.clone();
        let link = Link { address: address.clone(), tls, worker, phase, wanted: watched, news };
        self.wanted.insert(address.clone(), wanted);
        self.running.spawn(async move {
            link.run().await;
            address
        });
    }

    /// TLS where it is offered and we trust somebody, else plain where that is offered.
    fn dialable(&self, found: &[Dial]) -> Vec<Address> {
        let mut addresses = Vec::new();
        for dial in found {
            let tls = dial.tls() && self.parts.tls.is_some();
            if !tls && !dial.tcp() {
                tracing::warn!(
                    broker = dial.id,
                    "broker offers TLS alone, and ca_file (HERA_CA_FILE) names nobody to trust"
                );
                continue;
            }
            let address = Address { host: dial.address.clone(), port: dial.port, tls };
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses
    }
}

/// The next list; never one of a worker whose brokers are fixed.
async fn next(list: &mut Option<watch::Receiver<Vec<Dial>>>) -> Vec<Dial> {
    if let Some(list) = list
        && list.changed().await.is_ok()
    {
        return list.borrow_and_update().clone();
    }
    std::future::pending().await
}
