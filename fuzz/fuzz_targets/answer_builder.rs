//! A worker's reply on its way to the caller: whatever the worker says, the caller reads one answer whose framing and metadata are the broker's.
//!
//! The reply goes through the broker's own code, from its JSON to the bytes on a connection over loopback.

#![no_main]

use hera_broker::access::Access;
use hera_broker::access_log::LogBuffer;
use hera_broker::config::{Config, Flag};
use hera_broker::core::{Core, Shared};
use hera_broker::drain::Phase;
use hera_broker::http::connection::Connection;
use hera_broker::http::response::{self, About, Sent, Timing};
use hera_broker::io::Stream;
use hera_broker::mail::{Event, SessionAddr};
use hera_broker::metrics::BrokerCounters;
use hera_broker::moment::Moment;
use hera_broker::published::Published;
use hera_broker::registry_link::RegistryLink;
use hera_broker::worker::handshakes::Handshakes;
use hera_broker::worker::roster::{Roster, RoutingTable};
use hera_broker::worker::session;
use hera_protocol::Attachment;
use hera_protocol::message::reply;
use hera_protocol::proof::Signer;
use hera_registry::{Registry, Standalone};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use serde_json::value::RawValue;
use std::io::Read;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

/// Follows every answer on the connection, so that its end is known; no answer has it, as this byte ends fields of the input.
const BEHIND: &[u8] = b"\xFF<behind>\xFF";

/// What an input says, apart from the reply.
struct Asked {
    method: &'static str,
    minor: u8,
    keep: bool,
    wrap: Option<u32>,
    /// Further parts of a streamed body.
    chunks: Vec<Vec<u8>>,
    /// Whether the worker ends a streamed body as it should.
    ends: bool,
}

struct Stage {
    runtime: LocalRuntime,
    core: Rc<Core>,
    connection: Rc<Connection>,
    caller: std::net::TcpStream,
}

thread_local! {
    static STAGE: Stage = Stage::new();
}

// Flags, status (two bytes), then fields that end in 0xFF: chunks of the body if it streams, the body, and a name and a value for each
// header. With the highest flag it is the reply's JSON that follows, as it stands on the wire.
fuzz_target!(|data: &[u8]| {
    let [flags, high, low, rest @ ..] = data else { return };
    let is = |bit: u8| flags & (1 << bit) != 0;
    let mut fields = rest.split(|byte| *byte == 0xFF);
    let more = is(4);
    let mut field = || fields.next().unwrap_or_default().to_vec();
    let chunks = if more && !is(7) { vec![field(), field()] } else { Vec::new() };
    let asked = Asked {
        method: if is(0) { "HEAD" } else { "GET" },
        minor: u8::from(!is(1)),
        keep: is(2),
        wrap: is(3).then_some(1),
        chunks,
        ends: is(5),
    };
    let (json, body) = if is(7) {
        (rest.to_vec(), b"{}".to_vec())
    } else {
        let body = field();
        let texts: Vec<String> = fields.map(|text| String::from_utf8_lossy(text).into_owned()).collect();
        let (headers, _) = texts.as_chunks::<2>();
        let status = u16::from_be_bytes([*high, *low]) % 700;
        (serde_json::to_vec(&json!({"status": status, "headers": headers, "more": more})).unwrap(), body)
    };
    let Ok(raw) = serde_json::from_slice::<&RawValue>(&json) else { return };
    STAGE.with(|stage| stage.check(raw, body, &asked));
});

