//! A call under way: what is known of it, whoever made it.

use crate::access::Caller;
use crate::auth;
use crate::core::Core;
use crate::dispatch::{self, Found};
use crate::exchange::Exchange;
use crate::http::body::BodyReader;
use crate::http::connection::{Connection, Fault};
use crate::http::request::Incoming;
use crate::http::response::Timing;
use crate::moment::Moment;
use crate::remote::{Remote, Service};
use crate::rescue::Refusal;
use crate::submit::{Source, Upload};
use crate::worker::roster::{Route, Worker};
use hera_protocol::limits::{ATTACHMENT_BYTES_MAX, TIMEOUT_MS_DEFAULT};
use hera_protocol::{Attachment, Code};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

/// A call under way.
pub struct Call {
    /// Where it runs.
    pub core: Rc<Core>,
    /// Where it came from.
    pub origin: Origin,
    /// Where the answer arrives.
    pub exchange: Rc<Exchange>,
    /// Its head.
    pub incoming: Box<Incoming>,
    /// The caller's id, or a fresh one.
    pub request_id: String,
    /// When its head was whole.
    pub begun: Moment,
    /// When it must be answered.
    pub deadline: Moment,
    path: CanonicalPath,
    /// Who calls.
    pub who: Who,
    /// Address of who calls.
    pub caller_ip: Rc<str>,
    /// `Authorization` carried the token.
    pub used_authorization: bool,
    /// The peer is a proxy that we trust.
    pub trusted: bool,
    /// It asked for 425 where no worker is connected (D5).
    pub wants_425: bool,
    /// Bytes that its body announced.
    pub announced: Option<u64>,
    /// Its body where it fits an attachment, else the beginning.
    pub body: Attachment,
    /// Where the rest of its body comes from, until it is on its way.
    pub source: Option<Box<Source>>,
    /// Its route.
    pub route: Option<Arc<Route>>,
    /// The same with its parameters, until a worker is picked from it.
    pub found: Option<Found>,
    /// The worker that it went to last.
    pub worker: Option<Arc<Worker>>,
    /// How often it was sent to a worker.
    pub attempts: u32,
    /// Where its time went.
    pub timing: Timing,
    /// Its body, while that is still being sent.
    pub upload: Option<Upload>,
    /// What is left of its body on a caller's connection.
    pub rest: Option<BodyReader>,
    /// It was read late, because this broker was frozen.
    pub waited: bool,
    /// Counts it for its broker.
    pub in_flight: Option<InFlight>,
    /// Counts it for its token.
    pub counted: Option<auth::Counted>,
    /// Counts the bytes of its body.
    pub held: Option<Held>,
}

/// Who notices that the caller left, and where the answer goes.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A caller's connection.
    Http(Rc<Connection>),
    /// A worker's session.
    Worker(Rc<Remote>),
}

/// Who calls.
#[derive(Debug)]
pub enum Who {
    /// Not known, or not yet.
    Unknown,
    /// The holder of a token, or anonymous.
    Token(Arc<Caller>),
    /// Another service.
    Service(Box<Service>),
}

/// Nearly always it is what the caller sent, and then only its length is kept.
enum CanonicalPath {
    AsSent(usize),
    Spelled(String),
}

impl Call {
    /// A call of which nothing but its head is known. `begun` is when that was whole.
    pub fn new(
        core: Rc<Core>,
        origin: Origin,
        exchange: Rc<Exchange>,
        incoming: Box<Incoming>,
        request_id: String,
        begun: Moment,
    ) -> Call {
        let caller_ip = match &origin {
            Origin::Http(connection) => connection.ip.clone(),
            Origin::Worker(remote) => remote.caller_ip.clone(),
        };
        Call {
            core,
            origin,
            exchange,
            incoming,
            request_id,
            begun,
            deadline: begun + Duration::from_millis(TIMEOUT_MS_DEFAULT),
            path: CanonicalPath::AsSent(0),
            who: Who::Unknown,
            caller_ip,
            used_authorization: false,
            trusted: false,
            wants_425: false,
            announced: None,
            body: Attachment::empty(),
            source: None,
            route: None,
            found: None,
            worker: None,
            attempts: 0,
            timing: Timing::default(),
            upload: None,
            rest: None,
            waited: false,
            in_flight: None,
            counted: None,
            held: None,
        }
    }

    /// Makes the path canonical, once: scope, route and worker see the same text.
    pub fn canonical_path(&mut self) -> Result<(), Refusal> {
        let path = hera_route::path::canonical(self.incoming.raw_path().as_bytes())
            .map_err(|reason| Refusal::new(Code::BadPath, reason.to_string()))?;
        self.path = match path {
            Cow::Borrowed(path) => CanonicalPath::AsSent(path.len()),
            Cow::Owned(path) => CanonicalPath::Spelled(path),
        };
        Ok(())
    }

