//! The calls that the worker of a session makes: how they come in, and what goes back (P-50 to P-55). Their life is [`crate::remote`].

use crate::core::Core;
use crate::remote::{self, Remote};
use crate::worker::outbox::BulkOf;
use crate::worker::session::Session;
use bytes::{Bytes, BytesMut};
use hera_protocol::frame::put_head;
use hera_protocol::message::method;
use hera_protocol::message::remote::{self as wire, AnswerOut, BadCall, RefusedOut};
use hera_protocol::message::stream::{Body, Credit, Reset};
use hera_protocol::{Attachment, Code};
use serde_json::value::RawValue;
use std::rc::Rc;

impl Session {
    /// The worker calls another (P-50).
    pub(super) fn takes_call(
        self: &Rc<Self>,
        core: &Rc<Core>,
        id: u64,
        params: Option<&RawValue>,
        body: Attachment,
    ) {
        if !self.takes_remote_calls {
            return self.fail(
                Some(id),
                Code::UnknownMethod,
                "feature remote_call was not asked for in the hello",
            );
        }
        if self.remotes.get(id).is_some() {
            return self.fail(
                Some(id),
                Code::InvalidRequest,
                "id of a remote call that is in flight already",
            );
        }
        let read = match wire::read(params) {
            Ok(_) if self.remotes.len() >= self.worker.limits.in_flight_max as usize => {
                let reason =
                    format!("{} remote calls of this session are in flight already", self.remotes.len());
                Err(BadCall { code: Code::Overloaded, reason: reason.into() })
            }
            read => read,
        };
        if let Some(remote) = remote::begin(core, self, id, read, body) {
            self.remotes.insert(remote);
        }
    }

    /// Tells a remote call; one that is over needs nothing any more.
    pub(super) fn remote(&self, id: u64, tell: impl FnOnce(&Remote)) {
        if let Some(remote) = self.remotes.get(id) {
            tell(&remote);
        }
    }

    /// Address of the worker.
    pub fn peer(&self) -> Rc<str> {
        self.peer.clone()
    }

    /// Answers a remote call; false when the head does not fit a frame of this worker.
    pub fn remote_answer(&self, id: u64, answer: &AnswerOut<'_>, body: Attachment) -> bool {
        let (most, bytes) = (self.worker.limits.head_bytes_max, body.len());
        let write = |out: &mut BytesMut| {
            put_head(out, most, bytes, |out| {
                answer.write(id, out);
                Ok(())
            })
        };
        let fits = self.outbox.borrow_mut().push(body, write).is_some();
        self.wake();
        fits
    }

    /// Answers a remote call with an error of the broker's.
    pub fn remote_refused(&self, id: u64, code: Code, detail: &str, data: &RefusedOut<'_>) {
        self.push(|out| wire::write_refused(out, id, code, detail, data));
    }

    /// Sends a chunk of the answer to a remote call, or without bytes its end.
    pub fn remote_bulk(&self, id: u64, bytes: Option<Bytes>) {
        self.push_bulk(BulkOf::RemoteReply(id), bytes);
        self.wake();
    }

    /// Lets more bytes of a remote call's body come.
    pub fn remote_credit(&self, id: u64, bytes: u32) {
        self.notify(method::CREDIT, &Credit { id, body: Body::Call, bytes, remote: true });
    }

    /// Ends one body of a remote call.
    pub fn remote_reset(&self, id: u64, body: Body, code: Code) {
        if body == Body::Reply {
            self.outbox.borrow_mut().drop_bulk(BulkOf::RemoteReply(id));
        }
        self.notify(method::RESET, &Reset { id, body, code: code.as_str().into(), remote: true });
    }

    /// A remote call is over.
    pub fn remote_over(&self, id: u64) {
        self.remotes.remove(id);
    }
}
