//! Answers as HTTP/1.1: heads, and the bodies behind them. What is written here was judged before; no raw byte of a worker's gets into a head.

use crate::core::Core;
use crate::exchange::Exchange;
use crate::http::connection::{Connection, Fault};
use crate::mail::{Answer, Event, Mail, SessionAddr, ToSession};
use crate::spare::COPIED_BYTES_MAX;
use bytes::Bytes;
use hera_protocol::{Attachment, json};
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

/// Credit is given back to a worker in steps of this many bytes, so that small chunks do not cost a frame each.
const CREDIT_STEP: u64 = 64 * 1024;

/// Where the time of a call went: the parts of `Server-Timing`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Until the caller was known and allowed.
    pub auth: Duration,
    /// Waiting for a worker with room.
    pub queue: Duration,
    /// From the call's being queued for the worker to its answer.
    pub worker: Duration,
    /// All of it.
    pub total: Duration,
}

impl Timing {
    /// What the broker itself took.
    pub fn bus(&self) -> Duration {
        self.total.saturating_sub(self.auth + self.queue + self.worker)
    }
}

/// Milliseconds with three digits after the point.
pub fn millis(time: Duration) -> f64 {
    (time.as_micros() as f64) / 1000.0
}

/// A head in the making.
#[derive(Debug)]
pub struct Head {
    bytes: Vec<u8>,
}

/// Begins a head with its status line and date.
pub fn begin(core: &Core, status: u16) -> Head {
    let mut head = begin_without_date(core, status);
    head.date(core);
    head
}

fn begin_without_date(core: &Core, status: u16) -> Head {
    let mut bytes = core.spare.take_head();
    bytes.reserve(1024);
    if status == 200 {
        bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        return Head { bytes };
    }
    bytes.extend_from_slice(b"HTTP/1.1 ");
    json::number(&mut bytes, status.into());
    bytes.push(b' ');
    bytes.extend_from_slice(reason(status).as_bytes());
    bytes.extend_from_slice(b"\r\n");
    Head { bytes }
}

/// The lines that name who answered, for every answer of this worker.
pub fn broker_and_worker(broker: &str, worker: &str) -> String {
    format!("hera-broker: {broker}\r\nhera-worker: {worker}\r\n")
}

impl Head {
    /// Adds a header whose value is ours.
    #[inline]
    pub fn header(&mut self, name: &str, value: &[u8]) {
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn date(&mut self, core: &Core) {
        self.bytes.extend_from_slice(core.date_line.borrow().as_bytes());
    }

    /// Adds what every answer says of its call.
    ///
    /// `names` is [`broker_and_worker`] where there is a worker.
    pub fn meta(&mut self, core: &Core, request_id: &str, names: Option<&str>, timing: &Timing) {
        self.header("x-request-id", request_id.as_bytes());
        match names {
            Some(names) => self.bytes.extend_from_slice(names.as_bytes()),
            None => self.header("hera-broker", core.shared.id.as_bytes()),
        }
        self.bytes.extend_from_slice(b"server-timing: auth;dur=");
        json::millis(&mut self.bytes, timing.auth);
        self.bytes.extend_from_slice(b", queue;dur=");
        json::millis(&mut self.bytes, timing.queue);
        self.bytes.extend_from_slice(b", worker;dur=");
        json::millis(&mut self.bytes, timing.worker);
        self.bytes.extend_from_slice(b", bus;dur=");
        json::millis(&mut self.bytes, timing.bus());
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Adds `content-length`.
    pub fn length(&mut self, bytes: u64) {
        self.bytes.extend_from_slice(b"content-length: ");
        json::number(&mut self.bytes, bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Says whether the connection goes on, where that is not understood.
    pub fn connection(&mut self, keep: bool, minor: u8) {
        match (keep, minor) {
            (true, 0) => self.header("connection", b"keep-alive"),
            (true, _) => {}
            (false, _) => self.header("connection", b"close"),
        }
    }

    /// The whole head.
    pub fn end(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(b"\r\n");
        self.bytes
    }
}

/// What a worker's answer needs to know of its call.
#[derive(Debug)]
pub struct About<'a> {
    /// The request id.
    pub request_id: &'a str,
    /// The method is HEAD: no body is written.
    pub is_head: bool,
    /// HTTP/1.0 or 1.1.
    pub minor: u8,
    /// Whether the connection can go on.
    pub keep: bool,
    /// `service/version/instance`.
    pub worker: &'a str,
    /// The lines that name the broker and it: [`broker_and_worker`].
    pub names: &'a str,
    /// The timing parts.
    pub timing: Timing,
    /// The wrapped form was asked for, and this is how often the call was tried.
    pub wrap: Option<u32>,
    /// Where credit is given back to, and the call's id there.
    pub session: (SessionAddr, u64),
}

/// What became of an answer on its way to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// All of it was written, and the connection can go on if it was to.
    Whole {
        /// Bytes of its body.
        bytes: u64,
        /// Whether the connection can go on.
        keep: bool,
    },
    /// The worker cut it short: the connection must end, so that the caller sees it.
    Cut(u64),
    /// The caller left.
    Gone(u64),
}

/// Writes a worker's answer, body and all.
///
/// The head is made before the future is: what it is made from need not stay until the last byte is written.
pub fn send<'a>(
    core: &'a Rc<Core>,
    connection: &'a Connection,
    answer: Box<Answer>,
    about: About<'a>,
) -> impl Future<Output = Sent> + use<'a> {
    let keep = about.keep;
    let (head, body, stream) = match begin_answer(core, answer, &about) {
        Begun::Whole(head, body) => (head.end(), body, None),
        Begun::Stream(head, answer) => {
            let stream = Box::pin(send_stream(core, connection, head, *answer, about));
            (Vec::new(), Attachment::empty(), Some(stream))
        }
    };
    async move {
        match stream {
            Some(stream) => stream.await,
            None => write(core, connection, head, body, keep).await,
        }
    }
}

