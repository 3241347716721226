//! A caller that sends the bytes it is given and reads answers with no mercy.

use crate::wait::PATIENCE;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A request, written down as it will stand on the wire: nothing is added but `Host` and the length of a body.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Option<Vec<u8>>,
}

impl Request {
    /// A request without body.
    pub fn new(method: &str, target: &str) -> Request {
        Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: None }
    }

    /// GET.
    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    /// POST with a body.
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Request {
        Request::new("POST", target).body(body)
    }

    /// Adds a header; the same name may come again.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Request {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Adds `Hera-Token`.
    pub fn token(self, token: &str) -> Request {
        self.header("Hera-Token", token)
    }

    /// Sets the body, with its length.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Request {
        self.body = Some(body.into());
        self
    }

    /// The method.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The head alone, as for a body that comes later.
    pub fn head_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            bytes.extend_from_slice(b"Host: localhost\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes
    }

    /// All of it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }
}

/// `body` in chunks of `step` bytes, with the last chunk.
pub fn chunked(body: &[u8], step: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in body.chunks(step) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// All header lines in order, names as they stood.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, without chunks.
    pub body: Vec<u8>,
    /// The head, byte for byte.
    pub raw_head: Vec<u8>,
    /// Whether the body ended as its framing says; false when the connection ended first.
    pub is_whole: bool,
}

impl Response {
    /// The first value of a header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(|value| std::str::from_utf8(value).unwrap())
    }

    /// All values of a header.
    pub fn all(&self, name: &str) -> Vec<&[u8]> {
        let named = self.headers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice()).collect()
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// The stable code of a problem, which must have the media type of one.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// `Hera-Executed`.
    pub fn executed(&self) -> Option<&str> {
        self.header("hera-executed")
    }

    /// Whether the broker will close the connection.
    pub fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

/// A caller's connection.
#[derive(Debug)]
pub struct HttpConnection {
    stream: TcpStream,
    input: Vec<u8>,
}

impl HttpConnection {
    /// Connects.
    pub fn open(address: SocketAddr) -> HttpConnection {
        let stream = TcpStream::connect_timeout(&address, PATIENCE).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        HttpConnection { stream, input: Vec::new() }
    }

    /// The socket.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Bounds each read; at first it is 10 s.
    pub fn patience(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).unwrap();
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends bytes as long as the broker takes them: it may refuse and close early.
    pub fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Says that no more will be sent.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// The answer to anything but HEAD.
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// The next answer, to a request of this method. An answer 100 has no body and is given like any other.
    pub fn response_to(&mut self, method: &str) -> Response {
        self.try_response(method)
            .unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&self.input)))
    }

    /// The same; `None` when the connection ended before the head was whole.
    pub fn try_response(&mut self, method: &str) -> Option<Response> {
        let end = loop {
            if let Some(at) = self.input.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let raw_head: Vec<u8> = self.input.drain(..end).collect();
        let (status, headers) = parse_head(&raw_head);
        let mut response = Response { status, headers, body: Vec::new(), raw_head, is_whole: true };
        let chunked = response.header("transfer-encoding").is_some();
        let length = response.header("content-length").map(|text| text.parse::<usize>().unwrap());
        let bodiless = method == "HEAD" || status < 200 || matches!(status, 204 | 304);
        match (bodiless, chunked, length) {
            (true, ..) => {}
            (false, true, Some(_)) => panic!("both framings: {response:?}"),
            (false, true, None) => (response.body, response.is_whole) = self.chunks(),
            (false, false, Some(length)) => {
                response.is_whole = self.fill_to(length);
                response.body = self.input.drain(..length.min(self.input.len())).collect();
            }
            (false, false, None) => {
                while self.fill() {}
                response.body = std::mem::take(&mut self.input);
            }
        }
        Some(response)
    }

    /// Whether the broker closed the connection, after nothing more; waits for either.
    pub fn is_closed(&mut self) -> bool {
        self.input.is_empty() && !self.fill()
    }

    /// Whatever still comes until the connection ends.
    pub fn rest(&mut self) -> Vec<u8> {
        while self.fill() {}
        std::mem::take(&mut self.input)
    }

    /// One line of a chunked body at a time; false when it broke off.
    fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let Some(line) = self.line() else { return (body, false) };
            let size = usize::from_str_radix(&line, 16).unwrap();
            if size == 0 {
                let ended = self.line();
                return (body, ended.as_deref() == Some(""));
            }
            if !self.fill_to(size + 2) {
                body.append(&mut self.input);
                return (body, false);
            }
            body.extend(self.input.drain(..size));
            let end: Vec<u8> = self.input.drain(..2).collect();
            assert_eq!(end, b"\r\n", "a chunk is longer than it says");
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.input.windows(2).position(|two| two == b"\r\n") {
                let line: Vec<u8> = self.input.drain(..at + 2).take(at).collect();
                return Some(String::from_utf8(line).unwrap());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn fill_to(&mut self, bytes: usize) -> bool {
        while self.input.len() < bytes {
            if !self.fill() {
                return false;
            }
        }
        true
    }

    /// Reads more; false at the end, also by a reset. Panics when nothing comes for 10 s.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(bytes) => {
                self.input.extend_from_slice(&buffer[..bytes]);
                bytes > 0
            }
            Err(error)
                if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) =>
            {
                panic!("nothing came in time; so far: {:?}", String::from_utf8_lossy(&self.input))
            }
            Err(_) => false,
        }
    }
}

fn parse_head(raw: &[u8]) -> (u16, Vec<(String, Vec<u8>)>) {
    let mut lines = raw[..raw.len() - 4]
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let first = String::from_utf8(lines.next().unwrap().to_vec()).unwrap();
    assert!(first.starts_with("HTTP/1.1 "), "{first:?}");
    let header = |line: &[u8]| {
        let at = line
            .iter()
            .position(|byte| *byte == b':')
            .unwrap_or_else(|| panic!("a header without colon: {line:?}"));
        (String::from_utf8(line[..at].to_vec()).unwrap(), line[at + 1..].trim_ascii().to_vec())
    };
    (first[9..12].parse().unwrap(), lines.map(header).collect())
}
