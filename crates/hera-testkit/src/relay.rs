//! A relay between two ends of TCP that harms what goes through it, and can be told to harm it otherwise while it runs.
//!
//! ```text
//! near end ── read ──> queue of (due, bytes) ── wait until due, and while there is a hole ── write in pieces, at a rate ──> far end
//!          <────────────────────────────────── the same, with faults of its own ──────────────────────────────────────────
//! ```

use crate::wait::PATIENCE;
use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

const READ_BYTES: usize = 16 * 1024;
/// What is on its way in one direction; more waits in the sender's socket, as on a real line.
const QUEUE: usize = 256;

/// What happens to bytes in one direction. Nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Harm {
    /// They come so much later.
    pub delay: Duration,
    /// And up to so much later still, by chance; never out of order.
    pub jitter: Duration,
    /// They are written in pieces of so many bytes; 0 as they came.
    pub piece_bytes: usize,
    /// With such a pause after each piece.
    pub piece_pause: Duration,
    /// At most so many in a second; 0 as fast as they can.
    pub bytes_per_second: u64,
    /// Nothing comes out, not even the end of the stream, until the hole is closed.
    pub hole: bool,
}

/// Both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Harms {
    /// From who connected to whom it is relayed.
    pub up: Harm,
    /// And back.
    pub down: Harm,
}

/// A running relay; its connections end when it is dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    state: Arc<State>,
    harms: watch::Sender<Harms>,
    resets: watch::Sender<u64>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    open: AtomicUsize,
    accepted: AtomicU64,
}

impl Relay {
    /// Relays to this address, without harm at first; prints the seed of its jitter.
    pub fn to(target: SocketAddr) -> Relay {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seed = RandomState::new().hash_one(address);
        eprintln!("relay {address} to {target}: seed {seed}");
        let (harms, harmed) = watch::channel(Harms::default());
        let (resets, reset) = watch::channel(0);
        let (stop, mut stopped) = watch::channel(false);
        let state = Arc::new(State::default());
        let line = Line { target, seed, harmed, reset, state: state.clone() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, line) => {}
                    _ = stopped.changed() => {}
                }
            });
        });
        Relay { address, state, harms, resets, stop, thread: Some(thread) }
    }

    /// Where to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Harms from now on what is not written yet, on all connections.
    pub fn set(&self, harms: Harms) {
        self.harms.send_replace(harms);
    }

    /// The same harm in both directions.
    pub fn set_both(&self, harm: Harm) {
        self.set(Harms { up: harm, down: harm });
    }

    /// Ends all connections with a reset, in whatever they were saying.
    pub fn reset(&self) {
        self.resets.send_modify(|count| *count += 1);
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.state.open.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Line {
    target: SocketAddr,
    seed: u64,
    harmed: watch::Receiver<Harms>,
    reset: watch::Receiver<u64>,
    state: Arc<State>,
}

async fn accept(listener: StdListener, line: Line) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((near, _)) = listener.accept().await {
        let number = line.state.accepted.fetch_add(1, Ordering::Relaxed);
        let mut line = line.clone();
        line.seed ^= number << 1;
        line.reset.mark_unchanged();
        tokio::spawn(line.run(near));
    }
}

