//! The life of a call, as a list of stages in the order of `docs/design`: everything below is called from here.

use crate::auth::{self, Denied};
use crate::call::{Call, Held, InFlight, Origin, Who};
use crate::core::Core;
use crate::dispatch::{self, Dispatched, Unanswered};
use crate::drain::Readiness;
use crate::http::body::BodyReader;
use crate::http::connection::{Connection, Next};
use crate::http::request::Incoming;
use crate::http::response::{self, Sent};
use crate::mail::{Answer, Mail, SessionAddr, ToSession};
use crate::moment::Moment;
use crate::rescue::{self, Refusal};
use crate::submit::Source;
use crate::worker::roster::{Route, Worker};
use crate::{access_log, metrics, request_id};
use hera_protocol::Code;
use hera_protocol::limits::{ATTACHMENT_BYTES_MAX, TIMEOUT_MS_MAX};
use hera_protocol::message::stream::Body;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

/// Two of HAProxy's checks have failed after a little over a second.
const FROZEN: Duration = Duration::from_millis(1_500);

/// Answers one request.
pub async fn run(core: Rc<Core>, connection: Rc<Connection>, incoming: Box<Incoming>) -> Next {
    if is_own(incoming.raw_path()) {
        let next = Box::pin(own_page(&core, &connection, &incoming)).await;
        connection.idle_since(Moment::now());
        return next;
    }
    let mut call = Call::begin(core, &connection, incoming);
    let (next, done) = match call.stages(&connection).await {
        Ok(dispatched) => call.send_answer(&connection, dispatched).await,
        // Boxed, as all that is rare: a connection's task is as large as its largest branch, and a thousand of them are to fit a cache.
        Err(Unanswered::Refused(refusal)) => Box::pin(call.send_refusal(&connection, refusal)).await,
        Err(Unanswered::Gone) => (Next::Gone, access_log::Done::gone()),
    };
    let now = Moment::now();
    call.timing.total = now.since(call.begun);
    connection.idle_since(now);
    metrics::count(&call, &done);
    access_log::write(&call, &done, now);
    next
}

impl Call {
    fn begin(core: Rc<Core>, connection: &Rc<Connection>, incoming: Box<Incoming>) -> Box<Call> {
        let now = Moment::now();
        let arrived = core.pulse.late_arrival(now);
        let trusted = core.shared.config.http.trusted_peers.iter().any(|net| net.contains(connection.peer));
        let given = incoming.header("x-request-id").and_then(request_id::accepted).map(str::to_owned);
        let request_id = given.unwrap_or_else(|| request_id::fresh(&core));
        let (origin, exchange) = (Origin::Http(connection.clone()), connection.exchange.clone());
        // Boxed: a connection that waits for its next call is to be small, and a call is handed on a dozen times.
        let mut call =
            Box::new(Call::new(core, origin, exchange, incoming, request_id, arrived.unwrap_or(now)));
        call.wants_425 = trusted && call.incoming.header("hera-peer") == Some(b"retry-425");
        call.trusted = trusted;
        call.waited = arrived.is_some();
        call.rest = Some(BodyReader::new(call.incoming.framing, call.incoming.expects_continue));
        if trusted && let Some(ip) = forwarded_for(&call.incoming) {
            call.caller_ip = ip.to_string().into();
        }
        call
    }

    async fn stages(&mut self, connection: &Rc<Connection>) -> Result<Dispatched, Unanswered> {
        self.in_flight = Some(InFlight::begin(&self.core)?);
        self.canonical_path()?;
        let asked = self.asked_timeout()?;
        let identified = match self.identify(connection) {
            Err(Denied::Unknown(digest)) => Box::pin(self.identify_later(connection, digest)).await,
            identified => identified,
        };
        let known = Moment::now();
        self.timing.auth = known.since(self.begun);
        identified.map_err(|denied| match denied {
            Denied::Refused(refusal) => refusal,
            Denied::Unknown(_) => auth::unauthorized(),
        })?;
        let route = self.route()?;
        self.is_expected(known)?;
        self.set_deadline(&route, asked);
        if self.waited {
            Box::pin(self.still_wanted(connection)).await?;
        }
        // Nothing waits between the two but a call that came late, or its body.
        let mut now = if self.waited { Moment::now() } else { known };
        match self.rest.take() {
            Some(reader) if !reader.is_done() => {
                self.read_body(connection, &route, reader).await?;
                now = Moment::now();
            }
            done => {
                self.announced = Some(0);
                self.rest = done;
            }
        }
        dispatch::dispatch(self, now).await
    }

