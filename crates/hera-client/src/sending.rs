//! A call of ours on its way through a broker: sent, waited for, and given to another broker where that is safe (P-56).

use crate::body::BodySender;
use crate::brokers::Choice;
use crate::compose::BoxFuture;
use crate::error::{BoxError, CallError};
use crate::outgoing::Outgoing;
use crate::remote_call::{Asked, Payload};
use crate::remotes::{Answered, NotPut};
use crate::reply::Reply;
use crate::session::Session;
use bytes::Bytes;
use hera_protocol::limits::TIMEOUT_MS_MAX;
use hera_protocol::message::call::{CallerOut, TraceOut};
use hera_protocol::message::remote::{Refused, RemoteOut};
use hera_protocol::{Code, Executed};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;

/// How long after the deadline an answer is waited for: the broker speaks first (P-56).
const GRACE: Duration = Duration::from_millis(500);

impl Asked {
    /// Sends the call, and another time where that is safe.
    pub(crate) async fn send(self, body: Payload) -> Result<Reply, CallError> {
        let request_id = self.within.as_ref().map(|within| within.request_id.clone());
        let sent = self.try_brokers(body).await;
        sent.map_err(|error| CallError { request_id: error.request_id.or(request_id), ..error })
    }

    async fn try_brokers(&self, body: Payload) -> Result<Reply, CallError> {
        let mut handed = false;
        let sent = self.try_each(body, &mut handed).await;
        // What a later broker says of its own try is not the whole story.
        sent.map_err(|error| if handed { CallError { executed: Executed::Maybe, ..error } } else { error })
    }

    /// `handed` is set once a broker was lost that may have had the call.
    async fn try_each(&self, body: Payload, handed: &mut bool) -> Result<Reply, CallError> {
        if let Some(fault) = &self.fault {
            return Err(CallError::new(Code::InvalidParams, Executed::No, fault.clone()));
        }
        let now = Instant::now();
        let asked = self.timeout.map(|timeout| now + timeout);
        let deadline = self.within.as_ref().map(|within| within.deadline).into_iter().chain(asked).min();
        let patience = deadline.unwrap_or(now + Duration::from_millis(TIMEOUT_MS_MAX)) + GRACE;
        let once = matches!(body, Payload::Stream(..));
        let mut body = body;
        let mut tried: Vec<Arc<Session>> = Vec::new();
        let mut lost = false;
        // What the last broker said, where another one was worth a try.
        let mut failed = None;
        loop {
            let nowhere = |code, text| CallError::new(code, Executed::No, text);
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(
                    failed.unwrap_or_else(|| nowhere(Code::DeadlineExceeded, "no time is left for the call"))
                );
            }
            let session = match self.worker.brokers.pick(&tried) {
                Choice::Broker(session) => session,
                Choice::Full => {
                    let text = "every broker has as many calls of this worker as it takes";
                    return Err(failed.unwrap_or_else(|| nowhere(Code::Overloaded, text)));
                }
                Choice::Nobody => {
                    let text = "no broker that takes remote calls is connected";
                    return Err(failed.unwrap_or_else(|| nowhere(Code::NoBroker, text)));
                }
            };
            let part = match &mut body {
                Payload::Whole(bytes) => Payload::Whole(bytes.clone()),
                stream => std::mem::replace(stream, Payload::Whole(Bytes::new())),
            };
            let in_chunks = match &part {
                Payload::Whole(bytes) => bytes.len() > session.outlet.attachment_bytes_max(),
                Payload::Stream(..) => true,
            };
            let (error, again) = match self.ask(&session, part, deadline, patience).await {
                Ok(reply) => return Ok(reply),
                Err(Failed::For(error)) => return Err(error),
                Err(Failed::NoWorkerHere(error)) => (error, true),
                Err(Failed::Lost { handed: now }) => {
                    let again = !lost && (!now || is_idempotent(&self.method) && !in_chunks);
                    lost = true;
                    *handed |= now;
                    (broker_lost(now), again)
                }
            };
            if once || !again {
                return Err(error);
            }
            failed = Some(error);
            tried.push(session);
        }
    }

    /// Makes the call on one broker.
    async fn ask(
        &self,
        session: &Arc<Session>,
        body: Payload,
        deadline: Option<Instant>,
        patience: Instant,
    ) -> Result<Reply, Failed> {
        let (attachment, outgoing, maker) = match body {
            Payload::Whole(bytes) if bytes.len() <= session.outlet.attachment_bytes_max() => {
                (bytes, None, None)
            }
            Payload::Whole(bytes) => {
                let outgoing = Arc::new(Outgoing::default());
                let sender = BodySender::guided(Arc::clone(&outgoing));
                let maker: BoxFuture<Result<(), BoxError>> =
                    Box::pin(async move { Ok(sender.send(bytes).await?) });
                (Bytes::new(), Some(outgoing), Some(maker))
            }
            Payload::Stream(outgoing, maker) => (Bytes::new(), Some(outgoing), Some(maker)),
        };
        let within = self.within.as_ref();
        let call = RemoteOut {
            method: &self.method,
            target: &self.target,
            headers: &self.headers,
            request_id: within.map(|within| within.request_id.as_str()),
            caller: within.map(|within| CallerOut::Parts {
                token: within.caller.token.as_deref(),
                labels: &within.caller.labels,
                ip: &within.caller.ip,
                service: None,
            }),
            trace: within.and_then(|within| within.trace.as_ref()).map(|trace| TraceOut {
                traceparent: &trace.traceparent,
                tracestate: trace.tracestate.as_deref(),
            }),
            timeout_ms: deadline.map(|deadline| {
                // Rounded up: the deadline of the call within which this one is made comes first, and its caller is told by its own broker.
                let left = deadline.saturating_duration_since(Instant::now()).as_nanos().div_ceil(1_000_000);
                u64::try_from(left).unwrap_or(TIMEOUT_MS_MAX).clamp(1, TIMEOUT_MS_MAX)
            }),
            chain: within.map_or(&[], |within| &within.chain),
            more: outgoing.is_some(),
        };
        let began = Instant::now();
        let put = session.remotes.put(&call, attachment, outgoing.clone());
        let (id, answer) = match put {
            Ok(put) => put,
            Err(NotPut::Closed) => return Err(Failed::Lost { handed: false }),
            Err(NotPut::TooLarge) => {
                let error = CallError::new(Code::HeadTooLarge, Executed::No, "the call's head fits no frame");
                return Err(Failed::For(error));
            }
        };
        let mut flight = Flight { session: Arc::clone(session), id, maker: None, over: false };
        if let (Some(outgoing), Some(maker)) = (outgoing, maker) {
            flight.maker = Some(tokio::spawn(make(outgoing, maker)).abort_handle());
        }

        let answered = tokio::time::timeout_at(patience.into(), answer).await;

        let Ok(answered) = answered else {
            let text = "no answer came before the deadline, and the call was cancelled";
            return Err(Failed::For(CallError::new(Code::DeadlineExceeded, Executed::Maybe, text)));
        };
        flight.over = true;
        match answered {
            Ok(Answered::Reply(answer, body)) => {
                self.worker.brokers.observe(session, began);
                // What makes the call's body goes on while the answer's body comes, and ends with the call.
                flight.maker = None;
                Ok(Reply::new(answer, body, self.reply_bytes_max))
            }
            Ok(Answered::Refused(refused)) => {
                let elsewhere = refused.code == Code::NoWorker.as_str();
                let error = told(refused);
                Err(if elsewhere { Failed::NoWorkerHere(error) } else { Failed::For(error) })
            }
            Ok(Answered::Bad) => {
                let text = "the broker's answer breaks the protocol";
                Err(Failed::For(CallError::new(Code::BadReply, Executed::Maybe, text)))
            }
            Ok(Answered::Lost { handed }) => Err(Failed::Lost { handed }),
            // The session ended without a word to us, which it never does.
            Err(_) => Err(Failed::Lost { handed: true }),
        }
    }
}

