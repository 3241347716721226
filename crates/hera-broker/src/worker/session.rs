//! One worker's session on its core: calls go out, answers come back to whoever waits.
//!
//! ```text
//!   handshake ──> live ──drain from the worker──> fenced ──FIN──> gone
//!                  │ └──no pong for 4.5 s──> busy ──pong──> live
//!                  └──a fatal fault, a revoked key, 60 s of silence──> closing ──flushed──> gone
//! ```
//!
//! Nothing here reads or writes a socket: frames come from, and the outbox is emptied by, [`super::connection`].

use crate::core::Core;
use crate::drain::PhaseName;
use crate::mail::{Answer, CallAddr, Event, Failure, Mail, SessionAddr, ToSession};
use crate::moment::Moment;
use crate::remote::{Remote, Remotes};
use crate::worker::declaration::{self, Accepted};
use crate::worker::outbox::{BulkOf, Outbox};
use crate::worker::roster::Worker;
use bytes::{Bytes, BytesMut};
use hera_balance::load::{self, BusyReason, Load};
use hera_protocol::frame::put_head;
use hera_protocol::limits::{
    BAD_HEADS_MAX, PONG_MS_MAX, SILENCE_MS_MAX, STATUS_EVERY_MS, STREAM_WINDOW_BYTES, UNKNOWN_REPLIES_MAX,
};
use hera_protocol::message::call::Cancel;
use hera_protocol::message::declare::{Declare, DeclareAnswer};
use hera_protocol::message::failure::{self, Failure as ErrorObject};
use hera_protocol::message::reply::{self, BadReply, Reply};
use hera_protocol::message::stream::{Body, BodyRef, Credit, Granted, Reset};
use hera_protocol::message::{self, Empty, Message, Outcome, load::Load as WireLoad, method};
use hera_protocol::{Attachment, Code, Frame, Pending, Taken, WireId};
use hera_registry::worker_key::KeyRecord;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::Duration;

/// Bytes that may wait for a worker that does not read; more makes it busy.
pub const OUTBOX_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// A worker that takes nothing for so long, while something waits, is cut.
pub const WRITE_STALL: Duration = Duration::from_secs(10);
const UNKNOWN_WINDOW: Duration = Duration::from_secs(10);

/// A fault that ends the session; the worker is told `code` and `reason`, the log too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fatal {
    /// For the worker.
    pub code: Code,
    /// For people; nothing secret.
    pub reason: Cow<'static, str>,
}

impl Fatal {
    /// A fault.
    pub fn new(code: Code, reason: impl Into<Cow<'static, str>>) -> Fatal {
        Fatal { code, reason: reason.into() }
    }
}

#[derive(Debug)]
enum Waiter {
    Call(InFlight),
    Status(Moment),
    Drain,
}

#[derive(Debug)]
struct InFlight {
    call: CallAddr,
    begin: u64,
    end: u64,
    answered: bool,
    granted: Granted,
}

/// What a response brings.
enum Said<'a> {
    /// The answer to a call in its ordinary form.
    Reply(Reply),
    /// Anything else, not read yet.
    Other(Outcome<'a>),
}

/// One worker's session.
#[derive(Debug)]
pub struct Session {
    /// What all cores know of it.
    pub worker: Arc<Worker>,
    key: Arc<KeyRecord>,
    over_tls: bool,
    pub(super) outbox: RefCell<Outbox>,
    waiting: RefCell<Pending<Waiter>>,
    endpoints: RefCell<Vec<Arc<Accepted>>>,
    pub(super) peer: Rc<str>,
    pub(super) remotes: Remotes,
    pub(super) takes_remote_calls: bool,
    waker: RefCell<Option<Waker>>,
    fatal: RefCell<Option<Fatal>>,
    fenced: Cell<bool>,
    told_drain: Cell<bool>,
    bad_heads: Cell<u32>,
    unknown: Cell<(u32, Moment)>,
    load: Cell<WireLoad>,
    last_frame: Cell<Moment>,
    last_pong: Cell<Moment>,
    last_poll: Cell<Option<Moment>>,
    progress: Cell<(u64, Moment)>,
}

