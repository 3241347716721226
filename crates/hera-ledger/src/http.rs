//! A caller's connection: one request after the other, each sent exactly once, so that what Hera loses shows as lost.

use crate::call::{Answer, Executed, Outcome};
use crate::nonce::Nonce;
use bytes::{Buf, BytesMut};
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const HEADERS_MAX: usize = 64;
const HEAD_MAX: usize = 64 * 1024;
const BODY_MAX: usize = 16 * 1024 * 1024;
const READ: usize = 16 * 1024;

/// A keep-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    input: BytesMut,
}

/// The head of an answer.
struct Head {
    answer: Answer,
    framing: Framing,
    closes: bool,
    is_problem: bool,
}

enum Framing {
    None,
    Length(usize),
    Chunks,
    UntilEnd,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, input: BytesMut::new() })
    }

    /// Whether the other side closed it meanwhile, or said something unasked: nothing may be sent on it then.
    pub fn is_stale(&self) -> bool {
        let mut byte = [0];
        match self.stream.try_read(&mut byte) {
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
            Ok(_) => true,
        }
    }

    /// Sends a request and reads its answer; gives the connection back if it may be used again. `head_at` is set when the answer's head is there.
    pub async fn exchange(
        mut self,
        request: &[u8],
        nonce: Nonce,
        head_at: &mut Option<Instant>,
    ) -> (Outcome, Option<Connection>) {
        // A refusal may stand in the input though the rest of the request could not be sent.
        let sent = self.stream.write_all(request).await;
        let mut head = match self.head().await {
            Ok(head) => head,
            Err(error) => {
                let why = match sent {
                    Ok(()) => format!("after the request was sent: {error}"),
                    Err(sent) => format!("while the request was sent: {sent}"),
                };
                return (Outcome::NoAnswer(why), None);
            }
        };
        *head_at = Some(Instant::now());
        let body = match self.body(&head.framing).await {
            Ok(body) => body,
            Err(error) => return (Outcome::Cut(head.answer.status, error.to_string()), None),
        };
        for found in Nonce::all_in(&body) {
            match found == nonce {
                true => head.answer.has_nonce = true,
                false => head.answer.foreign.push(found),
            }
        }
        if head.is_problem {
            let problem: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            head.answer.code = problem["code"].as_str().map(Into::into);
        }
        // Its headers were searched before the nonce was known.
        head.answer.foreign.retain(|found| *found != nonce);
        (Outcome::Answered(head.answer), (!head.closes).then_some(self))
    }

    async fn head(&mut self) -> io::Result<Head> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut response = httparse::Response::new(&mut headers);
            match response.parse(&self.input).map_err(|error| bad(&error.to_string()))? {
                httparse::Status::Complete(bytes) => {
                    let head = read_head(&response);
                    self.input.advance(bytes);
                    // 100 Continue is no answer yet.
                    if head.answer.status >= 200 {
                        return Ok(head);
                    }
                }
                httparse::Status::Partial if self.input.len() > HEAD_MAX => {
                    return Err(bad("a head without end"));
                }
                httparse::Status::Partial => self.fill().await?,
            }
        }
    }

    async fn body(&mut self, framing: &Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::None => Ok(Vec::new()),
            Framing::Length(length) => self.take(*length).await,
            Framing::UntilEnd => {
                while self.input.len() <= BODY_MAX {
                    match self.fill().await {
                        Ok(()) => {}
                        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                        Err(error) => return Err(error),
                    }
                }
                Ok(self.input.split().to_vec())
            }
            Framing::Chunks => {
                let mut body = Vec::new();
                loop {
                    let line = self.line().await?;
                    let size = usize::from_str_radix(line.trim(), 16).map_err(|_| bad("a chunk size"))?;
                    body.extend(self.take(size).await?);
                    if !self.line().await?.is_empty() {
                        return Err(bad("the end of a chunk"));
                    }
                    if size == 0 {
                        return Ok(body);
                    }
                }
            }
        }
    }

    async fn take(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        if bytes > BODY_MAX {
            return Err(bad("a body over 16 MiB"));
        }
        while self.input.len() < bytes {
            self.fill().await?;
        }
        Ok(self.input.split_to(bytes).to_vec())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = memchr::memmem::find(&self.input, b"\r\n") {
                let line = self.input.split_to(at + 2);
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.input.reserve(READ);
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended")),
            _ => Ok(()),
        }
    }
}

fn read_head(response: &httparse::Response<'_, '_>) -> Head {
    let status = response.code.unwrap_or_default();
    let mut head = Head {
        answer: Answer { status, ..Answer::default() },
        framing: if matches!(status, 100..200 | 204 | 304) { Framing::None } else { Framing::UntilEnd },
        closes: response.version == Some(0),
        is_problem: false,
    };
    for header in response.headers.iter() {
        let value = String::from_utf8_lossy(header.value);
        match header.name.to_ascii_lowercase().as_str() {
            "content-length" if matches!(head.framing, Framing::UntilEnd) => {
                head.framing = value.parse().map_or(Framing::UntilEnd, Framing::Length);
            }
            "transfer-encoding" if !matches!(head.framing, Framing::None) => head.framing = Framing::Chunks,
            "connection" => head.closes |= value.eq_ignore_ascii_case("close"),
            "content-type" => head.is_problem = value.starts_with("application/problem+json"),
            "hera-executed" => head.answer.executed = Executed::parse(&value),
            // What a worker says of a remote call that failed: the bus labels its own failures alone.
            "x-executed" if head.answer.executed.is_none() => head.answer.executed = Executed::parse(&value),
            "hera-broker" => head.answer.broker = Some(value.into()),
            "hera-worker" => head.answer.worker = Some(value.into()),
            _ => head.answer.foreign.extend(Nonce::all_in(header.value)),
        }
    }
    head.closes |= matches!(head.framing, Framing::UntilEnd);
    head
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} of the answer cannot be"))
}
