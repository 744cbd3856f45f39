//! How often each key occurred, in bounded memory.

use crate::table::Table;

/// The value of a key: a count, and perhaps more.
pub(crate) trait Count: Default {
    fn count(&self) -> u64;

    /// Subtracts `by`, down to zero.
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

/// Counts by key. The counts are exact while the keys fit. Beyond that, the true count is at least
/// the count here, and at most [`Counter::short`] more (Misra and Gries, "Finding repeated
/// elements", 1982): rare keys make room for new ones.
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
    /// Holds at most `max_keys` keys of `max_bytes` in all, which must be many times the length of
    /// one key.
    pub(crate) fn new(max_keys: usize, max_bytes: usize) -> Self {
        Self { values: Table::new(max_keys, max_bytes), short: 0, overflowed: false }
    }

    /// Changes the value of `key`. If there is no room for a new key, it is added only if it
    /// `matters`.
    pub(crate) fn update(&mut self, key: &str, matters: bool, mut change: impl FnMut(&mut V)) {
        let hash = self.values.hash(key);
        if let Some(value) = self.values.get_mut(hash, key) {
            return change(value);
        }
        let mut new = || {
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

    /// Subtracts the median count from every key and removes keys whose count is then zero. That is
    /// at least half of them, so the work for each added key is constant.
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

    /// The value of a key that was counted.
    pub(crate) fn get(&self, key: &str) -> Option<&V> {
        self.values.get(key)
    }

    /// Whether all counts are exact.
    pub(crate) fn is_exact(&self) -> bool {
        self.short == 0
    }

    /// By how much a count may be too low.
    pub(crate) fn short(&self) -> u64 {
        self.short
    }

    /// Whether keys were removed, or not added.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.overflowed
    }

    /// All counted keys and their values, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, &V)> {
        self.values.iter().filter(|(_, value)| value.count() > 0)
    }

    /// All keys and their counts, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.values().map(|(key, value)| (key, value.count()))
    }
}

/// The `n` items with the highest counts. Ties are broken by name, so that the same data always
/// gives the same report.
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
    fn beyond_the_limit_counts_are_low_by_at_most_short_and_frequent_keys_stay() {
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
