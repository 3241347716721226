//! The files of the standalone registry, and how a running broker sees that they changed.

use crate::access::Access;
use crate::core::Shared;
use hera_registry::{KnownEndpoint, Stamp, Standalone};
use std::sync::{Mutex, PoisonError, mpsc};

/// Services whose endpoints wait to be written; more are written with the next change, since a worker declares all at once.
const NEWS_MAX: usize = 1024;

/// Reads the registry again when its files changed, and writes what the catalogue learns, off the path of calls.
#[derive(Debug)]
pub struct RegistryWatch {
    standalone: Standalone,
    read: Mutex<Stamp>,
    news: mpsc::SyncSender<(String, Vec<KnownEndpoint>)>,
}

/// The other end of [`RegistryWatch::remember`].
pub type News = mpsc::Receiver<(String, Vec<KnownEndpoint>)>;

impl RegistryWatch {
    /// Watches `standalone`, whose snapshot with this stamp has been read.
    pub fn new(standalone: Standalone, read: Stamp) -> (RegistryWatch, News) {
        let (news, receiver) = mpsc::sync_channel(NEWS_MAX);
        (RegistryWatch { standalone, read: Mutex::new(read), news }, receiver)
    }

    /// The files.
    pub fn standalone(&self) -> &Standalone {
        &self.standalone
    }

    /// Reads again if the files changed; gives whether they had. A file that cannot be read leaves what is known in force.
    pub fn refresh(&self, shared: &Shared) -> bool {
        // One reader at a time; the others find the work done. Taken by the watch every 100 ms, and by calls with an unknown token.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.standalone.changed_since(&read) {
            return false;
        }
        match self.standalone.load_snapshot() {
            Ok(snapshot) => {
                *read = snapshot.stamp.clone();
                for skipped in &snapshot.skipped {
                    tracing::warn!(skipped, "a record of the registry is not believed");
                }
                match self.standalone.load_catalogue() {
                    Ok((catalogue, _)) => {
                        shared.roster.replace_catalogue(catalogue, crate::clock::unix_now(), &shared.table);
                    }
                    Err(error) => tracing::error!(%error, "the catalogue cannot be read; it stays as it was"),
                }
                let access = Access::build(snapshot, &shared.access.load());
                shared.access.set(access);
                shared.review();
                true
            }
            Err(error) => {
                tracing::error!(%error, "the registry cannot be read; tokens and keys stay as they were");
                false
            }
        }
    }

    /// Has the catalogue's news written.
    pub fn remember(&self, service: &str, news: Vec<KnownEndpoint>) {
        if self.news.try_send((service.to_owned(), news)).is_err() {
            tracing::warn!(
                service,
                "the catalogue is not written just now; it will be with the next declaration"
            );
        }
    }

    /// Writes what waits.
    pub fn write(&self, news: &News) {
        for (service, known) in news.try_iter() {
            if let Err(error) = self.standalone.merge_endpoints(&service, &known, crate::clock::unix_now()) {
                tracing::error!(%error, service, "the catalogue cannot be written");
            }
        }
    }
}
