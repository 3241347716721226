//! The body of a request: any split and any size of the pieces gives the body that a plain reading gives, or is refused as that one is.

#![no_main]

use bytes::BytesMut;
use hera_broker::http::body::{BodyReader, TRAILER_BYTES_MAX};
use hera_broker::http::connection::Fault;
use hera_broker::http::request::Framing;
use hera_protocol::Code;
use libfuzzer_sys::fuzz_target;

const LIMIT: u64 = 5_000;

/// A body and what is left behind it; or no whole body yet; or a refusal.
type Body = Result<Option<(Vec<u8>, Vec<u8>)>, Code>;

// The first byte is the framing, the second the size of pieces and of parts; the rest is what a caller sends.
fuzz_target!(|data: &[u8]| {
    let [kind, size, sent @ ..] = data else { return };
    let framing = if kind & 1 == 0 { Framing::Chunked } else { Framing::Length(u64::from(*size) * 30) };
    let expected = match framing {
        Framing::Length(length) if length > LIMIT => Err(Code::BodyTooLarge),
        Framing::Length(length) => {
            Ok(sent.split_at_checked(length as usize).map(|(body, rest)| (body.to_vec(), rest.to_vec())))
        }
        _ => plainly(sent),
    };
    let size = usize::from(*size) + 1;
    for (step, most) in [(sent.len().max(1), 1 << 20), (1, 1 << 20), (1, size), (size, 1), (size, size * 9)] {
        for eager in [true, false] {
            let read = read(framing, sent, step, most, eager);
            assert_eq!(read, expected, "{framing:?} step {step} most {most} eager {eager}");
        }
    }
});

fn read(framing: Framing, sent: &[u8], step: usize, most: usize, eager: bool) -> Body {
    let mut reader = BodyReader::new(framing, false);
    reader.limit(LIMIT).map_err(|refusal| refusal.code)?;
    let (mut input, mut body, mut parts) = (BytesMut::new(), Vec::new(), sent.chunks(step));
    loop {
        // What is not asked for eagerly comes once the buffer is full or the body ends; here it never is, so the end asks.
        let last = parts.len() == 0;
        match reader.take(&mut input, most, eager || last) {
            Ok(Some(piece)) => {
                assert!(piece.len() <= most && !piece.is_empty());
                body.extend_from_slice(&piece);
                assert!(body.len() as u64 <= LIMIT && reader.seen() == body.len() as u64);
            }
            Ok(None) if reader.is_done() => break,
            Ok(None) => match parts.next() {
                Some(part) => input.extend_from_slice(part),
                None => return Ok(None),
            },
            Err(Fault::Refused(refusal)) => return Err(refusal.code),
            Err(Fault::Gone) => panic!("nobody left"),
        }
    }
    parts.for_each(|part| input.extend_from_slice(part));
    Ok(Some((body, input.to_vec())))
}

/// RFC 9112 section 7.1 without extensions.
fn plainly(mut sent: &[u8]) -> Body {
    let mut body = Vec::new();
    loop {
        let Some(line) = line(&mut sent, 10)? else { return Ok(None) };
        let text = std::str::from_utf8(line).map_err(|_| Code::BadRequest)?;
        if !(1..=8).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Code::BadRequest);
        }
        let size = usize::from_str_radix(text, 16).map_err(|_| Code::BadRequest)?;
        if (body.len() + size) as u64 > LIMIT {
            return Err(Code::BodyTooLarge);
        }
        if size == 0 {
            break;
        }
        let Some((chunk, rest)) = sent.split_at_checked(size) else { return Ok(None) };
        body.extend_from_slice(chunk);
        match rest {
            [b'\r', b'\n', behind @ ..] => sent = behind,
            [_, _, ..] => return Err(Code::BadRequest),
            _ => return Ok(None),
        }
    }
    let mut trailers = 0;
    loop {
        let Some(line) = line(&mut sent, TRAILER_BYTES_MAX - trailers)? else { return Ok(None) };
        if line.is_empty() {
            return Ok(Some((body, sent.to_vec())));
        }
        let (name, value) = line.split_at(line.iter().position(|b| *b == b':').ok_or(Code::BadRequest)?);
        let is_token =
            !name.is_empty() && name.iter().all(|b| hera_protocol::message::reply::is_token_byte(*b));
        if !is_token || value.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()) {
            return Err(Code::BadRequest);
        }
        trailers += line.len() + 1;
    }
}

/// The next line without its end, which must be CR LF; `None` when it is not whole yet, refused when it cannot become whole within `most`.
fn line<'a>(sent: &mut &'a [u8], most: usize) -> Result<Option<&'a [u8]>, Code> {
    let Some(end) = sent.iter().position(|byte| *byte == b'\n') else {
        return if sent.len() > most { Err(Code::BadRequest) } else { Ok(None) };
    };
    let line = sent[..end].strip_suffix(b"\r").ok_or(Code::BadRequest)?;
    if end > most {
        return Err(Code::BadRequest);
    }
    *sent = &sent[end + 1..];
    Ok(Some(line))
}
