//! Places with a number and a generation: an address that outlives its place leads nowhere instead of to a stranger.

/// Where a value is, or was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SlotKey {
    index: u32,
    generation: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// Values by [`SlotKey`]; places are used again, keys are not (until 2^32 uses of one place).
#[derive(Debug)]
pub struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Slots<T> {
        Slots { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slots<T> {
    /// Puts `value` into a free place.
    pub fn insert(&mut self, value: T) -> SlotKey {
        let (key, place) = self.place();
        *place = Some(value);
        key
    }

    /// Puts a value that knows its own key into a free place.
    pub fn insert_with(&mut self, make: impl FnOnce(SlotKey) -> T) -> &T {
        let (key, place) = self.place();
        place.insert(make(key))
    }

    fn place(&mut self) -> (SlotKey, &mut Option<T>) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: None });
            self.slots.len() as u32 - 1
        });
        let slot = &mut self.slots[index as usize];
        (SlotKey { index, generation: slot.generation }, &mut slot.value)
    }

    /// The value at `key`, if it is still that one.
    pub fn get(&self, key: SlotKey) -> Option<&T> {
        let slot = self.slots.get(key.index as usize)?;
        slot.value.as_ref().filter(|_| slot.generation == key.generation)
    }

    /// Empties the place.
    pub fn remove(&mut self, key: SlotKey) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let value = slot.value.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        Some(value)
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| slot.value.as_ref())
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_key_leads_nowhere_after_the_place_is_used_again() {
        let mut slots = Slots::default();
        let old = slots.insert("a");
        assert_eq!(slots.remove(old), Some("a"));
        let new = slots.insert("b");

        assert_eq!(slots.get(old), None);
        assert_eq!(slots.remove(old), None);
        assert_eq!(slots.get(new), Some(&"b"));
        assert_eq!(slots.len(), 1);
    }
}
