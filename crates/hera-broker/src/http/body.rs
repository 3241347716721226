//! The body of a request: length or chunks, taken off the connection in the pieces in which it came.

use crate::http::connection::{BODY_BUFFER, Connection, Fault};
use crate::http::request::Framing;
use crate::rescue::Refusal;
use crate::spare::COPIED_BYTES_MAX;
use bytes::{Buf, Bytes, BytesMut};
use hera_protocol::Code;
use std::rc::Rc;

/// Longest line of a chunk's size: 16 digits would be 2^64, and extensions are refused.
const SIZE_LINE_MAX: usize = 10;
/// Trailers that are dropped, in bytes; more is refused.
pub const TRAILER_BYTES_MAX: usize = 8 * 1024;
/// Chunks smaller than this are joined: a body of one-byte chunks must not cost a buffer for each.
const JOIN_BELOW: usize = 1024;

/// Reads one body. `limit` holds whatever the framing says.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    seen: u64,
    limit: u64,
    continue_owed: bool,
    joined: BytesMut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    Size,
    Chunk(u64),
    ChunkEnd,
    Trailer(usize),
    Done,
}

impl BodyReader {
    /// A reader for a body of this framing; `continue_owed` when the caller waits for `100 Continue`.
    pub fn new(framing: Framing, continue_owed: bool) -> BodyReader {
        let state = match framing {
            Framing::None => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size,
        };
        BodyReader { state, seen: 0, limit: u64::MAX, continue_owed, joined: BytesMut::new() }
    }

    /// Bytes that the head announced and that have not come yet; `None` when it did not say.
    pub fn announced(&self) -> Option<u64> {
        match self.state {
            State::Done => Some(0),
            State::Length(left) => Some(left),
            _ => None,
        }
    }

    /// Refuses a body that is announced larger than `limit`, before a byte of it is read; later bytes are held to it.
    pub fn limit(&mut self, limit: u64) -> Result<(), Refusal> {
        self.limit = limit;
        match self.announced() {
            Some(bytes) if self.seen + bytes > limit => Err(too_large(limit)),
            _ => Ok(()),
        }
    }

    /// Whether all of it was read.
    pub fn is_done(&self) -> bool {
        self.state == State::Done && self.joined.is_empty()
    }

    /// Whether the caller still waits for `100 Continue`: it may never send the body then.
    pub fn is_unasked(&self) -> bool {
        self.continue_owed
    }

    /// Bytes of the body so far.
    pub fn seen(&self) -> u64 {
        self.seen
    }

    /// Sends `100 Continue` where the caller waits for it. A body that is streamed is asked for before its call is sent: the answer may begin at any
    /// moment after that, and nothing may come between its bytes.
    pub async fn ask(&mut self, connection: &Rc<Connection>) -> Result<(), Fault> {
        if self.continue_owed {
            self.continue_owed = false;
            connection.write_all(b"HTTP/1.1 100 Continue\r\n\r\n", &[]).await?;
        }
        Ok(())
    }

    /// The next piece, at most `most` bytes, `None` at the end.
    ///
    /// Unless `eager`, waits for as much as the read buffer holds: fewer, larger pieces. A stall of 10 s is 408.
    pub async fn piece(
        &mut self,
        connection: &Rc<Connection>,
        most: usize,
        eager: bool,
    ) -> Result<Option<Bytes>, Fault> {
        self.ask(connection).await?;
        loop {
            if let Some(piece) = self.take(&mut connection.input(), most, eager)? {
                return Ok(Some(piece));
            }
            if self.state == State::Done {
                return Ok(None);
            }
            connection.fill_body().await?;
        }
    }

    /// Whether no byte of the body is left to come. Reads on where only the framing can tell, and takes none of the body's bytes.
    ///
    /// Asked before credit is waited for: the end of a body needs none, and a worker that granted the exact length grants no more.
    pub async fn at_end(&mut self, connection: &Rc<Connection>) -> Result<bool, Fault> {
        loop {
            // Bytes that wait to be joined are still to come; a caller that waits to be asked has sent nothing.
            if self.continue_owed || !self.joined.is_empty() {
                return Ok(false);
            }
            self.take(&mut connection.input(), 0, true)?;
            match self.state {
                State::Done => return Ok(true),
                State::Length(_) | State::Chunk(_) => return Ok(false),
                State::Size | State::ChunkEnd | State::Trailer(_) => connection.fill_body().await?,
            }
        }
    }