/// An answer with the part of its head that is known.
enum Begun {
    /// A whole head, and the body to write behind it.
    Whole(Head, Attachment),
    /// A head without what says how a body ends that still comes.
    Stream(Head, Box<Answer>),
}

fn begin_answer(core: &Rc<Core>, mut answer: Box<Answer>, about: &About<'_>) -> Begun {
    let mut head = begin_without_date(core, answer.status);
    if !answer.has_date {
        head.date(core);
    }
    // RFC 9110 sections 6.4.1 and 15.3.6: these have no content whatever the worker sent with them.
    let bodiless = matches!(answer.status, 204 | 205 | 304);
    if let Some(attempts) = about.wrap
        && answer.is_plain_json
        && !answer.more
        && !bodiless
        && let Ok(body) = wrap(core, &answer, about, attempts)
    {
        without_content_type(&mut head.bytes, &answer.header_lines);
        head.header("content-type", b"application/vnd.hera+json");
        head.header("vary", b"accept");
        return whole(core, head, body.into(), about);
    }
    head.bytes.extend_from_slice(&answer.header_lines);
    if answer.status == 205 {
        // The one of them whose end is not known by its status (RFC 9112 section 6.3).
        head.length(0);
    }
    if answer.more && !bodiless && !about.is_head {
        return Begun::Stream(head, answer);
    }
    if answer.more {
        let (session, id) = about.session;
        core.post(Mail::Session(session, ToSession::Cancel(id)));
    } else if !(bodiless || about.is_head && answer.body.is_empty()) {
        return whole(core, head, std::mem::take(&mut answer.body), about);
    }
    // The length is that of the GET, which the worker alone knows; 0 would be a claim.
    if let Some(length) = answer.content_length.filter(|_| !bodiless) {
        head.length(length);
    }
    head.meta(core, about.request_id, Some(about.names), &about.timing);
    head.connection(about.keep, about.minor);
    Begun::Whole(head, Attachment::empty())
}

/// A head with the length of its body, which is all there.
fn whole(core: &Core, mut head: Head, body: Attachment, about: &About<'_>) -> Begun {
    head.meta(core, about.request_id, Some(about.names), &about.timing);
    head.length(body.len() as u64);
    head.connection(about.keep, about.minor);
    Begun::Whole(head, if about.is_head { Attachment::empty() } else { body })
}

/// Writes a head and a body that is all there.
async fn write(
    core: &Core,
    connection: &Connection,
    mut head: Vec<u8>,
    body: Attachment,
    keep: bool,
) -> Sent {
    let bytes = body.len() as u64;
    let written = if body.len() <= COPIED_BYTES_MAX {
        body.pieces().iter().for_each(|piece| head.extend_from_slice(piece));
        connection.write_all(&head, &[]).await
    } else {
        connection.write_all(&head, body.pieces()).await
    };
    core.spare.give_head(head);
    match written {
        Ok(()) => Sent::Whole { bytes, keep },
        Err(_) => Sent::Gone(0),
    }
}

/// How the end of a streamed body is shown to the caller.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StreamFraming {
    Length(u64),
    Chunked,
    /// HTTP/1.0 knows no chunks: the end of the connection ends the body.
    Close,
}

