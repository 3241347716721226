//! The answer to a call (P-33, P-34). What a worker says is judged here before any of it can reach a caller.

use super::Text;
use super::load::Load;
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

/// An answer that passed every rule of P-34.
#[derive(Debug)]
pub struct Reply<'a> {
    /// 200 to 599, never 425.
    pub status: u16,
    /// In order, without those that are the broker's to set; every value has one byte per code point.
    pub headers: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// What it said of its body's length; it holds only for a body with `more`.
    pub content_length: Option<u64>,
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

impl Reply<'_> {
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
pub fn read(raw: &RawValue) -> Result<Reply<'_>, BadReply> {
    let given: ReplyIn<'_> = super::fit(Some(raw)).ok_or(BadReply::Shape)?;
    let status = u16::try_from(given.status).map_err(|_| BadReply::Status(given.status))?;
    if !(200..=599).contains(&status) || status == 425 {
        return Err(BadReply::Status(given.status));
    }
    if given.headers.len() > REPLY_HEADERS_MAX {
        return Err(BadReply::TooManyHeaders);
    }

    let mut headers = Vec::with_capacity(given.headers.len());
    let mut content_length = None;
    let mut bytes = 0;
    for (Text(name), Text(value)) in given.headers {
        bytes += name.len() + value.len();
        if bytes > REPLY_HEADER_BYTES_MAX {
            return Err(BadReply::HeaderBytes);
        }
        if name.is_empty() || !name.bytes().all(is_token_byte) {
            return Err(BadReply::HeaderName);
        }
        if !is_field_value(&value) {
            return Err(BadReply::HeaderValue);
        }
        match owner(&name) {
            Owner::Worker => headers.push((name, value)),
            Owner::Broker => {}
            Owner::ContentLength => {
                let length = plain_number(&value).filter(|_| content_length.is_none());
                content_length = Some(length.ok_or(BadReply::ContentLength)?);
            }
        }
    }
    let load = given.load.and_then(|raw| super::fit(Some(raw)));
    Ok(Reply { status, headers, content_length, more: given.more, load })
}

enum Owner {
    Worker,
    Broker,
    ContentLength,
}

/// Who may set a header of an answer.
fn owner(name: &str) -> Owner {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let begins =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    match name.as_bytes().first().map(u8::to_ascii_lowercase) {
        Some(b'c') if is("content-length") => Owner::ContentLength,
        Some(b'c') if is("connection") => Owner::Broker,
        Some(b'k') if is("keep-alive") => Owner::Broker,
        Some(b'p') if begins("proxy-") => Owner::Broker,
        Some(b't') if is("te") || is("trailer") || is("transfer-encoding") => Owner::Broker,
        Some(b'u') if is("upgrade") => Owner::Broker,
        Some(b'h') if begins("hera-") => Owner::Broker,
        Some(b'x') if is("x-request-id") => Owner::Broker,
        Some(b's') if is("server-timing") => Owner::Broker,
        _ => Owner::Worker,
    }
}

/// A byte of an RFC 9110 token.
pub fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
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
fn plain_number(text: &str) -> Option<u64> {
    let digits = (1..=19).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(json: &str) -> Result<(u16, Vec<(String, String)>), BadReply> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        read(raw).map(|reply| {
            let headers = reply.headers.into_iter().map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
            (reply.status, headers)
        })
    }

    #[test]
    fn headers_of_the_broker_are_removed_whatever_their_case() {
        let json = r#"{"status":200,"headers":[["Connection","x"],["TRANSFER-ENCODING","chunked"],["hera-worker","me"],
            ["X-Request-Id","1"],["Proxy-Status","x"],["content-length","5"],["x-kept","ä"],["set-cookie","a=1"],["set-cookie","b=2"]]}"#;
        let (_, headers) = judge(json).unwrap();
        let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["x-kept", "set-cookie", "set-cookie"]);
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

    #[test]
    fn texts_without_escapes_are_borrowed() {
        let raw: &RawValue = serde_json::from_str(r#"{"status":200,"headers":[["a","b"]]}"#).unwrap();
        let reply = read(raw).unwrap();
        assert!(matches!(reply.headers[0], (Cow::Borrowed(_), Cow::Borrowed(_))));
    }
}
