//! What a running broker has of its registry: how far its copy can be believed, and what it has to write there.
//!
//! A standalone broker's registry is its own data dir: read again when its files changed, always in sync. With ZooKeeper the data dir
//! holds the last copy, and [`crate::registry_sync`] keeps that true.

use crate::access::Access;
use crate::core::Shared;
use crate::moment::Moment;
use hera_registry::zookeeper::BrokerNode;
use hera_registry::{KnownEndpoint, Registry, Stamp, Standalone};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Services whose endpoints wait to be written; more are written with the next change, since a worker declares all at once.
const NEWS_MAX: usize = 1024;

/// Calls and workers that wait at once for something unknown to become known; more are refused at once.
pub const ARRIVALS_MAX: usize = 256;
/// How often they look.
const ARRIVAL_LOOK: Duration = Duration::from_millis(10);

/// The registry, as a broker knows it.
#[derive(Debug)]
pub struct RegistryLink {
    files: Standalone,
    registry: Registry,
    read: Mutex<Stamp>,
    news: mpsc::SyncSender<(String, Vec<KnownEndpoint>)>,
    /// What this broker says of itself there; `None` once it leaves.
    node: watch::Sender<Option<BrokerNode>>,
    state: State,
}

/// How far the copy can be believed. Read by calls, so nothing here is locked but the list of brokers.
#[derive(Debug, Default)]
struct State {
    loaded: AtomicBool,
    in_sync: AtomicBool,
    registered: AtomicBool,
    closed: AtomicBool,
    /// Milliseconds since the start at which it was in sync last.
    synced_ms: AtomicU64,
    skipped: AtomicUsize,
    /// Who waits for something unknown to become known.
    waiting: AtomicUsize,
    /// For people who ask, and the scrape; never on the path of a call.
    brokers: Mutex<Vec<BrokerNode>>,
    /// Endpoints that ZooKeeper does not hold yet, by service: one entry for each, however long it is away.
    unwritten: Mutex<BTreeMap<String, Vec<KnownEndpoint>>>,
    to_write: Notify,
}

/// The other end of [`RegistryLink::remember`].
pub type News = mpsc::Receiver<(String, Vec<KnownEndpoint>)>;

impl RegistryLink {
    /// A link to `registry`; `files` is the data dir, whose snapshot with the stamp `read` is in force.
    pub fn new(files: Standalone, registry: Registry, read: Stamp) -> (RegistryLink, News) {
        let (news, receiver) = mpsc::sync_channel(NEWS_MAX);
        let standalone = matches!(registry, Registry::Standalone(_));
        let loaded = standalone || files.saved_cluster().is_some();
        let state = State { loaded: loaded.into(), in_sync: standalone.into(), ..State::default() };
        let (node, _) = watch::channel(None);
        let read = Mutex::new(read);
        (RegistryLink { files, registry, read, news, node, state }, receiver)
    }

    /// The data dir.
    pub fn files(&self) -> &Standalone {
        &self.files
    }

    /// Where the verbs of people act.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    // ---- what calls ask ------------------------------------------------------------------------------------

    /// Whether tokens, keys and catalogue were read, now or before an outage. What is not loaded yet is never a 401 or 404 (D5).
    pub fn is_loaded(&self) -> bool {
        self.state.loaded.load(Ordering::Relaxed)
    }

    /// Whether what is not in the copy does not exist.
    pub fn is_in_sync(&self) -> bool {
        self.state.in_sync.load(Ordering::Relaxed)
    }

    /// Waits for what a command may have made a moment ago to arrive here: until `known`, at most `limit`. Gives whether it is.
    ///
    /// A standalone registry has been read anew by then, and is not waited for; nor is one that is out of sync, or when too many wait.
    pub async fn arrives(&self, limit: Duration, known: impl Fn() -> bool) -> bool {
        if matches!(self.registry, Registry::Standalone(_)) || !self.is_in_sync() {
            return known();
        }
        let waiting = Waiting::begin(&self.state.waiting);
        let until = Moment::now() + limit;
        while waiting.fits && !known() && Moment::now() < until {
            crate::clock::pause(ARRIVAL_LOOK).await;
        }
        known()
    }

    /// Whether `registry.max_stale` has passed: then no token is believed any more.
    pub fn is_closed(&self) -> bool {
        self.state.closed.load(Ordering::Relaxed)
    }

