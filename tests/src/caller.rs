//! A caller that makes load: many requests over a few keep-alive connections, each sent exactly once, and every answer kept.
//!
//! It never sends a request again, so that what a broker loses shows as lost.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Where and as whom to call.
#[derive(Clone, Debug)]
pub struct Caller {
    address: SocketAddr,
    token: String,
}

/// What came back for a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// `METHOD TARGET`.
    pub request: String,
    /// 0 when no whole answer came; the body then tells why.
    pub status: u16,
    /// In order, as sent.
    pub headers: Vec<(String, String)>,
    /// All of it.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// Calls under way on a thread of their own.
#[derive(Debug)]
pub struct Load(JoinHandle<Vec<Answer>>);

impl Load {
    /// All answers, once the last one is there.
    pub fn finish(self) -> Vec<Answer> {
        self.0.join().expect("the caller's thread does not panic")
    }
}

impl Caller {
    /// A caller of the broker at `address`.
    pub fn new(address: SocketAddr, token: impl Into<String>) -> Caller {
        Caller { address, token: token.into() }
    }

    /// One call, over a connection of its own.
    pub fn call(&self, request: impl Into<String>) -> Answer {
        let mut answers = self.begin(1, [request.into()]).finish();
        answers.pop().expect("one request has one answer")
    }

    /// `requests` (`METHOD TARGET`, no body), at most `connections` at once; waits for all answers.
    pub fn calls(&self, connections: usize, requests: impl IntoIterator<Item = String>) -> Vec<Answer> {
        self.begin(connections, requests).finish()
    }

    /// The same, in the background.
    pub fn begin(&self, connections: usize, requests: impl IntoIterator<Item = String>) -> Load {
        let queue: VecDeque<String> = requests.into_iter().collect();
        let (total, queue) = (queue.len(), Arc::new(Mutex::new(queue)));
        let caller = self.clone();
        Load(std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be built").block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for _ in 0..connections {
                    tasks.spawn(caller.clone().work(queue.clone()));
                }
                let answers: Vec<Answer> = tasks.join_all().await.into_iter().flatten().collect();
                assert_eq!(answers.len(), total, "each request has one answer");
                answers
            })
        }))
    }

    /// One connection after the other, as long as there are requests.
    async fn work(self, queue: Arc<Mutex<VecDeque<String>>>) -> Vec<Answer> {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut answers = Vec::new();
        let mut connection = None;
        while let Some(request) = next() {
            let answer = match self.exchange(connection.take(), &request).await {
                Ok((answer, kept)) => {
                    connection = kept;
                    answer
                }
                Err(error) => {
                    Answer { request, status: 0, headers: Vec::new(), body: error.to_string().into_bytes() }
                }
            };
            answers.push(answer);
        }
        answers
    }

    async fn exchange(
        &self,
        kept: Option<BufReader<TcpStream>>,
        request: &str,
    ) -> io::Result<(Answer, Option<BufReader<TcpStream>>)> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let stream = TcpStream::connect(self.address).await?;
                stream.set_nodelay(true)?;
                BufReader::new(stream)
            }
        };
        // A method that may carry a body says that there is none.
        let empty = if request.starts_with("POST ") { "Content-Length: 0\r\n" } else { "" };
        let head = format!("{request} HTTP/1.1\r\nHost: test\r\nHera-Token: {}\r\n{empty}\r\n", self.token);
        connection.write_all(head.as_bytes()).await?;

        let status = line(&mut connection).await?;
        let status =
            status.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or_else(|| bad("status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut connection).await?;
            let Some((name, value)) = line.split_once(':') else {
                if line.is_empty() { break } else { return Err(bad("header")) }
            };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut answer = Answer { request: request.to_owned(), status, headers, body: Vec::new() };
        read_body(&mut connection, &mut answer).await?;
        let closes = answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        Ok((answer, (!closes).then_some(connection)))
    }
}

async fn read_body(connection: &mut BufReader<TcpStream>, answer: &mut Answer) -> io::Result<()> {
    if answer.header("transfer-encoding").is_some() {
        loop {
            let size = line(connection).await?;
            let size = usize::from_str_radix(&size, 16).map_err(|_| bad("chunk size"))?;
            let from = answer.body.len();
            answer.body.resize(from + size, 0);
            connection.read_exact(&mut answer.body[from..]).await?;
            if !line(connection).await?.is_empty() {
                return Err(bad("end of a chunk"));
            }
            if size == 0 {
                return Ok(());
            }
        }
    }
    let Some(length) = answer.header("content-length") else { return Ok(()) };
    let length = length.parse().map_err(|_| bad("content-length"))?;
    answer.body.resize(length, 0);
    connection.read_exact(&mut answer.body).await?;
    Ok(())
}

async fn line(connection: &mut BufReader<TcpStream>) -> io::Result<String> {
    let mut line = String::new();
    connection.read_line(&mut line).await?;
    match line.strip_suffix("\r\n") {
        Some(line) => Ok(line.to_owned()),
        None => {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended within an answer's head"))
        }
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{what} of the answer cannot be"))
}