impl Session {
    /// A session that has just been proven.
    pub fn new(
        worker: Arc<Worker>,
        key: Arc<KeyRecord>,
        over_tls: bool,
        takes_remote_calls: bool,
        now: Moment,
    ) -> Rc<Session> {
        Rc::new(Session {
            peer: worker.peer.as_str().into(),
            remotes: Remotes::default(),
            takes_remote_calls,
            waiting: RefCell::new(Pending::new(worker.ids.clone())),
            worker,
            key,
            over_tls,
            outbox: RefCell::default(),
            endpoints: RefCell::default(),
            waker: RefCell::default(),
            fatal: RefCell::default(),
            fenced: Cell::new(false),
            told_drain: Cell::new(false),
            bad_heads: Cell::new(0),
            unknown: Cell::new((0, now)),
            load: Cell::new(WireLoad::default()),
            last_frame: Cell::new(now),
            last_pong: Cell::new(now),
            last_poll: Cell::new(None),
            progress: Cell::new((0, now)),
        })
    }

    /// Its address.
    pub fn addr(&self) -> SessionAddr {
        self.worker.session
    }

    // ---- outward -------------------------------------------------------------------------------------------

    /// Queues a call; `write` encodes lengths and head. Gives false when the head does not fit a frame.
    pub fn submit(
        &self,
        core: &Rc<Core>,
        id: u64,
        call: CallAddr,
        attachment: Attachment,
        write: impl FnOnce(&mut BytesMut) -> Option<usize>,
    ) -> bool {
        if self.fenced.get() || self.fatal.borrow().is_some() {
            let code = Code::Draining;
            core.post(Mail::Call(call, Event::Failed(Failure { code, not_started: true })));
            return true;
        }
        let mut outbox = self.outbox.borrow_mut();
        let bytes = attachment.len();
        let Some((head, end)) = outbox.push(attachment, write) else { return false };
        let begin = end - (8 + head + bytes) as u64;
        let in_flight = InFlight { call, begin, end, answered: false, granted: Granted::default() };
        self.waiting.borrow_mut().insert(id, Waiter::Call(in_flight));
        drop(outbox);
        self.wake();
        true
    }

    /// Takes a letter from a caller's side.
    pub fn take(&self, core: &Rc<Core>, letter: ToSession) {
        match letter {
            ToSession::Submit { id, call, head, attachment } => {
                let bytes = head.len() - 8;
                self.submit(core, id, call, attachment, |out| {
                    out.extend_from_slice(&head);
                    Some(bytes)
                });
            }
            ToSession::Chunk(id, bytes) => self.push_bulk(BulkOf::Call(id), Some(bytes)),
            ToSession::End(id) => self.push_bulk(BulkOf::Call(id), None),
            ToSession::Credit(id, bytes) => {
                let mut waiting = self.waiting.borrow_mut();
                if let Some(Waiter::Call(call)) = waiting.get_mut(id) {
                    call.granted.add(u64::from(bytes));
                    self.notify(method::CREDIT, &Credit { id, body: Body::Reply, bytes, remote: false });
                }
            }
            ToSession::Reset(id, body, code) => {
                match body {
                    Body::Call => self.outbox.borrow_mut().drop_bulk(BulkOf::Call(id)),
                    Body::Reply => drop(self.waiting.borrow_mut().take(id)),
                }
                self.notify(method::RESET, &Reset { id, body, code: code.as_str().into(), remote: false });
            }
            ToSession::Cancel(id) => {
                if matches!(self.waiting.borrow_mut().take(id), Taken::Waiter(_)) {
                    self.outbox.borrow_mut().drop_bulk(BulkOf::Call(id));
                    self.notify(method::CANCEL, &Cancel { id, remote: false });
                }
            }
        }
        self.wake();
    }

    /// Answers a letter for a session that is gone.
    pub fn refuse(core: &Rc<Core>, letter: ToSession) {
        if let ToSession::Submit { call, .. } = letter {
            let failure = Failure { code: Code::WorkerLost, not_started: true };
            core.post(Mail::Call(call, Event::Failed(failure)));
        }
    }

