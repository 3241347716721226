//! The calls that we make on one connection: who waits, and the bodies under way (P-50 to P-56).
//!
//! ```text
//!   put ──> waiting ──answer in one piece──────────> over
//!              ├──answer with more──> bodies ──end──> over
//!              └──cancel, connection lost───────────> over
//! ```

use crate::body::Body;
use crate::brokers::Quickness;
use crate::error::BodyError;
use crate::incoming::Incoming;
use crate::lock::lock;
use crate::outgoing::Outgoing;
use crate::outlet::{Outlet, Put};
use crate::session::Session;
use bytes::Bytes;
use hera_protocol::handshake::PROVE_ID;
use hera_protocol::message::call::Cancel;
use hera_protocol::message::remote::{self, AnswerIn, Refused, RemoteOut};
use hera_protocol::message::stream::{Body as Whose, BodyRef};
use hera_protocol::message::{Outcome, method};
use hera_protocol::{Attachment, CallIds};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// The remote calls of a session. Locks: this one's, then the outlet's or a body's.
pub(crate) struct Remotes {
    outlet: Arc<Outlet>,
    ids: CallIds,
    in_flight_max: usize,
    waiting: Mutex<HashMap<u64, Waiting>>,
    drains: AtomicBool,
    /// How quickly answers come.
    pub(crate) quickness: Quickness,
}

struct Waiting {
    answer: Option<oneshot::Sender<Answered>>,
    /// The call's frame leaves after so many turns of the writer.
    turns: u64,
    outgoing: Option<Arc<Outgoing>>,
    incoming: Option<Arc<Incoming>>,
}

/// How a call ended, for who waits.
pub(crate) enum Answered {
    /// A worker answered.
    Reply(AnswerIn, Body),
    /// The broker refused it.
    Refused(Refused),
    /// The broker's answer is none.
    Bad,
    /// The connection ended; `handed` says whether a byte of the call may have left.
    Lost { handed: bool },
}

/// Why a call could not be put on this connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NotPut {
    /// Its head fits no frame.
    TooLarge,
    /// The connection is gone.
    Closed,
}

impl Remotes {
    pub(crate) fn new(outlet: Arc<Outlet>, in_flight_max: usize) -> Remotes {
        Remotes {
            outlet,
            ids: CallIds::starting_at(PROVE_ID + 1),
            in_flight_max,
            waiting: Mutex::default(),
            drains: AtomicBool::new(false),
            quickness: Quickness::default(),
        }
    }

    /// The ids of our requests on this connection; the reader takes its own from them too.
    pub(crate) fn ids(&self) -> CallIds {
        self.ids.clone()
    }

    /// Calls that are not over.
    pub(crate) fn len(&self) -> usize {
        lock(&self.waiting).len()
    }

