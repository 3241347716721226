//! The head of a request: strict, or refused (design section 8). Nothing ambiguous gets past this file.

use crate::rescue::Refusal;
use bytes::{Buf, BytesMut};
use hera_protocol::Code;
use hera_protocol::message::remote::RemoteCall;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// Largest head.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most headers.
pub const HEADERS_MAX: usize = 100;
/// Largest request target.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;
/// Largest request line: room for a method and a version.
const LINE_BYTES_MAX: usize = TARGET_BYTES_MAX + 64;

/// How the body's end is known (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// By its length.
    Length(u64),
    /// By its last chunk.
    Chunked,
}

/// A head that passed every rule. Names of headers are in lower case.
///
/// It owns what it needs in two small pieces, so that the buffer which it was read into can go on to the next connection.
#[derive(Debug)]
pub struct Incoming {
    /// Method and target, one behind the other.
    line: Box<str>,
    /// Where in `line` the target begins, in origin form, and where its path ends.
    target: usize,
    path_end: usize,
    method_end: usize,
    /// The header lines.
    fields: Box<[u8]>,
    headers: SmallVec<[Place; 24]>,
    /// A bit for each name, by [`bit_of`]: most look-ups are for a header that is not there.
    names: u64,
    /// 0 for HTTP/1.0, 1 for HTTP/1.1.
    pub minor: u8,
    /// How the body's end is known.
    pub framing: Framing,
    /// It waits for `100 Continue`.
    pub expects_continue: bool,
    /// The caller wants the connection closed after the answer.
    pub wants_close: bool,
    named_hop_by_hop: SmallVec<[String; 2]>,
}

/// Where a header stands in `fields`. A head is at most 16 KiB, so its places fit 16 bits.
#[derive(Clone, Copy, Debug)]
struct Place {
    name: (u16, u16),
    value: (u16, u16),
}

impl Incoming {
    /// Takes a head off the front of `input`; `Ok(None)` when it is not whole yet. Boxed: it is handed on half a dozen times.
    pub fn take(input: &mut BytesMut) -> Result<Option<Box<Incoming>>, Refusal> {
        // Most heads have ten headers: the room for a hundred is not cleared for each.
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut []);
        let whole = match parsed.parse_with_uninit_headers(input, &mut headers) {
            Ok(httparse::Status::Complete(bytes)) => bytes,
            Ok(httparse::Status::Partial) => return too_large(input).map_or(Ok(None), Err),
            Err(error) => return Err(explain(input, error)),
        };
        let (method, target) = (parsed.method.unwrap_or_default(), parsed.path.unwrap_or_default());
        let minor = parsed.version.unwrap_or(1);
        if whole > HEAD_BYTES_MAX {
            return Err(Refusal::new(
                Code::HeadTooLarge,
                format!("head of {whole} bytes exceeds the limit of {HEAD_BYTES_MAX}"),
            ));
        }
        if target.len() > TARGET_BYTES_MAX {
            return Err(Refusal::new(
                Code::UriTooLong,
                format!("target of {} bytes exceeds the limit of {TARGET_BYTES_MAX}", target.len()),
            ));
        }
        // As for a line that is not whole yet: a head must not be read by how it was split.
        if method.len() + 1 + target.len() + " HTTP/1.1\r".len() > LINE_BYTES_MAX {
            return Err(line_too_long());
        }
        check_line_ends(&input[..whole])?;

