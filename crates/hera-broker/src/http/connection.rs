//! One caller's connection: requests one after the other, until one side wants no more.

use crate::alarm::Alarm;
use crate::auth::LastToken;
use crate::core::Core;
use crate::exchange::Exchange;
use crate::http::request::{HEAD_BYTES_MAX, Incoming};
use crate::io::{Stream, poll_read_buf};
use crate::moment::Moment;
use crate::rescue::Refusal;
use bytes::{Bytes, BytesMut};
use hera_protocol::Code;
use std::cell::{Cell, RefCell, RefMut};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::AsyncWrite;

/// From the first byte of a head to its last.
pub const HEAD_TIME: Duration = Duration::from_secs(10);
/// Between two requests. HAProxy gives up after 20 s, so the race for a closing connection is ours to win.
pub const IDLE_TIME: Duration = Duration::from_secs(60);
/// Without a byte of a body that is being sent to us.
pub const BODY_STALL: Duration = Duration::from_secs(10);
/// Without a byte of an answer being taken.
pub const WRITE_STALL: Duration = Duration::from_secs(30);
/// Bytes of a body that nobody wants which are read to keep the connection.
pub const UNREAD_BODY_MAX: u64 = 64 * 1024;
/// Requests sent ahead while one is served are kept up to here; then reading pauses.
pub const AHEAD_BYTES_MAX: usize = 64 * 1024;
/// Room for a body; it counts as full, and its bytes are taken as a piece, when an eighth is left.
pub const BODY_BUFFER: usize = 64 * 1024;
const HEAD_BUFFER: usize = 4 * 1024;
/// What a peer that has its answer may go on sending: enough for a proxy to read the answer first.
pub const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// Why a connection, or the body on it, cannot go on.
#[derive(Debug)]
pub enum Fault {
    /// The caller left, or the network did.
    Gone,
    /// What it sent is refused.
    Refused(Refusal),
}

impl From<io::Error> for Fault {
    fn from(_: io::Error) -> Fault {
        Fault::Gone
    }
}

/// A caller's connection. Reading and writing may be under way at once, in one task.
#[derive(Debug)]
pub struct Connection {
    /// Address of the peer: the caller, or HAProxy.
    pub peer: IpAddr,
    /// The same, as text.
    pub ip: Rc<str>,
    /// The token of its last call.
    pub last_token: LastToken,
    /// Where answers to its calls arrive.
    pub exchange: Rc<Exchange>,
    /// A body is being read beside the waiting for the answer.
    pub uploading: Cell<bool>,
    stream: RefCell<Stream>,
    input: RefCell<BytesMut>,
    ended: Cell<bool>,
    reading: Alarm,
    writing: Alarm,
    idle_since: Cell<Moment>,
    core: Rc<Core>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.core.remove_exchange(self.exchange.key);
    }
}

/// Whether the connection can carry another request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Yes.
    Keep,
    /// No: close it, after the peer had a chance to read what was written.
    Close,
    /// The peer is gone already.
    Gone,
}

impl Connection {
    /// A connection on this core.
    pub fn new(core: &Rc<Core>, stream: Stream, peer: IpAddr) -> Rc<Connection> {
        let [deadline, reading, writing] = core.alarms.group();
        Rc::new(Connection {
            peer,
            ip: peer.to_string().into(),
            last_token: LastToken::default(),
            exchange: Exchange::open(core, deadline),
            uploading: Cell::new(false),
            stream: RefCell::new(stream),
            input: RefCell::new(BytesMut::new()),
            ended: Cell::new(false),
            reading,
            writing,
            idle_since: Cell::new(Moment::now()),
            core: core.clone(),
        })
    }