    /// Queues a chunk of a body, or without bytes its end.
    pub(super) fn push_bulk(&self, of: BulkOf, bytes: Option<Bytes>) {
        let mut head = BytesMut::new();
        let params = match of {
            BulkOf::Call(id) => BodyRef { id, body: Body::Call, remote: false },
            BulkOf::RemoteReply(id) => BodyRef { id, body: Body::Reply, remote: true },
        };
        let method = if bytes.is_some() { method::CHUNK } else { method::END };
        let bytes = bytes.unwrap_or_default();
        put_head(&mut head, usize::MAX, bytes.len(), |out| message::write_notification(out, method, &params));
        self.outbox.borrow_mut().push_bulk(of, head, bytes);
    }

    pub(super) fn notify<P: serde::Serialize>(&self, method: &str, params: &P) {
        self.push(|out| message::write_notification(out, method, params));
    }

    pub(super) fn push(&self, write: impl FnOnce(message::HeadWriter<'_>) -> serde_json::Result<()>) {
        self.outbox.borrow_mut().push(Attachment::empty(), |out| put_head(out, usize::MAX, 0, write));
        self.wake();
    }

    fn request(&self, method: &str, waiter: Waiter) {
        if let Some(id) = self.worker.ids.issue() {
            self.waiting.borrow_mut().insert(id, waiter);
            self.push(|out| message::write_request(out, id, method, &Empty {}));
        }
    }

    pub(super) fn fail(&self, id: Option<u64>, code: Code, text: &str) {
        self.push(|out| failure::write(out, id, code, text, &[]));
    }

    // ---- inward --------------------------------------------------------------------------------------------

    /// Takes a frame from the worker; an error ends the session.
    pub fn frame(self: &Rc<Self>, core: &Rc<Core>, frame: Frame, now: Moment) -> Result<(), Fatal> {
        self.last_frame.set(now);
        if let Some((id, reply)) = reply::quick(&frame.head) {
            return self.response(core, WireId::Number(id), Said::Reply(reply), frame.attachment, now);
        }
        match message::read(&frame.head) {
            Ok(Message::Response { id, outcome }) => {
                self.response(core, id, Said::Other(outcome), frame.attachment, now)
            }
            Ok(Message::Request { id, method, params }) if method == method::CALL => {
                self.takes_call(core, id, params, frame.attachment);
                Ok(())
            }
            Ok(Message::Request { id, method, params }) => self.asked(core, id, &method, params, now),
            Ok(Message::Notification { method, params }) => {
                self.told(core, &method, params, frame.attachment)
            }
            Err(bad) => {
                // The ids of a worker's own requests are unrelated to those of our calls.
                let waits = bad.id.filter(|_| !bad.is_request);
                if let Some(Taken::Waiter(Waiter::Call(call))) =
                    waits.map(|id| self.waiting.borrow_mut().take(id))
                {
                    self.tell_failed(core, &call, Code::BadReply, false);
                }
                self.bad_head(core, bad.code, bad.id, bad.reason)
            }
        }
    }

    fn bad_head(
        &self,
        core: &Rc<Core>,
        code: Code,
        id: Option<u64>,
        reason: &'static str,
    ) -> Result<(), Fatal> {
        tracing::warn!(worker = %self.worker.label, code = %code, reason, "bad message from a worker");
        core.counters().bad_messages.add(1);
        self.bad_heads.set(self.bad_heads.get() + 1);
        if self.bad_heads.get() >= BAD_HEADS_MAX {
            return Err(Fatal::new(code, reason));
        }
        self.fail(id, code, reason);
        Ok(())
    }

    fn response(
        &self,
        core: &Rc<Core>,
        id: WireId,
        said: Said<'_>,
        attachment: Attachment,
        now: Moment,
    ) -> Result<(), Fatal> {
        let WireId::Number(id) = id else { return self.unknown_reply(core, now) };
        let mut waiting = self.waiting.borrow_mut();
        if let Some(Waiter::Call(call)) = waiting.get_mut(id)
            && call.answered
        {
            // A second answer while the first one's body still comes.
            core.counters().late_replies.add(1);
            return Ok(());
        }
        let waiter = match waiting.take(id) {
            Taken::Waiter(waiter) => waiter,
            Taken::Late => {
                core.counters().late_replies.add(1);
                return Ok(());
            }
            Taken::Unknown => {
                drop(waiting);
                return self.unknown_reply(core, now);
            }
        };
        drop(waiting);

        match (waiter, said) {
            (Waiter::Call(call), Said::Reply(reply)) => self.answered(core, id, call, Ok(reply), attachment),
            (Waiter::Call(call), Said::Other(Outcome::Result(raw))) => {
                self.answered(core, id, call, reply::read(raw), attachment);
            }
            (Waiter::Call(call), Said::Other(Outcome::Error(raw))) => {
                let code = message::fit::<ErrorObject<'_>>(Some(raw)).and_then(|error| error.code());
                let not_started = matches!(code, Some(Code::Busy | Code::Draining | Code::PastDeadline));
                let code = code.filter(|_| not_started).unwrap_or(Code::HandlerFailed);
                self.tell_failed(core, &call, code, not_started);
            }
            (Waiter::Status(asked), Said::Other(Outcome::Result(raw))) => {
                let ping = now.since(asked);
                self.worker
                    .ping_us
                    .store(ping.as_micros().clamp(1, u32::MAX.into()) as u32, Ordering::Relaxed);
                self.last_pong.set(now);
                self.loaded(core, message::fit(Some(raw)).unwrap_or_default(), now);
            }
            // An error to `status` is no pong, nor is an answer that belongs to a call: a worker that cannot say how it is gets no calls
            // after 4.5 s.
            (Waiter::Status(_) | Waiter::Drain, _) => {}
        }
        Ok(())
    }

    fn unknown_reply(&self, core: &Rc<Core>, now: Moment) -> Result<(), Fatal> {
        core.counters().unknown_replies.add(1);
        let (count, since) = self.unknown.get();
        let (count, since) = if now.since(since) > UNKNOWN_WINDOW { (0, now) } else { (count, since) };
        self.unknown.set((count + 1, since));
        if count + 1 >= UNKNOWN_REPLIES_MAX {
            return Err(Fatal::new(Code::InvalidRequest, "100 answers to ids that were never issued"));
        }
        Ok(())
    }

    fn answered(
        &self,
        core: &Rc<Core>,
        id: u64,
        mut call: InFlight,
        read: Result<Reply, BadReply>,
        body: Attachment,
    ) {
        let judged = read.and_then(|reply| reply.holds(body.len()).map(|()| reply));
        let reply = match judged {
            Ok(reply) => reply,
            Err(reason) => {
                tracing::warn!(worker = %self.worker.label, %reason, "bad reply from a worker");
                return self.tell_failed(core, &call, Code::BadReply, false);
            }
        };
        self.worker.answered.fetch_add(1, Ordering::Relaxed);
        if let Some(load) = reply.load {
            self.loaded(core, load, self.last_frame.get());
        }
        let more = reply.more;
        let answer = Box::new(encode(reply, body));
        let to = call.call;
        if more {
            call.answered = true;
            call.granted.add(STREAM_WINDOW_BYTES);
            self.waiting.borrow_mut().insert(id, Waiter::Call(call));
            let bytes = STREAM_WINDOW_BYTES as u32;
            self.notify(method::CREDIT, &Credit { id, body: Body::Reply, bytes, remote: false });
        }
        core.post(Mail::Call(to, Event::Answer(answer)));
    }

    fn loaded(&self, core: &Rc<Core>, load: WireLoad, now: Moment) {
        self.load.set(load);
        self.judge_health(core, now);
    }

    fn judge_health(&self, core: &Rc<Core>, now: Moment) {
        let wire = self.load.get();
        let load = Load {
            cpu: wire.cpu,
            delay_ms: wire.delay_ms,
            rss_bytes: wire.rss_bytes,
            rss_limit_bytes: wire.rss_limit_bytes,
            in_flight: wire.in_flight,
        };
        let since_pong = now.since(self.last_pong.get());
        let full = self.outbox.borrow().waiting() > OUTBOX_BYTES_MAX;
        let found = load::busy(&load, since_pong);
        let late = found == Some(BusyReason::Delay) && !full;
        let reason = found.map(|reason| reason.to_string());
        let reason = reason.or_else(|| full.then(|| "does not read what it is sent".to_owned()));

        let factor = load.cpu.map_or(1.0, load::factor) as f32;
        self.worker.factor.store(factor.to_bits(), Ordering::Relaxed);
        let was_late = self.worker.late.swap(late, Ordering::Relaxed);
        let was_busy = self.worker.busy.swap(reason.is_some() && !late, Ordering::Relaxed);
        if (was_busy || was_late) != reason.is_some() {
            match &reason {
                Some(reason) => tracing::warn!(worker = %self.worker.label, reason, "worker is busy"),
                None => {
                    tracing::info!(worker = %self.worker.label, "worker takes calls again");
                    core.shared.roster.freed(&self.worker);
                }
            }
        }
        let mut report = self.worker.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        report.load = load;
        report.busy = reason;
    }

    fn asked(
        &self,
        core: &Rc<Core>,
        id: u64,
        asked: &str,
        params: Option<&RawValue>,
        now: Moment,
    ) -> Result<(), Fatal> {
        match asked {
            method::PING => self.push(|out| message::write_result(out, id, &Empty {})),
            method::DECLARE => self.declare(core, id, params),
            method::DRAIN => {
                self.worker.draining.store(true, Ordering::Relaxed);
                // The fence: calls that other cores post from here on are refused before they start.
                self.fenced.set(true);
                self.push(|out| message::write_result(out, id, &Empty {}));
                tracing::info!(worker = %self.worker.label, "worker drains");
            }
            method::HELLO | method::PROVE => {
                return Err(Fatal::new(Code::InvalidRequest, "handshake is done already"));
            }
            _ => self.fail(Some(id), Code::UnknownMethod, "no such method here"),
        }
        self.last_frame.set(now);
        Ok(())
    }

    fn declare(&self, core: &Rc<Core>, id: u64, params: Option<&RawValue>) {
        let Some(declare) = message::fit::<Declare>(params) else {
            return self.fail(Some(id), Code::InvalidParams, "params are not {endpoints: [{endpoint, ...}]}");
        };
        let key = self.current_key(core).unwrap_or_else(|| self.key.clone());
        match declaration::judge(declare, &key) {
            Ok(accepted) => {
                let answer = DeclareAnswer { accepted: accepted.len() };
                *self.endpoints.borrow_mut() = accepted.clone();
                let shared = &core.shared;
                let now = crate::clock::unix_now();
                if let Some(news) = shared.roster.declare(&self.worker, accepted, now, &shared.table) {
                    shared.registry.remember(&self.worker.service, news);
                }
                self.push(|out| message::write_result(out, id, &answer));
                tracing::info!(worker = %self.worker.label, endpoints = answer.accepted, "worker declared");
            }
            Err(refused) => {
                let first = refused.first().map_or("", |endpoint| endpoint.message.as_str());
                tracing::warn!(worker = %self.worker.label, refused = refused.len(), first, "declaration refused");
                self.push(|out| {
                    failure::write(out, Some(id), Code::DeclarationRefused, "declaration refused", &refused)
                });
            }
        }
    }

    fn told(
        &self,
        core: &Rc<Core>,
        told: &str,
        params: Option<&RawValue>,
        attachment: Attachment,
    ) -> Result<(), Fatal> {
        match told {
            method::CHUNK => {
                let of = message::fit(params).filter(|_| !attachment.is_empty());
                let Some(BodyRef { id, body: Body::Reply, remote: false }) = of else {
                    let Some(BodyRef { id, body: Body::Call, remote: true }) = of else {
                        return self.bad_head(
                            core,
                            Code::InvalidRequest,
                            None,
                            "chunk of no body, or without bytes",
                        );
                    };
                    let granted = self.remotes.get(id).is_none_or(|remote| remote.chunk(attachment));
                    return if granted { Ok(()) } else { Err(beyond_credit()) };
                };
                let mut waiting = self.waiting.borrow_mut();
                let Some(Waiter::Call(call)) = waiting.get_mut(id).filter(|w| is_streaming(w)) else {
                    return Ok(());
                };
                if !call.granted.take(attachment.len() as u64) {
                    return Err(beyond_credit());
                }
                core.post(Mail::Call(call.call, Event::Chunk(attachment)));
            }
            method::END => match message::fit(params) {
                Some(BodyRef { id, body: Body::Reply, remote: false }) => self.finish(core, id, Event::End),
                Some(BodyRef { id, body: Body::Call, remote: true }) => {
                    self.remote(id, |remote| remote.end(false))
                }
                _ => return self.bad_head(core, Code::InvalidRequest, None, "end of no body"),
            },
            method::RESET => match message::fit::<Reset<'_>>(params) {
                Some(Reset { id, body: Body::Reply, remote: false, .. }) => {
                    self.finish(core, id, Event::Reset)
                }
                Some(Reset { id, body: Body::Call, remote: false, .. }) => {
                    self.outbox.borrow_mut().drop_bulk(BulkOf::Call(id));
                    self.tell_call(core, id, Event::Enough);
                }
                Some(Reset { id, body: Body::Call, remote: true, .. }) => {
                    self.remote(id, |remote| remote.end(true))
                }
                Some(Reset { id, body: Body::Reply, remote: true, .. }) => self.remote(id, Remote::unwanted),
                _ => return self.bad_head(core, Code::InvalidRequest, None, "reset of no body"),
            },
            method::CREDIT => match message::fit::<Credit>(params) {
                Some(Credit { id, body: Body::Call, bytes, remote: false })
                    if bytes > 0 && bytes < 1 << 31 =>
                {
                    self.tell_call(core, id, Event::Credit(bytes));
                }
                Some(Credit { id, body: Body::Reply, bytes, remote: true })
                    if bytes > 0 && bytes < 1 << 31 =>
                {
                    self.remote(id, |remote| remote.credit(bytes));
                }
                _ => return self.bad_head(core, Code::InvalidRequest, None, "credit for no body"),
            },
            method::CANCEL => match message::fit(params) {
                Some(Cancel { id, remote: true }) => self.remote(id, Remote::leave),
                _ => return self.bad_head(core, Code::InvalidRequest, None, "cancel of no remote call"),
            },
            _ => core.counters().bad_messages.add(1),
        }
        Ok(())
    }

