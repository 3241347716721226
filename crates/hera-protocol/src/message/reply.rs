//! The answer to a call (P-33, P-34). What a worker says is judged here before any of it can reach a caller.

use super::load::Load;
use super::quick::Rest;
use super::{HeadWriter, Text};
use crate::id::ID_MAX;
use crate::json;
use crate::limits::{REPLY_HEADER_BYTES_MAX, REPLY_HEADERS_MAX};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// An answer as a worker writes it.
#[derive(Debug, Serialize)]
pub struct ReplyOut<'a> {
    /// 200 to 599.
    pub status: u16,
    /// In order; values as Latin-1 code points.
    pub headers: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// Chunks follow.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
    /// Fresher than the last poll.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
}

/// Writes the head of an answer, as [`super::write_result`] would.
pub fn write(out: HeadWriter<'_>, id: u64, reply: &ReplyOut<'_>) -> serde_json::Result<()> {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    json::number(out, id);
    out.extend_from_slice(b",\"result\":{\"status\":");
    json::number(out, reply.status.into());
    out.extend_from_slice(b",\"headers\":");
    let mut before: &[u8] = b"[[";
    for (name, value) in reply.headers {
        out.extend_from_slice(before);
        before = b",[";
        json::string(out, name);
        out.push(b',');
        json::string(out, value);
        out.push(b']');
    }
    out.extend_from_slice(if reply.headers.is_empty() { b"[]" } else { b"]" });
    if reply.more {
        out.extend_from_slice(b",\"more\":true");
    }
    if let Some(load) = &reply.load {
        out.extend_from_slice(b",\"load\":");
        serde_json::to_writer(&mut *out, load)?;
    }
    out.extend_from_slice(b"}}");
    Ok(())
}

/// An answer that passed every rule of P-34.
#[derive(Debug, PartialEq)]
pub struct Reply {
    /// 200 to 599, never 425.
    pub status: u16,
    /// `name: value\r\n` for each header that is the worker's to set, in order, as HTTP/1.1 writes it.
    pub header_lines: Vec<u8>,
    /// What it said of its body's length; it holds only for a body with `more`.
    pub content_length: Option<u64>,
    /// Whether it set `date` itself.
    pub has_date: bool,
    /// Whether its body is JSON without a content coding.
    pub is_plain_json: bool,
    /// Chunks follow.
    pub more: bool,
    /// Fresher than the last poll.
    pub load: Option<Load>,
}

/// Why an answer is `bad_reply`; texts are for the log and the worker's developer, never for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadReply {
    /// Not the members of P-33.
    #[error("result is not {{status, headers}}")]
    Shape,
    /// Outside 200 to 599, or 425.
    #[error("status {0} is not one that a worker may answer")]
    Status(u64),
    /// Not an RFC 9110 token.
    #[error("header name is not a token")]
    HeaderName,
    /// CR, LF, NUL, another control byte, or over U+00FF.
    #[error("header value has a control byte or a code point over U+00FF")]
    HeaderValue,
    /// More than 100.
    #[error("more than {REPLY_HEADERS_MAX} headers")]
    TooManyHeaders,
    /// More than 65,536 bytes.
    #[error("headers of more than {REPLY_HEADER_BYTES_MAX} bytes")]
    HeaderBytes,
    /// Twice, or no number.
    #[error("content-length is not one number")]
    ContentLength,
    /// The attachment alone is more than `content-length`.
    #[error("attachment is longer than content-length")]
    Overrun,
}

