//! Builds the parts of a broker, opens its three doors, and takes it down again. Nothing else constructs them.

use crate::access::Access;
use crate::access_log::{self, LogBuffer};
use crate::config::{Config, RegistryUrl};
use crate::core::{Core, Shared};
use crate::drain::{self, Phase};
use crate::mail::Mail;
use crate::metrics::{BrokerCounters, RouteTotals};
use crate::moment::Moment;
use crate::published::Published;
use crate::registry_link::{News, RegistryLink};
use crate::registry_sync;
use crate::tls::Tls;
use crate::worker::handshakes::Handshakes;
use crate::worker::roster::{Roster, RouteState, RoutingTable};
use crate::{admin_listener, http, worker};
use hera_protocol::proof::Signer;
use hera_registry::zookeeper::{Access as ZkAccess, ZkRegistry};
use hera_registry::{BrokerLock, Registry, Standalone};
use std::collections::HashMap;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

/// How often the files of the registry are looked at.
const WATCH: Duration = Duration::from_millis(100);
/// How often medians are taken anew.
const MEDIANS: Duration = Duration::from_secs(1);
/// How often the catalogue is looked through for what nobody serves any more.
const FORGET: Duration = Duration::from_secs(3600);
/// A registry that does not answer holds up no end.
const LEAVE: Duration = Duration::from_millis(500);
/// Connections get so long to end after the drain.
const FAREWELL: Duration = Duration::from_secs(2);
const BACKLOG: u32 = 1024;

