//! The calls of one worker-broker connection: who runs, what may still be said for an id, and how each call ends.
//!
//! ```text
//!   arrived ──> running ──> answered, bodies under way ──> over
//!      └────────────┴──── cancel, connection lost ───────────┘
//! ```
//!
//! The reader ([`crate::reader`]) puts calls in and cancels them; the task of each call answers it. Locks: `calls`, then a body's, then the
//! outlet's; the outlet takes a body's lock under its own, so no body's lock is held while the outlet's is asked for.

use crate::body::{Body, BodySender};
use crate::cancel::Cancel;
use crate::compose::{BoxFuture, Next};
use crate::error::{BodyError, Problem};
use crate::incoming::Incoming;
use crate::lock::lock;
use crate::outgoing::Outgoing;
use crate::outlet::Outlet;
use crate::remotes::Remotes;
use crate::request::Request;
use crate::response::{IntoResponse, Payload, Response, Streamed};
use crate::router::Endpoint;
use crate::worker::Worker;
use bytes::Bytes;
use hera_protocol::message::given::GivenCall;
use hera_protocol::message::reply::{self, ReplyOut};
use hera_protocol::message::stream::{Body as Whose, BodyRef, Credit, Reset};
use hera_protocol::message::{self, method};
use hera_protocol::{Attachment, Code, IdHasher};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// One connection's calls, shared by its reader and the tasks of the calls.
pub(crate) struct Session {
    /// Where everything is written to.
    pub(crate) outlet: Arc<Outlet>,
    /// What all connections share.
    pub(crate) worker: Arc<Worker>,
    in_flight_max: usize,
    calls: Mutex<HashMap<u64, Call, BuildHasherDefault<IdHasher>>>,
    /// The calls that we make.
    pub(crate) remotes: Remotes,
    /// Woken when a call is over.
    pub(crate) over: Notify,
}

/// A call in flight, from its arrival until nothing more may be said for its id.
struct Call {
    task: Option<AbortHandle>,
    cancel: Arc<Cancel>,
    incoming: Option<Arc<Incoming>>,
    outgoing: Option<Arc<Outgoing>>,
    early_credit: u64,
    answered: bool,
}

/// A call that was read and not started yet (P-37).
pub(crate) struct Arrived {
    id: u64,
    endpoint: Arc<Endpoint>,
    call: Arc<GivenCall>,
    body: Body,
    deadline: Instant,
    cancel: Arc<Cancel>,
}

impl Session {
    /// A session without calls.
    pub(crate) fn new(outlet: Arc<Outlet>, worker: Arc<Worker>, in_flight_max: u32) -> Session {
        let in_flight_max = in_flight_max as usize;
        let remotes = Remotes::new(Arc::clone(&outlet), in_flight_max);
        Session { outlet, worker, in_flight_max, calls: Mutex::default(), remotes, over: Notify::new() }
    }

    /// Calls that both sides agreed to have in flight at once.
    pub(crate) fn in_flight_max(&self) -> usize {
        self.in_flight_max
    }

    /// Calls that are not over.
    pub(crate) fn in_flight(&self) -> usize {
        lock(&self.calls).len()
    }

    /// Notes a call; `None` when its id is in flight already. It is started by [`Session::start`], after the reader's turn.
    pub(crate) fn arrive(
        self: &Arc<Self>,
        id: u64,
        endpoint: Arc<Endpoint>,
        call: Arc<GivenCall>,
        attachment: Attachment,
        arrival: Instant,
    ) -> Option<Arrived> {
        let cancel = Arc::new(Cancel::default());
        let mut calls = lock(&self.calls);
        if calls.contains_key(&id) {
            return None;
        }
        let (incoming, body) = if call.more() {
            let incoming = Arc::new(Incoming::new(attachment));
            (Some(Arc::clone(&incoming)), Body::stream(Arc::clone(self), body_of(id), incoming))
        } else {
            (None, Body::whole(attachment))
        };
        let entry = Call {
            task: None,
            cancel: Arc::clone(&cancel),
            incoming,
            outgoing: None,
            early_credit: 0,
            answered: false,
        };
        calls.insert(id, entry);
        self.worker.in_flight.fetch_add(1, Ordering::Relaxed);
        let deadline =
            arrival + Duration::from_millis(call.timeout_ms().min(hera_protocol::limits::TIMEOUT_MS_MAX));
        Some(Arrived { id, endpoint, call, body, deadline, cancel })
    }