    /// Reads a standalone registry again if its files changed; gives whether they had. A file that cannot be read leaves what is known
    /// in force. With ZooKeeper there is nothing to read: changes come by themselves.
    pub fn refresh(&self, shared: &Shared) -> bool {
        let Registry::Standalone(files) = &self.registry else { return false };
        // One reader at a time; the others find the work done. Taken by the watch every 100 ms, and by calls with an unknown token.
        let mut read = lock(&self.read);
        if !files.changed_since(&read) {
            return false;
        }
        match files.load_snapshot() {
            Ok(snapshot) => {
                *read = snapshot.stamp.clone();
                for skipped in &snapshot.skipped {
                    tracing::warn!(skipped, "a record of the registry is not believed");
                }
                match files.load_catalogue() {
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

    // ---- the catalogue's news ------------------------------------------------------------------------------

    /// Has the catalogue's news written.
    pub fn remember(&self, service: &str, news: Vec<KnownEndpoint>) {
        if self.news.try_send((service.to_owned(), news)).is_err() {
            tracing::warn!(
                service,
                "the catalogue is not written just now; it will be with the next declaration"
            );
        }
    }

    /// Writes what waits, or hands it to the writer of the ZooKeeper registry.
    pub fn write(&self, news: &News) {
        for (service, known) in news.try_iter() {
            match &self.registry {
                Registry::Standalone(files) => {
                    if let Err(error) = files.merge_endpoints(&service, &known, crate::clock::unix_now()) {
                        tracing::error!(%error, service, "the catalogue cannot be written");
                    }
                }
                Registry::ZooKeeper(_) => {
                    let mut unwritten = lock(&self.state.unwritten);
                    let waiting = unwritten.entry(service).or_default();
                    for endpoint in known {
                        waiting.retain(|other| other.endpoint != endpoint.endpoint);
                        waiting.push(endpoint);
                    }
                    self.state.to_write.notify_one();
                }
            }
        }
    }

    /// Waits for something that ZooKeeper does not hold yet, and gives it; [`RegistryLink::written`] takes it off.
    pub async fn unwritten(&self) -> (String, Vec<KnownEndpoint>) {
        loop {
            let next =
                lock(&self.state.unwritten).iter().next().map(|(name, known)| (name.clone(), known.clone()));
            match next {
                Some(next) if self.is_in_sync() => return next,
                _ => self.state.to_write.notified().await,
            }
        }
    }

    /// ZooKeeper holds this now.
    pub fn written(&self, service: &str, known: &[KnownEndpoint]) {
        let mut unwritten = lock(&self.state.unwritten);
        if let Some(waiting) = unwritten.get_mut(service) {
            waiting.retain(|endpoint| !known.contains(endpoint));
            if waiting.is_empty() {
                unwritten.remove(service);
            }
        }
    }

    /// What ZooKeeper does not hold yet.
    pub fn all_unwritten(&self) -> Vec<(String, Vec<KnownEndpoint>)> {
        lock(&self.state.unwritten).iter().map(|(name, known)| (name.clone(), known.clone())).collect()
    }

    // ---- this broker's node --------------------------------------------------------------------------------

    /// What this broker says of itself, for whoever registers it.
    pub fn node(&self) -> watch::Receiver<Option<BrokerNode>> {
        self.node.subscribe()
    }

    /// Registers this broker, or has it leave.
    pub fn announce(&self, node: Option<BrokerNode>) {
        self.node.send_replace(node);
    }

    /// Leaves the registry, and waits for that, but not for long.
    pub async fn left(&self, limit: Duration) {
        self.announce(None);
        let until = Moment::now() + limit;
        while self.state.registered.load(Ordering::Relaxed) && Moment::now() < until {
            crate::clock::pause(Duration::from_millis(5)).await;
        }
    }

    // ---- what the copy's keeper says -----------------------------------------------------------------------

    /// The copy was read whole for the first time, or is known from before.
    pub fn set_loaded(&self) {
        self.state.loaded.store(true, Ordering::Relaxed);
    }

    /// Whether the copy is known to be true from now on.
    pub fn set_in_sync(&self, shared: &Shared, in_sync: bool) {
        self.touch(shared);
        self.state.in_sync.store(in_sync, Ordering::Relaxed);
        if in_sync {
            self.state.closed.store(false, Ordering::Relaxed);
            self.state.to_write.notify_one();
        }
    }

    /// Whether our node stands.
    pub fn set_registered(&self, registered: bool) {
        self.state.registered.store(registered, Ordering::Relaxed);
    }

    /// The brokers of the cluster, and how many nodes are not believed.
    pub fn set_brokers(&self, brokers: Vec<BrokerNode>, skipped: usize) {
        *lock(&self.state.brokers) = brokers;
        self.state.skipped.store(skipped, Ordering::Relaxed);
    }

    /// The brokers that are registered; none of a standalone one.
    pub fn brokers(&self) -> Vec<BrokerNode> {
        lock(&self.state.brokers).clone()
    }

    /// Notes that the copy is true now, if it is.
    fn touch(&self, shared: &Shared) {
        if self.is_in_sync() {
            self.state.synced_ms.store(shared.start.elapsed().as_millis() as u64, Ordering::Relaxed);
        }
    }

    /// How long the copy has not been known to be true.
    pub fn stale_for(&self, shared: &Shared) -> Duration {
        if self.is_in_sync() {
            return Duration::ZERO;
        }
        let synced = Duration::from_millis(self.state.synced_ms.load(Ordering::Relaxed));
        shared.start.elapsed().saturating_sub(synced)
    }

    /// Closes the broker to tokens once the copy is older than the operator allows.
    pub fn judge_age(&self, shared: &Shared) {
        let max = shared.config.registry.max_stale;
        let closed = max.is_some_and(|max| self.stale_for(shared) >= max);
        if closed && !self.state.closed.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "the registry is out of reach for longer than registry.max_stale: calls are answered 503 from now on"
            );
        }
    }

    /// For the scrape: in sync, registered, nodes not believed.
    pub fn readings(&self) -> (bool, bool, usize) {
        let state = &self.state;
        (self.is_in_sync(), state.registered.load(Ordering::Relaxed), state.skipped.load(Ordering::Relaxed))
    }
}

/// Counts one who waits; `fits` while there are not too many.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    fits: bool,
}

impl Waiting<'_> {
    fn begin(count: &AtomicUsize) -> Waiting<'_> {
        let before = count.fetch_add(1, Ordering::Relaxed);
        Waiting { count, fits: before < ARRIVALS_MAX }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Held for a copy or a swap; a poisoned lock still holds a whole value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
