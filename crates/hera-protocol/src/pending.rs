//! The requests in flight on one connection, by id.

use crate::id::CallIds;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What an answer's id leads to (P-11).
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<W> {
    /// Who waits for it.
    Waiter(W),
    /// The id was issued and is done with: answered, cancelled or timed out. Counted, harmless.
    Late,
    /// The id was never issued: counted, and too many cut the connection.
    Unknown,
}

/// Who waits for which id. The owner of the connection holds it; ids come from [`CallIds`], which may be shared.
#[derive(Debug)]
pub struct Pending<W> {
    ids: CallIds,
    waiting: HashMap<u64, W, BuildHasherDefault<IdHasher>>,
}

impl<W> Pending<W> {
    /// Nobody waits yet; `ids` numbers the requests.
    pub fn new(ids: CallIds) -> Pending<W> {
        Pending { ids, waiting: HashMap::default() }
    }

    /// Notes that `waiter` waits for the answer to `id`.
    pub fn insert(&mut self, id: u64, waiter: W) {
        self.waiting.insert(id, waiter);
    }

    /// Gives the waiter of `id` back, once.
    pub fn take(&mut self, id: u64) -> Taken<W> {
        match self.waiting.remove(&id) {
            Some(waiter) => Taken::Waiter(waiter),
            None if self.ids.was_issued(id) => Taken::Late,
            None => Taken::Unknown,
        }
    }

    /// The waiter of `id`, which goes on waiting.
    pub fn get_mut(&mut self, id: u64) -> Option<&mut W> {
        self.waiting.get_mut(&id)
    }

    /// Takes everyone: the connection is lost, and every call of it must be told at once (D2).
    pub fn take_all(&mut self) -> Vec<(u64, W)> {
        let mut all: Vec<(u64, W)> = self.waiting.drain().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Ids are ascending numbers, our own or of a broker that proved what it is, so a multiplication spreads them well enough.
#[derive(Debug, Default)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_answer_is_late_and_a_foreign_id_unknown() {
        let ids = CallIds::starting_at(1);
        let mut pending = Pending::new(ids.clone());
        let id = ids.issue().unwrap();
        pending.insert(id, "caller");

        assert_eq!(pending.take(id), Taken::Waiter("caller"));
        assert_eq!(pending.take(id), Taken::Late);
        assert_eq!(pending.take(99), Taken::Unknown);
        assert_eq!(pending.take(0), Taken::Unknown);
    }

    #[test]
    fn everyone_is_told_once_when_the_connection_is_lost() {
        let ids = CallIds::starting_at(1);
        let mut pending = Pending::new(ids.clone());
        for _ in 0..3 {
            pending.insert(ids.issue().unwrap(), ());
        }
        assert_eq!(pending.take_all().iter().map(|(id, ())| *id).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(pending.is_empty());
    }
}