    /// Starts a call, unless it was cancelled since it arrived.
    pub(crate) fn start(self: &Arc<Self>, arrived: Arrived) {
        let id = arrived.id;
        if !lock(&self.calls).contains_key(&id) {
            return;
        }
        // Not under the lock: a runtime that shuts down drops the task right here, and the call's body takes the lock when it is dropped.
        let task = tokio::spawn(run(Arc::clone(self), arrived)).abort_handle();
        // Only the reader, which is who runs this, cancels; so a call that is missing now is over, and needs no handle.
        if let Some(call) = lock(&self.calls).get_mut(&id) {
            call.task = Some(task);
        }
    }

    /// P-36: stops the call and says nothing more for it.
    pub(crate) fn cancel(&self, id: u64) {
        let call = lock(&self.calls).remove(&id);
        if let Some(call) = call {
            self.forget(call, BodyError::Cancelled);
        }
    }

    /// The connection is gone: nobody waits for any of its answers.
    pub(crate) fn close(&self) {
        self.outlet.close();
        self.remotes.close();
        let calls = std::mem::take(&mut *lock(&self.calls));
        calls.into_values().for_each(|call| self.forget(call, BodyError::Lost));
    }

    fn forget(&self, call: Call, reason: BodyError) {
        self.worker.in_flight.fetch_sub(1, Ordering::Relaxed);
        call.cancel.cancel();
        if let Some(outgoing) = call.outgoing {
            outgoing.close(reason.clone());
        }
        if let Some(incoming) = call.incoming {
            incoming.end(Err(reason));
        }
        if let Some(task) = call.task {
            task.abort();
        }
        self.over.notify_one();
    }

    /// More bytes of a call's body. False when they were not granted; bytes for a call that is over are dropped.
    pub(crate) fn chunk(&self, id: u64, bytes: Attachment) -> bool {
        let incoming = lock(&self.calls).get(&id).and_then(|call| call.incoming.clone());
        incoming.is_none_or(|incoming| incoming.push(bytes))
    }

    /// A call's body ended, or was cut by the broker.
    pub(crate) fn body_over(&self, id: u64, end: Result<(), BodyError>) {
        let incoming = lock(&self.calls).get(&id).and_then(|call| call.incoming.clone());
        if let Some(incoming) = incoming {
            incoming.end(end);
            self.settle(id);
        }
    }

    /// The broker lets more bytes of the answer come.
    pub(crate) fn credit(&self, id: u64, bytes: u64) {
        let outgoing = {
            let mut calls = lock(&self.calls);
            let Some(call) = calls.get_mut(&id) else { return };
            if call.outgoing.is_none() {
                call.early_credit = call.early_credit.saturating_add(bytes);
            }
            call.outgoing.clone()
        };
        if let Some(outgoing) = outgoing {
            outgoing.credit(bytes);
        }
    }

    /// The broker wants no more of the answer.
    pub(crate) fn unwanted(&self, id: u64, code: &str) {
        let outgoing = lock(&self.calls).get(&id).and_then(|call| call.outgoing.clone());
        if let Some(outgoing) = outgoing {
            outgoing.close(BodyError::Unwanted(code.to_owned()));
        }
    }

