//! The life of a call, as a list of stages in the order of `docs/design`: everything below is called from here.

use crate::access::Caller;
use crate::auth::{self, Denied};
use crate::core::Core;
use crate::dispatch::{self, Dispatched, Found, Unanswered, Upload};
use crate::drain::Readiness;
use crate::http::body::BodyReader;
use crate::http::connection::{Connection, Fault, Next};
use crate::http::request::Incoming;
use crate::http::response::{self, Sent, Timing};
use crate::rescue::{self, Refusal};
use crate::worker::roster::{Route, Worker};
use crate::{access_log, metrics, request_id};
use hera_protocol::limits::{ATTACHMENT_BYTES_MAX, TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX};
use hera_protocol::message::stream::Body;
use hera_protocol::{Attachment, Code};
use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// A call under way.
pub struct Call {
    /// Where it runs.
    pub core: Rc<Core>,
    /// Where it came from.
    pub connection: Rc<Connection>,
    /// Its head.
    pub incoming: Box<Incoming>,
    /// The caller's id, or a fresh one.
    pub request_id: String,
    /// When its head was whole.
    pub begun: Instant,
    /// When it must be answered.
    pub deadline: Instant,
    path: CanonicalPath,
    /// Who calls.
    pub caller: Option<Arc<Caller>>,
    /// Address of who calls.
    pub caller_ip: Rc<str>,
    /// `Authorization` carried the token.
    used_authorization: bool,
    /// The peer is a proxy that we trust.
    trusted: bool,
    /// It was read late, because this broker was frozen.
    waited: bool,
    /// It asked for 425 where no worker is connected (D5).
    pub wants_425: bool,
    /// Bytes that its body announced.
    pub announced: Option<u64>,
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
    /// What is left of its body.
    rest: Option<BodyReader>,
    /// Counts it for its token.
    counted: Option<auth::Counted>,
    /// Counts the bytes of its body.
    held: Option<Held>,
}

/// Nearly always it is what the caller sent, and then only its length is kept.
enum CanonicalPath {
    AsSent(usize),
    Spelled(String),
}

/// Answers one request.
pub async fn run(core: Rc<Core>, connection: Rc<Connection>, incoming: Box<Incoming>) -> Next {
    if is_own(incoming.raw_path()) {
        return Box::pin(own_page(&core, &connection, &incoming)).await;
    }
    let mut call = Call::begin(core, connection, incoming);
    let in_flight = InFlight::begin(&call.core);
    let outcome = match &in_flight {
        Ok(_) => call.stages().await,
        Err(()) => Err(Refusal::new(Code::Overloaded, "this broker is at calls.in_flight_max").into()),
    };
    let (next, done) = match outcome {
        Ok(dispatched) => call.send_answer(dispatched).await,
        // Boxed, as all that is rare: a connection's task is as large as its largest branch, and a thousand of them are to fit a cache.
        Err(Unanswered::Refused(refusal)) => Box::pin(call.send_refusal(refusal)).await,
        Err(Unanswered::Gone) => (Next::Gone, access_log::Done::gone()),
    };
    call.timing.total = call.begun.elapsed();
    metrics::count(&call, &done);
    access_log::write(&call, &done);
    next
}

impl Call {
    fn begin(core: Rc<Core>, connection: Rc<Connection>, incoming: Box<Incoming>) -> Call {
        let now = Instant::now();
        let arrived = core.pulse.late_arrival(now);
        let begun = arrived.unwrap_or(now);
        let trusted = core.shared.config.http.trusted_peers.iter().any(|net| net.contains(connection.peer));
        let given = incoming.header("x-request-id").and_then(request_id::accepted).map(str::to_owned);
        Call {
            request_id: given.unwrap_or_else(|| request_id::fresh(&core)),
            begun,
            deadline: begun + Duration::from_millis(TIMEOUT_MS_DEFAULT),
            path: CanonicalPath::AsSent(0),
            caller: None,
            caller_ip: caller_ip(&connection, &incoming, trusted),
            used_authorization: false,
            wants_425: trusted && incoming.header("hera-peer") == Some(b"retry-425"),
            trusted,
            waited: arrived.is_some(),
            announced: None,
            route: None,
            found: None,
            worker: None,
            attempts: 0,
            timing: Timing::default(),
            upload: None,
            rest: Some(BodyReader::new(incoming.framing, incoming.expects_continue)),
            counted: None,
            held: None,
            core,
            connection,
            incoming,
        }
    }