impl Stage {
    fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().display().to_string();
        let flags = vec![Flag { key: "broker.data_dir", value: path, name: "--data-dir" }];
        let config = Config::load(None, [], flags).unwrap();
        let standalone = Standalone::open(dir.path(), None).unwrap();
        let snapshot = standalone.load_snapshot().unwrap();
        let (registry, _) =
            RegistryLink::new(standalone.clone(), Registry::Standalone(standalone), snapshot.stamp.clone());
        let now = Moment::now();
        let shared = Arc::new(Shared {
            id: "b-1".to_owned(),
            identity: Signer::from_seed(&[7; 32]),
            access: Published::new(Access::build(snapshot, &Access::default())),
            registry,
            table: Published::new(RoutingTable::empty()),
            roster: Roster::new(Default::default(), 1, now),
            handshakes: Handshakes::default(),
            phase: Phase::default(),
            calls_in_flight: AtomicUsize::new(0),
            body_bytes: AtomicUsize::new(0),
            http_connections: AtomicUsize::new(0),
            worker_connections: AtomicUsize::new(0),
            counters: vec![BrokerCounters::default()],
            start: now,
            inboxes: Vec::new(),
            tls: None,
            config,
        });
        let core = Core::new(0, shared, LogBuffer::new(None), 1);
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let caller = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        accepted.set_nodelay(true).unwrap();
        let stream = runtime.block_on(async { tokio::net::TcpStream::from_std(accepted).unwrap() });
        let connection = Connection::new(&core, Stream::Tcp(stream), peer.ip());
        Stage { runtime, core, connection, caller }
    }

    fn check(&self, raw: &RawValue, body: Vec<u8>, asked: &Asked) {
        let Ok(reply) = reply::read(raw) else { return };
        if reply.holds(body.len()).is_err() {
            return;
        }
        let status = reply.status;
        let given = workers_own(raw);
        let (more, announced) = (reply.more, reply.content_length);
        let answer = session::encode(reply, Attachment::from(bytes::Bytes::from(body.clone())));
        let wraps = asked.wrap.is_some() && answer.is_plain_json && !more;
        let sent = self.send(answer, asked);
        let bytes = self.received();

        let mut headers = [httparse::EMPTY_HEADER; 128];
        let mut parsed = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(end)) = parsed.parse(&bytes) else {
            panic!("no head: {:?}", String::from_utf8_lossy(&bytes))
        };
        let (head, behind) = bytes.split_at(end);
        for (at, byte) in head.iter().enumerate() {
            assert!(*byte != 0 && *byte != 0x7F);
            assert_eq!(*byte == b'\n', at > 0 && head[at - 1] == b'\r', "a bare CR or LF: {head:?}");
        }
        assert!(head.starts_with(format!("HTTP/1.1 {status} ").as_bytes()));
        assert_eq!(parsed.code, Some(status));

        let all = |name: &str| -> Vec<&[u8]> {
            parsed.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value).collect()
        };
        assert_eq!(all("x-request-id"), [b"r-1"]);
        assert_eq!(all("hera-broker"), [b"b-1"]);
        assert_eq!(all("hera-worker"), [b"s/1/i"]);
        assert_eq!(all("server-timing").len(), 1);
        let lengths = all("content-length");
        let codings = all("transfer-encoding");
        assert!(lengths.len() + codings.len() <= 1);
        assert!(codings.is_empty() || (codings == [b"chunked"] && asked.minor == 1));
        let connection = all("connection");
        match (&sent, asked.minor) {
            (Sent::Whole { keep: true, .. }, 1) => assert!(connection.is_empty()),
            (Sent::Whole { keep: true, .. }, _) => assert_eq!(connection, [b"keep-alive"]),
            (Sent::Whole { .. }, _) => assert_eq!(connection, [b"close"]),
            // Whatever it said, the connection ends by a reset.
            _ => assert!(connection.len() <= 1),
        }
        self.only_what_a_worker_may_say(parsed.headers, given, wraps);
        framed(behind, asked, &sent, &Framed { status, more, announced, wraps, lengths, codings }, &body);
    }

    /// Apart from the broker's own, the headers are those that the worker gave, in order.
    fn only_what_a_worker_may_say(
        &self,
        headers: &[httparse::Header<'_>],
        given: Vec<(String, Vec<u8>)>,
        wraps: bool,
    ) {
        let brokers = [
            "x-request-id",
            "hera-broker",
            "hera-worker",
            "server-timing",
            "content-length",
            "transfer-encoding",
            "connection",
        ];
        let gave_date = given.iter().any(|(name, _)| name.eq_ignore_ascii_case("date"));
        let workers: Vec<(String, Vec<u8>)> = headers
            .iter()
            .filter(|header| !brokers.iter().any(|own| header.name.eq_ignore_ascii_case(own)))
            .filter(|header| gave_date || !header.name.eq_ignore_ascii_case("date"))
            .map(|header| (header.name.to_owned(), trimmed(header.value)))
            .collect();
        let given: Vec<(String, Vec<u8>)> =
            given.into_iter().map(|(name, value)| (name, trimmed(&value))).collect();
        if wraps && workers != given {
            // Its type and what was said of the old bytes are replaced; nothing may be added but that.
            for header in &workers {
                let own = [("content-type", &b"application/vnd.hera+json"[..]), ("vary", b"accept")];
                assert!(given.contains(header) || own.contains(&(&*header.0, &header.1)), "{header:?}");
            }
        } else {
            assert_eq!(workers, given);
        }
    }

    fn send(&self, answer: hera_broker::mail::Answer, asked: &Asked) -> Sent {
        let attempt = self.connection.exchange.begin();
        let to = self.core.call_addr(self.connection.exchange.key, attempt);
        if answer.more {
            for chunk in &asked.chunks {
                let chunk = Attachment::from(bytes::Bytes::copy_from_slice(chunk));
                self.connection.exchange.deliver(to, Event::Chunk(chunk));
            }
            let last = if asked.ends { Event::End } else { Event::Reset };
            self.connection.exchange.deliver(to, last);
        }
        let names = response::broker_and_worker(&self.core.shared.id, "s/1/i");
        let about = About {
            request_id: "r-1",
            is_head: asked.method == "HEAD",
            minor: asked.minor,
            keep: asked.keep,
            worker: "s/1/i",
            names: &names,
            timing: Timing::default(),
            wrap: asked.wrap,
            // Nobody is there: what is posted to it is dropped.
            session: (SessionAddr { core: 0, key: self.connection.exchange.key }, 1),
        };
        self.runtime.block_on(async {
            let sent = response::send(&self.core, &self.connection, Box::new(answer), about).await;
            self.connection.write_all(BEHIND, &[]).await.unwrap();
            sent
        })
    }

    /// All that the caller gets.
    fn received(&self) -> Vec<u8> {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 16 * 1024]);
        loop {
            let read = (&self.caller).read(&mut buffer).unwrap();
            assert!(read > 0);
            bytes.extend_from_slice(&buffer[..read]);
            if let Some(answer) = bytes.strip_suffix(BEHIND) {
                return answer.to_vec();
            }
        }
    }
}

