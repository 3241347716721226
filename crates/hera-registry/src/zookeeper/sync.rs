//! A broker's copy of the tree, kept true, and the broker's own node.
//!
//! ```text
//!   no session ── connected ──> stale ── all was read ──> in sync
//!       ^                         ^                          │
//!       └── session expired ──────┴──── connection lost ─────┘
//! ```
//!
//! Stale is not empty: what was read last stays in force in every state (D6). While the session lives its node stays; only an expired
//! session is replaced by a new one, in which the node is made again.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use zookeeper_client::{AddWatchMode, Client, EventType, PersistentWatcher, SessionState, WatchedEvent};

use super::layout::{self, SKELETON};
use super::node::BrokerNode;
use super::read::token_id;
use super::register::{OwnSessions, register, unregister};
use super::tree::Tree;
use super::verbs::ZkRegistry;
use crate::backoff::{self, Backoff};
use crate::error::Error;

/// Changes are gathered so long before they are read: a command changes several nodes.
const GATHER: Duration = Duration::from_millis(20);
/// At most so long, however large the tree is.
const GATHER_MAX: Duration = Duration::from_secs(1);
/// After a full read failed, or found another cluster.
const AGAIN: Duration = Duration::from_millis(250);
/// All is read anew, should a watch have been lost.
const ALL: Duration = Duration::from_secs(300);

/// What changed since the observer was told last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Tokens or worker keys.
    pub access: bool,
    /// The catalogue.
    pub catalogue: bool,
    /// The list of brokers.
    pub brokers: bool,
}

/// Who wants to know.
pub trait Observer {
    /// The tree of `cluster` is another one now.
    fn changed(&mut self, tree: &Tree, cluster: &str, changed: Changed);
    /// Whether the copy is known to be true; told when it changes.
    fn in_sync(&mut self, in_sync: bool);
    /// Whether our node stands; told when it changes.
    fn registered(&mut self, registered: bool);
    /// Something is wrong and is tried again; told once for each cause in a row.
    fn problem(&mut self, error: Error);
}

/// Keeps a broker's copy.
#[derive(Debug)]
pub struct Sync {
    registry: ZkRegistry,
    own: OwnSessions,
    node: watch::Receiver<Option<BrokerNode>>,
    tree: Tree,
    /// The cluster that the copy belongs to.
    cluster: Option<String>,
    in_sync: bool,
    registered: Option<String>,
    problem: Option<&'static str>,
    /// How long the observer took, which bounds how often it is told.
    cost: Duration,
}

impl Sync {
    /// A copy that knows nothing yet. `node` is what the broker says of itself, or `None` when it is to have no node.
    pub fn new(
        registry: ZkRegistry,
        data_dir: &Path,
        cluster: Option<String>,
        node: watch::Receiver<Option<BrokerNode>>,
    ) -> Sync {
        Sync {
            registry,
            own: OwnSessions::open(data_dir),
            node,
            tree: Tree::default(),
            cluster,
            in_sync: false,
            registered: None,
            problem: None,
            cost: Duration::ZERO,
        }
    }

