//! What callers call: call `n` of a seed is always the same.

use crate::call::Method;
use crate::nonce::Nonce;
use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

/// The deadline of a call that names none.
const DEADLINE: Duration = Duration::from_secs(15);
const PAD_MAX: u64 = 512;

/// Where, as whom, what and how much to call.
#[derive(Clone, Debug)]
pub struct Plan {
    /// HAProxy or a broker.
    pub address: SocketAddr,
    /// Sent as `Hera-Token`.
    pub token: String,
    /// Front of all paths of the workers.
    pub prefix: String,
    /// Where the choices come from.
    pub seed: u64,
    /// Keep-alive connections, each with one call at once.
    pub connections: usize,
    /// How fast.
    pub pace: Pace,
    /// So many calls, or until it is stopped.
    pub calls: Option<u64>,
    /// What.
    pub mix: Mix,
    /// Sent as `Hera-Timeout`.
    pub timeout: Option<Duration>,
}

/// How fast calls follow each other.
#[derive(Clone, Copy, Debug)]
pub enum Pace {
    /// Each connection calls again as soon as it was answered.
    Closed,
    /// So many in a second, whether or not the last ones were answered. The time of a call counts from when it was due.
    Open(f64),
}

/// What an endpoint of the workers does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Answers.
    Now,
    /// Answers later.
    Slow(u32),
    /// Answers later, and may be called again with any method.
    Again(u32),
    /// Never answers.
    Hang,
    /// Answers in so many pieces, so many milliseconds apart.
    Stream(u32, u32),
    /// Is answered by a chain of so many remote calls; the innermost is the one that counts as run.
    Deep(u32),
}

/// Shares of methods and kinds.
#[derive(Clone, Debug)]
pub struct Mix(Vec<(u64, Method, Kind)>);

/// One call.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its name.
    pub nonce: Nonce,
    /// How.
    pub method: Method,
    /// Whether it may run again.
    pub idempotent: bool,
    /// Its time.
    pub deadline: Duration,
    /// The request as it stands on the wire.
    pub bytes: Vec<u8>,
}

impl Mix {
    /// Half POST, a few of each other method, most of them quick.
    pub fn usual() -> Mix {
        Mix(vec![
            (38, Method::Post, Kind::Now),
            (10, Method::Post, Kind::Slow(20)),
            (2, Method::Post, Kind::Again(5)),
            (18, Method::Get, Kind::Now),
            (6, Method::Get, Kind::Slow(20)),
            (1, Method::Get, Kind::Stream(3, 5)),
            (10, Method::Put, Kind::Now),
            (10, Method::Delete, Kind::Now),
            (5, Method::Patch, Kind::Now),
        ])
    }

    /// The usual methods, each answered by a chain of so many remote calls.
    pub fn deep(calls: u32) -> Mix {
        let methods = [
            (50, Method::Post),
            (25, Method::Get),
            (10, Method::Put),
            (10, Method::Delete),
            (5, Method::Patch),
        ];
        Mix::of(methods.map(|(share, method)| (share, method, Kind::Deep(calls))))
    }

    /// These methods and kinds, as often as their shares say.
    pub fn of(shares: impl IntoIterator<Item = (u64, Method, Kind)>) -> Mix {
        Mix(shares.into_iter().collect())
    }

    /// All methods alike, of one kind.
    pub fn all(kind: Kind) -> Mix {
        Mix::of(Method::ALL.map(|method| (1, method, kind)))
    }
}

impl Plan {
    /// The usual mix in a closed loop, with a fresh seed.
    pub fn new(address: SocketAddr, token: impl Into<String>, prefix: &str) -> Plan {
        Plan {
            address,
            token: token.into(),
            prefix: prefix.to_owned(),
            seed: RandomState::new().hash_one(0),
            connections: 16,
            pace: Pace::Closed,
            calls: None,
            mix: Mix::usual(),
            timeout: None,
        }
    }

    /// Call `n`.
    pub fn call(&self, n: u64) -> Planned {
        let draw = |what: u64| mix(self.seed ^ mix(n.wrapping_mul(8).wrapping_add(what)));
        let nonce =
            Nonce(u128::from(self.mark()) << 96 | u128::from(draw(0) >> 32) << 64 | u128::from(draw(1)));
        let (method, kind) = self.mix.pick(draw(2));
        let deadline = self.timeout.unwrap_or(DEADLINE);
        let pad = "x".repeat(usize::try_from(draw(3) % PAD_MAX).unwrap_or(0));
        Planned {
            nonce,
            method,
            idempotent: method.is_idempotent() || matches!(kind, Kind::Again(_)),
            deadline,
            bytes: self.request(nonce, method, kind, &pad).into_bytes(),
        }
    }

