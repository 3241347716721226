//! Requests that two programs could read differently, and what becomes of each behind HAProxy.
//!
//! On a broker alone every one of them is refused (`strictness.rs`). With HAProxy in front (`behind_haproxy.rs`) some never arrive, some arrive and are refused
//! here, and some are no longer ambiguous when they arrive, since HAProxy writes a new head and new chunks from what it understood.

/// What Debian's HAProxy 2.6.12 makes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behind {
    /// HAProxy answers 400 itself and closes.
    Proxy,
    /// HAProxy forwards it, the broker answers 400; what stands behind it is a request of its own for both of them.
    Broker,
    /// One of the two refuses it, by whether HAProxy has forwarded the head before it comes to the fault.
    Either,
    /// HAProxy forwards it in a form with one reading, and a worker answers; what stands behind it is the next request.
    Cleaned,
    /// The same, and HAProxy reads nothing behind it.
    Closed,
    /// The same, but for HAProxy it ends before its body, which HAProxy then refuses as a request.
    Shortened,
}

use Behind::{Broker, Cleaned, Closed, Either, Proxy, Shortened};

/// Bytes that are refused, and nothing behind them on their connection is answered.
#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) behind: Behind,
    pub(crate) bytes: Vec<u8>,
}

impl Vector {
    /// Its beginning, for the message of a test that fails.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.bytes).replace('\u{fffd}', "?").chars().take(400).collect()
    }
}

/// All of them.
pub(crate) fn all(token: &str) -> Vec<Vector> {
    [lengths(token), chunks(token), hosts(token), lines(token)].concat()
}

fn post(behind: Behind, token: &str, headers: &str, body: &str) -> Vector {
    let text = format!("POST /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n{headers}\r\n\r\n{body}");
    Vector { behind, bytes: text.into_bytes() }
}