    /// Lets the broker send more of a body.
    pub(crate) fn grant(&self, of: BodyRef, bytes: u64) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX >> 1);
        let BodyRef { id, body, remote } = of;
        self.outlet.notify(method::CREDIT, &Credit { id, body, bytes, remote });
    }

    /// The handler dropped a body: no more of it, please.
    pub(crate) fn abandon(&self, of: BodyRef, incoming: &Incoming) {
        let BodyRef { id, body, remote } = of;
        if incoming.end(Err(BodyError::Unwanted("dropped".into()))) {
            self.outlet.notify(method::RESET, &Reset { id, body, code: "unwanted".into(), remote });
        }
        if remote { self.remotes.over(id) } else { self.settle(id) }
    }

    /// P-41: the call is over when its answer and its own body are.
    fn settle(&self, id: u64) {
        let mut calls = lock(&self.calls);
        let over = calls.get(&id).is_some_and(|call| {
            call.answered && call.incoming.as_ref().is_none_or(|incoming| incoming.is_over())
        });
        if over && calls.remove(&id).is_some() {
            drop(calls);
            self.worker.in_flight.fetch_sub(1, Ordering::Relaxed);
            self.over.notify_one();
        }
    }

    fn answered(&self, id: u64) {
        if let Some(call) = lock(&self.calls).get_mut(&id) {
            call.answered = true;
        }
        self.settle(id);
    }

    /// Answers with an error; what it is about stays in our log.
    fn fail(&self, id: u64, code: Code) {
        if lock(&self.calls).contains_key(&id) {
            self.outlet
                .frame(Bytes::new(), |out| message::failure::write(out, Some(id), code, code.meaning(), &[]));
        }
        self.answered(id);
    }

    /// Sends an answer and, where it has one, the body behind it.
    async fn answer(self: &Arc<Self>, id: u64, response: Response, name: &CallName) {
        let (status, mut headers, payload) = match response.into_parts() {
            Ok(parts) => parts,
            Err(fault) => {
                tracing::error!(request_id = name.request_id(), endpoint = %name.endpoint, %fault, "answer cannot be sent");
                return self.fail(id, Code::HandlerFailed);
            }
        };
        let streamed = match payload {
            Payload::Whole(bytes) if bytes.len() <= self.outlet.attachment_bytes_max() => {
                self.reply(id, ReplyOut { status, headers: &headers, more: false, load: None }, bytes, name);
                return self.answered(id);
            }
            Payload::Whole(bytes) => {
                // Known in full, so the caller may know its length; it holds on a body with `more` (P-34).
                if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
                    headers.push(("content-length".into(), bytes.len().to_string().into()));
                }
                whole(bytes)
            }
            Payload::Stream(streamed) => streamed,
        };
        let reply = ReplyOut { status, headers: &headers, more: true, load: None };
        if self.begin(id, &streamed.outgoing, reply, name) {
            pump(streamed, name).await;
        }
        self.answered(id);
    }

    /// Queues a reply; false when the call is gone, or the reply fits no frame and the call failed instead.
    fn reply(&self, id: u64, reply: ReplyOut<'_>, attachment: Bytes, name: &CallName) -> bool {
        if !lock(&self.calls).contains_key(&id) {
            return false;
        }
        let fits = self.outlet.frame(attachment, |out| reply::write(out, id, &reply));
        if !fits {
            tracing::error!(request_id = name.request_id(), endpoint = %name.endpoint, "headers of the answer fit no frame");
            self.fail(id, Code::HandlerFailed);
        }
        fits
    }

    /// Queues the reply before a streamed body, then lets the body go.
    fn begin(&self, id: u64, outgoing: &Arc<Outgoing>, reply: ReplyOut<'_>, name: &CallName) -> bool {
        // Known before the reply goes: the broker's credit or reset may come right behind it.
        let early = match lock(&self.calls).get_mut(&id) {
            None => return false,
            Some(call) => {
                call.outgoing = Some(Arc::clone(outgoing));
                std::mem::take(&mut call.early_credit)
            }
        };
        outgoing.credit(early);
        let begun = self.reply(id, reply, Bytes::new(), name);
        if begun {
            let of = BodyRef { id, body: Whose::Reply, remote: false };
            outgoing.attach(Arc::clone(&self.outlet), of);
        }
        begun
    }
}