impl Reply {
    /// Holds the attachment, which begins a body with `more`, to the length of the whole: as long as nothing was sent on, the caller can be told.
    pub fn holds(&self, attachment: usize) -> Result<(), BadReply> {
        let bodiless = matches!(self.status, 204 | 205 | 304);
        match self.content_length {
            Some(length) if self.more && !bodiless && (attachment as u64) > length => Err(BadReply::Overrun),
            _ => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct ReplyIn<'a> {
    status: u64,
    #[serde(borrow)]
    headers: Vec<(Text<'a>, Text<'a>)>,
    #[serde(default)]
    more: bool,
    #[serde(borrow, default)]
    load: Option<&'a RawValue>,
}

/// Reads the result of a call.
pub fn read(raw: &RawValue) -> Result<Reply, BadReply> {
    let given: ReplyIn<'_> = super::fit(Some(raw)).ok_or(BadReply::Shape)?;
    let status = u16::try_from(given.status).map_err(|_| BadReply::Status(given.status))?;
    if !is_status(status) {
        return Err(BadReply::Status(given.status));
    }
    let mut headers = Headers::with_capacity(raw.get().len());
    for (Text(name), Text(value)) in given.headers {
        if !is_field_value(&value) {
            return Err(BadReply::HeaderValue);
        }
        if value.is_ascii() {
            headers.add(name.as_bytes(), value.as_bytes())?;
        } else {
            headers.add(name.as_bytes(), &value.chars().map(|c| c as u8).collect::<Vec<_>>())?;
        }
    }
    let load = given.load.and_then(|raw| super::fit(Some(raw)));
    Ok(headers.into_reply(status, given.more, load))
}

/// Reads an answer, id and all, in the form in which nearly all of them are written: these members in this order, without white
/// space, escapes, or bytes that are not ASCII.
///
/// `None` judges nothing: the frame then goes to [`super::read`] and [`read`], which alone decide what is an answer. One pass, one
/// allocation; it costs an eighth of the general way, and a property test holds the two together.
pub fn quick(head: &[u8]) -> Option<(u64, Reply)> {
    let mut rest = Rest(head);
    rest.literal(b"{\"jsonrpc\":\"2.0\",\"id\":")?;
    let id = rest.number().filter(|id| *id <= ID_MAX)?;
    rest.literal(b",\"result\":{\"status\":")?;
    let status = rest.number().and_then(|status| u16::try_from(status).ok()).filter(|s| is_status(*s))?;
    rest.literal(b",\"headers\":[")?;
    let mut headers = Headers::with_capacity(head.len());
    if rest.literal(b"]").is_none() {
        loop {
            rest.literal(b"[")?;
            let name = rest.text(is_printable)?;
            rest.literal(b",")?;
            let value = rest.text(is_printable)?;
            rest.literal(b"]")?;
            headers.add(name, value).ok()?;
            if rest.literal(b",").is_none() {
                rest.literal(b"]")?;
                break;
            }
        }
    }
    let more = rest.literal(b",\"more\":true").is_some();
    rest.literal(b"}}")?;
    rest.0.is_empty().then(|| (id, headers.into_reply(status, more, None)))
}

/// The headers of an answer, judged one by one.
struct Headers {
    lines: Vec<u8>,
    count: usize,
    bytes: usize,
    content_length: Option<u64>,
    has_date: bool,
    is_json: bool,
    is_coded: bool,
}

impl Headers {
    fn with_capacity(bytes: usize) -> Headers {
        Headers {
            lines: Vec::with_capacity(bytes.min(REPLY_HEADER_BYTES_MAX)),
            count: 0,
            bytes: 0,
            content_length: None,
            has_date: false,
            is_json: false,
            is_coded: false,
        }
    }

    /// Takes one, or leaves it out where it is the broker's to set; `value` is a field value already, in Latin-1.
    fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadReply> {
        self.count += 1;
        if self.count > REPLY_HEADERS_MAX {
            return Err(BadReply::TooManyHeaders);
        }
        self.bytes += name.len() + value.len();
        if self.bytes > REPLY_HEADER_BYTES_MAX {
            return Err(BadReply::HeaderBytes);
        }
        if name.is_empty() || !name.iter().all(|byte| is_token_byte(*byte)) {
            return Err(BadReply::HeaderName);
        }
        match owner(name) {
            Owner::Broker => return Ok(()),
            Owner::ContentLength => {
                let length = plain_number(value).filter(|_| self.content_length.is_none());
                self.content_length = Some(length.ok_or(BadReply::ContentLength)?);
                return Ok(());
            }
            Owner::Worker => {}
        }
        match name.len() {
            4 => self.has_date |= name.eq_ignore_ascii_case(b"date"),
            12 => self.is_json |= name.eq_ignore_ascii_case(b"content-type") && is_json_type(value),
            16 => self.is_coded |= name.eq_ignore_ascii_case(b"content-encoding"),
            _ => {}
        }
        self.lines.extend_from_slice(name);
        self.lines.extend_from_slice(b": ");
        self.lines.extend_from_slice(value);
        self.lines.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn into_reply(self, status: u16, more: bool, load: Option<Load>) -> Reply {
        Reply {
            status,
            header_lines: self.lines,
            content_length: self.content_length,
            has_date: self.has_date,
            is_plain_json: self.is_json && !self.is_coded,
            more,
            load,
        }
    }
}

fn is_printable(byte: u8) -> bool {
    (0x20..0x7f).contains(&byte)
}

fn is_status(status: u16) -> bool {
    (200..=599).contains(&status) && status != 425
}

fn is_json_type(value: &[u8]) -> bool {
    let essence = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let suffix = essence.len().saturating_sub(5);
    essence.eq_ignore_ascii_case(b"application/json")
        || (suffix > 0 && essence[suffix..].eq_ignore_ascii_case(b"+json"))
}

enum Owner {
    Worker,
    Broker,
    ContentLength,
}

/// Who may set a header of an answer.
fn owner(name: &[u8]) -> Owner {
    let is = |other: &[u8]| name.eq_ignore_ascii_case(other);
    let begins =
        |prefix: &[u8]| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    match name.first().map(u8::to_ascii_lowercase) {
        Some(b'c') if is(b"content-length") => Owner::ContentLength,
        Some(b'c') if is(b"connection") => Owner::Broker,
        Some(b'k') if is(b"keep-alive") => Owner::Broker,
        Some(b'p') if begins(b"proxy-") => Owner::Broker,
        Some(b't') if is(b"te") || is(b"trailer") || is(b"transfer-encoding") => Owner::Broker,
        Some(b'u') if is(b"upgrade") => Owner::Broker,
        Some(b'h') if begins(b"hera-") => Owner::Broker,
        Some(b'x') if is(b"x-request-id") => Owner::Broker,
        Some(b's') if is(b"server-timing") => Owner::Broker,
        _ => Owner::Worker,
    }
}

/// A byte of an RFC 9110 token.
pub fn is_token_byte(byte: u8) -> bool {
    /// One look for each byte of a name, where the rule itself takes a dozen comparisons.
    const TOKEN: [bool; 256] = {
        let marks = b"!#$%&'*+-.^_`|~";
        let mut token = [false; 256];
        let mut byte = 0;
        while byte < 128 {
            token[byte] = (byte as u8).is_ascii_alphanumeric();
            byte += 1;
        }
        let mut at = 0;
        while at < marks.len() {
            token[marks[at] as usize] = true;
            at += 1;
        }
        token
    };
    TOKEN[usize::from(byte)]
}

/// No control byte but tab, and only code points that fit a byte.
pub fn is_field_value(value: &str) -> bool {
    if value.is_ascii() {
        return value.bytes().all(|byte| (0x20..0x7f).contains(&byte) || byte == b'\t');
    }
    value
        .chars()
        .all(|c| c == '\t' || (0x20..0x7f).contains(&(c as u32)) || (0x80..=0xff).contains(&(c as u32)))
}

/// Decimal digits alone, without sign or space.
fn plain_number(text: &[u8]) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WireId;
    use crate::message::{Message, Outcome};
    use proptest::prelude::*;

    /// Status, and the headers as text.
    fn judge(json: &str) -> Result<(u16, String), BadReply> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        let latin1 = |bytes: Vec<u8>| bytes.into_iter().map(char::from).collect();
        read(raw).map(|reply| (reply.status, latin1(reply.header_lines)))
    }

    #[test]
    fn headers_of_the_broker_are_removed_whatever_their_case() {
        let json = r#"{"status":200,"headers":[["Connection","x"],["TRANSFER-ENCODING","chunked"],["hera-worker","me"],
            ["X-Request-Id","1"],["Proxy-Status","x"],["content-length","5"],["x-kept","ä"],["set-cookie","a=1"],["set-cookie","b=2"]]}"#;
        let (_, headers) = judge(json).unwrap();
        assert_eq!(headers, "x-kept: \u{e4}\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n");
    }

    #[test]
    fn nothing_that_could_split_an_answer_passes() {
        let with = |header: &str| judge(&format!(r#"{{"status":200,"headers":[{header}]}}"#)).unwrap_err();
        assert_eq!(with(r#"["x","a\r\nset-cookie: y"]"#), BadReply::HeaderValue);
        assert_eq!(with(r#"["x","a\u0000"]"#), BadReply::HeaderValue);
        assert_eq!(with(r#"["x","\u0100"]"#), BadReply::HeaderValue);
        assert_eq!(with(r#"["x y","a"]"#), BadReply::HeaderName);
        assert_eq!(with(r#"["x:","a"]"#), BadReply::HeaderName);
        assert_eq!(with(r#"["","a"]"#), BadReply::HeaderName);
        assert_eq!(with(r#"["content-length","+5"]"#), BadReply::ContentLength);
        assert_eq!(with(r#"["content-length","5"],["content-length","5"]"#), BadReply::ContentLength);
        assert_eq!(with(r#"["x"]"#), BadReply::Shape);
    }

    #[test]
    fn status_is_final_and_known_to_http() {
        for status in ["99", "100", "101", "199", "600", "1000", "425", "99999999"] {
            let refused = judge(&format!(r#"{{"status":{status},"headers":[]}}"#));
            assert!(matches!(refused, Err(BadReply::Status(_))), "{status}");
        }
        for status in ["-1", "2e2", "\"200\"", "null", "200.5"] {
            assert_eq!(
                judge(&format!(r#"{{"status":{status},"headers":[]}}"#)),
                Err(BadReply::Shape),
                "{status}"
            );
        }
    }

    #[test]
    fn headers_are_limited_in_bytes() {
        let of = |bytes: usize| {
            judge(&format!(r#"{{"status":200,"headers":[["x","{}"]]}}"#, "a".repeat(bytes - 1)))
        };
        assert!(of(65_536).is_ok());
        assert_eq!(of(65_537), Err(BadReply::HeaderBytes));
    }

    /// What the general readers make of a head: an id and an answer, or nothing.
    fn general(head: &str) -> Option<(u64, Reply)> {
        match super::super::read(head.as_bytes()) {
            Ok(Message::Response { id: WireId::Number(id), outcome: Outcome::Result(raw) }) => {
                Some((id, read(raw).ok()?))
            }
            _ => None,
        }
    }

    #[test]
    fn ordinary_answers_go_the_quick_way() {
        let head = r#"{"jsonrpc":"2.0","id":9007199254740991,"result":{"status":201,"headers":[["content-type","application/vnd.x+json"],["Date","now"]]}}"#;
        let quickly = quick(head.as_bytes());
        assert_eq!(quickly, general(head));
        let (_, reply) = quickly.unwrap();
        assert!(reply.is_plain_json && reply.has_date && !reply.more);
        for head in [
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":204,"headers":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":200,"headers":[["a",""]],"more":true}}"#,
        ] {
            assert_eq!(quick(head.as_bytes()), general(head));
            assert!(quick(head.as_bytes()).is_some(), "{head}");
        }
    }

    #[test]
    fn what_is_not_ordinary_is_left_to_the_general_way() {
        for head in [
            "",
            "{}",
            r#"{"jsonrpc":"2.0","id":0,"result":{"status":200,"headers":[]}}"#,
            r#"{"jsonrpc":"2.0","id":01,"result":{"status":200,"headers":[]}}"#,
            r#"{"jsonrpc":"2.0","id":9007199254740992,"result":{"status":200,"headers":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":425,"headers":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":20,"headers":[]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":200,"headers":[["a\"b","c"]]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":200,"headers":[["a","c\n"]]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":200,"headers":[["a b","c"]]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":200,"headers":[["a","c"],]}}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":200,"headers":[["a","c"]]}} "#,
            r#"{"jsonrpc":"2.0","id":1,"result":{"status":200,"headers":[["a","\u00e4"]]}}"#,
        ] {
            assert_eq!(quick(head.as_bytes()), None, "{head}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_by_hand_is_what_serde_writes(
            id in 1..=ID_MAX,
            status in any::<u16>(),
            headers in prop::collection::vec((any::<String>(), any::<String>()), 0..4),
            more in any::<bool>(),
            load in prop::option::of(0.0..1.0_f64),
        ) {
            let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let load = load.map(|cpu| Load { cpu: Some(cpu), ..Load::default() });
            let reply = ReplyOut { status, headers: &headers, more, load };
            let (mut by_hand, mut by_serde) = (Vec::new(), Vec::new());
            write(&mut by_hand, id, &reply).unwrap();
            super::super::write_result(&mut by_serde, id, &reply).unwrap();
            prop_assert_eq!(by_hand, by_serde);
        }

        /// Ordinary heads with a few bytes changed: where the quick way gives an answer, the general one gives the same.
        #[test]
        fn quick_way_never_differs_from_the_general_one(
            id in 1..=ID_MAX,
            status in 150..700_u16,
            headers in prop::collection::vec(("[a-zA-Z-]{1,16}|content-length|date|content-type|hera-x", "[ -~]{0,24}|[0-9]{1,4}|application/json"), 0..4),
            more in any::<bool>(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (Cow::from(name), Cow::from(value))).collect();
            let mut head = Vec::new();
            super::super::write_result(&mut head, id, &ReplyOut { status, headers: &headers, more, load: None }).unwrap();
            for (at, byte) in changes {
                let at = at.index(head.len());
                head[at] = byte;
            }
            if let Some(quickly) = quick(&head) {
                prop_assert_eq!(Some(quickly), std::str::from_utf8(&head).ok().and_then(general));
            }
        }
    }
}
