//! All workers of this broker, the catalogue, and the routing table that is built from them.
//!
//! Changes are rare and go through one mutex: a worker declares, leaves, or drains. Each change builds a new table and publishes it;
//! the cores read it without a lock. What must outlive a table (counters, latencies, retry budgets) hangs on `Arc`s that the next table takes over.

use crate::access_log;
use crate::mail::SessionAddr;
use crate::metrics::RouteCounters;
use crate::moment::Moment;
use crate::published::Published;
use crate::retry_budget::RetryBudget;
use crate::worker::declaration::Accepted;
use hera_balance::Health;
use hera_balance::ewma::Latency;
use hera_balance::load::Load;
use hera_protocol::CallIds;
use hera_protocol::limits::{BODY_BYTES_DEFAULT, Limits, TIMEOUT_MS_DEFAULT};
use hera_protocol::message::declare::is_idempotent_method;
use hera_registry::catalogue::{Catalogue, KnownEndpoint};
use hera_route::pattern::Endpoint;
use hera_route::table::{Table, TableBuilder};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// One worker process, connected here: what every core needs to choose and to call it.
#[derive(Debug)]
pub struct Worker {
    /// Where its session lives.
    pub session: SessionAddr,
    /// Name of its key.
    pub service: String,
    /// Id of its key.
    pub key_id: String,
    /// The application's version.
    pub version: String,
    /// Unique per process.
    pub instance: String,
    /// The client library.
    pub library: String,
    /// Address it dialled from.
    pub peer: String,
    /// `service/version/instance`: the value of `Hera-Worker`.
    pub label: String,
    /// The lines of an answer's head that name this broker and it.
    pub for_head: String,
    /// Its member of a line of the access log.
    pub for_log: String,
    /// What holds between it and this broker.
    pub limits: Limits,
    /// Numbers the requests to it.
    pub ids: CallIds,
    /// Calls in flight from this broker.
    pub in_flight: AtomicU32,
    /// Takes no new call: busy by its own word or by its silence.
    pub busy: AtomicBool,
    /// Busy for its loop or pool was late a moment ago: takes a new call only where every other worker is busy too (docs/adr/0009).
    pub late: AtomicBool,
    /// Takes no new call: it is leaving.
    pub draining: AtomicBool,
    /// `f32` bits of the factor that its load gives.
    pub factor: AtomicU32,
    /// Microseconds of the last status round trip, 0 before the first.
    pub ping_us: AtomicU32,
    /// Calls that it answered.
    pub answered: AtomicU64,
    /// What it said last, and why it is busy. Written every 2 s, read by the admin API alone.
    pub report: Mutex<Report>,
    /// When it joined.
    pub since: Moment,
}

/// What people are told of a worker.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its last load.
    pub load: Load,
    /// Why it is busy.
    pub busy: Option<String>,
}

impl Worker {
    /// Whether it may get a call now; with `late`, also where it was late.
    pub fn takes_calls(&self, late: bool) -> bool {
        !self.busy.load(Ordering::Relaxed)
            && (late || !self.late.load(Ordering::Relaxed))
            && !self.draining.load(Ordering::Relaxed)
            && self.in_flight.load(Ordering::Relaxed) < self.limits.in_flight_max
    }

    /// The factor that its load gives, at least 1.
    pub fn factor(&self) -> f64 {
        f64::from(f32::from_bits(self.factor.load(Ordering::Relaxed)))
    }
}

/// One worker on one route: what is measured of it there.
#[derive(Debug, Default)]
pub struct Lane {
    /// Bits of its [`Latency`].
    pub latency: AtomicU64,
    /// Bits of its [`Health`].
    pub health: AtomicU64,
    /// Calls in flight of this endpoint.
    pub in_flight: AtomicU32,
}

impl Lane {
    /// The latency as it stands.
    pub fn latency(&self) -> Latency {
        Latency::from_bits(self.latency.load(Ordering::Relaxed))
    }

    /// Whether it is left alone for now.
    pub fn health(&self) -> Health {
        Health::from_bits(self.health.load(Ordering::Relaxed))
    }