    /// Whether none is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the broker takes no more of them.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.in_flight_max
    }

    /// P-44: it goes, and others are better.
    pub(crate) fn broker_drains(&self) {
        self.drains.store(true, Ordering::Relaxed);
    }

    /// Whether the broker goes.
    pub(crate) fn drains(&self) -> bool {
        self.drains.load(Ordering::Relaxed)
    }

    /// Sends a call; gives its id, and where its answer will come.
    pub(crate) fn put(
        &self,
        call: &RemoteOut<'_>,
        attachment: Bytes,
        outgoing: Option<Arc<Outgoing>>,
    ) -> Result<(u64, oneshot::Receiver<Answered>), NotPut> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = lock(&self.waiting);
        // Under the lock, so that ids ascend on the wire (P-7) and the answer finds who waits.
        let id = self.ids.issue().ok_or(NotPut::Closed)?;
        let put = self.outlet.put(attachment, |out| {
            call.write(id, out);
            Ok(())
        });
        let turns = match put {
            Put::After(turns) => turns,
            Put::TooLarge => return Err(NotPut::TooLarge),
            Put::Closed => return Err(NotPut::Closed),
        };
        let body = outgoing.clone();
        waiting.insert(id, Waiting { answer: Some(answer), turns, outgoing, incoming: None });
        drop(waiting);
        if let Some(body) = body {
            body.attach(Arc::clone(&self.outlet), BodyRef { id, body: Whose::Call, remote: true });
        }
        Ok((id, answered))
    }

    /// Nobody waits any more: the broker is told, unless the call is over already.
    pub(crate) fn cancel(&self, id: u64) {
        if self.forget(id, BodyError::Cancelled) {
            self.outlet.notify(method::CANCEL, &Cancel { id, remote: true });
        }
    }

    fn forget(&self, id: u64, reason: BodyError) -> bool {
        let Some(call) = lock(&self.waiting).remove(&id) else { return false };
        call.end(reason);
        true
    }

    /// The connection is gone.
    pub(crate) fn close(&self) {
        let calls = std::mem::take(&mut *lock(&self.waiting));
        for mut call in calls.into_values() {
            if let Some(answer) = call.answer.take() {
                // Who waited may have left at this moment.
                let _ = answer.send(Answered::Lost { handed: self.outlet.has_taken(call.turns) });
            }
            call.end(BodyError::Lost);
        }
    }

    /// Whether a call of this id waits for its answer.
    pub(crate) fn is_waiting(&self, id: u64) -> bool {
        lock(&self.waiting).get(&id).is_some_and(|call| call.answer.is_some())
    }

    /// More bytes of an answer. False when they were not granted.
    pub(crate) fn chunk(&self, id: u64, bytes: Attachment) -> bool {
        self.incoming(id).is_none_or(|incoming| incoming.push(bytes))
    }

    /// An answer's body ended, or was cut.
    pub(crate) fn body_over(&self, id: u64, end: Result<(), BodyError>) {
        if let Some(incoming) = self.incoming(id) {
            incoming.end(end);
            self.over(id);
        }
    }

    fn incoming(&self, id: u64) -> Option<Arc<Incoming>> {
        lock(&self.waiting).get(&id).and_then(|call| call.incoming.clone())
    }

    /// The broker takes more bytes of a call's body.
    pub(crate) fn credit(&self, id: u64, bytes: u64) {
        let outgoing = lock(&self.waiting).get(&id).and_then(|call| call.outgoing.clone());
        if let Some(outgoing) = outgoing {
            outgoing.credit(bytes);
        }
    }

    /// The broker wants no more of a call's body.
    pub(crate) fn unwanted(&self, id: u64, code: &str) {
        let outgoing = lock(&self.waiting).get(&id).and_then(|call| call.outgoing.clone());
        if let Some(outgoing) = outgoing {
            outgoing.close(BodyError::Unwanted(code.to_owned()));
        }
    }

    /// The answer's body is over, and with it the call: what was not sent of the call's own body is wanted by nobody (P-41).
    pub(crate) fn over(&self, id: u64) {
        let call = lock(&self.waiting).remove(&id);
        if let Some(outgoing) = call.and_then(|call| call.outgoing) {
            outgoing.reset("unwanted");
        }
    }
}

impl Waiting {
    fn end(self, reason: BodyError) {
        if let Some(outgoing) = self.outgoing {
            outgoing.close(reason.clone());
        }
        if let Some(incoming) = self.incoming {
            incoming.end(Err(reason));
        }
    }
}

/// Takes the broker's answer to a call of ours.
pub(crate) fn answered(session: &Arc<Session>, id: u64, outcome: Outcome<'_>, attachment: Attachment) {
    let remotes = &session.remotes;
    let mut waiting = lock(&remotes.waiting);
    let Some(answer) = waiting.get_mut(&id).and_then(|call| call.answer.take()) else { return };
    let (said, goes_on) = match outcome {
        Outcome::Error(raw) => (Answered::Refused(remote::read_refused(raw)), false),
        Outcome::Result(raw) => match remote::read_answer(raw) {
            None => (Answered::Bad, false),
            Some(answer) if !answer.more => (Answered::Reply(answer, Body::whole(attachment)), false),
            Some(answer) => {
                let incoming = Arc::new(Incoming::new(attachment));
                if let Some(call) = waiting.get_mut(&id) {
                    call.incoming = Some(Arc::clone(&incoming));
                }
                let of = BodyRef { id, body: Whose::Reply, remote: true };
                (Answered::Reply(answer, Body::stream(Arc::clone(session), of, incoming)), true)
            }
        },
    };
    drop(waiting);
    if !goes_on {
        remotes.over(id);
    }
    // Given back where who waited has left: its body is dropped here, and the broker told.
    let _ = answer.send(said);
}