async fn send_stream(
    core: &Rc<Core>,
    connection: &Connection,
    mut head: Head,
    answer: Answer,
    about: About<'_>,
) -> Sent {
    let framing = match (answer.content_length, about.minor) {
        (Some(length), _) => StreamFraming::Length(length),
        (None, 0) => StreamFraming::Close,
        (None, _) => StreamFraming::Chunked,
    };
    let keep = about.keep && framing != StreamFraming::Close;
    head.meta(core, about.request_id, Some(about.names), &about.timing);
    match framing {
        StreamFraming::Length(length) => head.length(length),
        StreamFraming::Chunked => head.header("transfer-encoding", b"chunked"),
        StreamFraming::Close => {}
    }
    head.connection(keep, about.minor);

    let (session, id) = about.session;
    let cancel = || core.post(Mail::Session(session, ToSession::Cancel(id)));
    let mut sent = 0u64;
    // What came with the head needed no credit, so none is given back for it (P-39).
    let mut owed = 0u64;
    let mut in_chunk = false;
    let mut prefix = head.end();
    let mut pieces: Vec<Bytes> = answer.body.into_pieces().collect();
    loop {
        let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if let StreamFraming::Length(length) = framing
            && sent + bytes > length
        {
            // More than it announced: what is over would be read as the next answer.
            cancel();
            tracing::warn!(worker = about.worker, "a worker sent more than its content-length");
            return Sent::Cut(sent);
        }
        if framing == StreamFraming::Chunked && bytes > 0 {
            prefix.extend_from_slice(format!("{bytes:x}\r\n").as_bytes());
            pieces.push(Bytes::from_static(b"\r\n"));
        }
        if connection.write_all(&prefix, &pieces).await.is_err() {
            cancel();
            return Sent::Gone(sent);
        }
        sent += bytes;
        owed += if in_chunk { bytes } else { 0 };
        in_chunk = true;
        prefix = Vec::new();
        if owed >= CREDIT_STEP {
            core.post(Mail::Session(session, ToSession::Credit(id, owed as u32)));
            owed = 0;
        }
        match next_event(&connection.exchange, connection).await {
            Ok(Event::Chunk(chunk)) => pieces = chunk.into_pieces().collect(),
            Ok(Event::End) => break,
            Ok(_) => return Sent::Cut(sent),
            Err(_) => {
                cancel();
                return Sent::Gone(sent);
            }
        }
    }
    match framing {
        StreamFraming::Length(length) if sent < length => Sent::Cut(sent),
        StreamFraming::Chunked if connection.write_all(b"0\r\n\r\n", &[]).await.is_err() => Sent::Gone(sent),
        _ => Sent::Whole { bytes: sent, keep },
    }
}

/// The next event of a streamed answer, or that the caller left.
async fn next_event(exchange: &Exchange, connection: &Connection) -> Result<Event, Fault> {
    poll_fn(|cx| {
        if let std::task::Poll::Ready(event) = exchange.poll_event(cx) {
            return std::task::Poll::Ready(Ok(event));
        }
        connection.poll_gone(cx).map(|()| Err(Fault::Gone))
    })
    .await
}

/// `{"data": …, "meta": {…}}`. A body that is not JSON, whatever its type says, is left as it is.
fn wrap(core: &Core, answer: &Answer, about: &About<'_>, attempts: u32) -> Result<Bytes, ()> {
    #[derive(serde::Serialize)]
    struct Wrapped<'a> {
        data: &'a serde_json::value::RawValue,
        meta: Meta<'a>,
    }
    #[derive(serde::Serialize)]
    struct Meta<'a> {
        request_id: &'a str,
        broker: &'a str,
        worker: &'a str,
        took_ms: Took,
        attempts: u32,
    }
    #[derive(serde::Serialize)]
    struct Took {
        auth: f64,
        queue: f64,
        worker: f64,
        bus: f64,
    }
    let body = answer.body.to_bytes();
    let data = serde_json::from_slice(&body).map_err(|_| ())?;
    let took_ms = Took {
        auth: millis(about.timing.auth),
        queue: millis(about.timing.queue),
        worker: millis(about.timing.worker),
        bus: millis(about.timing.bus()),
    };
    let meta = Meta {
        request_id: about.request_id,
        broker: &core.shared.id,
        worker: about.worker,
        took_ms,
        attempts,
    };
    serde_json::to_vec(&Wrapped { data, meta }).map(Bytes::from).map_err(|_| ())
}

/// Adds header lines but `content-type`, and but validators of the bytes that are about to change.
fn without_content_type(out: &mut Vec<u8>, lines: &[u8]) {
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        let changes =
            [&b"content-type"[..], b"etag", b"content-md5", b"digest", b"content-digest", b"repr-digest"];
        if !changes.iter().any(|changed| name.eq_ignore_ascii_case(changed)) {
            out.extend_from_slice(line);
        }
    }
}

/// The reason phrase of a status; of one that is not registered, that of its class.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        other => match other / 100 {
            2 => "Success",
            3 => "Redirection",
            4 => "Client Error",
            _ => "Server Error",
        },
    }
}