    /// What can be had without reading more: a piece, or `None` where more bytes are needed or [`BodyReader::is_done`].
    pub fn take(&mut self, input: &mut BytesMut, most: usize, eager: bool) -> Result<Option<Bytes>, Fault> {
        loop {
            match self.state {
                State::Length(0) => self.state = State::Done,
                State::Length(left) => {
                    let there = input.len().min(most).min(usize::try_from(left).unwrap_or(usize::MAX));
                    let wanted = most.min(usize::try_from(left).unwrap_or(usize::MAX));
                    let full = input.capacity() - input.len() < BODY_BUFFER / 8;
                    if there == 0 || (there < wanted && !eager && !full) {
                        return Ok(None);
                    }
                    self.state = State::Length(left - there as u64);
                    self.seen += there as u64;
                    return Ok(Some(take_off(input, there)));
                }
                State::Size => {
                    let Some(line) = memchr::memchr(b'\n', input) else {
                        return if input.len() > SIZE_LINE_MAX {
                            Err(bad("chunk size is too long"))
                        } else {
                            self.flush(eager)
                        };
                    };
                    let size = chunk_size(&input[..line])?;
                    if self.seen + self.joined.len() as u64 + size > self.limit {
                        return Err(Fault::Refused(too_large(self.limit)));
                    }
                    input.advance(line + 1);
                    self.state = if size == 0 { State::Trailer(0) } else { State::Chunk(size) };
                }
                State::Chunk(left) => {
                    let there = input.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    if there == 0 {
                        return self.flush(eager);
                    }
                    let joins = there < JOIN_BELOW || !self.joined.is_empty();
                    let take = there.min(most - if joins { self.joined.len() } else { 0 });
                    let left = left - take as u64;
                    self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                    if !joins {
                        self.seen += take as u64;
                        return Ok(Some(take_off(input, take)));
                    }
                    self.joined.extend_from_slice(&input[..take]);
                    input.advance(take);
                    if self.joined.len() >= most.min(16 * JOIN_BELOW) {
                        return self.flush(true);
                    }
                }
                State::ChunkEnd => {
                    if input.len() < 2 {
                        return self.flush(eager);
                    }
                    if &input[..2] != b"\r\n" {
                        return Err(bad("chunk does not end in CR LF"));
                    }
                    input.advance(2);
                    self.state = State::Size;
                }
                State::Trailer(seen) => {
                    let Some(line) = memchr::memchr(b'\n', input) else {
                        return if seen + input.len() > TRAILER_BYTES_MAX {
                            Err(bad("trailers are too long"))
                        } else {
                            self.flush(eager)
                        };
                    };
                    let text = input[..line]
                        .strip_suffix(b"\r")
                        .ok_or_else(|| bad("trailer does not end in CR LF"))?;
                    if text.is_empty() {
                        input.advance(line + 1);
                        self.state = State::Done;
                        return self.flush(true);
                    }
                    if !is_trailer(text) || seen + line > TRAILER_BYTES_MAX {
                        return Err(bad("trailer is not a header"));
                    }
                    // Trailers are read and dropped: none of them may change what was already judged.
                    input.advance(line + 1);
                    self.state = State::Trailer(seen + line);
                }
                State::Done => return self.flush(true),
            }
        }
    }

    fn flush(&mut self, now: bool) -> Result<Option<Bytes>, Fault> {
        if self.joined.is_empty() || !now {
            return Ok(None);
        }
        self.seen += self.joined.len() as u64;
        Ok(Some(self.joined.split().freeze()))
    }
}

/// Takes a piece off the front. A small one is copied: to share the buffer would cost more, and the next connection would have to make one of its own.
fn take_off(input: &mut BytesMut, bytes: usize) -> Bytes {
    if bytes > COPIED_BYTES_MAX {
        return input.split_to(bytes).freeze();
    }
    let piece = Bytes::copy_from_slice(&input[..bytes]);
    input.advance(bytes);
    piece
}