        let start = input.as_ptr() as usize;
        let at = |part: &[u8]| part.as_ptr() as usize - start;
        let first = parsed.headers.first().map_or(whole, |header| at(header.name.as_bytes()));
        let place = |part: &[u8]| {
            let from = at(part) - first;
            (from as u16, (from + part.len()) as u16)
        };
        let places = parsed
            .headers
            .iter()
            .map(|header| Place { name: place(header.name.as_bytes()), value: place(header.value) });
        let mut line = String::with_capacity(method.len() + target.len());
        line.push_str(method);
        line.push_str(target);
        let mut incoming = Box::new(Incoming {
            target: method.len(),
            path_end: line.len(),
            method_end: method.len(),
            line: line.into_boxed_str(),
            headers: places.collect(),
            fields: input[first..whole].into(),
            names: 0,
            minor,
            framing: Framing::None,
            expects_continue: false,
            wants_close: minor == 0,
            named_hop_by_hop: SmallVec::new(),
        });
        input.advance(whole);
        for Place { name: (from, to), .. } in &incoming.headers {
            let name = &mut incoming.fields[usize::from(*from)..usize::from(*to)];
            name.make_ascii_lowercase();
            incoming.names |= bit_of(name);
        }
        incoming.judge()?;
        Ok(Some(incoming))
    }

    /// The head of a remote call. Its parts were judged where they were read: no field of one connection, or of the bus, is among them.
    pub fn of_remote(call: &RemoteCall) -> Box<Incoming> {
        let mut fields = Vec::with_capacity(256);
        let mut headers = SmallVec::new();
        let mut names = 0;
        let mut add = |name: &[u8], value: &[u8]| {
            names |= bit_of(name);
            let mut place = |part: &[u8]| {
                let from = fields.len() as u16;
                fields.extend_from_slice(part);
                (from, fields.len() as u16)
            };
            headers.push(Place { name: place(name), value: place(value) });
        };
        let traced = call.trace.is_some();
        for (name, value) in &call.headers {
            // What the library knows of the trace goes before a copy that its application made of it.
            if !(traced && matches!(name.as_str(), "traceparent" | "tracestate")) {
                add(name.as_bytes(), value);
            }
        }
        if let Some(trace) = &call.trace {
            add(b"traceparent", trace.traceparent.as_bytes());
            if let Some(state) = &trace.tracestate {
                add(b"tracestate", state.as_bytes());
            }
        }
        let line = format!("{}{}", call.method, call.target);
        let target = call.method.len();
        Box::new(Incoming {
            path_end: call.target.find('?').map_or(line.len(), |at| target + at),
            line: line.into_boxed_str(),
            target,
            method_end: target,
            headers,
            fields: fields.into_boxed_slice(),
            names,
            minor: 1,
            framing: Framing::None,
            expects_continue: false,
            wants_close: false,
            named_hop_by_hop: SmallVec::new(),
        })
    }

    /// The method as it was sent.
    pub fn method(&self) -> &str {
        &self.line[..self.method_end]
    }

    /// The raw request target in origin form.
    pub fn target(&self) -> &str {
        &self.line[self.target..]
    }

    /// The raw path, before `?`.
    pub fn raw_path(&self) -> &str {
        &self.line[self.target..self.path_end]
    }

    /// The raw query, after `?`.
    pub fn query(&self) -> Option<&str> {
        self.line.get(self.path_end + 1..)
    }

    /// Headers in order, names in lower case: tokens of RFC 9110, so ASCII without quotes.
    pub fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.all_of(&self.headers)
    }

    fn all_of<'a>(&'a self, places: &'a [Place]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        places.iter().map(|place| (self.bytes(place.name), self.bytes(place.value)))
    }

    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.header_all(name).next()
    }

    /// All values of a header.
    pub fn header_all<'a, 'n>(&'a self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let places = if self.names & bit_of(name.as_bytes()) == 0 { &[] } else { &self.headers[..] };
        self.all_of(places).filter(move |(other, _)| *other == name.as_bytes()).map(|(_, value)| value)
    }

    /// Whether a header ends here: hop-by-hop by RFC 9110 section 7.6.1, or named by `Connection`.
    pub fn is_hop_by_hop(&self, name: &[u8]) -> bool {
        let known = match name.first() {
            Some(b'c') => name == b"connection",
            Some(b'e') => name == b"expect",
            Some(b'k') => name == b"keep-alive",
            Some(b'p') => name.starts_with(b"proxy-"),
            Some(b't') => matches!(name, b"te" | b"trailer" | b"transfer-encoding"),
            Some(b'u') => name == b"upgrade",
            _ => false,
        };
        known || self.named_hop_by_hop.iter().any(|named| named.as_bytes() == name)
    }

    fn bytes(&self, (from, to): (u16, u16)) -> &[u8] {
        &self.fields[usize::from(from)..usize::from(to)]
    }

    fn judge(&mut self) -> Result<(), Refusal> {
        let bad = |detail: &'static str| Refusal::new(Code::BadRequest, detail);
        let refuse_if = |wrong: bool, detail: &'static str| if wrong { Err(bad(detail)) } else { Ok(()) };
        let (mut length, mut chunked, mut host) = (None, false, None);
        let (mut expects, mut close, mut named) = (false, self.wants_close, SmallVec::new());
        for (name, value) in self.headers() {
            match name {
                b"content-length" => {
                    let given =
                        plain_number(value).ok_or_else(|| bad("Content-Length is not a plain number"))?;
                    let before = length.replace(given);
                    refuse_if(before.is_some(), "Content-Length stands twice")?;
                }
                b"transfer-encoding" => {
                    if chunked {
                        return Err(bad("Transfer-Encoding stands twice"));
                    }
                    if self.minor == 0 {
                        return Err(bad("Transfer-Encoding in HTTP/1.0"));
                    }
                    if !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(bad("Transfer-Encoding is not exactly chunked"));
                    }
                    chunked = true;
                }
                b"host" => {
                    let before = host.replace(value);
                    refuse_if(before.is_some(), "Host stands twice")?;
                }
                b"expect" => {
                    if !value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(bad("Expect is not 100-continue"));
                    }
                    expects = self.minor == 1;
                }
                b"connection" => {
                    for option in value.split(|byte| *byte == b',') {
                        let option = option.trim_ascii().to_ascii_lowercase();
                        match option.as_slice() {
                            b"close" => close = true,
                            b"keep-alive" => close &= self.minor == 1,
                            b"" => {}
                            other => named.push(String::from_utf8_lossy(other).into_owned()),
                        }
                    }
                }
                _ => {}
            }
        }
        if chunked && length.is_some() {
            return Err(bad("Content-Length beside Transfer-Encoding"));
        }
        // Proxies go by the method: after a 2xx to CONNECT, whatever its target looks like, they pass bytes on unread.
        refuse_if(self.method() == "CONNECT", "CONNECT is not spoken here")?;
        let host = host.ok_or_else(|| bad("Host is missing"))?;
        if !is_host(host) {
            return Err(bad("Host is not a host and a port"));
        }
        let target = self.target;
        let mark = memchr::memchr2(b'#', b'?', self.target().as_bytes()).map(|at| target + at);
        let query = mark.unwrap_or(self.line.len());
        refuse_if(self.line[query..].contains('#'), "target has a fragment")?;
        self.target = self.origin_form(host)?;
        self.path_end = query;

        self.framing = match (chunked, length) {
            (true, _) => Framing::Chunked,
            (false, Some(length)) if length > 0 => Framing::Length(length),
            (false, _) => Framing::None,
        };
        self.expects_continue = expects && self.framing != Framing::None;
        self.wants_close = close;
        self.named_hop_by_hop = named;
        Ok(())
    }

    /// Where the path of the target begins; an absolute form must name the same authority as `Host`.
    fn origin_form(&self, host: &[u8]) -> Result<usize, Refusal> {
        let target = self.target();
        if target.starts_with('/') {
            return Ok(self.target);
        }
        let bad = |detail: &'static str| Refusal::new(Code::BadRequest, detail);
        let scheme = ["http://", "https://"]
            .iter()
            .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)))
            .ok_or_else(|| bad("target is neither a path nor an absolute http URL"))?;
        let rest = &target[scheme.len()..];
        let authority = rest.len() - rest.find(['/', '?']).map_or(0, |at| rest.len() - at);
        if !rest.as_bytes()[..authority].eq_ignore_ascii_case(host) {
            return Err(bad("target names another host than Host"));
        }
        let path = &rest[authority..];
        if !path.starts_with('/') {
            return Err(bad("absolute target without a path"));
        }
        Ok(self.line.len() - path.len())
    }
}

