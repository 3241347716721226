//! Reads one connection, and answers what needs no handler; never runs application code (P-27).
//!
//! In one turn it reads everything that waits, cancels and the end of the stream included, and only then starts the calls of that
//! turn (P-37).

use crate::error::BodyError;
use crate::remotes;
use crate::session::{Arrived, Session};
use crate::turn::{TICK, Ticks};
use crate::worker::Phase;
use hera_protocol::handshake::{Refused, refusal};
use hera_protocol::limits::{BAD_HEADS_MAX, CLIENT_SILENCE_MS_MAX, UNKNOWN_REPLIES_MAX};
use hera_protocol::message::call::{CallIn, Cancel};
use hera_protocol::message::declare::{Declare, DeclareAnswer};
use hera_protocol::message::failure::{Failure, RefusedEndpoint};
use hera_protocol::message::given::{self, GivenCall};
use hera_protocol::message::stream::{Body as Whose, BodyRef, Credit, Reset};
use hera_protocol::message::{self, BadHead, Empty, Message, Outcome, method};
use hera_protocol::{CallIds, Code, Decoder, Frame, Pending, Taken, WireId};
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

/// P-26: silence after which the broker is given up.
const SILENCE: Duration = Duration::from_millis(CLIENT_SILENCE_MS_MAX);
/// Time that a broker has to answer a declaration.
const DECLARE: Duration = Duration::from_secs(10);
/// P-11: the window in which answers to ids never issued are counted.
const UNKNOWN_WINDOW: Duration = Duration::from_secs(10);
/// Bytes of one turn, so that a peer that never stops sending cannot keep its calls from starting.
const TURN_BYTES_MAX: usize = 16 << 20;

/// Why a session ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The broker closed, or the connection broke; with what it said last.
    Lost(String),
    /// P-26.
    Silent,
    /// The broker broke the protocol; it was told so (P-12).
    Fault(Code, String),
    /// The broker refused the key, in the middle of a session or at its end.
    Refused(Refused),
    /// The broker refused the declaration.
    DeclarationRefused(Vec<RefusedEndpoint>),
    /// Every call is finished after a drain.
    Drained,
    /// The worker was stopped.
    Stopped,
}

/// What of ours the broker has to answer.
enum Asked {
    Declare,
    Drain,
}

/// The state that only the reader has.
pub(crate) struct Reader<'a, A> {
    session: &'a Arc<Session>,
    accepted: A,
    declared: bool,
    ids: CallIds,
    pending: Pending<Asked>,
    drain_sent: bool,
    fenced: bool,
    arrived: Vec<Arrived>,
    bad_heads: u32,
    unknown: (Instant, u32),
    notice: Option<Refused>,
}

