//! The handshake over a socket (P-14 to P-21); the rules stand in `hera_protocol::handshake`.

use crate::random;
use crate::worker::Worker;
use bytes::{Bytes, BytesMut};
use hera_protocol::handshake::{PROVE_ID, Refused, WorkerHandshake, refusal};
use hera_protocol::key::hex;
use hera_protocol::limits::{HANDSHAKE_HEAD_BYTES_MAX, Limits};
use hera_protocol::message::hello::{Hello, HelloAnswer, ProveAnswer};
use hera_protocol::message::{self, Message, Outcome};
use hera_protocol::{Code, Decoder, Frame, WireId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The feature of section 10 of the protocol.
const REMOTE_CALL: &str = "remote_call";
/// Name and version of this library.
const LIBRARY: &str = concat!("hera-client-rust ", env!("CARGO_PKG_VERSION"));

/// A finished handshake.
#[derive(Debug)]
pub(crate) struct Established {
    /// What holds between the two.
    pub(crate) limits: Limits,
    /// The broker's id.
    pub(crate) broker: String,
    /// The name of our key.
    pub(crate) service: String,
    /// Whether it takes remote calls.
    pub(crate) takes_calls: bool,
}

/// Why there was none.
#[derive(Debug)]
pub(crate) enum Failed {
    /// The connection broke, or its other end is not a broker of our cluster: no reason to stop trying.
    Left(String),
    /// A broker that had proven itself refused us.
    Refused(Refused),
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Failed {
        Failed::Left(error.to_string())
    }
}

/// Speaks first and ends with a session or not; the caller watches the clock.
///
/// `certificate` is the SHA-256 of the broker's leaf certificate on TLS.
pub(crate) async fn shake<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    decoder: &mut Decoder,
    worker: &Worker,
    certificate: Option<&[u8; 32]>,
) -> Result<Established, Failed> {
    let hello = Hello {
        versions: vec![hera_protocol::VERSION],
        features: vec![REMOTE_CALL.to_owned()],
        limits: worker.limits,
        nonce: hex(&random::bytes::<32>()),
        key: worker.key.id.clone(),
        instance: worker.instance.clone(),
        version: worker.version.clone(),
        library: LIBRARY.to_owned(),
    };
    let ours = WorkerHandshake::new(&hello).map_err(left)?;
    write(socket, &ours.hello, &[]).await?;

    // Whoever has not proven itself cannot refuse us for good: P-18.
    let frame = read(socket, decoder).await?;
    let proof = frame.attachment.to_bytes();
    let proven = ours.answer(&worker.key, &frame.head, &proof, certificate).map_err(left)?;
    let limits = worker.limits.intersect(proven.answer.limits);
    if !limits.are_usable() {
        return Err(Failed::Left("the broker's limits leave no room to speak".to_owned()));
    }
    write(socket, &proven.head, &proven.proof).await?;

    let frame = read(socket, decoder).await?;
    let service = service(&frame)?;
    decoder.open();
    let HelloAnswer { broker, features, .. } = proven.answer;
    let takes_calls = features.iter().any(|feature| feature == REMOTE_CALL);
    Ok(Established { limits, broker, service, takes_calls })
}

fn left(refused: Refused) -> Failed {
    Failed::Left(refused.to_string())
}

fn service(frame: &Frame) -> Result<String, Failed> {
    match message::read(&frame.head) {
        Ok(Message::Response { id: WireId::Number(PROVE_ID), outcome: Outcome::Result(raw) }) => {
            let answer = message::fit::<ProveAnswer>(Some(raw));
            answer
                .map(|answer| answer.service)
                .ok_or_else(|| Failed::Left("the broker names no service".to_owned()))
        }
        Ok(Message::Response { outcome: Outcome::Error(raw), .. }) => {
            let refused = refusal(raw);
            // A broker that is slow or full says so, and is tried again.
            Err(match refused.code {
                Code::HandshakeTimeout | Code::Overloaded | Code::InternalError => left(refused),
                _ => Failed::Refused(refused),
            })
        }
        _ => Err(Failed::Left("the broker did not answer the proof".to_owned())),
    }
}

async fn write<S: AsyncWrite + Unpin>(socket: &mut S, head: &Bytes, attachment: &[u8]) -> Result<(), Failed> {
    let lengths = [(4 + head.len() + attachment.len()) as u32, head.len() as u32];
    debug_assert!(head.len() <= HANDSHAKE_HEAD_BYTES_MAX, "every text of a hello is bounded");
    let mut frame = BytesMut::new();
    lengths.iter().for_each(|length| frame.extend_from_slice(&length.to_be_bytes()));
    frame.extend_from_slice(head);
    frame.extend_from_slice(attachment);
    socket.write_all(&frame).await?;
    Ok(socket.flush().await?)
}

async fn read<S: AsyncRead + Unpin>(socket: &mut S, decoder: &mut Decoder) -> Result<Frame, Failed> {
    loop {
        if let Some(frame) = decoder.next().map_err(|error| Failed::Left(error.to_string()))? {
            return Ok(frame);
        }
        if socket.read_buf(decoder.buffer()).await? == 0 {
            return Err(Failed::Left("the broker closed the connection during the handshake".to_owned()));
        }
    }
}
