//! From a route to a worker's answer: choose, count, send, wait, and try a second time where that is safe (D1).

use crate::call::Call;
use crate::core::Core;
use crate::http::connection::Fault;
use crate::mail::{Answer, Event, Failure, Mail, SessionAddr, ToSession};
use crate::moment::Moment;
use crate::rescue::Refusal;
use crate::submit::{submit, upload};
use crate::worker::roster::{Lane, Route, RouteState, RoutingTable, Target, Worker};
use hera_balance::health::{self, Judgement};
use hera_balance::{load, picker};
use hera_protocol::message::stream::Body;
use hera_protocol::{Code, Executed};
use hera_route::table::{Lookup, Params};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

/// How long a call waits when every worker is full.
pub const QUEUE_TIME: Duration = Duration::from_millis(500);
/// Calls of one route that wait so.
pub const QUEUE_CALLS_MAX: usize = 1000;
/// A waiting call looks again at least so often: a worker may also get room by being less busy.
const QUEUE_LOOK: Duration = Duration::from_millis(20);
/// A first estimate where nothing is known.
const LATENCY_GUESS: f32 = 0.030;
const ATTEMPTS_MAX: u32 = 2;

/// Calls of all routes that wait, so that a finished call knows whether to wake anyone.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// An answer, and what still hangs on it.
#[derive(Debug)]
pub struct Dispatched {
    /// The answer's head, and its body or the beginning.
    pub answer: Box<Answer>,
    /// Where the rest comes from.
    pub session: (SessionAddr, u64),
    /// Counts the call for its worker until its body is over.
    pub flight: Flight,
    /// When the answer came.
    pub at: Moment,
}

/// Why there is no answer to write.
#[derive(Debug)]
pub enum Unanswered {
    /// An error of ours.
    Refused(Refusal),
    /// The caller left.
    Gone,
}

impl From<Refusal> for Unanswered {
    fn from(refusal: Refusal) -> Unanswered {
        Unanswered::Refused(refusal)
    }
}

impl From<Fault> for Unanswered {
    fn from(fault: Fault) -> Unanswered {
        match fault {
            Fault::Gone => Unanswered::Gone,
            Fault::Refused(refusal) => Unanswered::Refused(refusal),
        }
    }
}

/// A call counted for its worker; dropping it uncounts, and wakes a call that waits.
#[derive(Debug)]
pub struct Flight {
    core: Rc<Core>,
    /// Who has it.
    pub worker: Arc<Worker>,
    lane: Arc<Lane>,
}

impl Flight {
    /// Takes a place, or `None` where another core took the last one.
    fn begin(core: &Rc<Core>, target: &Target) -> Option<Flight> {
        let flight = Flight { core: core.clone(), worker: target.worker.clone(), lane: target.lane.clone() };
        let calls = target.worker.in_flight.fetch_add(1, Ordering::Relaxed);
        let here = target.lane.in_flight.fetch_add(1, Ordering::Relaxed);
        let fits = calls < target.worker.limits.in_flight_max
            && target.accepted.declared.concurrency.is_none_or(|most| here < most);
        fits.then_some(flight)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.worker.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.lane.in_flight.fetch_sub(1, Ordering::Relaxed);
        if WAITING.load(Ordering::Relaxed) > 0 {
            self.core.shared.roster.freed(&self.worker);
        }
    }
}

/// A route, and where the parameters lie in the path that led to it.
#[derive(Debug)]
#[allow(clippy::redundant_allocation, reason = "as `published::Reader` hands it out")]
pub struct Found {
    /// The route.
    pub route: Arc<Route>,
    params: Params,
    among: Rc<Arc<RoutingTable>>,
}

/// The route of a call.
///
/// Until the catalogue is loaded nobody knows that there is none: 425 for a peer that can ask elsewhere, else 503, never 404 (D5).
pub fn route(core: &Core, method: &str, path: &str, wants_425: bool) -> Result<Found, Refusal> {
    let table = core.table();
    match table.routes.lookup(method, path) {
        Lookup::Found { value, params } => Ok(Found { route: value.clone(), params, among: table.clone() }),
        Lookup::NotFound | Lookup::MethodNotAllowed { .. } if !core.shared.registry.is_loaded() => {
            let mut refusal = Refusal::new(Code::NoWorker, "this broker has not read the catalogue yet");
            refusal.as_425 = wants_425;
            Err(refusal)
        }
        Lookup::NotFound => Err(Refusal::new(Code::NotFound, format!("no endpoint has the path {path}"))),
        Lookup::MethodNotAllowed { allow } => {
            let allow = allow.join(", ");
            let mut refusal = Refusal::new(Code::MethodNotAllowed, format!("{path} takes {allow}"));
            refusal.allow = Some(allow);
            Err(refusal)
        }
    }
}

