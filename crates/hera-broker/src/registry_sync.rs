//! With ZooKeeper: what the broker does with its copy of the tree, and with what it has to write there. All of it on the control thread.

use crate::access::Access;
use crate::core::Shared;
use crate::moment::Moment;
use crate::registry_link::RegistryLink;
use hera_registry::zookeeper::node::{TCP, TLS};
use hera_registry::zookeeper::sync::{Changed, Observer, Sync};
use hera_registry::zookeeper::{BrokerNode, Tree, ZkRegistry};
use hera_registry::{Catalogue, Error};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The saved copy is written at most so often.
const SAVE: Duration = Duration::from_secs(1);
/// A write that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);
/// A broker with a saved copy waits so long for ZooKeeper before it goes by the copy.
const PATIENCE: Duration = Duration::from_secs(3);
/// An outage is an alarm from here on (D6).
const ALARM: Duration = Duration::from_secs(15 * 60);

/// Errors that waiting does not mend: whoever starts a broker has to act.
fn is_final(error: &Error) -> bool {
    matches!(
        error,
        Error::NotInitialised { .. }
            | Error::WrongClusterKey { .. }
            | Error::OpenAcl { .. }
            | Error::IdTaken { .. }
            | Error::BadUrl { .. }
    )
}

/// Starts keeping the copy true. Resolves once the tree was read and this broker is registered in it, or, where it is out of reach and a
/// saved copy is there, after 3 s. Errs on what nobody but the operator can mend.
pub async fn start(shared: &Arc<Shared>, registry: &ZkRegistry) -> Result<(), Error> {
    let link = &shared.registry;
    let (first, known) = oneshot::channel();
    let saved = Rc::new(Saved::default());
    let mut keeper = Keeper { shared: shared.clone(), saved: saved.clone(), first: Some(first) };
    let sync = Sync::new(
        registry.clone(),
        &shared.config.broker.data_dir,
        link.files().saved_cluster(),
        link.node(),
    );
    let has_copy = link.is_loaded();
    link.announce(Some(node(shared)));
    tokio::task::spawn_local(async move { sync.run(&mut keeper).await });
    tokio::task::spawn_local(write_news(shared.clone(), registry.clone()));
    tokio::task::spawn_local(save(shared.clone(), saved));
    let out_of_patience = async {
        crate::clock::pause(PATIENCE).await;
        // Where the registry answers, its last word is waited for: our name may be taken.
        while link.is_in_sync() {
            crate::clock::pause(AGAIN).await;
        }
    };
    tokio::select! {
        known = known => known.unwrap_or(Ok(())),
        () = out_of_patience, if has_copy => {
            tracing::warn!(registry = %registry.access().url, "the registry does not answer; the saved copy is in force");
            Ok(())
        }
    }
}

/// What this broker says of itself.
fn node(shared: &Shared) -> BrokerNode {
    let config = &shared.config;
    let host = config.advertised_host();
    let bracketed = if host.contains(':') { format!("[{host}]") } else { host.clone() };
    let (scheme, protocol) = if shared.tls.is_some() { ("https", TLS) } else { ("http", TCP) };
    BrokerNode {
        id: shared.id.clone(),
        address: host,
        port: config.workers.listen.port(),
        protocols: vec![protocol.to_owned()],
        http: format!("{scheme}://{bracketed}:{}", config.http.listen.port()),
        admin: config.admin.listen.to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: crate::clock::unix_now(),
    }
}

/// Puts the tree in force.
struct Keeper {
    shared: Arc<Shared>,
    saved: Rc<Saved>,
    /// Told once, what came of the first try.
    first: Option<oneshot::Sender<Result<(), Error>>>,
}

impl Observer for Keeper {
    fn changed(&mut self, tree: &Tree, cluster: &str, changed: Changed) {
        let shared = &self.shared;
        if changed.access {
            let access = Access::build(tree.snapshot(), &shared.access.load());
            shared.access.set(access);
            shared.review();
        }
        if changed.catalogue {
            let mut catalogue = tree.catalogue();
            let now = crate::clock::unix_now();
            // What is still to be written is known all the same.
            for (service, known) in shared.registry.all_unwritten() {
                catalogue.merge(&service, &known, now);
            }
            shared.roster.replace_catalogue(catalogue, now, &shared.table);
        }
        for (path, reason) in self.saved.news_of(&tree.skipped) {
            tracing::warn!(path, reason, "a record of the registry is not believed");
        }
        shared.registry.set_brokers(tree.brokers.values().cloned().collect(), tree.skipped.len());
        shared.registry.set_loaded();
        if changed.access || changed.catalogue {
            self.saved.take(tree, cluster);
        }
    }