impl<'a, A: FnMut(usize)> Reader<'a, A> {
    /// A reader after the handshake; `accepted` is called with the number of endpoints once the declaration is.
    pub(crate) fn new(session: &'a Arc<Session>, accepted: A) -> Reader<'a, A> {
        let ids = session.remotes.ids();
        Reader {
            session,
            accepted,
            declared: false,
            pending: Pending::new(ids.clone()),
            ids,
            drain_sent: false,
            fenced: false,
            arrived: Vec::new(),
            bad_heads: 0,
            unknown: (Instant::now(), 0),
            notice: None,
        }
    }

    /// Declares, then reads until the session ends.
    pub(crate) async fn run<R: AsyncRead + Unpin>(
        mut self,
        decoder: &mut Decoder,
        input: &mut R,
        phase: &mut watch::Receiver<Phase>,
    ) -> Ending {
        let declare = Declare { endpoints: self.session.worker.endpoints.clone() };
        if !self.ask(Asked::Declare, method::DECLARE, &declare) {
            let text = "the declaration fits no frame".to_owned();
            return Ending::Refused(Refused { code: Code::TooManyEndpoints, reason: text });
        }
        let began = Instant::now();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = Ticks::new(began);
        let mut heard = began;
        // What the handshake read beyond its own frames.
        if let Err(end) = self.frames(decoder, began) {
            return end;
        }
        loop {
            match self.leave(*phase.borrow_and_update()) {
                Some(end) => return end,
                None => self.start(),
            }
            self.session.outlet.room().await;

            let mut got = tokio::select! {
                biased;
                got = input.read_buf(decoder.buffer()) => Some(got),
                _ = tick.tick() => None,
                changed = phase.changed() => match changed {
                    Ok(()) => None,
                    Err(_) => return Ending::Stopped,
                },
                () = self.session.over.notified(), if self.drain_sent => None,
            };
            let now = Instant::now();
            let turn = ticks.turn(now);
            if turn.late {
                // A process that was stopped wakes with its poll interrupted, so timers fire before the runtime has looked at any socket. A new
                // timer fires only after it did, and then what waited for us is read in this turn.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let mut bytes = 0;
            loop {
                // Whatever woke us: everything that waits is read before anything is judged.
                let read = match got.take() {
                    Some(read) => read,
                    None => match read_waiting(decoder, input).await {
                        Some(read) => read,
                        None => break,
                    },
                };
                match read {
                    Ok(0) => return self.lost("the broker closed the connection".to_owned()),
                    Err(error) => return self.lost(error.to_string()),
                    Ok(count) => {
                        heard = now;
                        bytes += count;
                        if let Err(end) = self.frames(decoder, turn.arrival) {
                            return end;
                        }
                    }
                }
                if bytes > TURN_BYTES_MAX {
                    break;
                }
            }
            // A late tick means that we were away, not the broker; the next one judges.
            if !turn.late && now.duration_since(heard) > SILENCE {
                return Ending::Silent;
            }
            if !self.declared && !turn.late && now.duration_since(began) > DECLARE {
                return Ending::Lost("the broker did not answer the declaration".to_owned());
            }
        }
    }

    /// Says `drain` once the worker drains; gives the end once it has come.
    fn leave(&mut self, phase: Phase) -> Option<Ending> {
        match phase {
            Phase::Serving => return None,
            Phase::Stopped => return Some(Ending::Stopped),
            Phase::Draining => {}
        }
        if !self.drain_sent {
            self.drain_sent = true;
            self.ask(Asked::Drain, method::DRAIN, &Empty {});
        }
        let quiet = self.session.in_flight() == 0 && self.session.remotes.is_empty();
        (self.fenced && quiet).then_some(Ending::Drained)
    }

    fn lost(&mut self, text: String) -> Ending {
        match self.notice.take() {
            Some(notice) if notice.code == Code::Unauthenticated => Ending::Refused(notice),
            Some(notice) => Ending::Lost(format!("the broker said {notice}")),
            None => Ending::Lost(text),
        }
    }

    /// Starts what arrived; those that were cancelled in the same turn are forgotten already.
    fn start(&mut self) {
        self.arrived.drain(..).for_each(|arrived| self.session.start(arrived));
    }

    fn ask<P: serde::Serialize>(&mut self, asked: Asked, method: &str, params: &P) -> bool {
        // Ids run out after 2^53 requests; two or three are made.
        let Some(id) = self.ids.issue() else { return false };
        self.pending.insert(id, asked);
        self.session.outlet.frame(bytes::Bytes::new(), |out| message::write_request(out, id, method, params))
    }

    fn frames(&mut self, decoder: &mut Decoder, arrival: Instant) -> Result<(), Ending> {
        loop {
            match decoder.next() {
                Ok(Some(frame)) => self.frame(frame, arrival)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.fault(error.code(), error.to_string())),
            }
        }
    }

    /// P-12: says what is wrong; the connection is closed after it was written.
    fn fault(&self, code: Code, text: String) -> Ending {
        self.session.outlet.failure(None, code, &text);
        Ending::Fault(code, text)
    }

    fn frame(&mut self, frame: Frame, arrival: Instant) -> Result<(), Ending> {
        if let Some((id, endpoint, call)) = given::quick(&frame.head) {
            return self.call(id, endpoint, Some(Arc::new(call)), &frame, arrival);
        }
        match message::read(&frame.head) {
            Ok(Message::Request { id, method, params }) => match &*method {
                method::PING => self.session.outlet.answer(|out| message::write_result(out, id, &Empty {})),
                method::STATUS => {
                    let load = self.session.worker.load();
                    self.session.outlet.answer(|out| message::write_result(out, id, &load));
                }
                method::DRAIN => {
                    // P-44: it goes; we serve on, and this address is dialled again only after it closed.
                    tracing::info!("broker drains");
                    self.session.remotes.broker_drains();
                    self.session.outlet.answer(|out| message::write_result(out, id, &Empty {}));
                }
                endpoint => {
                    let call = message::fit::<CallIn>(params).map(|call| Arc::new(call.into()));
                    return self.call(id, endpoint, call, &frame, arrival);
                }
            },
            Ok(Message::Notification { method, params }) => {
                return self.notification(&method, params, &frame);
            }
            Ok(Message::Response { id, outcome }) => return self.response(id, outcome, &frame),
            Err(bad) => return self.bad_head(&bad),
        }
        Ok(())
    }

    fn call(
        &mut self,
        id: u64,
        endpoint: &str,
        call: Option<Arc<GivenCall>>,
        frame: &Frame,
        arrival: Instant,
    ) -> Result<(), Ending> {
        let session = self.session;
        let refuse = |code: Code| session.outlet.failure(Some(id), code, code.meaning());
        let Some(endpoint) = session.worker.router.find(endpoint) else {
            refuse(Code::UnknownMethod);
            return Ok(());
        };
        let Some(call) = call else {
            refuse(Code::InvalidParams);
            return Ok(());
        };
        if self.fenced {
            refuse(Code::Draining);
        } else if session.in_flight() >= session.in_flight_max() {
            refuse(Code::Busy);
        } else {
            let attachment = frame.attachment.clone();
            match session.arrive(id, Arc::clone(endpoint), call, attachment, arrival) {
                Some(arrived) => self.arrived.push(arrived),
                // Answering would answer the other call of this id.
                None => return Err(self.fault(Code::InvalidRequest, format!("id {id} is in flight already"))),
            }
        }
        Ok(())
    }

    fn notification(&mut self, name: &str, params: Option<&RawValue>, frame: &Frame) -> Result<(), Ending> {
        let session = self.session;
        let understood = match name {
            method::CANCEL => message::fit::<Cancel>(params).map(|cancel| session.cancel(cancel.id)),
            method::CHUNK => match message::fit::<BodyRef>(params) {
                Some(of) => {
                    let bytes = frame.attachment.clone();
                    let granted = match (of.body, of.remote) {
                        (Whose::Call, false) => session.chunk(of.id, bytes),
                        (Whose::Reply, true) => session.remotes.chunk(of.id, bytes),
                        _ => true,
                    };
                    if !granted {
                        let text = format!("more chunk bytes for call {} than were granted", of.id);
                        return Err(self.fault(Code::CreditExceeded, text));
                    }
                    Some(())
                }
                None => None,
            },
            method::CREDIT => {
                message::fit::<Credit>(params).map(|credit| match (credit.body, credit.remote) {
                    (Whose::Reply, false) => session.credit(credit.id, credit.bytes.into()),
                    (Whose::Call, true) => session.remotes.credit(credit.id, credit.bytes.into()),
                    _ => {}
                })
            }
            method::END => message::fit::<BodyRef>(params).map(|end| match (end.body, end.remote) {
                (Whose::Call, false) => session.body_over(end.id, Ok(())),
                (Whose::Reply, true) => session.remotes.body_over(end.id, Ok(())),
                _ => {}
            }),
            method::RESET => message::fit::<Reset<'_>>(params).map(|reset| {
                let cut = || Err(BodyError::Cut(short(&reset.code)));
                match (reset.body, reset.remote) {
                    (Whose::Call, false) => session.body_over(reset.id, cut()),
                    (Whose::Reply, false) => session.unwanted(reset.id, &short(&reset.code)),
                    (Whose::Reply, true) => session.remotes.body_over(reset.id, cut()),
                    (Whose::Call, true) => session.remotes.unwanted(reset.id, &short(&reset.code)),
                }
            }),
            _ => None,
        };
        if understood.is_none() {
            tracing::debug!(method = %short(name), "notification dropped");
        }
        Ok(())
    }

    fn response(&mut self, id: WireId, outcome: Outcome<'_>, frame: &Frame) -> Result<(), Ending> {
        if let WireId::Number(id) = id
            && self.session.remotes.is_waiting(id)
        {
            remotes::answered(self.session, id, outcome, frame.attachment.clone());
            self.session.over.notify_one();
            return Ok(());
        }
        let asked = match (id, &outcome) {
            (WireId::Number(id), _) => self.pending.take(id),
            // A fault that belongs to no request: the broker closes next (P-12), or complains of a head of ours (P-10).
            (WireId::Null, Outcome::Error(raw)) => {
                let notice = refusal(raw);
                tracing::warn!(code = %notice.code, reason = %notice.reason, "broker reports a fault");
                self.notice = Some(notice);
                return Ok(());
            }
            (WireId::Null | WireId::Foreign, _) => Taken::Unknown,
        };
        match (asked, outcome) {
            (Taken::Waiter(Asked::Declare), outcome) => self.declaration(outcome),
            // Also an error: such a broker knows no fence, and waiting longer for one brings nothing.
            (Taken::Waiter(Asked::Drain), _) => {
                self.fenced = true;
                Ok(())
            }
            (Taken::Late, _) => Ok(()),
            (Taken::Unknown, _) => self.unknown_reply(),
        }
    }

    fn declaration(&mut self, outcome: Outcome<'_>) -> Result<(), Ending> {
        match outcome {
            Outcome::Result(raw) => match message::fit::<DeclareAnswer>(Some(raw)) {
                Some(answer) => {
                    self.declared = true;
                    (self.accepted)(answer.accepted);
                    Ok(())
                }
                None => Err(Ending::Lost("the answer to the declaration is not {accepted}".to_owned())),
            },
            Outcome::Error(raw) => {
                let notice = refusal(raw);
                let endpoints = message::fit::<Failure<'_>>(Some(raw)).map(Failure::into_endpoints);
                Err(match notice.code {
                    Code::DeclarationRefused => Ending::DeclarationRefused(endpoints.unwrap_or_default()),
                    _ => Ending::Refused(notice),
                })
            }
        }
    }

    fn unknown_reply(&mut self) -> Result<(), Ending> {
        let now = Instant::now();
        if now.duration_since(self.unknown.0) > UNKNOWN_WINDOW {
            self.unknown = (now, 0);
        }
        self.unknown.1 += 1;
        if self.unknown.1 >= UNKNOWN_REPLIES_MAX {
            let text = format!("{UNKNOWN_REPLIES_MAX} responses to ids that were never issued");
            return Err(self.fault(Code::InvalidRequest, text));
        }
        Ok(())
    }

    /// P-10.
    fn bad_head(&mut self, bad: &BadHead) -> Result<(), Ending> {
        self.bad_heads += 1;
        if self.bad_heads >= BAD_HEADS_MAX {
            return Err(self.fault(bad.code, bad.reason.to_owned()));
        }
        let id = bad.id.filter(|_| bad.code == Code::InvalidRequest);
        match id.map(|id| self.pending.take(id)) {
            Some(Taken::Waiter(Asked::Declare)) => {
                return Err(Ending::Lost(format!(
                    "{}: answer to the declaration: {}",
                    Code::BadReply,
                    bad.reason
                )));
            }
            Some(Taken::Waiter(Asked::Drain)) => self.fenced = true,
            _ => {}
        }
        self.session.outlet.failure(id, bad.code, bad.reason);
        Ok(())
    }
}

/// Reads what waits, without waiting; `None` when nothing does.
async fn read_waiting<R: AsyncRead + Unpin>(
    decoder: &mut Decoder,
    input: &mut R,
) -> Option<std::io::Result<usize>> {
    // Tokio's budget would say that nothing waits after many reads in one turn.
    let read = tokio::task::unconstrained(input.read_buf(decoder.buffer()));
    tokio::select! {
        biased;
        read = read => Some(read),
        () = std::future::ready(()) => None,
    }
}

/// A peer's word, short enough for a log line.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