struct Framed<'a> {
    status: u16,
    more: bool,
    announced: Option<u64>,
    wraps: bool,
    lengths: Vec<&'a [u8]>,
    codings: Vec<&'a [u8]>,
}

/// The bytes behind the head are exactly the body that the head frames, or fewer where the answer was cut.
fn framed(behind: &[u8], asked: &Asked, sent: &Sent, head: &Framed<'_>, body: &[u8]) {
    let whole = matches!(sent, Sent::Whole { .. });
    assert!(!matches!(sent, Sent::Gone(_)));
    if asked.method == "HEAD" || matches!(head.status, 204 | 205 | 304) {
        assert!(behind.is_empty() && head.codings.is_empty());
        return;
    }
    let length =
        head.lengths.first().map(|text| std::str::from_utf8(text).unwrap().parse::<usize>().unwrap());
    if !head.more {
        assert!(whole && length == Some(behind.len()));
        assert!(head.wraps || behind == body);
        return;
    }
    let streamed = [body, &asked.chunks.concat()].concat();
    if !head.codings.is_empty() {
        let (read, ended) = unchunked(behind);
        assert_eq!((ended, ended), (whole, asked.ends));
        assert_eq!(read, streamed);
    } else if let Some(length) = length {
        assert_eq!(head.announced, Some(length as u64));
        assert!(behind.len() <= length && streamed.starts_with(behind));
        assert_eq!(whole, asked.ends && streamed.len() == length);
        assert!(!whole || behind == streamed);
    } else {
        // HTTP/1.0: the end of the connection is the end of the body.
        assert!(behind == streamed && whole == asked.ends);
    }
}

/// The bytes of well-formed chunks, and whether the last one was there.
fn unchunked(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while !bytes.is_empty() {
        let line = bytes.windows(2).position(|two| two == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
        let (chunk, rest) = bytes[line + 2..].split_at(size);
        bytes = rest.strip_prefix(b"\r\n").unwrap();
        if size == 0 {
            assert!(bytes.is_empty());
            return (body, true);
        }
        body.extend_from_slice(chunk);
    }
    (body, false)
}

fn trimmed(value: &[u8]) -> Vec<u8> {
    value.trim_ascii().to_vec()
}

/// The headers of a reply that passed every rule, read once more by another reader, without those that are the broker's to set.
fn workers_own(raw: &RawValue) -> Vec<(String, Vec<u8>)> {
    let reply: serde_json::Value = serde_json::from_str(raw.get()).expect("it was read before");
    let text = |value: &serde_json::Value| value.as_str().expect("a header is two texts").to_owned();
    let pairs =
        reply["headers"].as_array().into_iter().flatten().map(|pair| (text(&pair[0]), text(&pair[1])));
    let is_brokers = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["proxy-", "hera-"].iter().any(|prefix| name.starts_with(prefix))
            || matches!(
                &*name,
                "connection"
                    | "keep-alive"
                    | "te"
                    | "trailer"
                    | "transfer-encoding"
                    | "upgrade"
                    | "x-request-id"
                    | "server-timing"
                    | "content-length"
            )
    };
    pairs
        .filter(|(name, _)| !is_brokers(name))
        .map(|(name, value)| (name, value.chars().map(|c| c as u32 as u8).collect()))
        .collect()
}
