//! Bodies as handlers see them: [`Body`] comes in, [`BodySender`] goes out.

use crate::error::BodyError;
use crate::incoming::Incoming;
use crate::outgoing::Outgoing;
use crate::session::Session;
use bytes::{Bytes, BytesMut};
use hera_protocol::Attachment;
use hera_protocol::message::stream::BodyRef;
use std::collections::VecDeque;
use std::sync::Arc;

/// The body of a call, or of the answer to one that was made, piece by piece.
///
/// At most 256 KiB wait here beside the first piece: the broker sends more as pieces are taken, so a slow reader slows its caller and nobody
/// else. Dropping a body that has not ended tells the broker to stop sending.
pub struct Body {
    pieces: VecDeque<Bytes>,
    stream: Option<Stream>,
}

struct Stream {
    session: Arc<Session>,
    of: BodyRef,
    incoming: Arc<Incoming>,
}

impl Body {
    /// A body that is here already.
    pub(crate) fn whole(attachment: Attachment) -> Body {
        Body { pieces: attachment.into_pieces().collect(), stream: None }
    }

    /// A body that goes on in chunks.
    pub(crate) fn stream(session: Arc<Session>, of: BodyRef, incoming: Arc<Incoming>) -> Body {
        Body { pieces: VecDeque::new(), stream: Some(Stream { session, of, incoming }) }
    }

    /// The next piece, never empty; `None` is the whole body's end. A body that was cut short is an error, never an end.
    ///
    /// Safe to drop while it waits.
    pub async fn chunk(&mut self) -> Option<Result<Bytes, BodyError>> {
        match &self.stream {
            None => self.pieces.pop_front().map(Ok),
            Some(stream) => stream.incoming.next(|bytes| stream.session.grant(stream.of, bytes)).await,
        }
    }

    /// Everything up to the end, at most `limit` bytes.
    pub async fn gather(&mut self, limit: u64) -> Result<Bytes, BodyError> {
        let Some(first) = self.chunk().await.transpose()? else { return Ok(Bytes::new()) };
        let over = |len: usize| if len as u64 > limit { Err(BodyError::TooLarge { limit }) } else { Ok(()) };
        over(first.len())?;
        let Some(second) = self.chunk().await.transpose()? else { return Ok(first) };

        let mut whole = BytesMut::from(first);
        let mut next = Some(second);
        while let Some(piece) = next {
            over(whole.len() + piece.len())?;
            whole.extend_from_slice(&piece);
            next = self.chunk().await.transpose()?;
        }
        Ok(whole.freeze())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Body {
        Body::whole(Attachment::from(bytes))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Some(stream) = self.stream.take() {
            stream.session.abandon(stream.of, &stream.incoming);
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.stream.is_some() { "Body(streamed)" } else { "Body(whole)" })
    }
}

/// Sends the body of an answer, piece by piece; see [`crate::Response::stream`] and [`crate::Response::channel`].
pub struct BodySender {
    outgoing: Arc<Outgoing>,
    /// Whether whoever made it says how the body ends, so that dropping the sender says nothing.
    guided: bool,
}

impl BodySender {
    /// A sender whose drop cuts the body short.
    pub(crate) fn alone(outgoing: Arc<Outgoing>) -> BodySender {
        BodySender { outgoing, guided: false }
    }

    /// A sender inside a future whose outcome ends the body.
    pub(crate) fn guided(outgoing: Arc<Outgoing>) -> BodySender {
        BodySender { outgoing, guided: true }
    }

    /// Sends bytes, any number; waits until the broker takes them, so a slow caller slows this sender and nobody else.
    ///
    /// Errs when nobody will read them: the caller left, the deadline passed, or the broker is gone.
    /// A dropped future may have sent the first part of `bytes`.
    pub async fn send(&self, bytes: impl Into<Bytes>) -> Result<(), BodyError> {
        self.outgoing.send(bytes.into()).await
    }

    /// Ends the body. Without it, dropping the sender of a [`crate::Response::channel`] cuts the body short, and the caller sees an error.
    pub fn end(self) {
        self.outgoing.end();
    }
}

impl Drop for BodySender {
    fn drop(&mut self) {
        // After `end` this changes nothing.
        if !self.guided {
            self.outgoing.reset("handler_failed");
        }
    }
}

impl std::fmt::Debug for BodySender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BodySender")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn body_of_exactly_the_limit_is_gathered_and_one_byte_more_is_not() {
        let mut pieces = Attachment::empty();
        pieces.push(Bytes::from_static(b"abc"));
        pieces.push(Bytes::from_static(b"de"));

        assert_eq!(Body::whole(pieces.clone()).gather(5).await.unwrap(), "abcde");
        assert_eq!(Body::whole(pieces).gather(4).await, Err(BodyError::TooLarge { limit: 4 }));
        assert_eq!(Body::whole(Attachment::empty()).gather(0).await.unwrap(), "");
    }
}