/// Why one broker brought no answer.
enum Failed {
    /// Nor will another.
    For(CallError),
    /// It knows no worker; another may.
    NoWorkerHere(CallError),
    /// It went away.
    Lost { handed: bool },
}

/// A call that waits for its answer; dropping it cancels the call.
struct Flight {
    session: Arc<Session>,
    id: u64,
    maker: Option<AbortHandle>,
    over: bool,
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.over {
            self.session.remotes.cancel(self.id);
            self.session.over.notify_one();
        }
        if let Some(maker) = &self.maker {
            maker.abort();
        }
    }
}

/// Runs what makes a call's body, and ends the body by its outcome; given up when nobody wants more of it.
async fn make(outgoing: Arc<Outgoing>, maker: BoxFuture<Result<(), BoxError>>) {
    // Cut, and not left open, by a maker that panics or is given up. After an end this changes nothing.
    let cut = Cut(Arc::clone(&outgoing));
    tokio::select! {
        made = maker => {
            if made.is_ok() {
                outgoing.end();
            }
        }
        () = outgoing.done() => {}
    }
    drop(cut);
}

struct Cut(Arc<Outgoing>);

impl Drop for Cut {
    fn drop(&mut self) {
        self.0.reset("cancelled");
    }
}

fn told(refused: Refused) -> CallError {
    let Refused { code, message, executed, status, request_id, retry_after } = refused;
    CallError { code, executed, status, request_id, retry_after, message }
}

fn broker_lost(handed: bool) -> CallError {
    let executed = if handed { Executed::Maybe } else { Executed::No };
    CallError::new(Code::BrokerLost, executed, "the broker went away before it answered")
}

fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}
