//! The limits of the worker wire; `spec/limits.md` is the same table for people, and a test keeps the two equal.

use serde::{Deserialize, Serialize};

/// Largest head of a frame, in bytes.
pub const HEAD_BYTES_MAX: usize = 256 * 1024;
/// Largest attachment of a frame, in bytes.
pub const ATTACHMENT_BYTES_MAX: usize = 256 * 1024;
/// Largest head before the handshake is done: a stranger gets little of our memory.
pub const HANDSHAKE_HEAD_BYTES_MAX: usize = 4096;
/// Largest attachment before the handshake is done: a proof and nothing more.
pub const HANDSHAKE_ATTACHMENT_BYTES_MAX: usize = 64;
/// Milliseconds from accept to the end of the handshake.
pub const HANDSHAKE_MS_MAX: u64 = 5_000;
/// Connections without a finished handshake that a broker holds.
pub const HANDSHAKES_MAX: usize = 256;
/// Calls in flight on one session.
pub const IN_FLIGHT_MAX: u32 = 1024;
/// Endpoints in one declaration.
pub const ENDPOINTS_MAX: usize = 1000;
/// Bytes of one endpoint's text.
pub const ENDPOINT_BYTES_MAX: usize = 1024;
/// Segments of one pattern.
pub const SEGMENTS_MAX: usize = 64;
/// Longest timeout that an endpoint may declare or a caller may ask for, in milliseconds.
pub const TIMEOUT_MS_MAX: u64 = 300_000;
/// Timeout of an endpoint that declares none, in milliseconds.
pub const TIMEOUT_MS_DEFAULT: u64 = 15_000;
/// Largest body that an endpoint may declare.
pub const BODY_BYTES_MAX: u64 = 1 << 40;
/// Largest body of an endpoint that declares none.
pub const BODY_BYTES_DEFAULT: u64 = 1 << 20;
/// Headers in one answer.
pub const REPLY_HEADERS_MAX: usize = 100;
/// Bytes of all headers in one answer.
pub const REPLY_HEADER_BYTES_MAX: usize = 65_536;
/// Credit that a receiver keeps open for one body.
pub const STREAM_WINDOW_BYTES: u64 = 256 * 1024;
/// Heads that are no message after which a connection is cut.
pub const BAD_HEADS_MAX: u32 = 3;
/// Responses to ids never issued, within 10 s, after which a connection is cut.
pub const UNKNOWN_REPLIES_MAX: u32 = 100;
/// Names in the chain of a remote call (P-53).
pub const CALL_DEPTH_MAX: usize = 32;
/// Headers of a remote call.
pub const CALL_HEADERS_MAX: usize = 100;
/// Bytes of the names and values of a remote call's headers.
pub const CALL_HEADER_BYTES_MAX: usize = 16 * 1024;
/// Bytes of what a remote call says of its original caller, as JSON.
pub const CALL_CALLER_BYTES_MAX: usize = 4096;
/// Depth of JSON where it is read.
pub const JSON_DEPTH_MAX: usize = 64;
/// Milliseconds without a frame after which a broker ends a session.
pub const SILENCE_MS_MAX: u64 = 60_000;
/// Milliseconds without an answer to `status` after which a worker is busy.
pub const PONG_MS_MAX: u64 = 4_500;
/// Milliseconds between two `status` requests.
pub const STATUS_EVERY_MS: u64 = 2_000;
/// Milliseconds without a frame after which a worker closes and dials again.
pub const CLIENT_SILENCE_MS_MAX: u64 = 8_000;

/// What a peer accepts, as it says in its hello (P-14); the smaller of both sides holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Largest head, in bytes.
    pub head_bytes_max: usize,
    /// Largest attachment, in bytes.
    pub attachment_bytes_max: usize,
    /// Calls in flight at once.
    pub in_flight_max: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head_bytes_max: HEAD_BYTES_MAX,
            attachment_bytes_max: ATTACHMENT_BYTES_MAX,
            in_flight_max: IN_FLIGHT_MAX,
        }
    }
}

impl Limits {
    /// The smaller of both sides, member by member, and never over the protocol's own.
    pub fn intersect(self, other: Limits) -> Limits {
        Limits {
            head_bytes_max: self.head_bytes_max.min(other.head_bytes_max).min(HEAD_BYTES_MAX),
            attachment_bytes_max: self
                .attachment_bytes_max
                .min(other.attachment_bytes_max)
                .min(ATTACHMENT_BYTES_MAX),
            in_flight_max: self.in_flight_max.min(other.in_flight_max).min(65_535),
        }
    }

    /// Whether anything can be said under these limits: a hello that asks for less is refused.
    pub fn are_usable(&self) -> bool {
        self.head_bytes_max >= HANDSHAKE_HEAD_BYTES_MAX
            && self.attachment_bytes_max >= 1024
            && self.in_flight_max >= 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_equal_the_specification() {
        let text = std::fs::read_to_string("../../spec/limits.md").unwrap();
        let wire = text.split("## At the edge").next().unwrap();
        let written: Vec<(String, u64)> = wire
            .lines()
            .filter(|line| line.starts_with("| ") && !line.starts_with("| limit"))
            .map(|line| {
                let cells: Vec<&str> = line.split('|').map(str::trim).collect();
                (cells[1].to_owned(), cells[2].parse().unwrap())
            })
            .collect();
        let coded = [
            ("head_bytes_max", HEAD_BYTES_MAX as u64),
            ("attachment_bytes_max", ATTACHMENT_BYTES_MAX as u64),
            ("handshake_head_bytes_max", HANDSHAKE_HEAD_BYTES_MAX as u64),
            ("handshake_attachment_bytes_max", HANDSHAKE_ATTACHMENT_BYTES_MAX as u64),
            ("handshake_ms_max", HANDSHAKE_MS_MAX),
            ("handshakes_max", HANDSHAKES_MAX as u64),
            ("in_flight_max", u64::from(IN_FLIGHT_MAX)),
            ("endpoints_max", ENDPOINTS_MAX as u64),
            ("endpoint_bytes_max", ENDPOINT_BYTES_MAX as u64),
            ("segments_max", SEGMENTS_MAX as u64),
            ("timeout_ms_max", TIMEOUT_MS_MAX),
            ("reply_headers_max", REPLY_HEADERS_MAX as u64),
            ("reply_header_bytes_max", REPLY_HEADER_BYTES_MAX as u64),
            ("stream_window_bytes", STREAM_WINDOW_BYTES),
            ("bad_heads_max", u64::from(BAD_HEADS_MAX)),
            ("unknown_replies_max", u64::from(UNKNOWN_REPLIES_MAX)),
            ("call_depth_max", CALL_DEPTH_MAX as u64),
            ("call_headers_max", CALL_HEADERS_MAX as u64),
            ("call_header_bytes_max", CALL_HEADER_BYTES_MAX as u64),
            ("call_caller_bytes_max", CALL_CALLER_BYTES_MAX as u64),
            ("json_depth_max", JSON_DEPTH_MAX as u64),
            ("silence_ms_max", SILENCE_MS_MAX),
            ("pong_ms_max", PONG_MS_MAX),
        ];
        assert_eq!(written, coded.map(|(name, value)| (name.to_owned(), value)).to_vec());
    }
}
