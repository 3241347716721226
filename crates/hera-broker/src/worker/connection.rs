//! One worker's connection: the handshake, then frames in and frames out until one side ends it.
//!
//! The task does three things each time it is woken, in this order: read all that waits, look at the clock, write all that waits. Calls and
//! answers of one turn so leave in one write, and no caller's code runs in between.

use crate::access_log;
use crate::core::Core;
use crate::http::response;
use crate::io::{Stream, poll_read_buf};
use crate::moment::Moment;
use crate::worker::handshakes::Place;
use crate::worker::outbox::SLICES_MAX;
use crate::worker::roster::{Report, Worker};
use crate::worker::session::{Fatal, Session};
use hera_protocol::frame::put_head;
use hera_protocol::handshake::{BrokerHandshake, BrokerSide, HELLO_ID, PROVE_ID, Refused};
use hera_protocol::limits::{HANDSHAKE_MS_MAX, Limits};
use hera_protocol::message::hello::ProveAnswer;
use hera_protocol::message::{self, failure};
use hera_protocol::{CallIds, Code, Decoder, Frame};
use hera_registry::worker_key::KeyRecord;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Reads per turn: a worker that floods does not keep the core, and what was read of large answers leaves it again while it is in the core's cache.
const READS_PER_TURN: usize = 4;
/// How long an unknown worker key is given to become known: a refused worker would come again after 30 s only.
const KEY_ARRIVES: Duration = Duration::from_secs(1);
const LOOK_AT_CLOCK: Duration = Duration::from_millis(500);
/// A session that is closing gets so long to take its last bytes.
const FAREWELL: Duration = Duration::from_secs(2);

/// Serves a worker's connection on this core.
pub fn spawn(core: &Rc<Core>, stream: std::net::TcpStream, peer: IpAddr) {
    let core = core.clone();
    tokio::task::spawn_local(async move {
        let connections = Counted::one_more(&core);
        let Some(place) = core.shared.handshakes.enter() else {
            return refuse_at_the_door(stream, "256 connections are in their handshake already").await;
        };
        if connections.now > core.shared.config.workers.connections_max {
            return refuse_at_the_door(stream, "workers.connections_max is reached").await;
        }
        match TcpStream::from_std(stream).and_then(prepare) {
            Ok(stream) => greet(core, stream, peer, place).await,
            Err(error) => tracing::debug!(%peer, %error, "a worker's connection broke"),
        }
    });
}

/// A connection counted among the workers'; dropping it uncounts.
struct Counted {
    core: Rc<Core>,
    now: usize,
}

impl Counted {
    fn one_more(core: &Rc<Core>) -> Counted {
        let now = core.shared.worker_connections.fetch_add(1, Ordering::Relaxed) + 1;
        Counted { core: core.clone(), now }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.core.shared.worker_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    // A peer that vanished without a FIN is noticed when what we send stays unconfirmed (design section 6).
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(Duration::from_secs(6)))?;
    Ok(stream)
}

async fn refuse_at_the_door(stream: std::net::TcpStream, reason: &str) {
    if let Ok(mut stream) = TcpStream::from_std(stream) {
        tracing::warn!(reason, "a worker was refused");
        send_failure(&mut stream, None, Code::Overloaded, reason).await;
    }
}

async fn greet(core: Rc<Core>, stream: TcpStream, peer: IpAddr, place: Place) {
    let limit = Duration::from_millis(HANDSHAKE_MS_MAX);
    let certificate = core.shared.tls.as_ref().map(|tls| tls.leaf_sha256);
    let stream = match tokio::time::timeout(limit, crate::tls::accept(core.shared.tls.as_ref(), stream)).await
    {
        Ok(Ok(stream)) => stream,
        _ => return tracing::debug!(%peer, "a worker's TLS handshake failed"),
    };
    let mut stream = stream;
    let mut decoder = Decoder::for_handshake();
    let outcome = tokio::time::timeout(limit, handshake(&core, &mut stream, &mut decoder, certificate)).await;
    let refused = match outcome {
        Ok(Ok((handshake, key))) => {
            drop(place);
            return serve(core, stream, decoder, peer, handshake, key).await;
        }
        Ok(Err(End::Gone)) => return tracing::debug!(%peer, "a worker left in its handshake"),
        Ok(Err(End::Refused(id, refused))) => (id, refused),
        Err(_) => (None, Refused { code: Code::HandshakeTimeout, reason: "no handshake in 5 s".into() }),
    };
    let (id, refused) = refused;
    core.counters().handshakes_refused.add(1);
    tracing::warn!(%peer, code = %refused.code, reason = %refused.reason, "a worker was refused");
    // The log knows more than the stranger is told.
    let told = match refused.code {
        Code::Unauthenticated => "this worker key is unknown, revoked or not proven",
        _ => refused.reason.as_str(),
    };
    if refused.code == Code::Unauthenticated {
        let wait = core.shared.handshakes.failed(peer, Moment::now());
        crate::clock::pause(wait).await;
    }
    send_failure(&mut stream, id, refused.code, told).await;
}

