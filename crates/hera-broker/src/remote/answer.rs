//! The answer to a remote call, on its way to the worker that called.

use crate::core::Core;
use crate::mail::{Answer, Event, Mail, SessionAddr, ToSession};
use crate::remote::CREDIT_STEP;
use crate::remote::state::Remote;
use crate::rescue::Refusal;
use bytes::Bytes;
use hera_protocol::message::remote::AnswerOut;
use hera_protocol::{Attachment, Code};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// A chunk of an answer is at most so large, so that frames of other calls get between.
const CHUNK_BYTES_MAX: usize = 64 * 1024;

/// What became of an answer on its way to the worker that calls; with the bytes of its body.
pub(super) enum Sent {
    Whole(u64),
    /// The worker that answers cut it short.
    Cut(u64),
    /// The worker that calls wants no more.
    Gone(u64),
    /// Nothing was sent.
    Refused(Refusal),
}

pub(super) async fn send(
    core: &Rc<Core>,
    remote: &Remote,
    answer: &Answer,
    mut head: AnswerOut<'_>,
    is_head: bool,
    from: (SessionAddr, u64),
) -> Sent {
    let (session, limits) = (&remote.session, &remote.session.worker.limits);
    let cancel = || core.post(Mail::Session(from.0, ToSession::Cancel(from.1)));
    let unfit = || {
        let detail = format!("the answer's head does not fit a frame of {} bytes", limits.head_bytes_max);
        Sent::Refused(Refusal::new(Code::BadReply, detail))
    };
    if remote.gone.get() {
        cancel();
        return Sent::Gone(0);
    }
    if is_head || matches!(head.status, 204 | 205 | 304) {
        if answer.more {
            cancel();
        }
        head.content_length = answer.content_length.filter(|_| is_head);
        return if session.remote_answer(remote.id, &head, Attachment::empty()) {
            Sent::Whole(0)
        } else {
            unfit()
        };
    }
    let bytes = answer.body.len();
    if !answer.more && bytes <= limits.attachment_bytes_max {
        let fits = session.remote_answer(remote.id, &head, answer.body.clone());
        return if fits { Sent::Whole(bytes as u64) } else { unfit() };
    }
    head.more = true;
    head.content_length = if answer.more { answer.content_length } else { Some(bytes as u64) };
    if !session.remote_answer(remote.id, &head, Attachment::empty()) {
        if answer.more {
            cancel();
        }
        return unfit();
    }
    send_stream(core, remote, answer, from).await
}

/// The body behind an answer's head, in chunks under the credit of the worker that calls.
async fn send_stream(core: &Rc<Core>, remote: &Remote, answer: &Answer, from: (SessionAddr, u64)) -> Sent {
    let chunk_max = CHUNK_BYTES_MAX.min(remote.session.worker.limits.attachment_bytes_max);
    let cancel = || {
        if answer.more {
            core.post(Mail::Session(from.0, ToSession::Cancel(from.1)));
        }
    };
    let (mut sent, mut owed) = (0u64, 0u64);
    // What came with the head needed no credit, so none is given back for it (P-39).
    let mut in_chunk = false;
    let mut pieces: VecDeque<Bytes> = answer.body.clone().into_pieces().collect();
    loop {
        while let Some(mut piece) = pieces.pop_front() {
            if answer.more && answer.content_length.is_some_and(|length| sent + piece.len() as u64 > length) {
                cancel();
                tracing::warn!("a worker sent more than its content-length");
                return Sent::Cut(sent);
            }
            while !piece.is_empty() {
                let Some(credit) = poll_fn(|cx| remote.poll_credit(cx)).await else {
                    cancel();
                    return Sent::Gone(sent);
                };
                let most = usize::try_from(credit).unwrap_or(usize::MAX).min(chunk_max);
                let part = piece.split_to(most.min(piece.len()));
                let bytes = part.len() as u64;
                remote.credit.set(credit - bytes);
                remote.session.remote_bulk(remote.id, Some(part));
                sent += bytes;
                owed += if in_chunk { bytes } else { 0 };
            }
        }
        in_chunk = true;
        if owed >= CREDIT_STEP {
            core.post(Mail::Session(from.0, ToSession::Credit(from.1, owed as u32)));
            owed = 0;
        }
        if !answer.more {
            break;
        }
        let event = poll_fn(|cx| {
            if let Poll::Ready(event) = remote.exchange.poll_event(cx) {
                return Poll::Ready(Some(event));
            }
            if remote.unwanted.get() {
                return Poll::Ready(None);
            }
            remote.poll_gone(cx).map(|()| None)
        })
        .await;
        match event {
            Some(Event::Chunk(chunk)) => pieces.extend(chunk.into_pieces()),
            Some(Event::End) => break,
            Some(_) => return Sent::Cut(sent),
            None => {
                cancel();
                return Sent::Gone(sent);
            }
        }
    }
    if answer.more && answer.content_length.is_some_and(|length| sent < length) {
        return Sent::Cut(sent);
    }
    remote.session.remote_bulk(remote.id, None);
    Sent::Whole(sent)
}