    /// Whether a call with this nonce may be one of this plan: several swarms can have their runs in one folder.
    pub fn owns(&self, nonce: Nonce) -> bool {
        nonce.0 >> 96 == u128::from(self.mark())
    }

    fn mark(&self) -> u32 {
        // 64 bits of which the upper half is kept.
        u32::try_from(mix(!self.seed) >> 32).unwrap_or(0)
    }

    fn request(&self, nonce: Nonce, method: Method, kind: Kind, pad: &str) -> String {
        let Plan { prefix, token, .. } = self;
        let target = match kind {
            Kind::Now => format!("{prefix}/now/{nonce}"),
            Kind::Slow(ms) => format!("{prefix}/slow/{nonce}?ms={ms}"),
            Kind::Again(ms) => format!("{prefix}/again/{nonce}?ms={ms}"),
            Kind::Hang => format!("{prefix}/hang/{nonce}"),
            Kind::Deep(calls) => format!("{prefix}/deep/{calls}/{nonce}"),
            Kind::Stream(pieces, ms) => format!("{prefix}/stream/{nonce}?pieces={pieces}&ms={ms}"),
        };
        let mut request = format!("{method} {target} HTTP/1.1\r\nHost: ledger\r\nHera-Token: {token}\r\n");
        if let Some(timeout) = self.timeout {
            let _ = write!(request, "Hera-Timeout: {}ms\r\n", timeout.as_millis());
        }
        if method.has_body() {
            let body = format!("{{\"nonce\":\"{nonce}\",\"pad\":\"{pad}\"}}");
            let length = body.len();
            let _ =
                write!(request, "Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}");
        } else {
            request.push_str("\r\n");
        }
        request
    }
}

impl Mix {
    fn pick(&self, draw: u64) -> (Method, Kind) {
        let total: u64 = self.0.iter().map(|(share, ..)| share).sum();
        let mut left = draw % total.max(1);
        for (share, method, kind) in &self.0 {
            if left < *share {
                return (*method, *kind);
            }
            left -= share;
        }
        (Method::Get, Kind::Now)
    }
}

/// Every bit of the input moves every bit of the output. Source: splitmix64, Steele, Lea, Flood 2014.
fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn plan(seed: u64) -> Plan {
        Plan { seed, ..Plan::new(([127, 0, 0, 1], 1).into(), "hera_x", "/0/ledger") }
    }

    #[test]
    fn calls_of_a_seed_are_always_the_same_and_differ_from_each_other() {
        let nonces = |seed| (0..1_000).map(|n| plan(seed).call(n).nonce).collect::<Vec<_>>();

        assert_eq!(nonces(7), nonces(7));
        let all: HashSet<Nonce> = nonces(7).into_iter().chain(nonces(8)).collect();
        assert_eq!(all.len(), 2_000);
        assert!(nonces(7).into_iter().all(|nonce| plan(7).owns(nonce) && !plan(8).owns(nonce)));
    }

    #[test]
    fn usual_mix_is_half_post() {
        let plan = plan(1);
        let posts = (0..10_000).filter(|n| plan.call(*n).method == Method::Post).count();

        assert!((4_800..5_200).contains(&posts), "{posts}");
    }

    #[test]
    fn request_carries_the_nonce_in_path_and_body() {
        let plan = Plan {
            mix: Mix::of([(1, Method::Post, Kind::Slow(7))]),
            timeout: Some(Duration::from_millis(1_500)),
            ..plan(3)
        };
        let call = plan.call(0);
        let text = String::from_utf8(call.bytes.clone()).unwrap();

        assert!(text.starts_with(&format!("POST /0/ledger/slow/{}?ms=7 HTTP/1.1\r\n", call.nonce)), "{text}");
        assert!(text.contains("\r\nHera-Timeout: 1500ms\r\n"), "{text}");
        assert_eq!(Nonce::all_in(&call.bytes).collect::<Vec<_>>(), [call.nonce, call.nonce]);
    }
}
