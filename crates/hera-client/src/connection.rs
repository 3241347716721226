//! One connection, from the socket to its last byte: dial, handshake, a reader and a writer side by side, an orderly close.

use crate::handshake::{Established, Failed, shake};
use crate::options::Address;
use crate::outlet::{Outlet, Step};
use crate::reader::{Ending, Reader};
use crate::session::Session;
use crate::tls::Tls;
use crate::worker::{Phase, Worker};
use hera_protocol::Decoder;
use hera_protocol::limits::HANDSHAKE_MS_MAX;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

/// Time for the TCP connection.
const DIAL: Duration = Duration::from_secs(5);
/// Time for what is still to be written, and again for the broker to close its side.
const CLOSE: Duration = Duration::from_secs(2);

/// Bytes both ways; TLS or not is decided once, when the broker is dialled.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A connection whose handshake is done.
pub(crate) struct Connection {
    socket: Box<dyn Socket>,
    decoder: Decoder,
    /// What both agreed on.
    pub(crate) established: Established,
}

impl Connection {
    /// Dials one broker and proves who we are, 5 s for each.
    pub(crate) async fn dial(
        address: &Address,
        tls: Option<&Tls>,
        worker: &Worker,
    ) -> Result<Connection, Failed> {
        let late = |what: &str| Failed::Left(format!("{what} took longer than 5 s"));
        let target = (address.host.as_str(), address.port);
        let tcp = timeout(DIAL, TcpStream::connect(target)).await.map_err(|_| late("dialling"))??;
        // Writes are coalesced here already; the kernel must not wait for more.
        tcp.set_nodelay(true)?;

        let mut decoder = Decoder::for_handshake();
        let shake = async {
            let (mut socket, certificate): (Box<dyn Socket>, _) = match tls.filter(|_| address.tls) {
                None => (Box::new(tcp), None),
                Some(tls) => {
                    let (socket, certificate) =
                        tls.connect(&address.host, tcp).await.map_err(Failed::Left)?;
                    (socket, Some(certificate))
                }
            };
            let established = shake(&mut socket, &mut decoder, worker, certificate.as_ref()).await?;
            Ok::<_, Failed>((socket, established))
        };
        let limit = Duration::from_millis(HANDSHAKE_MS_MAX);
        let (socket, established) = timeout(limit, shake).await.map_err(|_| late("the handshake"))??;
        Ok(Connection { socket, decoder, established })
    }

    /// Declares and serves until the session ends, then closes. `accepted` is called with the number of endpoints that are live.
    pub(crate) async fn run(
        self,
        worker: &Arc<Worker>,
        mut phase: watch::Receiver<Phase>,
        mut accepted: impl FnMut(usize),
    ) -> Ending {
        let Connection { socket, mut decoder, established } = self;
        let limits = established.limits;
        let outlet = Arc::new(Outlet::new(limits));
        let session = Arc::new(Session::new(Arc::clone(&outlet), Arc::clone(worker), limits.in_flight_max));
        let (mut input, mut output) = tokio::io::split(socket);

        let mut stop = phase.clone();
        let stopped = async move {
            // An error means that nobody can say it any more: the client is gone.
            let _ = stop.wait_for(|phase| *phase == Phase::Stopped).await;
        };
        tokio::pin!(stopped);
        let ending = {
            // Callable once it serves us: a broker that refuses us is no way to others either.
            let accepted = |endpoints| {
                if established.takes_calls {
                    worker.brokers.add(&session);
                }
                accepted(endpoints);
            };
            let reading = Reader::new(&session, accepted).run(&mut decoder, &mut input, &mut phase);
            let writing = write(&outlet, &mut output);
            tokio::pin!(reading, writing);
            let ending = tokio::select! {
                ending = &mut reading => ending,
                written = &mut writing => Ending::Lost(match written {
                    Ok(()) => "the writer ended".to_owned(),
                    Err(error) => error.to_string(),
                }),
                () = &mut stopped => Ending::Stopped,
            };
            if matches!(ending, Ending::Drained | Ending::Fault(..)) {
                outlet.finish();
                tokio::select! {
                    _ = timeout(CLOSE, &mut writing) => {}
                    () = &mut stopped => {}
                }
            }
            ending
        };
        if matches!(ending, Ending::Drained | Ending::Fault(..)) {
            tokio::select! {
                _ = timeout(CLOSE, part(&mut input, &mut output)) => {}
                () = &mut stopped => {}
            }
        }
        worker.brokers.remove(&session);
        session.close();
        ending
    }
}

/// Writes turn by turn until everything is written and nothing will come.
async fn write<W: AsyncWrite + Unpin>(outlet: &Outlet, output: &mut W) -> std::io::Result<()> {
    while let Step::Write(mut turn) = outlet.next().await {
        output.write_all_buf(&mut turn).await?;
        output.flush().await?;
    }
    Ok(())
}

/// Says that nothing more will come, then reads to the broker's end: closing with unread bytes would send a reset, and a reset
/// overtakes the last answers.
async fn part<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
    input: &mut R,
    output: &mut W,
) -> std::io::Result<()> {
    output.shutdown().await?;
    let mut unread = vec![0; 16 * 1024];
    while input.read(&mut unread).await? > 0 {}
    Ok(())
}