/// Why a broker did not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(
        "cannot listen on {option} {address}: {source}; choose another with --{option} or stop what holds it"
    )]
    Listen {
        /// The flag that sets it.
        option: &'static str,
        /// What was tried.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The data dir, or what is in it.
    #[error("{0}")]
    Registry(#[from] hera_registry::Error),
    /// Certificate or key.
    #[error("TLS cannot be used: {0}")]
    Tls(String),
    /// The access log's file.
    #[error("cannot write the access log: {0}; change log.access")]
    AccessLog(io::Error),
    /// Threads, signals, the event loop.
    #[error("the system refused a thread or an event loop: {0}")]
    System(#[from] io::Error),
}

/// Runs a broker until it is told to end. Prints the one line `ready …` on stdout once it listens.
///
/// SIGTERM and SIGINT drain, a second one stops at once, SIGHUP reads the registry again.
pub fn run(config: Config) -> Result<(), StartError> {
    let runtime = local_runtime()?;
    let started = runtime.block_on(async {
        // Before anything else: a broker that is told to end while it starts ends as any other.
        let mut signals = Signals::watch()?;
        let started = start(config)?;
        let outcome = control(&started, &mut signals).await;
        Ok::<_, StartError>((started, outcome))
    });
    let (started, outcome) = started?;
    started.end();
    outcome
}

struct Started {
    shared: Arc<Shared>,
    news: News,
    threads: Vec<JoinHandle<()>>,
    log: Option<JoinHandle<()>>,
    admin: StdListener,
    _lock: BrokerLock,
}

/// SIGTERM, SIGINT and SIGHUP.
struct Signals {
    end: End,
    hup: Signal,
}

/// What tells a broker to end.
struct End {
    term: Signal,
    int: Signal,
}

impl Signals {
    fn watch() -> io::Result<Signals> {
        let of = |kind| signal(kind);
        let end = End { term: of(SignalKind::terminate())?, int: of(SignalKind::interrupt())? };
        Ok(Signals { end, hup: of(SignalKind::hangup())? })
    }
}

impl End {
    /// Resolves when the broker is told to end.
    async fn told(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}

fn start(mut config: Config) -> Result<Started, StartError> {
    let files = Standalone::open(&config.broker.data_dir, config.cluster_key_file().as_deref())?;
    let lock = files.lock_for_broker()?;
    files.admin_token()?;
    let registry = registry(&config, &files)?;
    let snapshot = files.load_snapshot()?;
    let (catalogue, skipped) = files.load_catalogue()?;
    for skipped in snapshot.skipped.iter().chain(&skipped) {
        tracing::warn!(skipped, "a record of the registry is not believed");
    }
    let tls = match &config.tls {
        Some(tls) => Some(Tls::load(&tls.cert, &tls.key).map_err(StartError::Tls)?),
        None => None,
    };

    let cores = config.broker.cores;
    let public = listen_shared("http", config.http.listen, cores)?;
    let workers = listen("workers", config.workers.listen)?;
    let admin = listen("admin", config.admin.listen)?;
    let log = access_log::start(&config.log.access).map_err(StartError::AccessLog)?;

    // Port 0 asked for any: from here on the configuration says which.
    config.http.listen = public[0].local_addr()?;
    config.workers.listen = workers.local_addr()?;
    config.admin.listen = admin.local_addr()?;

    let identity = Signer::from_seed(files.cluster_key().identity_seed().expose());
    let (registry, news) = RegistryLink::new(files, registry, snapshot.stamp.clone());
    let now = Moment::now();
    let (inboxes, letters): (Vec<_>, Vec<_>) = (0..cores).map(|_| mpsc::unbounded_channel()).unzip();
    let shared = Arc::new(Shared {
        id: config.broker.id.clone(),
        identity,
        access: Published::new(Access::build(snapshot, &Access::default())),
        registry,
        table: Published::new(RoutingTable::empty()),
        roster: Roster::new(catalogue, cores, now),
        handshakes: Handshakes::default(),
        phase: Phase::default(),
        calls_in_flight: AtomicUsize::new(0),
        body_bytes: AtomicUsize::new(0),
        http_connections: AtomicUsize::new(0),
        worker_connections: AtomicUsize::new(0),
        counters: (0..cores).map(|_| BrokerCounters::default()).collect(),
        start: now,
        inboxes,
        tls,
        config,
    });
    shared.roster.publish(&shared.table);

    let (writer, log) = log.unzip();
    let mut workers = Some(workers);
    let threads = public
        .into_iter()
        .zip(letters)
        .enumerate()
        .map(|(id, (public, letters))| {
            let (shared, writer, workers) = (shared.clone(), writer.clone(), workers.take());
            std::thread::Builder::new().name(format!("core-{id}")).spawn(move || {
                let seed = u64::from_le_bytes(hera_registry::secret::random());
                let core = Core::new(id, shared, LogBuffer::new(writer), seed);
                match local_runtime() {
                    Ok(runtime) => runtime.block_on(run_core(core, public, workers, letters)),
                    Err(error) => tracing::error!(%error, "a core has no event loop"),
                }
            })
        })
        .collect::<io::Result<Vec<_>>>()?;
    Ok(Started { shared, news, threads, log, admin, _lock: lock })
}

fn registry(config: &Config, files: &Standalone) -> Result<Registry, StartError> {
    let RegistryUrl::ZooKeeper(url) = &config.registry.url else {
        return Ok(Registry::Standalone(files.clone()));
    };
    files.check_copy()?;
    let access = ZkAccess {
        ca_file: config.registry.ca_file.clone(),
        timeout: config.registry.session_timeout,
        open_acls: config.registry.open_acls,
        ..ZkAccess::new(url.clone(), Some(files.cluster_key().clone()))
    };
    Ok(Registry::ZooKeeper(ZkRegistry::new(access)?))
}

impl Started {
    fn end(self) {
        for thread in self.threads {
            let _ = thread.join();
        }
        self.shared.registry.write(&self.news);
        // The writer ends when the last core's buffer is gone, which holds after the joins above.
        if let Some(log) = self.log {
            let _ = log.join();
        }
    }
}

fn local_runtime() -> io::Result<LocalRuntime> {
    // 61 is tokio's own choice; checked less often, sockets are read in larger batches.
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// One core: its door, its inbox, its tick, until it is told to stop.
async fn run_core(
    core: Rc<Core>,
    public: StdListener,
    workers: Option<StdListener>,
    mut letters: mpsc::UnboundedReceiver<Mail>,
) {
    let door = match TcpListener::from_std(public) {
        Ok(listener) => Some(tokio::task::spawn_local(http::accept::run(core.clone(), listener))),
        Err(error) => {
            tracing::error!(%error, "a core cannot accept");
            None
        }
    };
    if let Some(Ok(listener)) = workers.map(TcpListener::from_std) {
        tokio::task::spawn_local(worker::listener::run(core.clone(), listener));
    }
    tokio::task::spawn_local(tick(core.clone()));

    let mut batch = Vec::with_capacity(256);
    while letters.recv_many(&mut batch, 256).await > 0 {
        for letter in batch.drain(..) {
            core.deliver(letter);
        }
        if core.is_stopping() {
            break;
        }
    }
    // Who comes now is refused by the kernel, and goes elsewhere, instead of being let in and sent away without a word.
    if let Some(door) = door {
        door.abort();
    }
    // Answers on their way, and sessions' last words, get a moment.
    let until = Moment::now() + FAREWELL;
    while Moment::now() < until && !core.is_quiet() {
        crate::clock::pause(crate::alarm::TICK).await;
    }
    core.log.hand_over(&core);
}

async fn tick(core: Rc<Core>) {
    let mut every = tokio::time::interval(crate::alarm::TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut second = 0u32;
    loop {
        every.tick().await;
        let now = Moment::now();
        core.pulse.tick(now);
        core.wall.tick(now);
        core.alarms.tick(now);
        core.log.hand_over(&core);
        second += 1;
        if second.is_multiple_of(25) {
            *core.date_line.borrow_mut() = crate::clock::date_line();
        }
    }
}

/// What is not a call: signals, the registry's files, medians, the admin door. On a thread of its own, so a scrape moves nobody's latency.
async fn control(started: &Started, signals: &mut Signals) -> Result<(), StartError> {
    let shared = &started.shared;
    if let Ok(listener) = started.admin.try_clone().and_then(TcpListener::from_std) {
        tokio::task::spawn_local(admin_listener::run(shared.clone(), listener));
    }
    let begun = tokio::select! {
        begun = begin(started) => Some(begun),
        () = signals.end.told() => None,
    };
    match begun {
        Some(Ok(())) => serve(started, signals).await,
        Some(Err(error)) => {
            // Callers and workers may be here already; nothing was promised to them yet.
            shared.tell_cores(|| Mail::Stop);
            return Err(error);
        }
        None => {}
    }
    tokio::select! {
        _ = drain::drain(shared) => {}
        () = signals.end.told() => {
            shared.tell_cores(|| Mail::Stop);
            // No node outlives its broker, however it ends.
            shared.registry.left(LEAVE).await;
        }
    }
    Ok(())
}

/// Reads the registry, and says that the broker is ready.
async fn begin(started: &Started) -> Result<(), StartError> {
    if let Registry::ZooKeeper(tree) = started.shared.registry.registry() {
        registry_sync::start(&started.shared, tree).await?;
    }
    Ok(println_ready(started)?)
}

/// Goes on until the broker is told to end.
async fn serve(started: &Started, signals: &mut Signals) {
    let shared = &started.shared;
    let mut alarmed = false;
    let mut watch = tokio::time::interval(WATCH);
    let mut medians = tokio::time::interval(MEDIANS);
    let mut forget = tokio::time::interval(FORGET);
    let mut totals = Before::new();
    loop {
        tokio::select! {
            _ = watch.tick() => {
                shared.registry.refresh(shared);
                shared.registry.write(&started.news);
            }
            _ = medians.tick() => {
                take_medians(shared, &mut totals);
                registry_sync::watch_age(shared, &mut alarmed);
            }
            _ = forget.tick() => {
                for (service, known) in shared.roster.expire(crate::clock::unix_now(), &shared.table) {
                    shared.registry.remember(&service, known);
                }
                tokio::task::spawn_local(forget_unseen(shared.clone()));
            }
            _ = signals.hup.recv() => {
                shared.registry.refresh(shared);
                tracing::info!("registry read again");
            }
            () = signals.end.told() => return,
        }
    }
}

async fn forget_unseen(shared: Arc<Shared>) {
    if let Err(error) = shared.registry.registry().forget_unseen_endpoints(crate::clock::unix_now()).await {
        tracing::error!(%error, "the catalogue cannot be written");
    }
}

/// What was counted of a route a second ago, by the address of its state; the state is held, so that no other one comes to lie there.
type Before = HashMap<usize, (Arc<RouteState>, RouteTotals)>;

/// Takes each route's median of the last second's calls: a worker's first estimate, and the measure of what a failure costs.
///
/// One pass over the routes, whatever their number: this thread shares the cores with those that carry calls.
fn take_medians(shared: &Shared, before: &mut Before) {
    let mut kept = HashMap::with_capacity(before.len());
    for route in &shared.table.load().all {
        let now = route.state.counters.totals();
        if now.calls() == 0 {
            continue;
        }
        let at = Arc::as_ptr(&route.state) as usize;
        let then = before.remove(&at).map(|(_, then)| then).unwrap_or_default();
        let fresh = now.since(&then);
        if fresh.calls() > 0 {
            let median = fresh.quantile_us(0.5).clamp(1, u32::MAX.into()) as u32;
            route.state.median_us.store(median, Ordering::Relaxed);
        }
        kept.insert(at, (route.state.clone(), now));
    }
    *before = kept;
}

fn println_ready(started: &Started) -> io::Result<()> {
    let config = &started.shared.config;
    let (http, workers, admin) = (config.http.listen, config.workers.listen, config.admin.listen);
    let id = &started.shared.id;
    let mut out = io::stdout().lock();
    let registry = &config.registry.url;
    writeln!(out, "ready http={http} workers={workers} admin={admin} registry={registry} id={id}")?;
    out.flush()
}

fn listen(option: &'static str, address: SocketAddr) -> Result<StdListener, StartError> {
    socket(address, false).map_err(|source| StartError::Listen { option, address, source })
}

/// One listener for each core on one port.
///
/// SO_REUSEPORT would also let a second broker of the same user share the port in silence, so the port is taken alone first.
fn listen_shared(
    option: &'static str,
    address: SocketAddr,
    cores: usize,
) -> Result<Vec<StdListener>, StartError> {
    let fail = |source| StartError::Listen { option, address, source };
    let probe = socket(address, false).map_err(fail)?;
    let address = probe.local_addr().map_err(fail)?;
    drop(probe);
    (0..cores).map(|_| socket(address, true).map_err(fail)).collect()
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<StdListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG as i32)?;
    Ok(socket.into())
}
