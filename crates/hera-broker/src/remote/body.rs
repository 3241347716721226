//! The body of a remote call, as it comes in chunks under the credit that is granted here.

use crate::http::connection::{BODY_STALL, Fault};
use crate::moment::Moment;
use crate::remote::state::Remote;
use crate::remote::{CREDIT_STEP, too_large};
use crate::rescue::Refusal;
use bytes::Bytes;
use hera_protocol::Code;
use hera_protocol::limits::STREAM_WINDOW_BYTES;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// The body of a remote call that did not fit its attachment.
#[derive(Debug)]
pub struct RemoteBody {
    remote: Rc<Remote>,
    seen: u64,
    limit: u64,
    owed: u64,
}

impl RemoteBody {
    /// Begins to receive: lets the first bytes come.
    pub(super) fn begin(remote: Rc<Remote>, seen: u64, limit: u64) -> RemoteBody {
        remote.grant(STREAM_WINDOW_BYTES);
        RemoteBody { remote, seen, limit, owed: 0 }
    }

    /// Whether no byte is left to come.
    pub async fn at_end(&mut self) -> Result<bool, Fault> {
        let remote = self.remote.clone();
        remote.stall.set(Moment::now() + BODY_STALL);
        let end = poll_fn(|cx| {
            let body = remote.body.borrow();
            match (body.pieces.is_empty(), body.ended) {
                (false, _) => Poll::Ready(Ok(false)),
                (true, true) if body.cut => Poll::Ready(Err(Fault::Gone)),
                (true, true) => Poll::Ready(Ok(true)),
                (true, false) if remote.gone.get() => Poll::Ready(Err(Fault::Gone)),
                (true, false) => {
                    let _: Poll<()> = remote.exchange.park(cx);
                    let late = || Refusal::new(Code::RequestTimeout, "the body stalled for 10 s");
                    remote.stall.poll(cx).map(|()| Err(Fault::Refused(late())))
                }
            }
        })
        .await;
        remote.stall.clear();
        end
    }

    /// The next piece, at most `most` bytes; `None` at the end.
    pub async fn piece(&mut self, most: usize) -> Result<Option<Bytes>, Fault> {
        if self.at_end().await? {
            return Ok(None);
        }
        let piece = {
            let mut body = self.remote.body.borrow_mut();
            let Some(first) = body.pieces.front_mut() else { return Ok(None) };
            let piece = first.split_to(most.min(first.len()));
            if first.is_empty() {
                body.pieces.pop_front();
            }
            piece
        };
        self.seen += piece.len() as u64;
        if self.seen > self.limit {
            return Err(Fault::Refused(too_large(self.limit)));
        }
        self.owed += piece.len() as u64;
        if self.owed >= CREDIT_STEP {
            self.remote.grant(std::mem::take(&mut self.owed));
        }
        Ok(Some(piece))
    }
}