/// The body of a call that the broker made.
fn body_of(id: u64) -> BodyRef {
    BodyRef { id, body: Whose::Call, remote: false }
}

/// What the log calls a call by.
struct CallName {
    call: Arc<GivenCall>,
    endpoint: Arc<Endpoint>,
}

impl CallName {
    fn request_id(&self) -> &str {
        self.call.request_id()
    }
}

/// The life of one call in its own task.
async fn run(session: Arc<Session>, arrived: Arrived) {
    let Arrived { id, endpoint, call, body, deadline, cancel } = arrived;
    // Judged here and not when it was read: this task may have waited long for its turn (P-37).
    if Instant::now() >= deadline {
        drop(body);
        return session.fail(id, Code::PastDeadline);
    }
    let name = CallName { call: Arc::clone(&call), endpoint: Arc::clone(&endpoint) };
    let worker = Arc::clone(&session.worker);
    let request = Request::new(call, body, endpoint.declared.body_bytes_max, deadline, cancel, worker);
    let next = Next::new(Arc::clone(&session.worker.layers), Arc::clone(&endpoint.handler));

    match caught(Box::pin(next.run(request))).await {
        Ok(Ok(response)) => session.answer(id, response, &name).await,
        Ok(Err(error)) => match Problem::of(&error).map(IntoResponse::into_response) {
            Some(Ok(response)) => session.answer(id, response, &name).await,
            _ => {
                tracing::error!(request_id = name.request_id(), endpoint = %name.endpoint, %error, "handler failed");
                session.fail(id, Code::HandlerFailed);
            }
        },
        Err(panic) => {
            tracing::error!(request_id = name.request_id(), endpoint = %name.endpoint, %panic, "handler panicked");
            session.fail(id, Code::HandlerFailed);
        }
    }
}

/// A body that is known in full, sent like one that is being made.
fn whole(bytes: Bytes) -> Streamed {
    let outgoing = Arc::new(Outgoing::default());
    let sender = BodySender::guided(Arc::clone(&outgoing));
    let maker: BoxFuture<_> = Box::pin(async move { Ok(sender.send(bytes).await?) });
    Streamed { outgoing, maker: Some(maker) }
}

/// Runs what makes a body, ends the body by its outcome, and waits until the writer has the last of it.
async fn pump(mut streamed: Streamed, name: &CallName) {
    let outgoing = Arc::clone(&streamed.outgoing);
    if let Some(maker) = streamed.maker.take() {
        match caught(maker).await {
            Ok(Ok(())) => outgoing.end(),
            Ok(Err(error)) => {
                // That the caller left is no fault of the handler.
                match error.downcast_ref::<BodyError>() {
                    Some(BodyError::Unwanted(_) | BodyError::Cancelled | BodyError::Lost) => {}
                    _ => {
                        tracing::error!(request_id = name.request_id(), endpoint = %name.endpoint, %error, "body of the answer failed");
                    }
                }
                outgoing.reset("handler_failed");
            }
            Err(panic) => {
                tracing::error!(request_id = name.request_id(), endpoint = %name.endpoint, %panic, "body of the answer panicked");
                outgoing.reset("handler_failed");
            }
        }
    }
    outgoing.done().await;
}

/// Awaits user code; a panic in it becomes a text, so that it costs this call and nothing else.
async fn caught<T>(mut user: BoxFuture<T>) -> Result<T, String> {
    std::future::poll_fn(move |context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| user.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(panic_text(panic.as_ref()))),
        }
    })
    .await
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no text".to_owned())
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.declared.endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Outcome;

    #[tokio::test]
    async fn panic_becomes_a_text() {
        let user: BoxFuture<Outcome> = Box::pin(async { panic!("boom {}", 1) });

        assert_eq!(caught(user).await.unwrap_err(), "boom 1");
    }
}