    /// The canonical path. Empty before it is known.
    pub fn path(&self) -> &str {
        match &self.path {
            CanonicalPath::AsSent(bytes) => self.incoming.raw_path().get(..*bytes).unwrap_or_default(),
            CanonicalPath::Spelled(path) => path,
        }
    }

    /// Finds the route.
    pub fn route(&mut self) -> Result<Arc<Route>, Refusal> {
        let found = dispatch::route(&self.core, self.incoming.method(), self.path(), self.wants_425)?;
        let route = found.route.clone();
        route.state.budget.call();
        self.route = Some(route.clone());
        self.found = Some(found);
        Ok(route)
    }

    /// Sets the deadline: what was asked for shortens, and never lengthens.
    pub fn set_deadline(&mut self, route: &Route, asked: Option<Duration>) {
        let allowed = Duration::from_millis(route.timeout_ms);
        self.deadline = self.begun + asked.map_or(allowed, |asked| asked.min(allowed));
        self.exchange.deadline.set(self.deadline);
    }

    /// Refuses a call whose route nobody serves here, where its body would only be sent for nothing.
    pub fn is_served(&self, route: &Route) -> Result<(), Refusal> {
        if route.is_served() {
            return Ok(());
        }
        let detail = format!("{} is known, and no worker of it is connected here", route.label);
        let mut refusal = Refusal::new(Code::NoWorker, detail);
        refusal.as_425 = self.wants_425;
        Err(refusal)
    }

    /// Whether a request header goes on to the worker.
    pub fn passes(&self, name: &[u8]) -> bool {
        let own = match name.first() {
            Some(b'a') => self.used_authorization && name == b"authorization",
            Some(b'h') => name.starts_with(b"hera-"),
            Some(b'f') => name == b"forwarded" && !self.trusted,
            // Frameworks that obey these would run another method or path than the one that was judged here.
            Some(b'x') => {
                (name.starts_with(b"x-forwarded-") && !self.trusted)
                    || matches!(
                        name,
                        b"x-original-url"
                            | b"x-rewrite-url"
                            | b"x-http-method-override"
                            | b"x-http-method"
                            | b"x-method-override"
                            | b"x-request-id"
                    )
            }
            _ => false,
        };
        // A name with an underscore reads like its twin with a hyphen in too many frameworks.
        !own && !name.contains(&b'_') && !self.incoming.is_hop_by_hop(name)
    }

    /// Ready when the caller left while it waits for its answer.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.origin {
            Origin::Http(connection) => connection.poll_gone(cx),
            Origin::Worker(remote) => remote.poll_gone(cx),
        }
    }

    /// Goes on with sending the body; what is left of it comes back when it is over.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Some(upload) = self.upload.as_mut() else { return Poll::Pending };
        let Poll::Ready((source, end)) = upload.as_mut().poll(cx) else { return Poll::Pending };
        self.stop_upload();
        if let Source::Http(reader, _) = source {
            self.rest = Some(reader);
        }
        Poll::Ready(end)
    }

    /// Begins to send the rest of the body beside everything else.
    pub fn begin_upload(&mut self, upload: Upload) {
        self.upload = Some(upload);
        if let Origin::Http(connection) = &self.origin {
            connection.uploading.set(true);
        }
    }

    /// Sends no more of the body; gives whether some was still to come.
    pub fn stop_upload(&mut self) -> bool {
        if let Origin::Http(connection) = &self.origin {
            connection.uploading.set(false);
        }
        self.upload.take().is_some()
    }
}

/// A call counted for its broker.
pub struct InFlight(Rc<Core>);

impl InFlight {
    /// Counts it, or refuses it: the broker is at its limit.
    pub fn begin(core: &Rc<Core>) -> Result<InFlight, Refusal> {
        let calls = core.shared.calls_in_flight.fetch_add(1, Ordering::Relaxed);
        let counted = InFlight(core.clone());
        if calls < core.shared.config.calls.in_flight_max {
            return Ok(counted);
        }
        Err(Refusal::new(Code::Overloaded, "this broker is at calls.in_flight_max"))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.shared.calls_in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of a body that are counted while they are held: at most one attachment for each call.
pub struct Held(Rc<Core>, usize);

impl Held {
    /// Counts them, or refuses the call: the broker is at its limit.
    pub fn take(core: &Rc<Core>, announced: u64) -> Result<Held, Refusal> {
        let bytes = usize::try_from(announced).unwrap_or(usize::MAX).min(ATTACHMENT_BYTES_MAX);
        let held = core.shared.body_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let taken = Held(core.clone(), bytes);
        if held as u64 > core.shared.config.http.body_memory_bytes_max {
            return Err(Refusal::new(
                Code::Overloaded,
                "this broker holds http.body_memory_bytes_max of bodies",
            ));
        }
        Ok(taken)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.shared.body_bytes.fetch_sub(self.1, Ordering::Relaxed);
    }
}
