//! The body of a call on its way in, under the credit that we granted (P-38 to P-40).

use crate::error::BodyError;
use crate::lock::lock;
use bytes::Bytes;
use hera_protocol::Attachment;
use hera_protocol::limits::STREAM_WINDOW_BYTES;
use hera_protocol::message::stream::Granted;
use std::collections::VecDeque;
use std::sync::Mutex;
use tokio::sync::Notify;

/// Taken bytes that are worth a grant of their own; less is gathered while other bytes wait.
const GRANT_BYTES_MIN: u64 = STREAM_WINDOW_BYTES / 4;

/// Shared by the reader of the connection, which puts in, and the handler's [`crate::Body`], which takes out.
/// Memory: the attachment and one window of 256 KiB.
#[derive(Default)]
pub(crate) struct Incoming {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<Bytes>,
    /// Bytes of `pieces` that came as the call's attachment: they needed no credit and give none back.
    attached: u64,
    granted: Granted,
    /// Taken and not granted again yet.
    owed: u64,
    opened: bool,
    end: Option<Result<(), BodyError>>,
}

/// What the handler's side finds.
enum Found {
    Piece(Bytes),
    Over(Result<(), BodyError>),
    Nothing,
}

impl Incoming {
    /// A body that begins with the call's attachment.
    pub(crate) fn new(attachment: Attachment) -> Incoming {
        let attached = attachment.len() as u64;
        let state = State { pieces: attachment.into_pieces().collect(), attached, ..State::default() };
        Incoming { state: Mutex::new(state), changed: Notify::new() }
    }

    /// Takes a chunk in. False when it is more than was granted: the broker broke P-39.
    pub(crate) fn push(&self, chunk: Attachment) -> bool {
        let mut state = lock(&self.state);
        if !state.granted.take(chunk.len() as u64) {
            return false;
        }
        // Chunks that cross our reset on the way are within their grant, and nobody reads them.
        if state.end.is_none() {
            state.pieces.extend(chunk.into_pieces());
            self.changed.notify_waiters();
        }
        true
    }

    /// The body is over: ended (`Ok`), or cut. The first end holds. Gives whether this was it.
    pub(crate) fn end(&self, end: Result<(), BodyError>) -> bool {
        let mut state = lock(&self.state);
        let first = state.end.is_none();
        state.end.get_or_insert(end);
        self.changed.notify_waiters();
        first
    }

    /// Whether the body is over on the wire.
    pub(crate) fn is_over(&self) -> bool {
        lock(&self.state).end.is_some()
    }

    /// The next piece as soon as there is one, `None` at the end; after an error, the error again.
    ///
    /// `grant` sends credit: the window when the body is first read, then what was taken. Dropping the future loses nothing.
    pub(crate) async fn next(&self, grant: impl Fn(u64)) -> Option<Result<Bytes, BodyError>> {
        loop {
            let changed = self.changed.notified();
            let (found, bytes) = self.take();
            if bytes > 0 {
                grant(bytes);
            }
            match found {
                Found::Piece(piece) => return Some(Ok(piece)),
                Found::Over(end) => return end.err().map(Err),
                Found::Nothing => changed.await,
            }
        }
    }

    fn take(&self) -> (Found, u64) {
        let mut state = lock(&self.state);
        let found = match (state.pieces.pop_front(), &state.end) {
            (Some(piece), _) => {
                let free = state.attached.min(piece.len() as u64);
                state.attached -= free;
                state.owed += piece.len() as u64 - free;
                Found::Piece(piece)
            }
            (None, Some(end)) => Found::Over(end.clone()),
            (None, None) => Found::Nothing,
        };
        let grant = state.due();
        state.granted.add(grant);
        (found, grant)
    }
}

impl State {
    /// Credit to grant now.
    fn due(&mut self) -> u64 {
        if self.end.is_some() {
            return 0;
        }
        if !self.opened {
            self.opened = true;
            return STREAM_WINDOW_BYTES;
        }
        if self.owed >= GRANT_BYTES_MIN || self.pieces.is_empty() {
            return std::mem::take(&mut self.owed);
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn piece(len: usize) -> Attachment {
        Attachment::from(Bytes::from(vec![1; len]))
    }

    #[tokio::test]
    async fn window_is_granted_at_the_first_read_and_the_attachment_needs_none() {
        let grants = RefCell::new(Vec::new());
        let body = Incoming::new(piece(1000));

        let first = body.next(|bytes| grants.borrow_mut().push(bytes)).await;

        assert_eq!(first.unwrap().unwrap().len(), 1000);
        assert_eq!(*grants.borrow(), [STREAM_WINDOW_BYTES]);
    }

    #[tokio::test]
    async fn taken_bytes_are_granted_again_and_never_more() {
        let granted = RefCell::new(0);
        let body = Incoming::new(Attachment::empty());
        let grant = |bytes: u64| *granted.borrow_mut() += bytes;
        body.take();
        lock(&body.state).granted = Granted::default();
        lock(&body.state).granted.add(STREAM_WINDOW_BYTES);

        (0..4).for_each(|_| assert!(body.push(piece(64 * 1024))));
        for _ in 0..4 {
            body.next(grant).await;
        }

        assert_eq!(*granted.borrow(), STREAM_WINDOW_BYTES);
    }

    #[test]
    fn chunk_over_the_grant_is_refused() {
        let body = Incoming::new(Attachment::empty());

        assert!(!body.push(piece(1)));
    }

    #[tokio::test]
    async fn reset_is_an_error_and_never_an_end() {
        let body = Incoming::new(piece(1));
        body.end(Err(BodyError::Cut("caller_left".into())));
        body.end(Ok(()));

        assert!(body.next(|_| ()).await.unwrap().is_ok());
        assert!(body.next(|_| ()).await.unwrap().is_err());
        assert!(body.next(|_| ()).await.unwrap().is_err());
    }

    #[tokio::test]
    async fn chunks_after_the_end_are_dropped_within_their_grant() {
        let body = Incoming::new(Attachment::empty());
        body.take();
        body.end(Ok(()));

        assert!(body.push(piece(10)));
        assert!(body.next(|_| ()).await.is_none());
    }
}