    fn in_sync(&mut self, in_sync: bool) {
        self.shared.registry.set_in_sync(&self.shared, in_sync);
        match in_sync {
            true => tracing::info!("the registry is in sync"),
            false => {
                tracing::warn!("the registry is out of reach; the last tokens, keys and routes stay in force")
            }
        }
    }

    fn registered(&mut self, registered: bool) {
        self.shared.registry.set_registered(registered);
        tracing::info!(registered, "this broker's node");
        if let Some(first) = self.first.take() {
            let _ = first.send(Ok(()));
        }
    }

    fn problem(&mut self, error: Error) {
        if is_final(&error)
            && (!self.shared.registry.is_loaded()
                || matches!(error, Error::IdTaken { .. } | Error::WrongClusterKey { .. }))
            && let Some(first) = self.first.take()
        {
            let _ = first.send(Err(error));
            return;
        }
        match is_final(&error) || matches!(error, Error::OtherCluster { .. }) {
            true => tracing::error!(%error, "the registry cannot be used; what is known stays in force"),
            false => tracing::warn!(%error, "the registry cannot be used just now"),
        }
    }
}

/// Tells ZooKeeper what workers declared, one service after the other.
async fn write_news(shared: Arc<Shared>, registry: ZkRegistry) {
    loop {
        let (service, known) = shared.registry.unwritten().await;
        match registry.merge_endpoints(&service, &known, crate::clock::unix_now()).await {
            Ok(_) => shared.registry.written(&service, &known),
            Err(error @ Error::TooLarge { .. }) => {
                tracing::error!(%error, service, "the endpoints of this service are not kept in the registry");
                shared.registry.written(&service, &known);
            }
            Err(error) => {
                tracing::warn!(%error, service, "the catalogue is written later");
                crate::clock::pause(AGAIN).await;
            }
        }
    }
}

/// The copy that waits to be saved.
#[derive(Default)]
struct Saved {
    copy: RefCell<Option<(Tree, String)>>,
    skipped: RefCell<std::collections::BTreeMap<String, String>>,
    changed: Notify,
}

impl Saved {
    fn take(&self, tree: &Tree, cluster: &str) {
        *self.copy.borrow_mut() = Some((tree.clone(), cluster.to_owned()));
        self.changed.notify_one();
    }

    /// What is skipped now and was not before.
    fn news_of(&self, skipped: &std::collections::BTreeMap<String, String>) -> Vec<(String, String)> {
        let mut known = self.skipped.borrow_mut();
        let news = skipped.iter().filter(|(path, _)| !known.contains_key(*path));
        let news = news.map(|(path, reason)| (path.clone(), reason.clone())).collect();
        known.clone_from(skipped);
        news
    }
}

/// Saves the copy, off this thread: a hundred thousand tokens are tens of megabytes.
async fn save(shared: Arc<Shared>, saved: Rc<Saved>) {
    loop {
        saved.changed.notified().await;
        let Some((tree, cluster)) = saved.copy.borrow_mut().take() else { continue };
        let begun = Moment::now();
        let shared = shared.clone();
        let written =
            tokio::task::spawn_blocking(move || write_copy(&shared.registry, &shared, &tree, &cluster));
        if let Ok(Err(error)) = written.await {
            tracing::error!(%error, "the copy of the registry cannot be saved; after a restart without ZooKeeper this broker would know an older one");
        }
        crate::clock::pause(SAVE.max(begun.elapsed() * 10)).await;
    }
}

fn write_copy(link: &RegistryLink, shared: &Shared, tree: &Tree, cluster: &str) -> Result<(), Error> {
    let catalogue: Catalogue = shared.roster.catalogue();
    link.files().save(cluster, tree.tokens.values().cloned(), tree.keys.values().cloned(), &catalogue)
}

/// Looks at the age of the copy, once a second.
pub fn watch_age(shared: &Shared, alarmed: &mut bool) {
    let stale = shared.registry.stale_for(shared);
    shared.registry.judge_age(shared);
    let alarm = stale >= ALARM;
    if alarm && !*alarmed {
        tracing::error!(
            minutes = stale.as_secs() / 60,
            "the registry is out of reach: tokens and keys are not renewed, unknown ones are answered 503"
        );
    }
    *alarmed = alarm;
}