    fn tell_call(&self, core: &Rc<Core>, id: u64, event: Event) {
        if let Some(Waiter::Call(call)) = self.waiting.borrow_mut().get_mut(id) {
            core.post(Mail::Call(call.call, event));
        }
    }

    /// The body of an answer is over; of a call that has no answer yet it cannot be, and that is dropped.
    fn finish(&self, core: &Rc<Core>, id: u64, event: Event) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.get_mut(id).is_some_and(|waiter| is_streaming(waiter))
            && let Taken::Waiter(Waiter::Call(call)) = waiting.take(id)
        {
            core.post(Mail::Call(call.call, event));
        }
    }

    fn tell_failed(&self, core: &Rc<Core>, call: &InFlight, code: Code, not_started: bool) {
        core.post(Mail::Call(call.call, Event::Failed(Failure { code, not_started })));
    }

    // ---- life ----------------------------------------------------------------------------------------------

    /// Looks at the clock: asks for the status every 2 s, notices silence.
    pub fn tick(&self, core: &Rc<Core>, now: Moment) -> Result<(), Fatal> {
        if now.since(self.last_frame.get()) >= Duration::from_millis(SILENCE_MS_MAX) {
            return Err(Fatal::new(Code::InvalidRequest, "60 s without a frame"));
        }
        let (written, waiting) = {
            let outbox = self.outbox.borrow();
            (outbox.written(), outbox.waiting())
        };
        let (before, since) = self.progress.get();
        if waiting == 0 || written != before {
            self.progress.set((written, now));
        } else if now.since(since) >= WRITE_STALL {
            return Err(Fatal::new(Code::Busy, "worker took no byte for 10 s"));
        }
        let every = Duration::from_millis(STATUS_EVERY_MS);
        if self.last_poll.get().is_none_or(|last| now.since(last) >= every) {
            self.last_poll.set(Some(now));
            self.request(method::STATUS, Waiter::Status(now));
        }
        if now.since(self.last_pong.get()) >= Duration::from_millis(PONG_MS_MAX) || waiting > 0 {
            self.judge_health(core, now);
        }
        Ok(())
    }

    /// Looks at what others decided: the key may be revoked or changed, the broker may drain.
    pub fn review(&self, core: &Rc<Core>) {
        match self.current_key(core) {
            None => self.close(Fatal::new(Code::Unauthenticated, "worker key was revoked")),
            Some(key) => {
                let outside = self
                    .endpoints
                    .borrow()
                    .iter()
                    .any(|a| !key.serve.iter().any(|prefix| prefix.covers(a.endpoint.pattern())));
                if outside {
                    self.close(Fatal::new(
                        Code::EndpointForbidden,
                        "worker key no longer serves its endpoints",
                    ));
                }
            }
        }
        if core.shared.phase.name() != PhaseName::Serving && !self.told_drain.replace(true) {
            self.request(method::DRAIN, Waiter::Drain);
        }
        self.wake();
    }

    /// Its key, as it is now; `None` when it was revoked.
    pub fn current_key(&self, core: &Rc<Core>) -> Option<Arc<KeyRecord>> {
        core.access().keys.get(&self.worker.key_id).cloned()
    }

    /// Ends the session once the worker has been told why.
    pub fn close(&self, fatal: Fatal) {
        if self.fatal.borrow().is_none() {
            self.fail(None, fatal.code, &fatal.reason);
            *self.fatal.borrow_mut() = Some(fatal);
            self.worker.draining.store(true, Ordering::Relaxed);
        }
        self.wake();
    }

    /// Why it is closing, if it is.
    pub fn fatal(&self) -> Option<Fatal> {
        self.fatal.borrow().clone()
    }

    /// The connection is gone: every call of it is answered at once (D2), each by whether its last byte had left (D1).
    pub fn lost(&self, core: &Rc<Core>) {
        self.worker.draining.store(true, Ordering::Relaxed);
        self.fenced.set(true);
        self.remotes.leave_all();
        let written = self.outbox.borrow().written();
        for (_, waiter) in self.waiting.borrow_mut().take_all() {
            let Waiter::Call(call) = waiter else { continue };
            if call.answered {
                core.post(Mail::Call(call.call, Event::Reset));
            } else {
                // Under TLS the last byte handed over may be part of a record that went out: only a frame of which nothing was handed over counts.
                let not_started = if self.over_tls { call.begin >= written } else { call.end > written };
                self.tell_failed(core, &call, Code::WorkerLost, not_started);
            }
        }
    }

    /// Calls that wait for an answer on this session.
    pub fn calls(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// What waits to be written.
    pub fn outbox(&self) -> &RefCell<Outbox> {
        &self.outbox
    }

    /// The connection's task wants to be woken when something is to be written.
    pub fn park(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    /// Wakes the connection's task.
    // Taken, not cloned: the first of many calls in a turn wakes the task, the others find it awake. One write then carries them all.
    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

fn beyond_credit() -> Fatal {
    Fatal::new(Code::CreditExceeded, "more chunk bytes than were granted")
}

fn is_streaming(waiter: &Waiter) -> bool {
    matches!(waiter, Waiter::Call(call) if call.answered)
}

/// Turns a reply that passed every rule into what the caller's side writes.
pub fn encode(reply: Reply, body: Attachment) -> Answer {
    Answer {
        status: reply.status,
        header_lines: reply.header_lines,
        content_length: reply.content_length,
        has_date: reply.has_date,
        is_plain_json: reply.is_plain_json,
        body,
        more: reply.more,
    }
}