enum End {
    Gone,
    Refused(Option<u64>, Refused),
}

impl From<io::Error> for End {
    fn from(_: io::Error) -> End {
        End::Gone
    }
}

async fn handshake(
    core: &Rc<Core>,
    stream: &mut Stream,
    decoder: &mut Decoder,
    certificate: Option<[u8; 32]>,
) -> Result<(BrokerHandshake, Arc<KeyRecord>), End> {
    let side = BrokerSide {
        identity: &core.shared.identity,
        broker: &core.shared.id,
        library: concat!("hera ", env!("CARGO_PKG_VERSION")),
        limits: Limits::default(),
        features: &["remote_call"],
        certificate,
    };
    let hello = next_frame(stream, decoder).await?;
    let nonce = hera_protocol::key::hex(&hera_registry::secret::random::<32>());
    let handshake = BrokerHandshake::hello(&side, &hello.head, &nonce).map_err(|refused| {
        End::Refused(Some(HELLO_ID).filter(|_| refused.code == Code::UnsupportedVersion), refused)
    })?;
    let mut out = Vec::with_capacity(8 + handshake.answer.len() + 64);
    out.extend_from_slice(&((4 + handshake.answer.len() + 64) as u32).to_be_bytes());
    out.extend_from_slice(&(handshake.answer.len() as u32).to_be_bytes());
    out.extend_from_slice(&handshake.answer);
    out.extend_from_slice(&handshake.proof);
    stream.write_all(&out).await?;
    stream.flush().await?;

    let proof = next_frame(stream, decoder).await?;
    let known = || core.access().keys.get(&handshake.hello.key).cloned();
    // Made a moment ago by another process, perhaps: the registry gets a moment before the worker is refused.
    if known().is_none() {
        core.shared.registry.refresh(&core.shared);
        core.shared.registry.arrives(KEY_ARRIVES, || known().is_some()).await;
    }
    let key = known();
    if key.is_none() && !core.shared.registry.is_in_sync() {
        // Refused for a while and not for good: the worker comes again.
        let reason = "the registry is out of reach, and this worker key was never seen here".to_owned();
        return Err(End::Refused(Some(PROVE_ID), Refused { code: Code::Overloaded, reason }));
    }
    handshake
        .prove(&proof.head, &proof.attachment.to_bytes(), key.as_ref().map(|key| &key.public))
        .map_err(|refused| End::Refused(Some(PROVE_ID), refused))?;
    // `prove` succeeds for a known key alone.
    key.map(|key| (handshake, key)).ok_or(End::Gone)
}

async fn next_frame(stream: &mut Stream, decoder: &mut Decoder) -> Result<Frame, End> {
    loop {
        let refused = |code, reason: String| End::Refused(None, Refused { code, reason });
        match decoder.next() {
            Ok(Some(frame)) => return Ok(frame),
            Ok(None) => {}
            Err(error) => return Err(refused(error.code(), error.to_string())),
        }
        if poll_fn(|cx| poll_read_buf(stream, decoder.buffer(), cx)).await? == 0 {
            return Err(End::Gone);
        }
    }
}

