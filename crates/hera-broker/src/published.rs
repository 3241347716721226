//! A value that one thread replaces and every core reads, without a lock on the reading side.
//!
//! The routing table and the tokens change rarely and are read by each call. A reader compares a generation number (one relaxed load of a
//! line that all cores share unchanged) and takes the mutex only after a change.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The value, and how often it was replaced.
#[derive(Debug)]
pub struct Published<T> {
    generation: AtomicU64,
    value: Mutex<Arc<T>>,
}

impl<T> Published<T> {
    /// The first value.
    pub fn new(value: T) -> Published<T> {
        Published { generation: AtomicU64::new(1), value: Mutex::new(Arc::new(value)) }
    }

    /// Replaces the value; every reader sees it at its next read.
    pub fn set(&self, value: T) {
        let value = Arc::new(value);
        // Held for one pointer swap. A poisoned lock still holds a whole Arc, so going on is safe.
        let mut slot = self.value.lock().unwrap_or_else(PoisonError::into_inner);
        *slot = value;
        // Release: who sees the new number finds the new value behind the mutex.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The value, for threads that read seldom.
    pub fn load(&self) -> Arc<T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// One core's copy of the pointer.
#[derive(Debug)]
#[allow(
    clippy::redundant_allocation,
    reason = "the Rc is what is counted, on this core alone; the Arc's count is shared"
)]
pub struct Reader<T> {
    generation: Cell<u64>,
    // `Rc` around the `Arc`: handing it out counts on this core alone and touches no shared line.
    value: RefCell<Rc<Arc<T>>>,
}

impl<T> Reader<T> {
    /// A reader of `published`.
    pub fn new(published: &Published<T>) -> Reader<T> {
        Reader { generation: Cell::new(0), value: RefCell::new(Rc::new(published.load())) }
    }

    /// The newest value.
    pub fn get(&self, published: &Published<T>) -> Rc<Arc<T>> {
        let generation = published.generation.load(Ordering::Acquire);
        if generation != self.generation.get() {
            *self.value.borrow_mut() = Rc::new(published.load());
            self.generation.set(generation);
        }
        self.value.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reader_sees_the_newest_value() {
        let published = Published::new(1);
        let reader = Reader::new(&published);
        assert_eq!(**reader.get(&published), 1);
        published.set(2);
        assert_eq!(**reader.get(&published), 2);
    }
}
