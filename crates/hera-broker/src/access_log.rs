//! One JSON line for each call, written off its path.
//!
//! A core gathers lines in a buffer of its own and hands the buffer over, whole, to one thread that writes. Between them is a bounded queue: a reader that is
//! too slow, or a disk that is full, costs lines, which are counted, and never a call.

use crate::call::{Call, Who};
use crate::config::AccessLog;
use crate::core::Core;
use crate::http::connection::Connection;
use crate::http::response::Sent;
use crate::moment::Moment;
use crate::rescue::Refusal;
use hera_protocol::{Code, json};
use std::cell::{Cell, RefCell};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc;
use std::time::Duration;

/// A buffer is handed over when it has this many bytes, and at each tick of its core.
pub const HAND_OVER: usize = 32 * 1024;
/// Buffers that wait for the writer: 8 MiB.
pub const BUFFERS_MAX: usize = 256;
/// What a line shows at most of a text that a caller chose.
const SHOWN_BYTES_MAX: usize = 256;
/// Room for the line that makes a buffer full.
const LINE_BYTES: usize = 2 * 1024;

/// One core's part of the log.
#[derive(Debug)]
pub struct LogBuffer {
    lines: RefCell<Vec<u8>>,
    count: Cell<u64>,
    stamp: RefCell<Stamp>,
    writer: Option<mpsc::SyncSender<Vec<u8>>>,
}

impl LogBuffer {
    /// A buffer in front of `writer`; without one, nothing is even formatted.
    pub fn new(writer: Option<mpsc::SyncSender<Vec<u8>>>) -> LogBuffer {
        LogBuffer { lines: RefCell::default(), count: Cell::new(0), stamp: RefCell::default(), writer }
    }

    /// Adds a line: `write` adds members behind the time and the request id.
    fn push(&self, core: &Core, at: Moment, request_id: &str, write: impl FnOnce(&mut Line<'_>)) {
        if self.writer.is_none() {
            return;
        }
        let mut lines = self.lines.borrow_mut();
        if lines.capacity() == 0 {
            // All that a buffer will hold, at once: growing it would copy it a dozen times.
            lines.reserve(HAND_OVER + LINE_BYTES);
        }
        lines.extend_from_slice(b"{\"time\":\"");
        self.stamp.borrow_mut().write(&mut lines, core.wall.ms_at(at));
        let mut line = Line(&mut lines);
        line.plain("\",\"request_id\":", request_id);
        write(&mut line);
        lines.extend_from_slice(b"}\n");
        self.count.set(self.count.get() + 1);
        let full = lines.len() >= HAND_OVER;
        drop(lines);
        if full {
            self.hand_over(core);
        }
    }

    /// Gives what was gathered to the writer.
    pub fn hand_over(&self, core: &Core) {
        let Some(writer) = &self.writer else { return };
        if self.count.get() == 0 {
            return;
        }
        let lines = std::mem::take(&mut *self.lines.borrow_mut());
        let count = self.count.replace(0);
        if writer.try_send(lines).is_err() {
            core.counters().log_lines_dropped.add(count);
        }
    }
}

/// The way to the writer, and its thread.
pub type Writer = (mpsc::SyncSender<Vec<u8>>, std::thread::JoinHandle<()>);

/// Starts the writer; `None` when no log is wanted. It ends when every core's buffer is gone.
pub fn start(log: &AccessLog) -> io::Result<Option<Writer>> {
    let mut out: Box<dyn Write + Send> = match log {
        AccessLog::Off => return Ok(None),
        AccessLog::Stderr => Box::new(io::stderr()),
        AccessLog::File(path) => {
            Box::new(OpenOptions::new().append(true).create(true).mode(0o600).open(path)?)
        }
    };
    let (sender, receiver) = mpsc::sync_channel::<Vec<u8>>(BUFFERS_MAX);
    let thread = std::thread::Builder::new().name("access-log".into()).spawn(move || {
        for lines in receiver {
            // A full disk loses lines and nothing else.
            let _ = out.write_all(&lines);
        }
    })?;
    Ok(Some((sender, thread)))
}

/// How a call ended.
#[derive(Clone, Copy, Debug)]
pub struct Done {
    /// The status that was sent; 499 when the caller left first.
    pub status: u16,
    /// The broker's own error, if it was one.
    pub code: Option<Code>,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// The answer was cut short.
    pub cut: bool,
}

impl Done {
    /// The caller left before an answer.
    pub fn gone() -> Done {
        Done { status: 0, code: None, bytes: 0, cut: true }
    }

