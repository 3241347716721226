//! The head of a request: however it is split it is read the same, and what is accepted has one reading by rules that are checked anew here.

#![no_main]

use bytes::BytesMut;
use hera_broker::http::request::{Framing, HEAD_BYTES_MAX, HEADERS_MAX, Incoming, TARGET_BYTES_MAX};
use hera_protocol::Code;
use libfuzzer_sys::fuzz_target;

/// What a head was read as, and what was left behind it.
#[derive(Debug, PartialEq)]
struct Read {
    request: (String, String, u8),
    headers: Vec<(String, Vec<u8>)>,
    framing: Framing,
    flags: (bool, bool),
    rest: Vec<u8>,
}

fuzz_target!(|data: &[u8]| {
    let sent = &expand(data);
    let whole = take(std::iter::once(&sent[..]), sent.len());
    // Every prefix is parsed anew, so long heads are cut in fewer places.
    let step = if sent.len() <= 300 { 1 } else { sent.len() / 60 };
    let in_parts = take(sent.chunks(step), sent.len());
    match (&whole, &in_parts) {
        // With two faults it is refused for the one that is seen first.
        (Err(_), Err(_)) => {}
        _ => assert_eq!(whole, in_parts, "in parts of {step}"),
    }
    if let Ok(Some(read)) = whole {
        check(&sent[..sent.len() - read.rest.len()], &read);
    }
});

/// Two control bytes that no head has stand for much text, so that short inputs reach the limits of size.
fn expand(data: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    for byte in data {
        match byte {
            1 if sent.len() < 2 * HEAD_BYTES_MAX => sent.extend_from_slice(&[b'a'; 990]),
            2 if sent.len() < 2 * HEAD_BYTES_MAX => sent.extend_from_slice(&b"x: y\r\n".repeat(48)),
            byte => sent.push(*byte),
        }
    }
    sent
}

/// Gives bytes until there is a head or none can be any more.
fn take<'a>(parts: impl Iterator<Item = &'a [u8]>, all: usize) -> Result<Option<Read>, Code> {
    let (mut input, mut given) = (BytesMut::new(), 0);
    let mut sent = Vec::new();
    let mut taken = Ok(None);
    for part in parts {
        sent.extend_from_slice(part);
        if given < all && matches!(taken, Ok(None)) {
            input.extend_from_slice(part);
            given += part.len();
            taken = Incoming::take(&mut input);
        } else {
            input.extend_from_slice(part);
        }
    }
    match taken {
        Err(refusal) => Err(refusal.code),
        Ok(None) => Ok(None),
        Ok(Some(head)) => Ok(Some(Read {
            request: (head.method().to_owned(), head.target().to_owned(), head.minor),
            headers: head
                .headers()
                .map(|(name, value)| (String::from_utf8(name.to_vec()).expect("a token"), value.to_vec()))
                .collect(),
            framing: head.framing,
            flags: (head.expects_continue, head.wants_close),
            rest: input.to_vec(),
        })),
    }
}

/// The rules of RFC 9112 that Hera is strict about, on the raw bytes.
fn check(mut raw: &[u8], read: &Read) {
    while let Some(rest) = raw.strip_prefix(b"\r\n") {
        raw = rest;
    }
    assert!(raw.len() <= HEAD_BYTES_MAX);
    let lines = raw.strip_suffix(b"\r\n\r\n").expect("a head ends in an empty line");
    let text: String = lines.iter().map(|byte| char::from(*byte)).collect();
    let mut lines = text.split("\r\n");
    let is_token =
        |text: &str| !text.is_empty() && text.bytes().all(hera_protocol::message::reply::is_token_byte);

    let request: Vec<&str> = lines.next().unwrap().split(' ').collect();
    let [method, target, version] = request[..] else { panic!("{request:?}") };
    assert!(is_token(method) && matches!(version, "HTTP/1.0" | "HTTP/1.1"));
    assert_eq!((method, version == "HTTP/1.1"), (&*read.request.0, read.request.2 == 1));
    let target: Vec<u8> = target.chars().map(|c| c as u8).collect();
    assert!(target.len() <= TARGET_BYTES_MAX);
    assert!(!target.iter().any(|byte| *byte == b'#' || *byte < 0x21));
    let origin = read.request.1.as_bytes();
    assert!(origin.starts_with(b"/"));
    assert!(target == origin || (!target.starts_with(b"/") && target.ends_with(origin)));

    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a header has a colon");
        assert!(is_token(name), "{name:?}");
        assert!(!value.contains(|c: char| c != '\t' && c.is_ascii_control()), "{value:?}");
        let value: Vec<u8> = value.trim_matches([' ', '\t']).chars().map(|c| c as u8).collect();
        headers.push((name.to_ascii_lowercase(), value));
    }
    assert!(headers.len() <= HEADERS_MAX);
    assert_eq!(headers, read.headers);

    let all = |name: &str| headers.iter().filter(|(n, _)| n == name).map(|(_, v)| &v[..]).collect::<Vec<_>>();
    let host = all("host");
    assert_eq!(host.len(), 1);
    assert!(!host[0].is_empty() && !host[0].iter().any(|byte| b"@/,?#\\ ".contains(byte)));
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    match (&lengths[..], &codings[..]) {
        ([], []) => assert_eq!(read.framing, Framing::None),
        ([length], []) => {
            assert!(length.iter().all(u8::is_ascii_digit));
            let length: u64 = std::str::from_utf8(length).unwrap().parse().unwrap();
            let expected = if length == 0 { Framing::None } else { Framing::Length(length) };
            assert_eq!(read.framing, expected);
        }
        ([], [coding]) => {
            assert!(coding.eq_ignore_ascii_case(b"chunked") && read.request.2 == 1);
            assert_eq!(read.framing, Framing::Chunked);
        }
        _ => panic!("a body with two readings: {lengths:?} {codings:?}"),
    }
}
