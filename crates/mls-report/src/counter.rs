//! How often each key occurred, in bounded memory.

use crate::table::Table;

/// What is kept for a key: a count, and perhaps more.
pub(crate) trait Count: Default {
    fn count(&self) -> u64;

    /// Takes so much off, down to nothing.
    fn lower(&mut self, by: u64);
}

impl Count for u64 {
    fn count(&self) -> u64 {
        *self
    }

    fn lower(&mut self, by: u64) {
        *self = self.saturating_sub(by);
    }
}

/// Counts by key. Exact while the keys fit; beyond that, a count is at least what it says and at most [`Counter::short`]
/// more (Misra and Gries, "Finding repeated elements", 1982): keys that occurred least make room for new ones.
#[derive(Debug)]
pub(crate) struct Counter<V = u64> {
    values: Table<V>,
    short: u64,
    overflowed: bool,
}

impl Counter {
    /// Counts `key` `n` times more.
    pub(crate) fn add(&mut self, key: &str, n: u64) {
        self.update(key, true, |count| *count += n);
    }
}

impl<V: Count> Counter<V> {
    /// Holds at most `max_keys` keys of `max_bytes` in all, which is to be many times the length of one.
    pub(crate) fn new(max_keys: usize, max_bytes: usize) -> Self {
        Self { values: Table::new(max_keys, max_bytes), short: 0, overflowed: false }
    }

    /// Changes what is kept for `key`. A new one is only kept, where there is no room, if it `matters`.
    pub(crate) fn update(&mut self, key: &str, matters: bool, change: impl Fn(&mut V)) {
        let hash = self.values.hash(key);
        if let Some(value) = self.values.get_mut(hash, key) {
            return change(value);
        }
        let new = || {
            let mut value = V::default();
            change(&mut value);
            value
        };
        if !self.values.insert(hash, key, new()) {
            self.overflowed = true;
            if matters {
                self.make_room();
                self.values.insert(hash, key, new());
            }
        }
    }

    /// Takes the median count off every key and drops those with nothing left: at least half of them, so that the work is
    /// constant for each key that was added.
    fn make_room(&mut self) {
        let mut counts: Vec<u64> = self.values.iter().map(|(_, value)| value.count()).collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        self.short += median;
        self.values.retain(|value| {
            value.lower(median);
            value.count() > 0
        });
    }

    /// Whether all counts are.
    pub(crate) fn is_exact(&self) -> bool {
        self.short == 0
    }

    /// By how much a count may be too low.
    pub(crate) fn short(&self) -> u64 {
        self.short
    }

    /// Whether keys were dropped, or not taken.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// All keys that were counted, in no order, with all that is kept for them.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &V)> {
        self.values.iter().filter(|(_, value)| value.count() > 0)
    }

    /// All keys and their counts, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.values().map(|(key, value)| (key, value.count()))
    }
}

/// The `n` items of the highest count, ties broken by name, so that the same data always gives the same report.
pub(crate) fn top<N: Ord, C: Ord>(mut items: Vec<(N, C)>, n: usize) -> Vec<(N, C)> {
    let order = |a: &(N, C), b: &(N, C)| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if n < items.len() {
        items.select_nth_unstable_by(n, order);
        items.truncate(n);
    }
    items.sort_unstable_by(order);
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_ties_by_name() {
        let mut counter: Counter = Counter::new(10, 100);
        for key in ["b", "c", "a", "c", "b", "d"] {
            counter.add(key, 1);
        }
        assert_eq!(top(counter.iter().collect(), 3), [("b", 2), ("c", 2), ("a", 1)]);
        assert_eq!(top(counter.iter().collect(), 9).len(), 4);
        assert!(counter.is_exact());
    }

    #[test]
    fn beyond_the_cap_counts_are_low_by_no_more_than_what_is_said_and_the_frequent_stay() {
        let mut counter: Counter = Counter::new(1000, 1 << 20);
        for i in 0..4000 {
            counter.add(&format!("key {i}"), 1);
            if i % 100 == 0 {
                counter.add("often", 1);
            }
        }
        let (key, count) = top(counter.iter().collect(), 1)[0];
        assert_eq!(key, "often");
        assert!(counter.short() > 0 && counter.short() < 20, "{}", counter.short());
        assert!(
            count <= 40 && count + counter.short() >= 40,
            "{count} and {} for 40",
            counter.short()
        );
        assert!(counter.iter().count() <= 1000);
    }
}