/// Sends the call to a worker and waits for the head of its answer.
///
/// `call.upload` is left running when the body still goes on after the answer came.
pub async fn dispatch(call: &mut Call, mut now: Moment) -> Result<Dispatched, Unanswered> {
    let streamed = call.source.is_some();
    let mut maybe_started = false;
    let mut exclude = None;
    loop {
        call.attempts += 1;
        let picked = match pick(call, streamed, exclude, now) {
            Ok(Some(picked)) => Ok(picked),
            // Boxed: nearly every call is picked at once, and would carry the room to wait in with it.
            Ok(None) => Box::pin(wait_for_room(call, streamed, exclude, now)).await,
            Err(refusal) => Err(refusal.into()),
        };
        let Picked { found, target, flight, at: sent } = match picked {
            Ok(picked) => picked,
            Err(Unanswered::Refused(mut refusal)) => {
                if maybe_started {
                    refusal.executed = Executed::Maybe;
                }
                return Err(refusal.into());
            }
            Err(gone) => return Err(gone),
        };
        let Found { route, params, .. } = found;
        let target = &route.targets[target];
        call.worker = Some(flight.worker.clone());

        let Some(id) = flight.worker.ids.issue() else {
            return Err(Refusal::new(Code::InternalError, "the ids of a connection are used up")
                .not_started()
                .into());
        };
        let session = flight.worker.session;
        submit(call, target, &params, id, streamed, sent)?;
        drop(params);
        if let Some(source) = call.source.take() {
            let upload = upload(call.core.clone(), call.exchange.clone(), *source, session, id);
            call.begin_upload(Box::pin(upload));
        }

        let waited = wait(call).await;
        let at = Moment::now();
        let took = at.since(sent);
        call.timing.worker += took;
        match waited {
            Waited::Answer(answer) => {
                let failing = answer.status == 503;
                observe(&call.core, &route, target, at, took, failing);
                return Ok(Dispatched { answer, session: (session, id), flight, at });
            }
            Waited::Failed(failure) => {
                observe(&call.core, &route, target, at, took, failure.code != Code::HandlerFailed);
                maybe_started |= !failure.not_started;
                let twice = failure.not_started
                    || (failure.code == Code::WorkerLost && route.may_run_twice(call.incoming.method()));
                let in_time = failure.code != Code::PastDeadline && !call.core.is_stopping();
                // 64 bits: the balance's 32 wrap after 49 days, and the budget would then not fill again.
                let now_ms = call.core.shared.start.elapsed().as_millis() as u64;
                if twice
                    && in_time
                    && !streamed
                    && call.attempts < ATTEMPTS_MAX
                    && route.state.budget.try_retry(now_ms, failure.code == Code::WorkerLost)
                {
                    call.core.counters().retries.add(1);
                    exclude = Some(session);
                    now = at;
                    continue;
                }
                return Err(refuse(&failure, maybe_started).into());
            }
            Waited::Deadline => {
                // A caller in a hurry says nothing of the worker.
                let fair = took >= Duration::from_millis(route.timeout_ms) || took >= failure_cost(&route);
                if fair {
                    observe(&call.core, &route, target, at, took, true);
                }
                call.core.post(Mail::Session(session, ToSession::Cancel(id)));
                let detail = "the worker did not answer before the deadline, and was told to stop";
                return Err(Refusal::new(Code::DeadlineExceeded, detail).into());
            }
            Waited::Body(fault) => {
                call.core.post(Mail::Session(session, ToSession::Reset(id, Body::Call, Code::Cancelled)));
                call.core.post(Mail::Session(session, ToSession::Cancel(id)));
                return Err(match fault {
                    Fault::Gone => Unanswered::Gone,
                    Fault::Refused(mut refusal) => {
                        refusal.executed = Executed::Maybe;
                        refusal.into()
                    }
                });
            }
        }
    }
}

fn refuse(failure: &Failure, maybe_started: bool) -> Refusal {
    let detail = match failure.code {
        Code::HandlerFailed => "the handler failed; its text is in the worker's log, under this request id",
        Code::BadReply => "the worker's answer breaks the protocol",
        Code::WorkerLost if !failure.not_started => "the worker's connection ended while it had the call",
        Code::PastDeadline => "the call reached the worker too late and was not started",
        Code::DrainTimeout => "this broker stops and could not wait any longer",
        _ => "every worker refused the call before it started",
    };
    let code = match failure.code {
        Code::Busy | Code::Draining => Code::WorkersBusy,
        Code::WorkerLost if failure.not_started => Code::WorkersBusy,
        code => code,
    };
    let mut refusal = Refusal::new(code, detail);
    refusal.executed = if maybe_started { Executed::Maybe } else { Executed::No };
    refusal
}