    /// Goes on for as long as the broker lives.
    pub async fn run(mut self, observer: &mut impl Observer) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let error = self.session(observer).await;
            self.registry.use_session(None);
            self.set_in_sync(observer, false);
            self.set_registered(observer, None);
            // An expired session says nothing of the servers: the next one is opened at once.
            if self.problem(observer, error) {
                tokio::time::sleep(backoff.next(backoff::share())).await;
            }
            backoff.reset_after(began.elapsed());
        }
    }

    /// One session, from its beginning to its end; gives why it ended.
    async fn session(&mut self, observer: &mut impl Observer) -> Error {
        let client = match self.registry.access().connect().await {
            Ok(client) => client,
            Err(error) => return error,
        };
        if let Err(error) = self.own.add(client.session_id().0) {
            return error;
        }
        let mut state = client.state_watcher();
        let mut watchers = Watchers::default();
        let mut pending = Pending::all();
        self.registry.use_session(Some(client.clone()));
        loop {
            if client.state().is_terminated() {
                return self.registry.access().unavailable("the session is over");
            }
            let connected = client.state() == SessionState::SyncConnected;
            let mut wait = if pending.all { AGAIN } else { ALL };
            if connected && !pending.is_empty() {
                match self.catch_up(&client, &mut watchers, &pending, observer).await {
                    Ok(()) => {
                        pending = Pending::default();
                        wait = ALL;
                    }
                    Err(error) => {
                        self.set_in_sync(observer, false);
                        self.problem(observer, error);
                        pending = Pending::all();
                        wait = AGAIN;
                    }
                }
            }
            if connected
                && pending.is_empty()
                && let Err(error) = self.settle_node(&client, observer).await
            {
                self.problem(observer, error);
                wait = AGAIN;
            }
            tokio::select! {
                biased;
                now = state.changed() => match now {
                    SessionState::SyncConnected => pending = Pending::all(),
                    SessionState::Disconnected => self.set_in_sync(observer, false),
                    _ => {}
                },
                event = watchers.next() => {
                    pending.add(&event);
                    self.gather(&mut watchers, &mut pending).await;
                }
                changed = self.node.changed() => {
                    // The broker ends with whoever held the other side.
                    if changed.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                () = tokio::time::sleep(wait) => if wait == ALL { pending = Pending::all() },
            }
        }
    }

    /// Takes more events, so that a burst of changes is read once.
    async fn gather(&mut self, watchers: &mut Watchers, pending: &mut Pending) {
        let until = tokio::time::Instant::now() + (self.cost * 4).clamp(GATHER, GATHER_MAX);
        while let Ok(event) = tokio::time::timeout_at(until, watchers.next()).await {
            pending.add(&event);
        }
    }

    async fn catch_up(
        &mut self,
        client: &Client,
        watchers: &mut Watchers,
        pending: &Pending,
        observer: &mut impl Observer,
    ) -> Result<(), Error> {
        let registry = self.registry.clone();
        let reader = registry.reader(client);
        let mut changed = pending.changed();
        if pending.all {
            let cluster = reader.cluster().await?;
            if self.cluster.as_ref().is_some_and(|known| *known != cluster.cluster) {
                return Err(Error::OtherCluster { url: registry.access().url.to_string() });
            }
            self.check_acls(client).await?;
            // Watched before it is read: a change in between is told.
            watchers.watch(client, registry.access()).await?;
            reader.everything(&mut self.tree).await?;
            self.cluster = Some(cluster.cluster);
            changed = Changed { access: true, catalogue: true, brokers: true };
        } else {
            reader.tokens_of(&mut self.tree, &pending.of(&pending.tokens)).await?;
            reader.keys_of(&mut self.tree, &pending.of(&pending.keys)).await?;
            reader.services_of(&mut self.tree, &pending.of(&pending.services)).await?;
            reader.brokers_of(&mut self.tree, &pending.of(&pending.brokers)).await?;
        }
        // Somebody removed our node: it is made again at once (R-7).
        if changed.brokers && self.registered.as_ref().is_some_and(|id| !self.tree.brokers.contains_key(id)) {
            self.set_registered(observer, None);
        }
        let begun = Instant::now();
        observer.changed(&self.tree, self.cluster.as_deref().unwrap_or_default(), changed);
        self.cost = begun.elapsed();
        self.problem = None;
        self.set_in_sync(observer, true);
        Ok(())
    }

    async fn check_acls(&self, client: &Client) -> Result<(), Error> {
        let (access, rules) = (self.registry.access(), self.registry.rules());
        if access.open_acls {
            return Ok(());
        }
        for (path, who) in SKELETON.into_iter().chain([(layout::CONFIG, layout::Who::Closed)]) {
            let (acls, _) = access.ask(client.get_acl(path)).await?;
            if !rules.hold(who, &acls) {
                return Err(Error::OpenAcl { path: path.to_owned(), url: access.url.to_string() });
            }
        }
        Ok(())
    }

    /// Makes the node, or removes it, as the broker wants it now.
    async fn settle_node(&mut self, client: &Client, observer: &mut impl Observer) -> Result<(), Error> {
        let wanted = self.node.borrow_and_update().clone();
        match wanted {
            Some(node) if self.registered.is_none() => {
                let now_ms = node.started.saturating_mul(1000);
                let data = node.to_json(self.registry.sealer(), now_ms);
                register(&self.registry, client, &self.own, &node.id, &data).await?;
                self.set_registered(observer, Some(node.id));
            }
            None => {
                if let Some(id) = self.registered.clone() {
                    unregister(&self.registry, client, &id).await?;
                    self.set_registered(observer, None);
                }
            }
            Some(_) => {}
        }
        Ok(())
    }

    fn set_in_sync(&mut self, observer: &mut impl Observer, in_sync: bool) {
        if std::mem::replace(&mut self.in_sync, in_sync) != in_sync {
            observer.in_sync(in_sync);
        }
    }

    fn set_registered(&mut self, observer: &mut impl Observer, id: Option<String>) {
        let registered = id.is_some();
        if std::mem::replace(&mut self.registered, id).is_some() != registered {
            observer.registered(registered);
        }
    }

    /// Tells of a problem once in a row; gives whether it was told before, so that a first failure is tried again at once.
    fn problem(&mut self, observer: &mut impl Observer, error: Error) -> bool {
        let again = self.problem == Some(error.code());
        if !again {
            self.problem = Some(error.code());
            observer.problem(error);
        }
        again
    }
}