    async fn stages(&mut self) -> Result<Dispatched, Unanswered> {
        self.canonical_path()?;
        let asked = self.asked_timeout()?;
        let identified = match self.identify() {
            Err(Denied::Unknown(digest)) => Box::pin(self.identify_later(digest)).await,
            identified => identified,
        };
        self.timing.auth = self.begun.elapsed();
        identified.map_err(|denied| match denied {
            Denied::Refused(refusal) => refusal,
            Denied::Unknown(_) => auth::unauthorized(),
        })?;
        let route = self.route()?;
        self.set_deadline(&route, asked);
        if self.waited {
            Box::pin(self.still_wanted()).await?;
        }
        let (body, rest) = self.read_body(&route).await?;
        dispatch::dispatch(self, body, rest).await
    }

    fn canonical_path(&mut self) -> Result<(), Refusal> {
        let path = hera_route::path::canonical(self.incoming.raw_path().as_bytes())
            .map_err(|reason| Refusal::new(Code::BadPath, reason.to_string()))?;
        self.path = match path {
            Cow::Borrowed(path) => CanonicalPath::AsSent(path.len()),
            Cow::Owned(path) => CanonicalPath::Spelled(path),
        };
        Ok(())
    }

    /// The canonical path: what scope, route and worker see. Empty before it is known.
    pub fn path(&self) -> &str {
        match &self.path {
            CanonicalPath::AsSent(bytes) => self.incoming.raw_path().get(..*bytes).unwrap_or_default(),
            CanonicalPath::Spelled(path) => path,
        }
    }

    /// `Hera-Timeout: 1500ms` or `2s`: shortens, never lengthens.
    fn asked_timeout(&self) -> Result<Option<Duration>, Refusal> {
        let mut values = self.incoming.header_all("hera-timeout");
        let Some(value) = values.next() else { return Ok(None) };
        let bad = || {
            Refusal::new(Code::BadTimeout, "Hera-Timeout must be one number with ms or s, from 1ms to 300s")
        };
        if values.next().is_some() {
            return Err(bad());
        }
        let text = std::str::from_utf8(value).map_err(|_| bad())?;
        let (digits, unit) = match text.strip_suffix("ms") {
            Some(digits) => (digits, 1),
            None => (text.strip_suffix('s').ok_or_else(bad)?, 1000),
        };
        let number = crate::http::request::plain_number(digits.as_bytes()).ok_or_else(bad)?;
        let millis =
            number.checked_mul(unit).filter(|ms| (1..=TIMEOUT_MS_MAX).contains(ms)).ok_or_else(bad)?;
        Ok(Some(Duration::from_millis(millis)))
    }

    /// Token, scope and rate, before anything is said about routes or read of the body.
    fn identify(&mut self) -> Result<(), Denied> {
        let identity = auth::identify(&self.core, &self.connection.last_token, &self.incoming)?;
        self.used_authorization = identity.used_authorization;
        self.caller = Some(identity.caller.clone());
        auth::authorize(&identity.caller, self.incoming.method(), self.path())?;
        auth::within_rate(&self.core, &identity.caller, self.begun)?;
        self.counted = Some(auth::count(&self.core, &identity.caller)?);
        Ok(())
    }

    async fn identify_later(&mut self, digest: [u8; 32]) -> Result<(), Denied> {
        auth::arrives(&self.core, &digest).await;
        self.identify()
    }

    fn route(&mut self) -> Result<Arc<Route>, Refusal> {
        let found = dispatch::route(&self.core, self.incoming.method(), self.path(), self.wants_425)?;
        let route = found.route.clone();
        route.state.budget.call();
        self.route = Some(route.clone());
        self.found = Some(found);
        Ok(route)
    }

    fn set_deadline(&mut self, route: &Route, asked: Option<Duration>) {
        let allowed = Duration::from_millis(route.timeout_ms);
        self.deadline = self.begun + asked.map_or(allowed, |asked| asked.min(allowed));
        self.connection.deadline.set(self.deadline);
    }

    /// Of a call that waited while this broker was frozen: whether its caller is still there, and its time not over.
    async fn still_wanted(&mut self) -> Result<(), Unanswered> {
        // The end of the connection may stand behind the call, and is read before anything is begun.
        if poll_fn(|cx| Poll::Ready(self.connection.poll_gone(cx).is_ready())).await {
            return Err(Unanswered::Gone);
        }
        if self.deadline <= Instant::now() {
            let detail = "this broker stood still, and the deadline passed before it read the call";
            return Err(Refusal::new(Code::DeadlineExceeded, detail).not_started().into());
        }
        Ok(())
    }

