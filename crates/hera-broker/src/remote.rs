//! The calls that a worker makes (P-50 to P-55): judged like a caller's, and answered on the session that they came on.
//!
//! ```text
//!   session ──call──> stages ──dispatch──> another session, of any core
//!      ^  └─chunk, end, cancel─> Remote          │
//!      └──result, chunk, end────────── answer <──┘
//! ```
//!
//! Each runs in a task of its own on the core of the session; nothing of it runs in the session's reader.

mod answer;
mod body;
mod state;

pub use body::RemoteBody;
pub use state::{Remote, Remotes};

use crate::call::{Call, Held, InFlight, Origin, Who};
use crate::core::Core;
use crate::dispatch::{self, Dispatched, Unanswered};
use crate::http::request::Incoming;
use crate::mail::{Mail, ToSession};
use crate::moment::Moment;
use crate::rescue::{self, Refusal};
use crate::submit::Source;
use crate::worker::session::Session;
use crate::{access_log, auth, metrics, request_id};
use answer::{Sent, send};
use hera_protocol::limits::CALL_DEPTH_MAX;
use hera_protocol::message::call::CallerIn;
use hera_protocol::message::remote::{self, AnswerOut, RemoteCall};
use hera_protocol::message::stream::Body;
use hera_protocol::{Attachment, Code};
use hera_registry::worker_key::KeyRecord;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Credit is given back in steps of this many bytes, so that small chunks do not cost a frame each.
const CREDIT_STEP: u64 = 64 * 1024;

/// A service that calls another.
#[derive(Debug)]
pub struct Service {
    /// Its name, as its key says.
    pub name: String,
    /// What it says of the caller at the beginning of the chain.
    pub caller: CallerIn,
    /// Names of the calls within which this one is made.
    pub chain: Vec<String>,
}

fn too_large(limit: u64) -> Refusal {
    Refusal::new(Code::BodyTooLarge, format!("the body is over the endpoint's limit of {limit} bytes"))
}

/// Begins a remote call. `None` where it is refused at once, which the worker is told.
pub fn begin(
    core: &Rc<Core>,
    session: &Rc<Session>,
    id: u64,
    read: Result<RemoteCall, remote::BadCall>,
    body: Attachment,
) -> Option<Rc<Remote>> {
    let now = Moment::now();
    let call = match read {
        Ok(call) => call,
        Err(bad) => {
            core.counters().refused(bad.code);
            let request_id = request_id::fresh(core);
            rescue::tell_worker(session, id, &Refusal::new(bad.code, bad.reason), &request_id);
            return None;
        }
    };
    let remote = Remote::open(core, session, id);
    let (core, given) = (core.clone(), remote.clone());
    tokio::task::spawn_local(async move {
        run(core, &given, call, body, now).await;
        given.session.remote_over(given.id);
    });
    Some(remote)
}

async fn run(core: Rc<Core>, remote: &Rc<Remote>, given: RemoteCall, body: Attachment, now: Moment) {
    let session = &remote.session;
    let incoming = Incoming::of_remote(&given);
    let request_id = given.request_id.as_deref().and_then(|id| request_id::accepted(id.as_bytes()));
    let request_id = request_id.map_or_else(|| request_id::fresh(&core), str::to_owned);
    let begun = core.pulse.late_arrival(now).unwrap_or(now);
    let (origin, exchange) = (Origin::Worker(remote.clone()), remote.exchange.clone());
    let mut call = Call::new(core, origin, exchange, incoming, request_id, begun);
    let mut caller = given.caller.unwrap_or_default();
    if caller.ip.parse::<IpAddr>().is_err() {
        caller.ip = remote.caller_ip.to_string();
    }
    let name = session.worker.service.clone();
    call.who = Who::Service(Box::new(Service { name, caller, chain: given.chain }));

    let done = match call.stages_of_worker(remote, given.timeout, given.more, body).await {
        Ok(dispatched) => call.answer_worker(remote, dispatched).await,
        Err(Unanswered::Refused(refusal)) => {
            rescue::tell_worker(session, remote.id, &refusal, &call.request_id);
            access_log::Done::refused(&refusal, 0)
        }
        Err(Unanswered::Gone) => access_log::Done::gone(),
    };
    let now = Moment::now();
    call.timing.total = now.since(call.begun);
    metrics::count(&call, &done);
    access_log::write(&call, &done, now);
}