    /// Sends a call that can be asked elsewhere there, as long as nobody is to be sent here. A proxy that has not noticed the end of a broker may send calls to
    /// the one that was started in its place, and cuts them in the middle when it learns by `/-/ready` that it is young.
    fn is_expected(&self, now: Moment) -> Result<(), Refusal> {
        if self.wants_425 && self.core.shared.phase.readiness(&self.core.shared, now) == Readiness::Young {
            let detail = "this broker has just started, and its workers may still be on their way to it";
            let mut refusal = Refusal::new(Code::NoWorker, detail);
            refusal.as_425 = true;
            return Err(refusal);
        }
        Ok(())
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
    fn identify(&mut self, connection: &Connection) -> Result<(), Denied> {
        let identity = auth::identify(&self.core, &connection.last_token, &self.incoming)?;
        self.used_authorization = identity.used_authorization;
        self.who = Who::Token(identity.caller.clone());
        auth::authorize(&identity.caller, self.incoming.method(), self.path())?;
        auth::within_rate(&self.core, &identity.caller, self.begun)?;
        self.counted = Some(auth::count(&self.core, &identity.caller)?);
        Ok(())
    }

    async fn identify_later(&mut self, connection: &Connection, digest: [u8; 32]) -> Result<(), Denied> {
        auth::arrives(&self.core, &digest).await;
        self.identify(connection)
    }

    /// Of a call that waited while this broker was frozen: whether its caller is still there, and its time not over.
    async fn still_wanted(&mut self, connection: &Connection) -> Result<(), Unanswered> {
        // The end of the connection may stand behind the call, and is read before anything is begun.
        if poll_fn(|cx| Poll::Ready(connection.poll_gone(cx).is_ready())).await {
            return Err(Unanswered::Gone);
        }
        if self.deadline <= Moment::now() {
            let detail = "this broker stood still, and the deadline passed before it read the call";
            return Err(Refusal::new(Code::DeadlineExceeded, detail).not_started().into());
        }
        Ok(())
    }

    /// Reads the body whole where it fits an attachment; else its beginning, and the rest goes on in chunks.
    async fn read_body(
        &mut self,
        connection: &Rc<Connection>,
        route: &Route,
        mut reader: BodyReader,
    ) -> Result<(), Unanswered> {
        self.announced = reader.announced();
        if let Err(refusal) = reader.limit(route.body_bytes_max) {
            self.rest = Some(reader);
            return Err(refusal.into());
        }
        self.held = Some(Held::take(&self.core, self.announced.unwrap_or(u64::MAX))?);
        if let Err(refusal) = self.is_served(route) {
            self.rest = Some(reader);
            return Err(refusal.into());
        }
        if self.announced.is_some_and(|bytes| bytes > ATTACHMENT_BYTES_MAX as u64) {
            reader.ask(connection).await?;
            self.source = Some(Box::new(Source::Http(reader, connection.clone())));
            return Ok(());
        }
        while self.body.len() < ATTACHMENT_BYTES_MAX {
            let deadline = poll_fn(|cx| connection.exchange.deadline.poll(cx));
            let piece = tokio::select! {
                biased;
                piece = reader.piece(connection, ATTACHMENT_BYTES_MAX - self.body.len(), false) => piece,
                () = deadline => {
                    let refusal = Refusal::new(Code::DeadlineExceeded, "the deadline passed before the body was whole");
                    return Err(refusal.not_started().into());
                }
            };
            match piece {
                Ok(Some(piece)) => self.body.push(piece),
                Ok(None) => {
                    self.announced = Some(self.body.len() as u64);
                    self.rest = Some(reader);
                    return Ok(());
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        self.source = Some(Box::new(Source::Http(reader, connection.clone())));
        Ok(())
    }

    async fn send_answer(
        &mut self,
        connection: &Rc<Connection>,
        dispatched: Dispatched,
    ) -> (Next, access_log::Done) {
        let Dispatched { answer, session, flight, at } = dispatched;
        self.exchange.deadline.clear();
        self.timing.total = at.since(self.begun);
        let status = answer.status;
        // A body in one piece is the broker's from here on: the worker has its place back.
        let flight = answer.more.then_some(flight);
        let sent = if self.upload.is_some() {
            Box::pin(self.send_beside_upload(connection, answer, session)).await
        } else {
            let about = self.about(&self.request_id, self.worker.as_deref(), session);
            response::send(&self.core, connection, answer, about).await
        };
        drop(flight);
        if self.stop_upload() {
            let reset = ToSession::Reset(session.1, Body::Call, Code::Cancelled);
            self.core.post(Mail::Session(session.0, reset));
        }
        let done = access_log::Done::answered(status, &sent);
        match sent {
            Sent::Whole { keep, .. } => (self.after(connection, keep).await, done),
            Sent::Cut(_) => {
                // A reset, since an HTTP/1.0 caller would take an orderly close for the end of the body.
                connection.reset_on_close();
                (Next::Gone, done)
            }
            Sent::Gone(_) => (Next::Gone, done),
        }
    }

    /// Writes the answer while the body of the call still comes.
    async fn send_beside_upload(
        &mut self,
        connection: &Rc<Connection>,
        answer: Box<Answer>,
        session: (SessionAddr, u64),
    ) -> Sent {
        // Out of `self` while that goes on with the upload.
        let (core, worker) = (self.core.clone(), self.worker.clone());
        let request_id = std::mem::take(&mut self.request_id);
        let about = self.about(&request_id, worker.as_deref(), session);
        let sent = {
            let mut sending = pin!(response::send(&core, connection, answer, about));
            poll_fn(|cx| {
                if let Poll::Ready(Err(_)) = self.poll_upload(cx) {
                    // The caller's body broke off while its answer was on the way.
                    core.post(Mail::Session(session.0, ToSession::Cancel(session.1)));
                    return Poll::Ready(Sent::Gone(0));
                }
                sending.as_mut().poll(cx)
            })
            .await
        };
        self.request_id = request_id;
        sent
    }

    fn about<'a>(
        &self,
        request_id: &'a str,
        worker: Option<&'a Worker>,
        session: (SessionAddr, u64),
    ) -> response::About<'a> {
        response::About {
            request_id,
            is_head: self.incoming.method() == "HEAD",
            minor: self.incoming.minor,
            keep: self.keeps_connection(),
            worker: worker.map_or("", |worker| &worker.label),
            names: worker.map_or("", |worker| &worker.for_head),
            timing: self.timing,
            wrap: self.incoming.header_all("accept").any(accepts_wrapped).then_some(self.attempts),
            session,
        }
    }

    async fn send_refusal(
        &mut self,
        connection: &Rc<Connection>,
        refusal: Refusal,
    ) -> (Next, access_log::Done) {
        self.exchange.deadline.clear();
        self.stop_upload();
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
            names: worker.as_ref().map(|worker| worker.for_head.as_str()),
            timing: self.timing,
        };
        let sent = rescue::send(&self.core, connection, &refusal, &about).await;
        let done = access_log::Done::refused(&refusal, sent.unwrap_or(0));
        match sent {
            Ok(_) => (self.after(connection, keep).await, done),
            Err(()) => (Next::Gone, done),
        }
    }

    fn keeps_connection(&self) -> bool {
        !self.incoming.wants_close && rescue::keeps_connections(&self.core)
    }

    async fn after(&mut self, connection: &Rc<Connection>, keep: bool) -> Next {
        let whole = match self.rest.as_mut() {
            Some(rest) if keep => rest.is_done() || Box::pin(connection.discard(rest)).await,
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
        Some(Readiness::Ready) if stands_after_a_freeze(core) => (503, "frozen a moment ago\n"),
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

/// Whether this broker was frozen for so long that whoever asks for it has given it up, and still reads what waited meanwhile: a call that came now
/// would be taken for as old (`pulse.rs`). After a shorter stall nobody has given it up, and nobody shall.
fn stands_after_a_freeze(core: &Core) -> bool {
    let now = Moment::now();
    core.pulse.late_arrival(now).is_some_and(|since| now.since(since) > FROZEN)
}

/// Whom a proxy speaks for: the last entry, which the proxy itself added.
fn forwarded_for(incoming: &Incoming) -> Option<std::net::IpAddr> {
    let last = incoming.header_all("x-forwarded-for").last()?.rsplit(|byte| *byte == b',').next()?;
    std::str::from_utf8(last.trim_ascii()).ok()?.parse().ok()
}

fn accepts_wrapped(value: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| {
        let essence = part.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        essence.eq_ignore_ascii_case(b"application/vnd.hera+json")
    })
}