async fn send_failure<S: AsyncWrite + Unpin>(stream: &mut S, id: Option<u64>, code: Code, text: &str) {
    let mut out = bytes::BytesMut::new();
    put_head(&mut out, usize::MAX, 0, |head| failure::write(head, id, code, text, &[]));
    let farewell = async {
        stream.write_all(&out).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

async fn serve(
    core: Rc<Core>,
    stream: Stream,
    mut decoder: Decoder,
    peer: IpAddr,
    handshake: BrokerHandshake,
    key: Arc<KeyRecord>,
) {
    decoder.open();
    let now = Moment::now();
    let over_tls = core.shared.tls.is_some();
    let service = key.name.clone();
    let takes_remote_calls = handshake.hello.features.iter().any(|feature| feature == "remote_call");
    let session = core.add_session(|addr| {
        let hello = handshake.hello;
        let label = format!("{service}/{}/{}", hello.version, hello.instance);
        let worker = Arc::new(Worker {
            session: addr,
            for_head: response::broker_and_worker(&core.shared.id, &label),
            for_log: access_log::member("worker", &label),
            label,
            service: service.clone(),
            key_id: key.id.clone(),
            version: hello.version,
            instance: hello.instance,
            library: hello.library,
            peer: peer.to_string(),
            limits: handshake.limits,
            ids: CallIds::starting_at(1),
            in_flight: AtomicU32::new(0),
            busy: AtomicBool::new(false),
            late: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            factor: AtomicU32::new(1f32.to_bits()),
            ping_us: AtomicU32::new(0),
            answered: AtomicU64::new(0),
            report: Mutex::new(Report::default()),
            since: now,
        });
        Session::new(worker, key, over_tls, takes_remote_calls, now)
    });
    let answer = ProveAnswer { service };
    session.outbox().borrow_mut().push(hera_protocol::Attachment::empty(), |out| {
        put_head(out, usize::MAX, 0, |head| message::write_result(head, PROVE_ID, &answer))
    });
    tracing::info!(worker = %session.worker.label, %peer, library = %session.worker.library, "worker connected");
    session.review(&core);

    let ended = Connection { core: core.clone(), session: session.clone(), stream, decoder }.run().await;

    // Out of the routes first: a call that is told now that its worker is lost must not find it again.
    core.shared.roster.leave(session.addr(), &core.shared.table);
    core.remove_session(session.addr());
    session.lost(&core);
    match ended {
        Some(fatal) => {
            tracing::warn!(worker = %session.worker.label, code = %fatal.code, reason = %fatal.reason, "session cut");
        }
        None => tracing::info!(worker = %session.worker.label, "worker left"),
    }
}

struct Connection {
    core: Rc<Core>,
    session: Rc<Session>,
    stream: Stream,
    decoder: Decoder,
}

impl Connection {
    /// Runs until the connection ends; gives the fault that ended it, if we cut it.
    async fn run(mut self) -> Option<Fatal> {
        let clock = self.core.alarms.alarm();
        clock.set(Moment::now());
        let farewell = self.core.alarms.alarm();
        poll_fn(|cx| {
            self.session.park(cx);
            let open = match self.read(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(Closed::Cut(fatal))) => {
                    self.session.close(fatal);
                    true
                }
                Poll::Ready(Err(Closed::Gone)) => false,
                Poll::Pending => true,
            };
            if !open {
                return Poll::Ready(());
            }
            while clock.poll(cx).is_ready() {
                let now = Moment::now();
                clock.set(now + LOOK_AT_CLOCK);
                if let Err(fatal) = self.session.tick(&self.core, now) {
                    self.session.close(fatal);
                }
            }
            if self.write(cx).is_err() {
                return Poll::Ready(());
            }
            let leaving = self.session.fatal().is_some() || self.core.is_stopping();
            if leaving {
                if self.session.outbox().borrow().is_empty() {
                    return Pin::new(&mut self.stream).poll_shutdown(cx).map(|_| ());
                }
                if farewell.poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                if !farewell.is_set() {
                    farewell.set(Moment::now() + FAREWELL);
                    let _ = farewell.poll(cx);
                }
            }
            Poll::Pending
        })
        .await;
        self.session.fatal()
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Closed>> {
        if self.session.fatal().is_some() {
            // What a cut peer still says is not listened to.
            return Poll::Ready(Ok(()));
        }
        for _ in 0..READS_PER_TURN {
            match poll_read_buf(&mut self.stream, self.decoder.buffer(), cx) {
                Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Err(Closed::Gone)),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => {
                    self.decoder.release();
                    return Poll::Pending;
                }
            }
            let now = Moment::now();
            loop {
                match self.decoder.next() {
                    Ok(Some(frame)) => self.session.frame(&self.core, frame, now).map_err(Closed::Cut)?,
                    Ok(None) => break,
                    Err(error) => {
                        let fatal = Fatal::new(error.code(), error.to_string());
                        return Poll::Ready(Err(Closed::Cut(fatal)));
                    }
                }
            }
        }
        // More waits: others get their turn first.
        cx.waker().wake_by_ref();
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let mut outbox = self.session.outbox().borrow_mut();
        loop {
            outbox.refill();
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let used = outbox.slices(&mut slices);
            if used == 0 {
                // TLS keeps records back until it is flushed; on TCP this does nothing.
                if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx) {
                    return Err(error);
                }
                return Ok(());
            }
            let stream = Pin::new(&mut self.stream);
            let written = match &slices[..used] {
                [one] => stream.poll_write(cx, one),
                many => stream.poll_write_vectored(cx, many),
            };
            match written {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(bytes)) => outbox.advance(bytes),
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
    }
}

enum Closed {
    Gone,
    Cut(Fatal),
}