/// Where a name has its bit in [`Incoming::names`].
fn bit_of(name: &[u8]) -> u64 {
    1 << ((5 * name.len() + usize::from(name.first().copied().unwrap_or_default())) % 64)
}

/// Whether what came so far can still become a head.
fn too_large(input: &[u8]) -> Option<Refusal> {
    let line = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    if line > LINE_BYTES_MAX {
        return Some(line_too_long());
    }
    (input.len() > HEAD_BYTES_MAX).then(|| {
        Refusal::new(Code::HeadTooLarge, format!("head exceeds the limit of {HEAD_BYTES_MAX} bytes"))
    })
}

fn line_too_long() -> Refusal {
    Refusal::new(Code::UriTooLong, format!("request line exceeds the limit of {LINE_BYTES_MAX} bytes"))
}

fn explain(input: &[u8], error: httparse::Error) -> Refusal {
    match error {
        httparse::Error::TooManyHeaders => {
            Refusal::new(Code::HeadTooLarge, format!("more than {HEADERS_MAX} headers"))
        }
        httparse::Error::Version if names_a_version(input) => {
            Refusal::new(Code::HttpVersion, "only HTTP/1.1 and HTTP/1.0 are spoken here")
        }
        httparse::Error::Version if input.starts_with(b"PRI ") => {
            Refusal::new(Code::BadRequest, "HTTP/2 is not spoken here")
        }
        httparse::Error::HeaderName => Refusal::new(Code::BadRequest, "a header name is not a token"),
        httparse::Error::HeaderValue => Refusal::new(Code::BadRequest, "a header value has a control byte"),
        httparse::Error::NewLine => Refusal::new(Code::BadRequest, "a line does not end in CR LF"),
        _ => Refusal::new(Code::BadRequest, "the request line is not HTTP/1.1"),
    }
}

