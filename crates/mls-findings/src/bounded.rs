//! A table of limited size, which forgets the oldest entries.

use std::hash::Hash;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::observation::Seconds;

/// A table of at most `limit` entries. If a new entry does not fit, the table drops the older half
/// of the entries, by the time when they were last seen.
#[derive(Clone)]
pub(crate) struct Bounded<K, V> {
    /// The time when each entry was last seen, and its value.
    entries: HashMap<K, (Seconds, V), RandomState>,
    limit: usize,
}

impl<K: Copy + Ord + Hash, V> Bounded<K, V> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { entries: HashMap::default(), limit }
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.entries.get(&key).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.entries.get_mut(&key).map(|(_, value)| value)
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.entries.values_mut().map(|(_, value)| value)
    }

    /// Returns the value of `key`, which was seen at `at`. If the table has no entry for `key`,
    /// adds the value of `new`. Also returns the values that were dropped to make room.
    pub(crate) fn entry(
        &mut self,
        key: K,
        at: Seconds,
        new: impl FnOnce() -> V,
    ) -> (&mut V, Vec<V>) {
        let mut dropped = Vec::new();
        if self.entries.len() >= self.limit && !self.entries.contains_key(&key) {
            // Equal times are ordered by key, so the same data always gives the same table.
            let mut ages: Vec<(Seconds, K)> =
                self.entries.iter().map(|(key, (last, _))| (*last, *key)).collect();
            let middle = ages.len() / 2;
            let (_, median, _) = ages.select_nth_unstable(middle);
            let median = *median;
            dropped = self
                .entries
                .extract_if(|key, (last, _)| (*last, *key) < median)
                .map(|(_, (_, value))| value)
                .collect();
        }
        let (last, value) = self.entries.entry(key).or_insert_with(|| (at, new()));
        *last = (*last).max(at);
        (value, dropped)
    }
}