/// The watches on the four folders; gone with the session.
#[derive(Debug, Default)]
struct Watchers(Vec<PersistentWatcher>);

impl Watchers {
    /// Sets them, at first and after every reconnect: zookeeper-client 0.11.2 sets one-shot watches again, and forgets persistent ones.
    async fn watch(&mut self, client: &Client, access: &super::Access) -> Result<(), Error> {
        let mut watchers = Vec::new();
        for path in [layout::TOKENS, layout::KEYS, layout::SERVICES, layout::BROKERS] {
            watchers.push(access.ask(client.watch(path, AddWatchMode::PersistentRecursive)).await?);
        }
        // The old ones go only now: the last watcher of a path would take the server's watch with it.
        self.0 = watchers;
        Ok(())
    }

    /// The next event of any; never after the last one of a session, which ends the watchers.
    async fn next(&mut self) -> WatchedEvent {
        let [tokens, keys, services, brokers] = self.0.as_mut_slice() else {
            return std::future::pending().await;
        };
        let event = tokio::select! {
            event = tokens.changed() => event,
            event = keys.changed() => event,
            event = services.changed() => event,
            event = brokers.changed() => event,
        };
        if event.event_type == EventType::Session && event.session_state.is_terminated() {
            self.0.clear();
        }
        event
    }
}

/// What has to be read again.
#[derive(Debug, Default)]
struct Pending {
    all: bool,
    tokens: BTreeSet<String>,
    keys: BTreeSet<String>,
    services: BTreeSet<String>,
    brokers: BTreeSet<String>,
}

impl Pending {
    fn all() -> Pending {
        Pending { all: true, ..Pending::default() }
    }

    fn is_empty(&self) -> bool {
        !self.all
            && self.tokens.is_empty()
            && self.keys.is_empty()
            && self.services.is_empty()
            && self.brokers.is_empty()
    }

    fn changed(&self) -> Changed {
        Changed {
            access: !self.tokens.is_empty() || !self.keys.is_empty(),
            catalogue: !self.services.is_empty(),
            brokers: !self.brokers.is_empty(),
        }
    }

    fn of(&self, names: &BTreeSet<String>) -> Vec<String> {
        names.iter().cloned().collect()
    }

    /// A session event says that events may have been lost; a node event names its node.
    fn add(&mut self, event: &WatchedEvent) {
        let path = event.path.as_str();
        let child = |folder: &str| {
            let name = path.strip_prefix(folder)?.strip_prefix('/')?;
            (!name.contains('/') && name != layout::NAMES).then(|| name.to_owned())
        };
        if event.event_type == EventType::Session {
            return;
        }
        if let Some(id) = token_id(path) {
            self.tokens.insert(id.to_owned());
        } else if let Some(id) = child(layout::KEYS) {
            self.keys.insert(id);
        } else if let Some(name) = child(layout::SERVICES) {
            self.services.insert(name);
        } else if let Some(id) = child(layout::BROKERS) {
            self.brokers.insert(id);
        } else if event.event_type == EventType::NodeDeleted
            && SKELETON.iter().any(|(folder, _)| *folder == path)
        {
            // A folder went: perhaps all did, and that must not pass for "no tokens any more".
            self.all = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(events: &[(EventType, &str)]) -> Pending {
        let mut pending = Pending::default();
        events.iter().for_each(|(event, path)| pending.add(&WatchedEvent::new(*event, *path)));
        pending
    }

    #[test]
    fn events_name_what_has_to_be_read() {
        let pending = pending(&[
            (EventType::NodeCreated, "/tokens/01"),
            (EventType::NodeCreated, "/tokens/01/0123456789abcdef"),
            (EventType::NodeCreated, "/tokens/names/ads"),
            (EventType::NodeDataChanged, "/keys"),
            (EventType::NodeDeleted, "/keys/0123456789abcdef"),
            (EventType::NodeCreated, "/keys/names/ads"),
            (EventType::NodeDataChanged, "/services/ads"),
            (EventType::NodeDeleted, "/brokers/b-1"),
        ]);

        assert!(!pending.all);
        assert_eq!(pending.of(&pending.tokens), ["0123456789abcdef"]);
        assert_eq!(pending.of(&pending.keys), ["0123456789abcdef"]);
        assert_eq!(pending.of(&pending.services), ["ads"]);
        assert_eq!(pending.of(&pending.brokers), ["b-1"]);
    }

    #[test]
    fn folder_that_goes_has_everything_read_again() {
        assert!(pending(&[(EventType::NodeDeleted, "/tokens")]).all);
        assert!(pending(&[(EventType::NodeDataChanged, "/tokens")]).is_empty());
    }
}