// ---- choosing ----------------------------------------------------------------------------------------------

/// A worker that was chosen, on the route as it was then.
struct Picked {
    found: Found,
    target: usize,
    flight: Flight,
    /// When.
    at: Moment,
}

/// Picks among the workers that have room; `None` where none has.
fn pick(
    call: &mut Call,
    streamed: bool,
    exclude: Option<SessionAddr>,
    now: Moment,
) -> Result<Option<Picked>, Refusal> {
    // Looked up each time that the table changed: who waits for room is glad of a worker that joined meanwhile.
    let known = call.found.take().filter(|found| Rc::ptr_eq(&found.among, &call.core.table()));
    let found = match known {
        Some(found) => found,
        None => route(&call.core, call.incoming.method(), call.path(), call.wants_425)?,
    };
    let Some((target, flight)) = pick_among(call, &found.route, streamed, exclude, now) else {
        call.found = Some(found);
        return Ok(None);
    };
    Ok(Some(Picked { found, target, flight, at: now }))
}

/// Waits until a worker has room, but not for long: every worker is full.
async fn wait_for_room(
    call: &mut Call,
    streamed: bool,
    exclude: Option<SessionAddr>,
    begun: Moment,
) -> Result<Picked, Unanswered> {
    let mut now = begun;
    let mut queued: Option<Queued> = None;
    loop {
        let known = match &call.found {
            Some(found) => found.route.clone(),
            None => route(&call.core, call.incoming.method(), call.path(), call.wants_425)?.route,
        };
        // Registered before the look, so that a place which becomes free between the two is not missed.
        let freed = known.state.freed.notified();
        if let Some(picked) = pick(call, streamed, exclude, now)? {
            call.timing.queue += now.since(begun);
            return Ok(picked);
        }
        // As the look left it: it may have found a newer table.
        let route = call.found.as_ref().map_or_else(|| known.clone(), |found| found.route.clone());
        call.is_served(&route)?;
        if queued.is_none() {
            queued = Queued::enter(&route.state);
        }
        if queued.is_none() || now.since(begun) >= QUEUE_TIME {
            call.timing.queue += now.since(begun);
            let detail = format!("the workers of {} are connected, and none had room in 0.5 s", route.label);
            return Err(Refusal::new(Code::WorkersBusy, detail).into());
        }
        let gone = poll_fn(|cx| {
            if call.exchange.deadline.poll(cx).is_ready() {
                return Poll::Ready(Some(Code::PastDeadline));
            }
            call.poll_gone(cx).map(|()| None)
        });
        tokio::select! {
            biased;
            ended = gone => {
                return Err(match ended {
                    None => Unanswered::Gone,
                    Some(code) => Refusal::new(code, "the deadline passed while the call waited for a worker").into(),
                });
            }
            () = freed => {}
            () = crate::clock::pause(QUEUE_LOOK) => {}
        }
        now = Moment::now();
    }
}

struct Queued(Arc<RouteState>);