    /// A worker's answer was sent.
    pub fn answered(status: u16, sent: &Sent) -> Done {
        match *sent {
            Sent::Whole { bytes, .. } => Done { status, code: None, bytes, cut: false },
            Sent::Cut(bytes) | Sent::Gone(bytes) => Done { status, code: None, bytes, cut: true },
        }
    }

    /// An error of the broker's was sent.
    pub fn refused(refusal: &Refusal, bytes: usize) -> Done {
        Done { status: refusal.status(), code: Some(refusal.code), bytes: bytes as u64, cut: false }
    }
}

/// The time of a line. Its date and its second are spelled once a second.
#[derive(Debug, Default)]
struct Stamp {
    second: u64,
    text: Vec<u8>,
}

impl Stamp {
    /// Writes what [`crate::clock::rfc3339`] writes.
    fn write(&mut self, out: &mut Vec<u8>, unix_ms: u64) {
        if self.second != unix_ms / 1000 || self.text.is_empty() {
            self.second = unix_ms / 1000;
            self.text.clear();
            crate::clock::rfc3339(&mut self.text, unix_ms);
        }
        let digit = |of: u64| b'0' + (unix_ms / of % 10) as u8;
        out.extend_from_slice(&self.text[..self.text.len() - 4]);
        out.extend_from_slice(&[digit(100), digit(10), digit(1), b'Z']);
    }
}

/// A line in the making. Each method writes one member; its name comes with comma, quotes and colon.
struct Line<'a>(&'a mut Vec<u8>);

impl Line<'_> {
    /// What [`member`] made.
    fn ready(&mut self, member: &str) {
        self.0.extend_from_slice(member.as_bytes());
    }

    /// A text of ours that needs no escape.
    fn plain(&mut self, member: &str, text: &str) {
        self.0.extend_from_slice(member.as_bytes());
        json::plain(self.0, text);
    }

    fn text(&mut self, member: &str, text: &str) {
        self.0.extend_from_slice(member.as_bytes());
        json::string(self.0, text);
    }

    /// A text that may hold any character. A terminal obeys more of them than those that JSON escapes: CSI is one character of Unicode too.
    fn ascii(&mut self, member: &str, text: &str) {
        if text.is_ascii() {
            return self.text(member, text);
        }
        let mut quoted = Vec::new();
        json::string(&mut quoted, text);
        self.0.extend_from_slice(member.as_bytes());
        for character in String::from_utf8_lossy(&quoted).chars() {
            if character.is_ascii() {
                self.0.push(character as u8);
                continue;
            }
            for unit in character.encode_utf16(&mut [0; 2]) {
                self.0.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
            }
        }
    }

    /// A text of ours that needs no escape, or `null`.
    fn optional(&mut self, member: &str, text: Option<&str>) {
        match text {
            Some(text) => self.plain(member, text),
            None => {
                self.0.extend_from_slice(member.as_bytes());
                self.0.extend_from_slice(b"null");
            }
        }
    }

    fn optional_ascii(&mut self, member: &str, text: Option<&str>) {
        match text {
            Some(text) => self.ascii(member, text),
            None => self.optional(member, None),
        }
    }

    fn number(&mut self, member: &str, number: u64) {
        self.0.extend_from_slice(member.as_bytes());
        json::number(self.0, number);
    }

    fn millis(&mut self, member: &str, time: Duration) {
        self.0.extend_from_slice(member.as_bytes());
        json::millis(self.0, time);
    }
}