impl Line {
    async fn run(mut self, near: TcpStream) {
        let Ok(Ok(far)) = timeout(PATIENCE, TcpStream::connect(self.target)).await else { return };
        self.state.open.fetch_add(1, Ordering::Relaxed);
        let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
        let (near_read, near_write) = near.into_split();
        let (far_read, far_write) = far.into_split();
        let mut up =
            tokio::spawn(relay(near_read, far_write, self.harmed.clone(), |harms| harms.up, self.seed));
        let mut down =
            tokio::spawn(relay(far_read, near_write, self.harmed.clone(), |harms| harms.down, self.seed ^ 1));
        tokio::select! {
            _ = async { (&mut up).await.and((&mut down).await) } => {}
            _ = self.reset.changed() => {
                up.abort();
                down.abort();
            }
        }
        self.state.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One direction, to the end of its stream; both halves are dropped then. An aborted direction leaves a reset: see [`Resets`].
async fn relay(
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    harmed: watch::Receiver<Harms>,
    side: fn(&Harms) -> Harm,
    seed: u64,
) {
    let mut write = Resets(Some(write));
    let (queue, waiting) = mpsc::channel(QUEUE);
    let reading = read_all(read, queue, harmed.clone(), side, seed);
    let writing = write_all(&mut write, waiting, harmed, side);
    let (_, written) = tokio::join!(reading, writing);
    if written.is_some() {
        write.0 = None;
    }
}

async fn read_all(
    mut read: OwnedReadHalf,
    queue: mpsc::Sender<(Instant, Vec<u8>)>,
    harmed: watch::Receiver<Harms>,
    side: fn(&Harms) -> Harm,
    mut draw: u64,
) {
    let mut last = Instant::now();
    loop {
        let mut bytes = vec![0; READ_BYTES];
        let length = read.read(&mut bytes).await.unwrap_or(0);
        bytes.truncate(length);
        let harm = side(&harmed.borrow());
        draw = next(draw);
        let jitter = harm.jitter.mul_f64((draw >> 11) as f64 / (1_u64 << 53) as f64);
        last = last.max(Instant::now() + harm.delay + jitter);
        // An empty piece is the end; nobody takes any more when the writer is gone.
        if queue.send((last, bytes)).await.is_err() || length == 0 {
            return;
        }
    }
}

/// Writes what is due; `None` when the other end is gone.
async fn write_all(
    write: &mut Resets,
    mut waiting: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut harmed: watch::Receiver<Harms>,
    side: fn(&Harms) -> Harm,
) -> Option<()> {
    let write = write.0.as_mut()?;
    while let Some((due, bytes)) = waiting.recv().await {
        sleep_until(due).await;
        let mut rest = bytes.as_slice();
        loop {
            harmed.wait_for(|harms| !side(harms).hole).await.ok()?;
            if rest.is_empty() {
                break;
            }
            let harm = side(&harmed.borrow());
            let length = if harm.piece_bytes == 0 { rest.len() } else { harm.piece_bytes.min(rest.len()) };
            let (piece, more) = rest.split_at(length);
            write.write_all(piece).await.ok()?;
            rest = more;
            if let Some(seconds) = Some(harm.bytes_per_second).filter(|rate| *rate > 0) {
                sleep(Duration::from_secs_f64(length as f64 / seconds as f64)).await;
            }
            if !harm.piece_pause.is_zero() {
                sleep(harm.piece_pause).await;
            }
        }
        if bytes.is_empty() {
            return write.shutdown().await.ok();
        }
    }
    None
}

/// A half that was not ended in order is ended by a reset.
struct Resets(Option<OwnedWriteHalf>);

impl Drop for Resets {
    fn drop(&mut self) {
        if let Some(half) = self.0.take() {
            let _ = socket2::SockRef::from(half.as_ref()).set_linger(Some(Duration::ZERO));
            // Dropping it alone would say that the stream is over; with this the last half that goes says that it is broken.
            half.forget();
        }
    }
}

/// Source: splitmix64, Steele, Lea, Flood 2014.
fn next(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::wait_until;
    use std::io::{ErrorKind, Read, Write};
    use std::net::{Shutdown, TcpStream};

    /// Both ends of a connection through a relay.
    fn ends() -> (Relay, TcpStream, TcpStream) {
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let relay = Relay::to(listener.local_addr().unwrap());
        let near = TcpStream::connect(relay.address()).unwrap();
        let (far, _) = listener.accept().unwrap();
        for end in [&near, &far] {
            end.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        (relay, near, far)
    }

    fn read(end: &mut TcpStream, bytes: usize) -> Vec<u8> {
        let mut read = vec![0; bytes];
        end.read_exact(&mut read).unwrap();
        read
    }

    #[test]
    fn bytes_and_the_end_of_a_stream_go_through_both_ways() {
        let (relay, mut near, mut far) = ends();

        near.write_all(b"ping").unwrap();
        assert_eq!(read(&mut far, 4), b"ping");
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(far.read(&mut [0; 8]).unwrap(), 0);
        far.write_all(b"pong").unwrap();
        drop(far);

        let mut rest = Vec::new();
        near.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"pong");
        wait_until("the connection to be forgotten", || relay.open() == 0);
    }

    #[test]
    fn harmed_bytes_are_late_slow_or_in_pieces_and_still_the_same() {
        let (relay, mut near, mut far) = ends();
        let sent: Vec<u8> = (0..4_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let ms = Duration::from_millis;
        let harms = [
            (Harm { delay: ms(100), jitter: ms(50), ..Harm::default() }, ms(100)),
            (Harm { bytes_per_second: 20_000, piece_bytes: 100, ..Harm::default() }, ms(190)),
            (Harm { piece_bytes: 1, ..Harm::default() }, ms(0)),
            (Harm { piece_bytes: 1_000, piece_pause: ms(30), ..Harm::default() }, ms(90)),
        ];

        for (harm, at_least) in harms {
            relay.set_both(harm);
            for _ in ["up", "down"] {
                let (from, to) = (&mut near, &mut far);
                let begun = std::time::Instant::now();
                from.write_all(&sent).unwrap();
                assert_eq!(read(to, sent.len()), sent, "{harm:?}");
                assert!(begun.elapsed() >= at_least, "{harm:?} took {:?}", begun.elapsed());
                std::mem::swap(&mut near, &mut far);
            }
        }
    }

    #[test]
    fn hole_holds_one_direction_and_gives_all_back() {
        let (relay, mut near, mut far) = ends();
        relay.set(Harms { up: Harm { hole: true, ..Harm::default() }, down: Harm::default() });

        near.write_all(b"lost").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        far.write_all(b"heard").unwrap();
        assert_eq!(read(&mut near, 5), b"heard");
        far.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let nothing = far.read(&mut [0; 8]).unwrap_err();
        assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");

        relay.set(Harms::default());
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut rest = Vec::new();
        far.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"lost");
    }

    #[test]
    fn reset_is_a_reset_at_both_ends_and_spares_later_connections() {
        let (relay, mut near, mut far) = ends();
        near.write_all(b"x").unwrap();
        read(&mut far, 1);

        relay.reset();

        for end in [&mut near, &mut far] {
            assert_eq!(end.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        }
        wait_until("the connection to be forgotten", || relay.open() == 0);
        assert_eq!(relay.accepted(), 1);
        TcpStream::connect(relay.address()).unwrap();
        wait_until("a later connection", || relay.accepted() == 2);
    }
}
