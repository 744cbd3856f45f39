//! A table of limited size, which forgets the oldest entries.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::observation::Seconds;

/// A value that knows when it was last seen.
pub(crate) trait LastSeen {
    fn last_seen(&self) -> Seconds;
}

/// A table of at most `limit` entries. When it is full, it drops the half that was not seen for the longest
/// time.
#[derive(Clone)]
pub(crate) struct Bounded<K, V> {
    entries: HashMap<K, V, RandomState>,
    limit: usize,
}

impl<K: Copy + Ord + Hash, V: LastSeen> Bounded<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashMap::default(), limit }
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.entries.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.entries.get_mut(&key)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut()
    }

    /// Returns the entry of `key`, and the entries that were dropped to make room for it.
    pub(crate) fn entry(&mut self, key: K, new: impl FnOnce() -> V) -> (&mut V, Vec<V>) {
        let mut dropped = Vec::new();
        if self.entries.len() >= self.limit && !self.entries.contains_key(&key) {
            // The key decides between equal times, so that the same data always leaves the same entries.
            let mut ages: Vec<(Seconds, K)> =
                self.entries.iter().map(|(key, value)| (value.last_seen(), *key)).collect();
            let middle = ages.len() / 2;
            let (_, median, _) = ages.select_nth_unstable(middle);
            let median = *median;
            dropped = self
                .entries
                .extract_if(|key, value| (value.last_seen(), *key) < median)
                .map(|(_, value)| value)
                .collect();
        }
        (self.entries.entry(key).or_insert_with(new), dropped)
    }
}