impl Queued {
    fn enter(state: &Arc<RouteState>) -> Option<Queued> {
        if state.waiting.fetch_add(1, Ordering::Relaxed) >= QUEUE_CALLS_MAX {
            state.waiting.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        WAITING.fetch_add(1, Ordering::Relaxed);
        Some(Queued(state.clone()))
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        WAITING.fetch_sub(1, Ordering::Relaxed);
    }
}

fn pick_among(
    call: &Call,
    route: &Route,
    streamed: bool,
    exclude: Option<SessionAddr>,
    now: Moment,
) -> Option<(usize, Flight)> {
    let core = &call.core;
    let now_ms = core.shared.now_ms(now);
    let cost = |at: usize, anyone: bool| {
        let target = &route.targets[at];
        let (worker, declared) = (&target.worker, &target.accepted.declared);
        let calls = worker.in_flight.load(Ordering::Relaxed);
        // A body of unknown length goes to those that take the most; it is held to their limit as it comes.
        let fits = call.announced.map_or(declared.body_bytes_max == route.body_bytes_max, |bytes| {
            bytes <= declared.body_bytes_max
        });
        let takes = worker.takes_calls(anyone)
            && (anyone || !target.lane.health().is_ejected(now_ms))
            && declared.concurrency.is_none_or(|most| target.lane.in_flight.load(Ordering::Relaxed) < most)
            && fits
            && (streamed || call.body.len() <= worker.limits.attachment_bytes_max)
            && Some(worker.session) != exclude;
        takes.then(|| {
            let slow = health::slow_start(now.since(worker.since));
            load::cost(f64::from(latency(route, target, now_ms)), calls, worker.factor() * slow)
        })
    };
    let mut rng = core.rng.borrow_mut();
    // A worker that was late, or failed, is better than none: that it is well is known only once it is asked (docs/adr/0009).
    let at = picker::pick(|at| cost(at, false), route.targets.len(), &mut rng, None)
        .or_else(|| picker::pick(|at| cost(at, true), route.targets.len(), &mut rng, None))?;
    Flight::begin(core, &route.targets[at]).map(|flight| (at, flight))
}

/// What is measured; first the route's median, then the worker's ping, but at least a guess.
///
/// A ping says how far away a worker is, not how fast it answers: taken as it is, the noise of two pings would send a fresh route's first
/// thousand calls to one of two equal workers.
fn latency(route: &Route, target: &Target, now_ms: u32) -> f32 {
    let micros = |value: u32| (value > 0).then(|| value as f32 / 1e6);
    let measured = target.lane.latency();
    if !measured.is_unknown() {
        return measured.read(now_ms);
    }
    micros(route.state.median_us.load(Ordering::Relaxed)).unwrap_or_else(|| {
        let ping = micros(target.worker.ping_us.load(Ordering::Relaxed));
        ping.unwrap_or_default().max(LATENCY_GUESS)
    })
}

/// Notes how long the worker took. One that fails fast must not look idle (design section 6).
fn observe(core: &Core, route: &Route, target: &Target, now: Moment, took: Duration, failed: bool) {
    let seconds = if failed { failure_cost(route).max(took) } else { took }.as_secs_f32();
    let now_ms = core.shared.now_ms(now);
    target.lane.observe(now_ms, seconds);
    let (health, judgement) = target.lane.health().observe(failed);
    // As with latencies, two cores may lose one of two at the same instant.
    target.lane.health.store(health.to_bits(), Ordering::Relaxed);
    if judgement != Judgement::Fine {
        eject(core, route, target, now_ms, judgement);
    }
}

/// What a failure counts as, however quick it was.
fn failure_cost(route: &Route) -> Duration {
    let median = Duration::from_micros(route.state.median_us.load(Ordering::Relaxed).into());
    (median * 10).max(Duration::from_secs(1))
}

/// Leaves a worker alone on this route for a while, unless the others are no better, or too many are left alone already.
#[cold]
fn eject(core: &Core, route: &Route, target: &Target, now_ms: u32, judgement: Judgement) {
    let others = || route.targets.iter().filter(|other| !Arc::ptr_eq(&other.lane, &target.lane));
    if let Judgement::Share(own) = judgement {
        let windows = others().map(|other| other.lane.health().window());
        let (calls, failures) = windows.fold((0, 0), |sum, window| (sum.0 + window.0, sum.1 + window.1));
        if !health::is_outlier(own, calls, failures) {
            return;
        }
    }
    let ejected = others().filter(|other| other.lane.health().is_ejected(now_ms)).count();
    if target.lane.health().is_ejected(now_ms) || !health::may_eject(ejected, route.targets.len()) {
        return;
    }
    target.lane.health.store(target.lane.health().ejected(now_ms).to_bits(), Ordering::Relaxed);
    core.counters().ejections.add(1);
    tracing::warn!(worker = %target.worker.label, route = %route.label, "worker fails here and is left alone for a while");
}

// ---- waiting -----------------------------------------------------------------------------------------------

enum Waited {
    Answer(Box<Answer>),
    Failed(Failure),
    Deadline,
    Body(Fault),
}

async fn wait(call: &mut Call) -> Waited {
    poll_fn(|cx| {
        while let Poll::Ready(event) = call.exchange.poll_event(cx) {
            match event {
                Event::Answer(answer) => return Poll::Ready(Waited::Answer(answer)),
                Event::Failed(failure) => return Poll::Ready(Waited::Failed(failure)),
                // Parts of a body before its head: the session lets none through.
                _ => {}
            }
        }
        if let Poll::Ready(Err(fault)) = call.poll_upload(cx) {
            return Poll::Ready(Waited::Body(fault));
        }
        if call.exchange.deadline.poll(cx).is_ready() {
            return Poll::Ready(Waited::Deadline);
        }
        call.poll_gone(cx).map(|()| Waited::Body(Fault::Gone))
    })
    .await
}