    /// Notes a measurement. Two cores may lose one of two at the same instant: an estimate, not a count.
    pub fn observe(&self, now_ms: u32, seconds: f32) {
        self.latency.store(self.latency().observe(now_ms, seconds).to_bits(), Ordering::Relaxed);
    }
}

/// A worker that a route can go to.
#[derive(Debug)]
pub struct Target {
    /// Who.
    pub worker: Arc<Worker>,
    /// As this worker declared it.
    pub accepted: Arc<Accepted>,
    /// What is measured.
    pub lane: Arc<Lane>,
}

/// What outlives a table.
#[derive(Debug)]
pub struct RouteState {
    /// Calls and their latencies.
    pub counters: RouteCounters,
    /// How often it may be tried twice.
    pub budget: RetryBudget,
    /// Median latency of the last seconds in microseconds, 0 when unknown.
    pub median_us: AtomicU32,
    /// Calls that wait for a worker.
    pub waiting: AtomicUsize,
    /// Wakes one of them.
    pub freed: Notify,
}

/// A method and a shape, and the workers behind it.
#[derive(Debug)]
pub struct Route {
    /// `METHOD /pattern`, as the first worker declared it: the label in logs and metrics.
    pub label: String,
    /// Its method alone.
    pub method: String,
    /// Its pattern alone.
    pub pattern: String,
    /// The service that it belongs to.
    pub service: String,
    /// Longest timeout of its workers, in milliseconds.
    pub timeout_ms: u64,
    /// Largest body of its workers.
    pub body_bytes_max: u64,
    /// Every worker declared it idempotent.
    pub idempotent: bool,
    /// Workers connected here, draining ones too.
    pub targets: Vec<Target>,
    /// Its member of a line of the access log.
    pub for_log: String,
    /// What outlives the table.
    pub state: Arc<RouteState>,
}

impl Route {
    /// Whether a call with this HTTP method may run twice (D1).
    pub fn may_run_twice(&self, method: &str) -> bool {
        is_idempotent_method(method) || self.idempotent
    }

    /// Whether a worker is connected that is not leaving: what tells `no_worker` from `workers_busy` (D5).
    pub fn is_served(&self) -> bool {
        self.targets.iter().any(|target| !target.worker.draining.load(Ordering::Relaxed))
    }
}

/// The routes at one moment.
#[derive(Debug)]
pub struct RoutingTable {
    /// Method and path to route.
    pub routes: Table<Arc<Route>>,
    /// All of them, in the order of their labels.
    pub all: Vec<Arc<Route>>,
}

impl RoutingTable {
    /// On how many routes each worker is left alone for its failures; those with none are not in it.
    pub fn ejected(&self, now_ms: u32) -> HashMap<SessionAddr, usize> {
        let mut ejected = HashMap::new();
        for target in self.all.iter().flat_map(|route| &route.targets) {
            if target.lane.health().is_ejected(now_ms) {
                *ejected.entry(target.worker.session).or_default() += 1;
            }
        }
        ejected
    }

    /// No routes.
    pub fn empty() -> RoutingTable {
        RoutingTable { routes: TableBuilder::new().build(), all: Vec::new() }
    }
}

/// Who changes the routes.
#[derive(Debug)]
pub struct Roster {
    inner: Mutex<Inner>,
    start: Moment,
    joined_ms: AtomicU64,
    cores: usize,
}

#[derive(Debug)]
struct Inner {
    members: HashMap<SessionAddr, Member>,
    states: HashMap<String, Arc<RouteState>>,
    catalogue: Catalogue,
}

#[derive(Debug)]
struct Member {
    worker: Arc<Worker>,
    endpoints: Vec<(Arc<Accepted>, Arc<Lane>)>,
}

impl Inner {
    fn served(&self) -> Vec<(String, Vec<KnownEndpoint>)> {
        let known = |member: &Member| member.endpoints.iter().map(|(accepted, _)| known(accepted)).collect();
        self.members.values().map(|member| (member.worker.service.clone(), known(member))).collect()
    }
}

impl Roster {
    /// Nobody is connected; `catalogue` is what was known before.
    pub fn new(catalogue: Catalogue, cores: usize, start: Moment) -> Roster {
        let inner = Inner { members: HashMap::new(), states: HashMap::new(), catalogue };
        Roster { inner: Mutex::new(inner), start, joined_ms: AtomicU64::new(0), cores }
    }