    /// Reads the body whole where it fits an attachment; else its beginning, and the rest goes on in chunks.
    async fn read_body(&mut self, route: &Route) -> Result<(Attachment, Option<BodyReader>), Unanswered> {
        let Some(mut reader) = self.rest.take() else { return Ok((Attachment::empty(), None)) };
        self.announced = reader.announced();
        if let Err(refusal) = reader.limit(route.body_bytes_max) {
            self.rest = Some(reader);
            return Err(refusal.into());
        }
        if reader.is_done() {
            self.rest = Some(reader);
            return Ok((Attachment::empty(), None));
        }
        self.held = Some(Held::take(&self.core, self.announced.unwrap_or(u64::MAX))?);
        if !route.is_served() {
            // Nobody could take it: no reason to make the caller send it.
            self.rest = Some(reader);
            let mut refusal = Refusal::new(
                Code::NoWorker,
                format!("{} is known, and no worker of it is connected here", route.label),
            );
            refusal.as_425 = self.wants_425;
            return Err(refusal.into());
        }
        if self.announced.is_some_and(|bytes| bytes > ATTACHMENT_BYTES_MAX as u64) {
            reader.ask(&self.connection).await?;
            return Ok((Attachment::empty(), Some(reader)));
        }
        let mut body = Attachment::empty();
        let connection = self.connection.clone();
        while body.len() < ATTACHMENT_BYTES_MAX {
            let deadline = poll_fn(|cx| connection.deadline.poll(cx));
            let piece = tokio::select! {
                biased;
                piece = reader.piece(&connection, ATTACHMENT_BYTES_MAX - body.len(), false) => piece,
                () = deadline => {
                    let refusal = Refusal::new(Code::DeadlineExceeded, "the deadline passed before the body was whole");
                    return Err(refusal.not_started().into());
                }
            };
            match piece {
                Ok(Some(piece)) => body.push(piece),
                Ok(None) => {
                    self.announced = Some(body.len() as u64);
                    self.rest = Some(reader);
                    return Ok((body, None));
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        Ok((body, Some(reader)))
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

    /// Goes on with sending the body; what is left of it comes back when it is over.
    pub fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let Some(upload) = self.upload.as_mut() else { return Poll::Pending };
        let Poll::Ready((reader, end)) = upload.as_mut().poll(cx) else { return Poll::Pending };
        self.upload = None;
        self.connection.uploading.set(false);
        self.rest = Some(reader);
        Poll::Ready(end)
    }

    async fn send_answer(&mut self, dispatched: Dispatched) -> (Next, access_log::Done) {
        let Dispatched { answer, session, flight, at } = dispatched;
        self.connection.deadline.clear();
        self.timing.total = at.saturating_duration_since(self.begun);
        let status = answer.status;
        let streams = answer.more;
        // A body in one piece is the broker's from here on: the worker has its place back.
        let flight = if streams { Some(flight) } else { None };
        let keep = self.keeps_connection();
        let wraps = self.incoming.header_all("accept").any(accepts_wrapped);
        let (core, connection) = (self.core.clone(), self.connection.clone());
        // Out of `self` while that goes on with the upload below.
        let request_id = std::mem::take(&mut self.request_id);
        let worker = self.worker.clone();
        let about = response::About {
            request_id: &request_id,
            is_head: self.incoming.method() == "HEAD",
            minor: self.incoming.minor,
            keep,
            worker: worker.as_ref().map_or("", |worker| worker.label.as_str()),
            timing: self.timing,
            wrap: wraps.then_some(self.attempts),
            session,
        };
        let sent = {
            let mut sending = pin!(response::send(&core, &connection, answer, &about));
            poll_fn(|cx| {
                if let Poll::Ready(Err(_)) = self.poll_upload(cx) {
                    // The caller's body broke off while its answer was on the way.
                    core.post(crate::mail::Mail::Session(
                        session.0,
                        crate::mail::ToSession::Cancel(session.1),
                    ));
                    return Poll::Ready(Sent::Gone(0));
                }
                sending.as_mut().poll(cx)
            })
            .await
        };
        drop(flight);
        self.request_id = request_id;
        if self.upload.take().is_some() {
            self.connection.uploading.set(false);
            let reset = crate::mail::ToSession::Reset(session.1, Body::Call, Code::Cancelled);
            core.post(crate::mail::Mail::Session(session.0, reset));
        }
        let done = access_log::Done::answered(status, &sent);
        match sent {
            Sent::Whole { keep, .. } => (self.after(keep).await, done),
            Sent::Cut(_) => {
                // A reset, since an HTTP/1.0 caller would take an orderly close for the end of the body.
                self.connection.reset_on_close();
                (Next::Gone, done)
            }
            Sent::Gone(_) => (Next::Gone, done),
        }
    }

    async fn send_refusal(&mut self, refusal: Refusal) -> (Next, access_log::Done) {
        self.connection.deadline.clear();
        self.upload = None;
        self.connection.uploading.set(false);
        self.timing.total = self.begun.elapsed();
        // What a body fault leaves on the connection has no known end.
        let readable = !matches!(refusal.code, Code::BadRequest | Code::RequestTimeout | Code::HeadTooLarge);
        let rest = self.rest.as_ref();
        let discardable = rest.is_some_and(|body| {
            body.is_done() || (!body.is_unasked() && body.announced().is_none_or(|bytes| bytes <= 64 * 1024))
        });
        let keep = self.keeps_connection() && readable && discardable;
        let worker = self.worker.clone();
        let about = rescue::About {
            request_id: &self.request_id,
            is_head: self.incoming.method() == "HEAD",
            minor: self.incoming.minor,
            keep,
            worker: worker.as_ref().map(|worker| worker.label.as_str()),
            timing: self.timing,
        };
        let sent = rescue::send(&self.core, &self.connection, &refusal, &about).await;
        let done = access_log::Done::refused(&refusal, sent.unwrap_or(0));
        match sent {
            Ok(_) => (self.after(keep).await, done),
            Err(()) => (Next::Gone, done),
        }
    }

    fn keeps_connection(&self) -> bool {
        !self.incoming.wants_close && rescue::keeps_connections(&self.core)
    }

    async fn after(&mut self, keep: bool) -> Next {
        let whole = match self.rest.as_mut() {
            Some(rest) if keep => rest.is_done() || Box::pin(self.connection.discard(rest)).await,
            _ => false,
        };
        if whole { Next::Keep } else { Next::Close }
    }
}

/// Whether a path is Hera's own, in whatever spelling: `/%2D/…` too has the canonical form `/-/…`.
fn is_own(raw: &str) -> bool {
    let rest = raw
        .strip_prefix('/')
        .and_then(|rest| ["-", "%2D", "%2d"].iter().find_map(|dash| rest.strip_prefix(dash)));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `GET /-/ready`, and nothing else under `/-/`.
async fn own_page(core: &Rc<Core>, connection: &Rc<Connection>, incoming: &Incoming) -> Next {
    let keep = !incoming.wants_close && rescue::keeps_connections(core);
    let bodiless = incoming.framing == crate::http::request::Framing::None;
    let readiness = match (incoming.raw_path(), incoming.method()) {
        ("/-/ready", "GET" | "HEAD") => Some(core.shared.phase.asked_by(connection.peer, &core.shared)),
        _ => None,
    };
    let (status, text) = match readiness {
        Some(Readiness::Ready) => (200, "ready\n"),
        Some(Readiness::Draining) => (404, "draining\n"),
        Some(Readiness::Young) => (503, "young\n"),
        None => (404, "nothing here\n"),
    };
    let mut head = response::begin(core, status);
    head.header("content-type", b"text/plain; charset=utf-8");
    head.header("cache-control", b"no-store");
    head.header("hera-broker", core.shared.id.as_bytes());
    head.length(text.len() as u64);
    head.connection(keep && bodiless, incoming.minor);
    let body: &[u8] = if incoming.method() == "HEAD" { b"" } else { text.as_bytes() };
    let pieces = [bytes::Bytes::copy_from_slice(body)];
    match connection.write_all(&head.end(), &pieces).await {
        Ok(()) if keep && bodiless => Next::Keep,
        Ok(()) => Next::Close,
        Err(_) => Next::Gone,
    }
}

/// The peer, or what a trusted peer says of whom it speaks for: the last entry, which that peer added.
fn caller_ip(connection: &Connection, incoming: &Incoming, trusted: bool) -> Rc<str> {
    let forwarded = incoming.header_all("x-forwarded-for").last().filter(|_| trusted).and_then(|value| {
        let last = value.rsplit(|byte| *byte == b',').next()?.trim_ascii();
        std::str::from_utf8(last).ok()?.parse::<std::net::IpAddr>().ok()
    });
    forwarded.map_or_else(|| connection.ip.clone(), |ip| ip.to_string().into())
}

fn accepts_wrapped(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| {
        let essence = part.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        essence.eq_ignore_ascii_case(b"application/vnd.hera+json")
    })
}

/// A call counted for its broker.
struct InFlight(Rc<Core>);

impl InFlight {
    fn begin(core: &Rc<Core>) -> Result<InFlight, ()> {
        let calls = core.shared.calls_in_flight.fetch_add(1, Ordering::Relaxed);
        let counted = InFlight(core.clone());
        if calls < core.shared.config.calls.in_flight_max { Ok(counted) } else { Err(()) }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.shared.calls_in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Bytes of a body that are counted while they are held: at most one attachment for each call.
struct Held(Rc<Core>, usize);

impl Held {
    fn take(core: &Rc<Core>, announced: u64) -> Result<Held, Refusal> {
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