    /// Serves requests until the connection ends; `answer` is [`crate::pipeline::run`].
    pub async fn serve<F: Future<Output = Next>>(self: Rc<Connection>, answer: impl Fn(Box<Incoming>) -> F) {
        loop {
            let next = match self.head().await {
                Ok(Some(incoming)) => answer(incoming).await,
                Ok(None) | Err(Fault::Gone) => Next::Gone,
                Err(Fault::Refused(refusal)) => {
                    self.core.counters().refused_heads.add(1);
                    Box::pin(crate::rescue::refuse_head(&self.core, &self, refusal)).await
                }
            };
            match next {
                Next::Keep => {}
                Next::Close => return Box::pin(self.linger()).await,
                Next::Gone => return,
            }
        }
    }

    /// Its last call was over then.
    pub fn idle_since(&self, at: Moment) {
        self.idle_since.set(at);
    }

    /// What was read and not used yet.
    pub fn input(&self) -> RefMut<'_, BytesMut> {
        self.input.borrow_mut()
    }

    /// The next head; `None` when the connection ends between requests, as it may.
    async fn head(&self) -> Result<Option<Box<Incoming>>, Fault> {
        let mut begun = !self.input().is_empty();
        let mut timed = false;
        if !begun {
            self.reading.set(self.idle_since.get() + IDLE_TIME);
        }
        loop {
            if begun {
                let taken = Incoming::take(&mut self.input()).map_err(Fault::Refused)?;
                if let Some(incoming) = taken {
                    self.reading.clear();
                    return Ok(Some(incoming));
                }
                // Counted from the first look, which nearly always finds all of it.
                if !timed {
                    timed = true;
                    self.reading.set(Moment::now() + HEAD_TIME);
                }
            }
            let read = poll_fn(|cx| {
                if self.core.is_stopping() && !begun {
                    return Poll::Ready(Ok(0));
                }
                match self.poll_fill(cx, HEAD_BUFFER) {
                    Poll::Pending => self.reading.poll(cx).map(|()| Err(Fault::Gone)),
                    ready => ready.map_err(Fault::from),
                }
            })
            .await;
            match read {
                Ok(0) => return Ok(None),
                Ok(_) => begun = true,
                Err(_) if begun && !self.ended.get() => {
                    return Err(Fault::Refused(Refusal::new(Code::RequestTimeout, "no whole head in 10 s")));
                }
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Reads more of a body; a stall of 10 s is 408.
    pub async fn fill_body(&self) -> Result<(), Fault> {
        self.reading.set(Moment::now() + BODY_STALL);
        let read = poll_fn(|cx| match self.poll_fill(cx, BODY_BUFFER) {
            Poll::Pending => self.reading.poll(cx).map(|()| {
                Err(Fault::Refused(Refusal::new(Code::RequestTimeout, "the body stalled for 10 s")))
            }),
            Poll::Ready(Ok(0)) => Poll::Ready(Err(Fault::Gone)),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) => Poll::Ready(Err(Fault::Gone)),
        })
        .await;
        self.reading.clear();
        read
    }

    /// Ready when the caller left while it waits for its answer. Requests that it sends ahead are kept, up to a limit.
    ///
    /// While its body is still being read, the reader of the body is who notices.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.uploading.get() {
            return Poll::Pending;
        }
        while !self.ended.get() {
            if self.input.borrow().len() >= AHEAD_BYTES_MAX {
                return Poll::Pending;
            }
            match self.poll_fill(cx, HEAD_BUFFER) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(bytes)) if bytes > 0 => {}
                Poll::Ready(_) => self.ended.set(true),
            }
        }
        Poll::Ready(())
    }

    fn poll_fill(&self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        let mut input = self.input.borrow_mut();
        if input.is_empty() && self.stream.borrow().poll_anything(cx).is_pending() {
            self.core.spare.give_input(std::mem::take(&mut input));
            return Poll::Pending;
        }
        // A head in the making is bounded here, and judged as too large by its reader.
        if input.capacity() - input.len() < room / 8 {
            if input.is_empty() && room == HEAD_BUFFER {
                *input = self.core.spare.take_input();
            }
            input.reserve(room);
        }
        let read = poll_read_buf(&mut *self.stream.borrow_mut(), &mut input, cx);
        match &read {
            // Nothing waits, so nothing is lost: an idle connection costs no buffer.
            Poll::Pending if input.is_empty() => self.core.spare.give_input(std::mem::take(&mut input)),
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => self.ended.set(true),
            _ => {}
        }
        debug_assert!(input.len() <= HEAD_BYTES_MAX + AHEAD_BYTES_MAX + BODY_BUFFER * 2);
        read
    }

    /// Writes `head` and then `pieces`, from where they are, in as few writes as the kernel allows; 30 s without progress is the end.
    pub async fn write_all(&self, head: &[u8], pieces: &[Bytes]) -> Result<(), Fault> {
        let total = head.len() + pieces.iter().map(Bytes::len).sum::<usize>();
        let mut done = 0;
        poll_fn(|cx| {
            while done < total {
                match self.poll_write_from(cx, head, pieces, done) {
                    Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::Gone)),
                    Poll::Ready(Ok(bytes)) => {
                        done += bytes;
                        self.writing.clear();
                    }
                    Poll::Pending => {
                        if !self.writing.is_set() {
                            self.writing.set(Moment::now() + WRITE_STALL);
                        }
                        return self.writing.poll(cx).map(|()| Err(Fault::Gone));
                    }
                }
            }
            Pin::new(&mut *self.stream.borrow_mut()).poll_flush(cx).map_err(Fault::from)
        })
        .await
    }

    fn poll_write_from(
        &self,
        cx: &mut Context<'_>,
        head: &[u8],
        pieces: &[Bytes],
        done: usize,
    ) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); 16];
        let (mut used, mut skip) = (0, done);
        for part in std::iter::once(head).chain(pieces.iter().map(|piece| &piece[..])) {
            if skip >= part.len() {
                skip -= part.len();
                continue;
            }
            slices[used] = IoSlice::new(&part[skip..]);
            skip = 0;
            used += 1;
            if used == slices.len() {
                break;
            }
        }
        let mut stream = self.stream.borrow_mut();
        // One piece, as most answers are, needs no list of pieces: the kernel takes it with less ado.
        match &slices[..used] {
            [one] => Pin::new(&mut *stream).poll_write(cx, one),
            many => Pin::new(&mut *stream).poll_write_vectored(cx, many),
        }
    }

    /// Reads what is left of a body that nobody wants, so that the connection can go on; gives whether it can.
    pub async fn discard(self: &Rc<Connection>, body: &mut crate::http::body::BodyReader) -> bool {
        if body.is_done() {
            return true;
        }
        if body.is_unasked() || body.announced().is_some_and(|bytes| bytes > UNREAD_BODY_MAX) {
            return false;
        }
        let start = body.seen();
        loop {
            match body.piece(self, BODY_BUFFER, true).await {
                Ok(None) => return true,
                Ok(Some(_)) if body.seen() - start <= UNREAD_BODY_MAX => {}
                _ => return false,
            }
        }
    }

    /// Makes the close of this connection a reset: what was sent is not whole.
    pub fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = &*self.stream.borrow() {
            let _ = socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Closes so that the answer arrives: a close while bytes wait unread would reset the connection under it.
    async fn linger(&self) {
        let _ = poll_fn(|cx| Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)).await;
        self.reading.set(Moment::now() + LINGER);
        let mut left = LINGER_BYTES_MAX;
        poll_fn(|cx| {
            loop {
                self.input.borrow_mut().clear();
                match self.poll_fill(cx, BODY_BUFFER) {
                    Poll::Ready(Ok(bytes)) if bytes > 0 && bytes < left => left -= bytes,
                    Poll::Ready(_) => return Poll::Ready(()),
                    Poll::Pending => return self.reading.poll(cx),
                }
            }
        })
        .await;
    }
}
