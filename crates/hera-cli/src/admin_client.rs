//! One request to a broker's admin API over HTTP/1.1: a connection each, blocking, bounded in time and size.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use hera_registry::AdminToken;

use crate::failure::Failure;

const CONNECT_MAX: Duration = Duration::from_secs(3);
const SILENCE_MAX: Duration = Duration::from_secs(15);
const REPLY_BYTES_MAX: u64 = 64 << 20;

/// Where the admin API is, and what proves us there.
#[derive(Debug)]
pub(crate) struct AdminClient {
    /// As given, as `127.0.0.1:4380`.
    pub(crate) address: String,
    /// Read only once somebody listens: of two things that are missing, the broker is the one to hear of.
    pub(crate) token_file: PathBuf,
}

/// Status and body of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl AdminClient {
    /// Sends one request and gives its answer. `target` is path and query, encoded.
    pub(crate) fn send(&self, method: &str, target: &str, body: &[u8]) -> Result<Answer, Failure> {
        let mut stream = self.connect()?;
        let token = AdminToken::read(&self.token_file).map_err(|error| {
            Failure::new(format!(
                "{error}; a broker keeps its admin token in its data dir: name the file by --admin-token-file"
            ))
        })?;
        let (address, length, token) = (&self.address, body.len(), token.expose());
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Accept: application/json\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
        );
        let exchange = |stream: &mut TcpStream| {
            stream.write_all(&[head.as_bytes(), body].concat())?;
            let mut reply = Vec::new();
            stream.take(REPLY_BYTES_MAX).read_to_end(&mut reply)?;
            Ok(reply)
        };
        let reply = exchange(&mut stream).map_err(|error: std::io::Error| {
            Failure::new(format!(
                "the broker at {address} did not answer: {error}; what was asked for may have been done"
            ))
        })?;
        parse(&reply).ok_or_else(|| {
            Failure::new(format!("what answers at {address} is no admin listener of a broker"))
        })
    }

    fn connect(&self) -> Result<TcpStream, Failure> {
        let address = self.resolve()?;
        // The admin listener has no TLS: beyond this machine, the token would be read on the way.
        if !address.ip().to_canonical().is_loopback() {
            let text =
                "is not this machine, and the admin token would cross the network in the clear; use a tunnel";
            return Err(Failure::new(format!(
                "{} {text}, as: ssh -L 4380:127.0.0.1:4380 HOST",
                self.address
            )));
        }
        let stream = TcpStream::connect_timeout(&address, CONNECT_MAX).map_err(|error| {
            let remedy = "start one with `hera broker`, name its admin address by --admin, or use --data-dir to work on its files";
            Failure::new(format!("no broker listens at {} ({error}); {remedy}", self.address))
        })?;
        let limit = |stream: &TcpStream| {
            stream.set_read_timeout(Some(SILENCE_MAX))?;
            stream.set_write_timeout(Some(SILENCE_MAX))
        };
        limit(&stream).map_err(|error| Failure::new(format!("cannot set time limits: {error}")))?;
        Ok(stream)
    }

    fn resolve(&self) -> Result<SocketAddr, Failure> {
        // The address becomes part of a head, where a newline would begin another header.
        let plain = self.address.bytes().all(|byte| byte.is_ascii_graphic());
        let resolved = plain.then(|| self.address.to_socket_addrs().ok()?.next()).flatten();
        resolved.ok_or_else(|| {
            Failure::refused(
                "bad_address",
                &format!("--admin {:?} is no address, as 127.0.0.1:4380", self.address),
            )
        })
    }
}

/// Takes an answer apart; `None` unless it is whole.
fn parse(reply: &[u8]) -> Option<Answer> {
    let end = reply.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = (std::str::from_utf8(&reply[..end]).ok()?, &reply[end + 4..]);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse::<usize>().ok()?);
        }
        // Our own server never sends it to a client that closes.
        if name.eq_ignore_ascii_case("transfer-encoding") {
            return None;
        }
    }
    let body = match length {
        Some(length) => body.get(..length)?,
        None => body,
    };
    Some(Answer { status, body: body.to_vec() })
}

/// Escapes all that may not stand in a query as it is.
pub(crate) fn query_escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_read() {
        let answer = |reply: &str| parse(reply.as_bytes());
        let of = |status, body: &str| Some(Answer { status, body: body.into() });

        assert_eq!(answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"), of(200, "[]"));
        assert_eq!(answer("HTTP/1.1 404 \r\n\r\n{}"), of(404, "{}"));
        assert_eq!(answer("HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\n[]more"), of(200, "[]"));
    }

    #[test]
    fn anything_else_is_no_answer() {
        for reply in [
            "",
            "SSH-2.0-x\r\n\r\n",
            "HTTP/1.1",
            "HTTP/1.1 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]",
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n[]",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 \u{e4}00 OK\r\n\r\n",
        ] {
            assert_eq!(parse(reply.as_bytes()), None, "{reply}");
        }
    }

    #[test]
    fn endpoint_is_escaped_for_a_query() {
        assert_eq!(query_escaped("GET /0/{id}/a+b&c%C3"), "GET%20/0/%7Bid%7D/a%2Bb%26c%25C3");
    }
}