/// Hex digits alone, at most 8, then CR: extensions, signs, spaces and bare LF are refused.
fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let digits = line.strip_suffix(b"\r").ok_or_else(|| bad("chunk size does not end in CR LF"))?;
    let fits = (1..=8).contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit);
    let text = std::str::from_utf8(digits)
        .ok()
        .filter(|_| fits)
        .ok_or_else(|| bad("chunk size is not plain hex"))?;
    u64::from_str_radix(text, 16).map_err(|_| bad("chunk size is not plain hex"))
}

fn is_trailer(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|byte| *byte == b':') else { return false };
    colon > 0
        && line[..colon].iter().all(|byte| hera_protocol::message::reply::is_token_byte(*byte))
        && line[colon + 1..].iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f))
}

fn bad(detail: &'static str) -> Fault {
    Fault::Refused(Refusal::new(Code::BadRequest, detail))
}

fn too_large(limit: u64) -> Refusal {
    Refusal::new(Code::BodyTooLarge, format!("body exceeds this endpoint's limit of {limit} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `text` in parts of `step` bytes and gives the body, or the code it is refused with.
    fn read(framing: Framing, text: &[u8], step: usize, most: usize) -> Result<(Vec<u8>, Vec<u8>), Code> {
        let mut reader = BodyReader::new(framing, false);
        reader.limit(1 << 20).map_err(|refusal| refusal.code)?;
        let (mut input, mut body, mut parts) = (BytesMut::new(), Vec::new(), text.chunks(step));
        loop {
            match reader.take(&mut input, most, true) {
                Ok(Some(piece)) => {
                    assert!(piece.len() <= most && !piece.is_empty());
                    body.extend_from_slice(&piece);
                }
                Ok(None) if reader.is_done() => break,
                Ok(None) => match parts.next() {
                    Some(part) => input.extend_from_slice(part),
                    None => return Err(Code::RequestTimeout),
                },
                Err(Fault::Refused(refusal)) => return Err(refusal.code),
                Err(_) => unreachable!(),
            }
        }
        parts.for_each(|part| input.extend_from_slice(part));
        Ok((body, input.to_vec()))
    }

    #[test]
    fn body_is_the_same_in_any_split() {
        let big = "x".repeat(3000);
        let chunked = format!("3\r\nabc\r\nBB8\r\n{big}\r\n1\r\nz\r\n0\r\nX-Trailer: dropped\r\n\r\nNEXT");
        let whole = format!("abc{big}z");
        for step in [1, 2, 3, 7, 100, 5000] {
            for most in [1, 5, 4096] {
                let (body, rest) = read(Framing::Chunked, chunked.as_bytes(), step, most).unwrap();
                assert_eq!(
                    (body, rest),
                    (whole.clone().into_bytes(), b"NEXT".to_vec()),
                    "step {step} most {most}"
                );
                let (body, rest) = read(Framing::Length(5), b"helloNEXT", step, most).unwrap();
                assert_eq!((&body[..], &rest[..]), (&b"hello"[..], &b"NEXT"[..]));
            }
        }
    }

    #[test]
    fn chunks_that_two_readers_could_read_differently_are_refused() {
        for text in [
            "0_2e\r\nabc\r\n0\r\n\r\n",
            "-1\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "00000000000000003\r\nabc\r\n0\r\n\r\n",
            "3;ext=1\r\nabc\r\n0\r\n\r\n",
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabc\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            "0\r\nnot a header\r\n\r\n",
            "0\r\n: x\r\n\r\n",
            "0\r\nX: y\n\r\n",
        ] {
            assert_eq!(read(Framing::Chunked, text.as_bytes(), 1, 100), Err(Code::BadRequest), "{text:?}");
            assert_eq!(read(Framing::Chunked, text.as_bytes(), 500, 100), Err(Code::BadRequest), "{text:?}");
        }
    }

    #[test]
    fn limit_holds_before_the_bytes_come() {
        assert_eq!(read(Framing::Length((1 << 20) + 1), b"", 1, 10), Err(Code::BodyTooLarge));
        assert_eq!(read(Framing::Chunked, b"100001\r\n", 1, 10), Err(Code::BodyTooLarge));
        assert_eq!(read(Framing::Chunked, b"FFFFFFFF\r\n", 1, 10), Err(Code::BodyTooLarge));
    }
}