/// A member with a text that is the same in many lines, written once.
pub fn member(name: &str, text: &str) -> String {
    let mut out = format!(",\"{name}\":").into_bytes();
    json::string(&mut out, text);
    String::from_utf8(out).unwrap_or_default()
}

/// Notes a call that is over, since `at`.
pub fn write(call: &Call, done: &Done, at: Moment) {
    call.core.log.push(&call.core, at, &call.request_id, |line| {
        match &call.who {
            Who::Unknown => line.ready(",\"token\":null"),
            Who::Token(caller) => line.ready(&caller.for_log),
            Who::Service(service) => {
                line.plain(",\"service\":", &service.name);
                // As the service says: any text.
                line.optional_ascii(",\"token\":", service.caller.token.as_deref().map(shown));
            }
        }
        line.plain(",\"ip\":", &call.caller_ip);
        line.plain(",\"method\":", shown(call.incoming.method()));
        let path = if call.path().is_empty() { call.incoming.raw_path() } else { call.path() };
        line.ascii(",\"path\":", shown(path));
        line.ready(call.route.as_ref().map_or(",\"route\":null", |route| &route.for_log));
        line.number(",\"status\":", if done.status == 0 { 499 } else { u64::from(done.status) });
        if let Some(code) = done.code {
            line.plain(",\"code\":", code.as_str());
        }
        line.ready(call.worker.as_ref().map_or(",\"worker\":null", |worker| &worker.for_log));
        line.number(",\"attempts\":", u64::from(call.attempts));
        line.number(",\"bytes\":", done.bytes);
        if done.cut {
            line.0.extend_from_slice(b",\"cut\":true");
        }
        line.millis(",\"auth_ms\":", call.timing.auth);
        line.millis(",\"queue_ms\":", call.timing.queue);
        line.millis(",\"worker_ms\":", call.timing.worker);
        line.millis(",\"total_ms\":", call.timing.total);
    });
}

/// Notes a head that never became a call. Nothing of it is shown: it may hold anything.
pub fn refused_head(core: &Core, connection: &Connection, request_id: &str, refusal: &Refusal) {
    core.counters().refused(refusal.code);
    core.log.push(core, Moment::now(), request_id, |line| {
        line.plain(",\"ip\":", &connection.ip);
        line.number(",\"status\":", u64::from(refusal.status()));
        line.plain(",\"code\":", refusal.code.as_str());
    });
}

/// The beginning of a text that a caller chose, up to where a token begins: some put one into the path.
fn shown(text: &str) -> &str {
    let mut end = text.len().min(SHOWN_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let text = &text[..end];
    // By the underscore, which few paths have.
    memchr::memchr_iter(b'_', text.as_bytes())
        .find(|at| text[..*at].ends_with("hera") && is_secret(&text[at + 1..]))
        .map_or(text, |at| &text[..=at])
}

/// Whether the id of a token stands here, behind which its secret comes.
fn is_secret(text: &str) -> bool {
    text.len() >= 16 && text.bytes().take(16).all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamp_is_the_time_whatever_was_stamped_before() {
        let mut stamp = Stamp::default();
        for unix_ms in [0, 7, 999, 1_000, 951_826_149_042, 951_826_149_999, 951_826_148_000] {
            let (mut stamped, mut told) = (Vec::new(), Vec::new());
            stamp.write(&mut stamped, unix_ms);
            crate::clock::rfc3339(&mut told, unix_ms);
            assert_eq!(stamped, told);
        }
    }

    #[test]
    fn texts_are_shown_up_to_a_limit_and_to_a_token() {
        assert_eq!(shown("/a/hera_/b"), "/a/hera_/b");
        assert_eq!(shown("/hera_client/hera_0123456789abcdef0123/rest"), "/hera_client/hera_");
        assert_eq!(shown(&"a".repeat(300)).len(), SHOWN_BYTES_MAX);
        assert_eq!(shown(&"\u{e9}".repeat(300)).len(), SHOWN_BYTES_MAX);
    }
}