    /// Publishes the routes of the catalogue, before anyone is connected.
    pub fn publish(&self, table: &Published<RoutingTable>) {
        let mut inner = self.lock();
        table.set(build(&mut inner, self.cores));
    }

    /// A session's whole set of endpoints. Gives what the catalogue learned and has to be written, if anything.
    pub fn declare(
        &self,
        worker: &Arc<Worker>,
        endpoints: Vec<Arc<Accepted>>,
        now_unix: u64,
        table: &Published<RoutingTable>,
    ) -> Option<Vec<KnownEndpoint>> {
        let mut inner = self.lock();
        let known: Vec<KnownEndpoint> = endpoints.iter().map(|accepted| known(accepted)).collect();
        let news = inner.catalogue.merge(&worker.service, &known, now_unix);
        // A worker that declares again keeps what was measured of the endpoints that it keeps.
        let mut lanes: HashMap<String, Arc<Lane>> = inner
            .members
            .remove(&worker.session)
            .map(|member| member.endpoints.into_iter().map(|(a, lane)| (a.shape.clone(), lane)).collect())
            .unwrap_or_default();
        let endpoints = endpoints
            .into_iter()
            .map(|accepted| {
                let lane = lanes.remove(&accepted.shape).unwrap_or_else(new_lane);
                (accepted, lane)
            })
            .collect();
        inner.members.insert(worker.session, Member { worker: worker.clone(), endpoints });
        let joined = self.start.elapsed().as_millis() as u64;
        self.joined_ms.store(joined, Ordering::Relaxed);
        table.set(build(&mut inner, self.cores));
        news.then_some(known)
    }

    /// The session ended.
    pub fn leave(&self, session: SessionAddr, table: &Published<RoutingTable>) {
        let mut inner = self.lock();
        if inner.members.remove(&session).is_some() {
            table.set(build(&mut inner, self.cores));
        }
    }

    /// Takes a catalogue that was read anew: somebody forgot an endpoint by command. What is served stays known.
    pub fn replace_catalogue(&self, catalogue: Catalogue, now_unix: u64, table: &Published<RoutingTable>) {
        let mut inner = self.lock();
        let served: Vec<(String, Vec<KnownEndpoint>)> = inner.served();
        let mut catalogue = catalogue;
        for (service, known) in served {
            catalogue.merge(&service, &known, now_unix);
        }
        if catalogue != inner.catalogue {
            inner.catalogue = catalogue;
            table.set(build(&mut inner, self.cores));
        }
    }

    /// All endpoints known.
    pub fn catalogue(&self) -> Catalogue {
        self.lock().catalogue.clone()
    }

    /// Drops endpoints that nobody served for 7 days; the served ones count as seen now. Gives what has to be written, by service.
    pub fn expire(
        &self,
        now_unix: u64,
        table: &Published<RoutingTable>,
    ) -> Vec<(String, Vec<KnownEndpoint>)> {
        let mut inner = self.lock();
        let news = inner
            .served()
            .into_iter()
            .filter(|(service, known)| inner.catalogue.merge(service, known, now_unix))
            .collect();
        if inner.catalogue.forget_unseen(now_unix) > 0 {
            table.set(build(&mut inner, self.cores));
        }
        news
    }

    /// Everyone who is connected.
    pub fn workers(&self) -> Vec<(Arc<Worker>, usize)> {
        let inner = self.lock();
        let mut workers: Vec<_> =
            inner.members.values().map(|m| (m.worker.clone(), m.endpoints.len())).collect();
        workers.sort_by(|(a, _), (b, _)| a.label.cmp(&b.label));
        workers
    }

    /// How many are connected.
    pub fn connected(&self) -> usize {
        self.lock().members.len()
    }

    /// Milliseconds since the start at which the last worker declared, 0 when none did.
    pub fn joined_ms(&self) -> u64 {
        self.joined_ms.load(Ordering::Relaxed)
    }