/// Bodies whose length has two readings.
pub(crate) fn lengths(token: &str) -> Vec<Vector> {
    let old = format!(
        "POST /x HTTP/1.0\r\nHost: h\r\nHera-Token: {token}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    );
    [
        (Closed, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        (Closed, "Transfer-Encoding: chunked\r\nContent-Length: 5"),
        (Cleaned, "Content-Length: 5\r\nContent-Length: 5"),
        (Proxy, "Content-Length: 5\r\nContent-Length: 0"),
        (Proxy, "Content-Length: +5"),
        (Proxy, "Content-Length: 0x5"),
        (Cleaned, "Content-Length: 5,5"),
        (Cleaned, "Content-Length: 5, 5"),
        (Proxy, "Content-Length:"),
        (Proxy, "Content-Length: -1"),
        (Proxy, "Content-Length: 5a"),
        (Proxy, "Content-Length: 5 5"),
        (Proxy, "Content-Length: 1_0"),
        (Proxy, "Content-Length : 5"),
        (Proxy, "Content-Length\t: 5"),
        (Proxy, "Content-Length: 18446744073709551621"),
        (Proxy, "Transfer-Encoding: xchunked"),
        (Broker, "Transfer-Encoding: chunked,"),
        (Proxy, "Transfer-Encoding: ,chunked"),
        (Proxy, "Transfer-Encoding: chunked;q=1"),
        (Proxy, "Transfer-Encoding: \"chunked\""),
        (Proxy, "Transfer-Encoding:"),
        (Proxy, "Transfer-Encoding: \u{b}chunked"),
        (Proxy, "Transfer-Encoding: chunked\u{b}"),
        (Proxy, "Transfer-Encoding: \u{c}chunked"),
        (Proxy, "Transfer-Encoding: chunked\u{c}"),
        (Proxy, "Transfer-Encoding: chunked\0"),
        (Proxy, "Transfer-Encoding: \0chunked"),
        (Proxy, "Transfer-Encoding: \u{a0}chunked"),
        (Proxy, "Transfer-Encoding: gzip, chunked"),
        (Proxy, "Transfer-Encoding: chunked, chunked"),
        (Proxy, "Transfer-Encoding: identity"),
        (Proxy, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        (Proxy, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        (Proxy, "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked"),
        (Proxy, "Transfer-Encoding : chunked"),
        (Proxy, "Transfer-Encoding\u{b}: chunked"),
        (Cleaned, "Transfer-Encoding:\r\n chunked"),
        (Shortened, "X: a\r\n Transfer-Encoding: chunked"),
        (Cleaned, "X: a\nTransfer-Encoding: chunked"),
        (Proxy, "X: a\rTransfer-Encoding: chunked"),
    ]
    .into_iter()
    .map(|(behind, headers)| post(behind, token, headers, "0\r\n\r\n"))
    .chain([Vector { behind: Proxy, bytes: old.into_bytes() }])
    .collect()
}

/// Chunks that two readers read differently.
pub(crate) fn chunks(token: &str) -> Vec<Vector> {
    let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(65_536));
    let trailers = format!("0\r\n{}\r\n", "X: trailer\r\n".repeat(1000));
    [
        (Proxy, "0_2e\r\nhello\r\n0\r\n\r\n"),
        (Proxy, "0_5\r\nhello\r\n0\r\n\r\n"),
        (Proxy, "-1\r\nhello\r\n0\r\n\r\n"),
        (Proxy, "+5\r\nhello\r\n0\r\n\r\n"),
        (Proxy, "0x5\r\nhello\r\n0\r\n\r\n"),
        (Proxy, " 5\r\nhello\r\n0\r\n\r\n"),
        (Cleaned, "5 \r\nhello\r\n0\r\n\r\n"),
        (Cleaned, "5\t\r\nhello\r\n0\r\n\r\n"),
        (Proxy, "g\r\nhello\r\n0\r\n\r\n"),
        (Cleaned, "00000000000000005\r\nhello\r\n0\r\n\r\n"),
        (Proxy, "10000000000000005\r\nhello\r\n0\r\n\r\n"),
        (Cleaned, "5;a=b\r\nhello\r\n0\r\n\r\n"),
        (Cleaned, "5;\nhello\r\n0\r\n\r\n"),
        (Proxy, "5;a\nb\r\nhello\r\n0\r\n\r\n"),
        (Proxy, "5;a=\"\r\n0\r\n\r\n\"\r\nhello\r\n0\r\n\r\n"),
        (Cleaned, "5\nhello\r\n0\r\n\r\n"),
        (Proxy, "5\rhello\r\n0\r\n\r\n"),
        (Cleaned, "5\r\nhello\n0\r\n\r\n"),
        (Proxy, "5\r\nhelloX\r\n0\r\n\r\n"),
        (Proxy, "5\r\nhelloXX0\r\n\r\n"),
        (Proxy, "5\r\nhello0\r\n\r\n"),
        (Proxy, "\r\n\r\n"),
        (Either, "0\r\nno header\r\n\r\n"),
        (Either, "0\r\n bad: fold\r\n\r\n"),
        (Cleaned, "0\r\nX: a\n\r\n"),
        (Either, "0\r\nX : a\r\n\r\n"),
        (Either, "0\r\nX: a\0\r\n\r\n"),
        (Proxy, &long),
        (Proxy, &trailers),
    ]
    .into_iter()
    .map(|(behind, body)| post(behind, token, "Transfer-Encoding: chunked", body))
    .collect()
}

/// None or more than one host, or something that is none.
pub(crate) fn hosts(token: &str) -> Vec<Vector> {
    let of = |behind, target: &str, headers: &str| Vector {
        behind,
        bytes: format!("GET {target} HTTP/1.1\r\n{headers}Hera-Token: {token}\r\n\r\n").into_bytes(),
    };
    [
        (Broker, "/x", ""),
        (Broker, "/x", "Host:\r\n"),
        (Cleaned, "/x", "Host: a\r\nHost: a\r\n"),
        (Proxy, "/x", "Host: a\r\nhost: b\r\n"),
        (Broker, "/x", "Host: user@a\r\n"),
        (Broker, "/x", "Host: a/b\r\n"),
        (Broker, "/x", "Host: a,b\r\n"),
        (Broker, "/x", "Host: a b\r\n"),
        (Broker, "/x", "Host: a:port\r\n"),
        (Broker, "/x", "Host: [::1\r\n"),
        (Broker, "/x", "Host: a#b\r\n"),
        (Broker, "/x", "Host: a?b\r\n"),
        (Broker, "/x", "Host: a\\b\r\n"),
        (Proxy, "/x", "Host : a\r\n"),
        (Proxy, "http://other/x", "Host: a\r\n"),
        (Proxy, "http://a@b/x", "Host: a\r\n"),
        (Broker, "http://a@b/x", "Host: b\r\n"),
        (Broker, "http:///x", "Host: a\r\n"),
        (Broker, "http://a", "Host: a\r\n"),
    ]
    .into_iter()
    .map(|(behind, target, headers)| of(behind, target, headers))
    .collect()
}

/// Lines, names and methods of a wrong form.
pub(crate) fn lines(token: &str) -> Vec<Vector> {
    let with = |line: &str, header: &[u8]| {
        let head = format!("{line}\r\nHost: h\r\nHera-Token: {token}\r\n");
        [head.as_bytes(), header, b"\r\n"].concat()
    };
    let header = |header: &[u8]| with("GET /x HTTP/1.1", &[header, b"\r\n"].concat());
    let line = |line: &str| with(line, b"");
    let of = |behind, bytes| Vector { behind, bytes };
    vec![
        of(Cleaned, format!("GET /x HTTP/1.1\nHost: h\nHera-Token: {token}\n\n").into_bytes()),
        of(Cleaned, format!("GET /x HTTP/1.1\r\nHost: h\nHera-Token: {token}\r\n\r\n").into_bytes()),
        of(Cleaned, format!("GET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\n").into_bytes()),
        of(Cleaned, format!("\nGET /x HTTP/1.1\r\nHost: h\r\nHera-Token: {token}\r\n\r\n").into_bytes()),
        of(Proxy, format!("GET /x HTTP/1.1\rHost: h\r\nHera-Token: {token}\r\n\r\n").into_bytes()),
        of(Cleaned, header(b"X: a\r\n folded")),
        of(Cleaned, header(b"X: a\r\n\tfolded")),
        of(Proxy, header(b"X : a")),
        of(Proxy, header(b"X\t: a")),
        of(Broker, header(b" X: a")),
        of(Broker, header(b"X: a\0b")),
        of(Proxy, header(b"X: a\rb")),
        of(Broker, header(b"X: a\x01b")),
        of(Broker, header(b"X: a\x1b[31mb")),
        of(Broker, header(b"X: a\x7fb")),
        of(Proxy, header(b"X\xe9: a")),
        of(Proxy, header("X\u{e9}: a".as_bytes())),
        of(Proxy, header(b"X\0: a")),
        of(Proxy, header(b"X(y): a")),
        of(Proxy, header(b": a")),
        of(Proxy, header(b"no colon")),
        of(Broker, header(b"Expect: 200-ok")),
        of(Cleaned, line("GET  /x HTTP/1.1")),
        of(Cleaned, line("GET /x  HTTP/1.1")),
        of(Proxy, line(" GET /x HTTP/1.1")),
        of(Proxy, line("GET /x HTTP/1.1 ")),
        of(Cleaned, line("GET\t/x\tHTTP/1.1")),
        of(Proxy, line("GET /x y HTTP/1.1")),
        of(Proxy, line("GET /x")),
        of(Proxy, line("GET /x http/1.1")),
        of(Proxy, line("GET /x HTTP/1.")),
        of(Proxy, line("GET /x HTTP/11")),
        of(Proxy, line("GET /x HTTP/1.1x")),
        of(Proxy, line("GET x HTTP/1.1")),
        of(Broker, line("GET * HTTP/1.1")),
        of(Proxy, line("GET /x#f HTTP/1.1")),
        of(Proxy, line("GET /\0x HTTP/1.1")),
        of(Proxy, line("GET /\u{7f}x HTTP/1.1")),
        of(Broker, line("GET ftp://h/x HTTP/1.1")),
        of(Proxy, line("GET h:80 HTTP/1.1")),
        of(Broker, line("CONNECT h:80 HTTP/1.1")),
        of(Proxy, line("CONNECT /x HTTP/1.1")),
        of(Proxy, line("G\u{e9}T /x HTTP/1.1")),
        of(Proxy, line("G(T /x HTTP/1.1")),
        of(Proxy, line("/x HTTP/1.1")),
    ]
}
