//! Ids of requests (P-7).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The largest id: 2^53 - 1, so that every language's number holds it.
pub const ID_MAX: u64 = (1 << 53) - 1;

/// Gives the ids of one direction of one connection: 1, 2, 3, … and never one twice.
///
/// Clones share the count, so a broker's cores can number calls on one connection without asking its owner. At a million calls a
/// second the ids of a connection last 285 years; running out gives `None`, and the connection has to end.
#[derive(Clone, Debug)]
pub struct CallIds(Arc<AtomicU64>);

impl CallIds {
    /// Ids from `first` on.
    pub fn starting_at(first: u64) -> CallIds {
        CallIds(Arc::new(AtomicU64::new(first)))
    }

    /// The next id.
    pub fn issue(&self) -> Option<u64> {
        let id = self.0.fetch_add(1, Ordering::Relaxed);
        (id <= ID_MAX).then_some(id)
    }

    /// Whether `id` was given out before.
    pub fn was_issued(&self, id: u64) -> bool {
        id > 0 && id < self.0.load(Ordering::Relaxed)
    }
}

/// An id as it stands on the wire, before it is known whether we issued it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireId {
    /// An integer in the exact form that P-7 asks for.
    Number(u64),
    /// `null`: the answer to something that had no readable id.
    Null,
    /// A string, a fraction, an exponent, a sign, a number too large: JSON-RPC may allow it, we never sent it.
    Foreign,
}

impl WireId {
    /// Reads the raw JSON text of an `id` member.
    pub fn parse(raw: &str) -> WireId {
        let bytes = raw.as_bytes();
        match bytes {
            b"null" => WireId::Null,
            [b'1'..=b'9', rest @ ..] if rest.len() < 16 && rest.iter().all(u8::is_ascii_digit) => {
                match raw.parse::<u64>() {
                    Ok(id) if id <= ID_MAX => WireId::Number(id),
                    _ => WireId::Foreign,
                }
            }
            _ => WireId::Foreign,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_integer_is_a_number() {
        assert_eq!(WireId::parse("1"), WireId::Number(1));
        assert_eq!(WireId::parse("9007199254740991"), WireId::Number(ID_MAX));
        for raw in ["0", "-0", "-1", "1.0", "1e0", "01", "\"1\"", "9007199254740992", "1.5", "{}", "true"] {
            assert_eq!(WireId::parse(raw), WireId::Foreign, "{raw}");
        }
        assert_eq!(WireId::parse("null"), WireId::Null);
    }

    #[test]
    fn ids_end_instead_of_wrapping() {
        let ids = CallIds::starting_at(ID_MAX);
        assert_eq!(ids.issue(), Some(ID_MAX));
        assert_eq!(ids.issue(), None);
    }
}