    /// Wakes a call that waits for this worker, if any does. Called where a place became free.
    pub fn freed(&self, worker: &Worker) {
        let inner = self.lock();
        let Some(member) = inner.members.get(&worker.session) else { return };
        let waiting = member.endpoints.iter().find_map(|(accepted, _)| {
            inner.states.get(&accepted.shape).filter(|state| state.waiting.load(Ordering::Relaxed) > 0)
        });
        if let Some(state) = waiting {
            state.freed.notify_one();
        }
    }

    // Held for the building of a table at most: no input or output happens under it.
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn known(accepted: &Accepted) -> KnownEndpoint {
    KnownEndpoint {
        endpoint: accepted.endpoint.to_string(),
        timeout_ms: accepted.declared.timeout_ms,
        body_bytes_max: accepted.declared.body_bytes_max,
        idempotent: accepted.declared.idempotent == Some(true),
    }
}

fn new_lane() -> Arc<Lane> {
    Arc::new(Lane {
        latency: AtomicU64::new(Latency::UNKNOWN.to_bits()),
        health: AtomicU64::new(Health::default().to_bits()),
        in_flight: AtomicU32::new(0),
    })
}

/// What is known of a route while the table is built.
struct Draft {
    endpoint: Endpoint,
    service: String,
    timeout_ms: u64,
    body_bytes_max: u64,
    idempotent: bool,
    targets: Vec<Target>,
}

fn build(inner: &mut Inner, cores: usize) -> RoutingTable {
    let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
    for entry in inner.catalogue.iter() {
        // What was written by another version may not be an endpoint here; it is then not a route either.
        let Ok(endpoint) = Endpoint::parse(&entry.known.endpoint) else { continue };
        let draft = Draft {
            service: entry.service.clone(),
            timeout_ms: entry.known.timeout_ms,
            body_bytes_max: entry.known.body_bytes_max,
            idempotent: entry.known.idempotent,
            targets: Vec::new(),
            endpoint,
        };
        drafts.insert(draft.endpoint.shape(), draft);
    }
    for member in inner.members.values() {
        for (accepted, lane) in &member.endpoints {
            let draft = drafts.entry(accepted.shape.clone()).or_insert_with(|| Draft {
                endpoint: accepted.endpoint.clone(),
                service: member.worker.service.clone(),
                timeout_ms: TIMEOUT_MS_DEFAULT,
                body_bytes_max: BODY_BYTES_DEFAULT,
                idempotent: false,
                targets: Vec::new(),
            });
            let declared = &accepted.declared;
            if draft.targets.is_empty() {
                // The first connected worker's word replaces the catalogue's; its service too, where two share a prefix.
                draft.service.clone_from(&member.worker.service);
                draft.timeout_ms = declared.timeout_ms;
                draft.body_bytes_max = declared.body_bytes_max;
                draft.idempotent = declared.idempotent == Some(true);
            } else {
                draft.timeout_ms = draft.timeout_ms.max(declared.timeout_ms);
                draft.body_bytes_max = draft.body_bytes_max.max(declared.body_bytes_max);
                draft.idempotent &= declared.idempotent == Some(true);
            }
            draft.targets.push(Target {
                worker: member.worker.clone(),
                accepted: accepted.clone(),
                lane: lane.clone(),
            });
        }
    }

    inner.states.retain(|shape, _| drafts.contains_key(shape));
    let mut routes = TableBuilder::new();
    let mut all = Vec::with_capacity(drafts.len());
    for (shape, draft) in drafts {
        let state = inner.states.entry(shape).or_insert_with(|| {
            Arc::new(RouteState {
                counters: RouteCounters::new(cores),
                budget: RetryBudget::default(),
                median_us: AtomicU32::new(0),
                waiting: AtomicUsize::new(0),
                freed: Notify::new(),
            })
        });
        let route = Arc::new(Route {
            for_log: access_log::member("route", &draft.endpoint.to_string()),
            label: draft.endpoint.to_string(),
            method: draft.endpoint.method().to_owned(),
            pattern: draft.endpoint.pattern().to_string(),
            service: draft.service,
            timeout_ms: draft.timeout_ms,
            body_bytes_max: draft.body_bytes_max,
            idempotent: draft.idempotent,
            targets: draft.targets,
            state: state.clone(),
        });
        routes.insert(&draft.endpoint, route.clone());
        all.push(route);
    }
    RoutingTable { routes: routes.build(), all }
}