impl Call {
    /// The stages of [`crate::pipeline`], for a worker's call.
    async fn stages_of_worker(
        &mut self,
        remote: &Rc<Remote>,
        asked: Option<Duration>,
        more: bool,
        body: Attachment,
    ) -> Result<Dispatched, Unanswered> {
        self.in_flight = Some(InFlight::begin(&self.core)?);
        self.canonical_path()?;
        self.may_call(remote)?;
        self.may_nest()?;
        let now = Moment::now();
        self.timing.auth = now.since(self.begun);
        let route = self.route()?;
        self.set_deadline(&route, asked);
        if self.deadline <= now {
            let detail = "this broker stood still, and the deadline passed before it read the call";
            return Err(Refusal::new(Code::DeadlineExceeded, detail).not_started().into());
        }
        let bytes = body.len() as u64;
        self.announced = (!more).then_some(bytes);
        if bytes > route.body_bytes_max {
            return Err(too_large(route.body_bytes_max).into());
        }
        if more || bytes > 0 {
            self.is_served(&route)?;
            self.held = Some(Held::take(&self.core, if more { u64::MAX } else { bytes })?);
        }
        if more {
            let rest = RemoteBody::begin(remote.clone(), bytes, route.body_bytes_max);
            self.source = Some(Box::new(Source::Worker(rest)));
        }
        self.body = body;
        dispatch::dispatch(self, now).await
    }

    /// Whether the worker's key covers this call; the refusal names the command that would make it.
    fn may_call(&self, remote: &Remote) -> Result<(), Refusal> {
        auth::still_believed(&self.core)?;
        let (method, path) = (self.incoming.method(), self.path());
        let Some(key) = remote.session.current_key(&self.core) else {
            return Err(Refusal::new(Code::Forbidden, "the worker key was revoked"));
        };
        if key.may_call(method, path) {
            return Ok(());
        }
        let name = &key.name;
        let scopes = command_scopes(&key, &format!("{method} {path}"));
        let detail = format!(
            "service {name} may not call {method} {path}; an operator allows it with: hera key update {name}{scopes}"
        );
        Err(Refusal::new(Code::Forbidden, detail))
    }

    /// P-53: no call within itself, and no endless descent.
    fn may_nest(&self) -> Result<(), Refusal> {
        let Who::Service(service) = &self.who else { return Ok(()) };
        if service.chain.is_empty() {
            return Ok(());
        }
        let (method, path) = (self.incoming.method(), self.path());
        if service.chain.contains(&remote::name(method, path, self.incoming.query())) {
            let detail =
                format!("{method} {path} is called within itself, {} calls further up", service.chain.len());
            return Err(Refusal::new(Code::CallCycle, detail));
        }
        if service.chain.len() >= CALL_DEPTH_MAX {
            let detail = format!(
                "{method} {path} would be call {} of a chain of at most {CALL_DEPTH_MAX}",
                service.chain.len() + 1
            );
            return Err(Refusal::new(Code::CallTooDeep, detail));
        }
        Ok(())
    }

    async fn answer_worker(&mut self, remote: &Rc<Remote>, dispatched: Dispatched) -> access_log::Done {
        let Dispatched { answer, session, flight, at } = dispatched;
        self.exchange.deadline.clear();
        self.timing.total = at.since(self.begun);
        let status = answer.status;
        // A body in one piece is the broker's from here on: the worker has its place back.
        let flight = if answer.more { Some(flight) } else { None };
        let worker = self.worker.clone();
        let head = AnswerOut {
            status,
            header_lines: &answer.header_lines,
            content_length: None,
            more: false,
            worker: worker.as_ref().map_or("", |worker| worker.label.as_str()),
            attempts: self.attempts,
            took: [self.timing.queue, self.timing.worker, self.timing.bus()],
        };
        let is_head = self.incoming.method() == "HEAD";
        let core = self.core.clone();
        let sent = {
            let mut sending = pin!(send(&core, remote, &answer, head, is_head, session));
            poll_fn(|cx| {
                if let Poll::Ready(Err(_)) = self.poll_upload(cx) {
                    core.post(Mail::Session(session.0, ToSession::Cancel(session.1)));
                    return Poll::Ready(Sent::Gone(0));
                }
                sending.as_mut().poll(cx)
            })
            .await
        };
        drop(flight);
        if self.stop_upload() {
            core.post(Mail::Session(session.0, ToSession::Reset(session.1, Body::Call, Code::Cancelled)));
            remote.session.remote_reset(remote.id, Body::Call, Code::Cancelled);
        }
        let done = |bytes, cut| access_log::Done { status, code: None, bytes, cut };
        match sent {
            Sent::Whole(bytes) => done(bytes, false),
            Sent::Gone(bytes) => done(bytes, true),
            Sent::Cut(bytes) => {
                remote.session.remote_reset(remote.id, Body::Reply, Code::WorkerLost);
                done(bytes, true)
            }
            Sent::Refused(refusal) => {
                rescue::tell_worker(&remote.session, remote.id, &refusal, &self.request_id);
                access_log::Done::refused(&refusal, 0)
            }
        }
    }
}

/// The scopes of a key and one more, as options of `hera key update`, which replaces them all.
fn command_scopes(key: &KeyRecord, one_more: &str) -> String {
    let scopes = key.call.iter().map(ToString::to_string).chain([one_more.to_owned()]);
    scopes.map(|scope| format!(" --call '{}'", scope.replace('\'', r"'\''"))).collect()
}