/// Whether the request line has the three parts of one, the last a version: then that is what is wrong with it, and not a space too many.
fn names_a_version(input: &[u8]) -> bool {
    let mut parts =
        input.split(|byte| *byte == b'\n').next().unwrap_or_default().split(|byte| *byte == b' ').skip(2);
    let version = parts.next().is_some_and(|part| part.starts_with(b"HTTP/"));
    version && parts.next().is_none() && !input.starts_with(b"PRI ")
}

/// The parser takes a bare LF for the end of a line, as proxies in front may not: such a head has two readings, and is refused.
fn check_line_ends(head: &[u8]) -> Result<(), Refusal> {
    // A CR without its LF, it refuses by itself.
    if memchr::memchr_iter(b'\n', head).any(|at| at == 0 || head[at - 1] != b'\r') {
        return Err(Refusal::new(Code::BadRequest, "a line does not end in CR LF"));
    }
    Ok(())
}

/// Decimal digits alone.
pub fn plain_number(text: &[u8]) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// Bytes of the name of a host.
const HOST: [bool; 256] = {
    let mut host = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        let as_u8 = byte as u8;
        host[byte] = as_u8.is_ascii_alphanumeric() || matches!(as_u8, b'.' | b'-' | b'_' | b'~' | b'%');
        byte += 1;
    }
    host
};

/// `reg-name`, IPv4 or `[IPv6]`, and a port (RFC 3986 section 3.2), without userinfo.
fn is_host(host: &[u8]) -> bool {
    let (name, port) = match host {
        [b'[', ..] => match host.iter().position(|byte| *byte == b']') {
            Some(end) => (&host[1..end], &host[end + 1..]),
            None => return false,
        },
        _ => host.split_at(host.iter().position(|byte| *byte == b':').unwrap_or(host.len())),
    };
    let v6 = host.starts_with(b"[");
    let name_fits = !name.is_empty()
        && name.len() <= 255
        && name.iter().all(|byte| HOST[usize::from(*byte)] || (v6 && *byte == b':'));
    let port_fits = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    name_fits && port_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Box<Incoming>>, Code> {
        Incoming::take(&mut BytesMut::from(text)).map_err(|refusal| refusal.code)
    }

    fn with(header: &str) -> Result<Option<Box<Incoming>>, Code> {
        read(&format!("POST /a HTTP/1.1\r\nHost: h\r\n{header}\r\n\r\n"))
    }

    #[test]
    fn head_is_read_and_the_rest_stays() {
        let mut input = BytesMut::from("GET /a/b?x=1 HTTP/1.1\r\nHost: h:80\r\nX-A: 1\r\nx-a: 2\r\n\r\nrest");
        let incoming = Incoming::take(&mut input).unwrap().unwrap();

        assert_eq!((incoming.method(), incoming.raw_path(), incoming.query()), ("GET", "/a/b", Some("x=1")));
        assert_eq!(incoming.header_all("x-a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(&input[..], b"rest");
        assert!(!incoming.wants_close);
    }

    #[test]
    fn every_ambiguity_of_length_is_refused() {
        for header in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5\r\nContent-Length: 6",
            "Content-Length: +5",
            "Content-Length: 0x5",
            "Content-Length: 5,5",
            "Content-Length: ",
            "Content-Length: -1",
            "Content-Length: 5 5",
            "Content-Length : 5",
            "Content-Length: 99999999999999999999999",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding: chunked,",
            "Transfer-Encoding: \u{b}chunked",
            "Transfer-Encoding: \u{c}chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding:\r\n chunked",
        ] {
            assert_eq!(with(header).unwrap_err(), Code::BadRequest, "{header:?}");
        }
        let old = read("POST /a HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old.unwrap_err(), Code::BadRequest);
    }

    #[test]
    fn line_ends_are_cr_lf_and_nothing_else() {
        for text in [
            "GET /a HTTP/1.1\nHost: h\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: h\n\r\n",
            "GET /a HTTP/1.1\r\nHost: h\r\n\n",
            "GET /a HTTP/1.1\r\nHost: h\r\nx: a\rb\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: h\r\nx: a\r\n b\r\n\r\n",
        ] {
            assert_eq!(read(text).unwrap_err(), Code::BadRequest, "{text:?}");
        }
    }

    #[test]
    fn host_is_one_host() {
        for host in ["", "a@b", "a/b", "a,b", "a b", "h:port", "h:123456", "[::1", "a\\b", "a?b"] {
            let text = format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n");
            assert_eq!(read(&text).unwrap_err(), Code::BadRequest, "{host:?}");
        }
        for host in ["h", "h:80", "127.0.0.1:8080", "[::1]:80", "a-b.c_d"] {
            assert!(read(&format!("GET /a HTTP/1.1\r\nHost: {host}\r\n\r\n")).unwrap().is_some(), "{host:?}");
        }
        assert_eq!(read("GET /a HTTP/1.1\r\n\r\n").unwrap_err(), Code::BadRequest);
        assert_eq!(read("GET /a HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n").unwrap_err(), Code::BadRequest);
    }

    #[test]
    fn target_is_a_path_or_names_the_same_host() {
        let same = read("GET http://h/a?b HTTP/1.1\r\nHost: h\r\n\r\n").unwrap().unwrap();
        assert_eq!((same.target(), same.raw_path()), ("/a?b", "/a"));
        for target in ["http://x/a", "http://h", "a", "*", "h:80", "ftp://h/a", "/a#b"] {
            let text = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(read(&text).unwrap_err(), Code::BadRequest, "{target}");
        }
    }

    #[test]
    fn tunnels_are_refused_whatever_their_target() {
        for target in ["h:80", "/a", "http://h/a"] {
            let text = format!("CONNECT {target} HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(read(&text).unwrap_err(), Code::BadRequest, "{target}");
        }
    }

    #[test]
    fn sizes_are_limited_before_the_head_is_whole() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "a".repeat(TARGET_BYTES_MAX));
        assert_eq!(read(&long).unwrap_err(), Code::UriTooLong);
        assert_eq!(read(&"a".repeat(TARGET_BYTES_MAX + 100)).unwrap_err(), Code::UriTooLong);
        let many = format!("GET /a HTTP/1.1\r\nHost: h\r\n{}\r\n", "a: b\r\n".repeat(100));
        assert_eq!(read(&many).unwrap_err(), Code::HeadTooLarge);
        let big = format!("GET /a HTTP/1.1\r\nHost: h\r\nx: {}", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(read(&big).unwrap_err(), Code::HeadTooLarge);
    }

    #[test]
    fn long_method_is_refused_whether_its_head_comes_whole_or_in_parts() {
        let target = "a".repeat(TARGET_BYTES_MAX - 1);
        let head = |method: usize| format!("{} /{target} HTTP/1.1\r\nHost: h\r\n\r\n", "M".repeat(method));
        assert!(read(&head(53)).unwrap().is_some());
        assert_eq!(read(&head(54)).unwrap_err(), Code::UriTooLong);
        assert!(read(&head(53)[..TARGET_BYTES_MAX + 64]).unwrap().is_none());
        assert_eq!(read(&head(54)[..TARGET_BYTES_MAX + 65]).unwrap_err(), Code::UriTooLong);
    }

    #[test]
    fn other_protocols_are_named() {
        assert_eq!(read("GET /a HTTP/2.0\r\nHost: h\r\n\r\n").unwrap_err(), Code::HttpVersion);
        assert_eq!(read("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap_err(), Code::BadRequest);
        assert_eq!(read("\u{16}\u{3}\u{1}\r\n\r\n").unwrap_err(), Code::BadRequest);
    }

    #[test]
    fn what_connection_names_ends_here() {
        let incoming = with("Connection: close, X-Secret\r\nX-Secret: 1\r\nProxy-Foo: 2").unwrap().unwrap();
        assert!(incoming.wants_close);
        for name in ["x-secret", "proxy-foo", "connection", "te", "upgrade"] {
            assert!(incoming.is_hop_by_hop(name.as_bytes()), "{name}");
        }
        assert!(!incoming.is_hop_by_hop(b"x-other"));
    }
}
