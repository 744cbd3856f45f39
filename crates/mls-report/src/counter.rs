//! How often each key occurred, in bounded memory.

use std::collections::HashMap;

/// Most keys that one counter holds.
const MAX_KEYS: usize = 100_000;

/// Most bytes of keys that one counter holds.
const MAX_BYTES: usize = 8 << 20;

/// Longer keys are counted by so many first bytes. RFC 5321 has no mailbox longer than 254.
const MAX_KEY: usize = 512;

/// Counts by key. Exact while the keys fit; beyond that, every count is at least what it says and at most [`Counter::short`]
/// more (Misra and Gries, "Finding repeated elements", 1982): keys that occurred least make room for new ones.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    counts: HashMap<Box<[u8]>, u64>,
    bytes: usize,
    short: u64,
}

impl Counter {
    /// Counts `key` `n` times more.
    pub(crate) fn add(&mut self, key: &[u8], n: u64) {
        let key = &key[..key.len().min(MAX_KEY)];
        if let Some(count) = self.counts.get_mut(key) {
            *count += n;
            return;
        }
        if self.counts.len() >= MAX_KEYS || self.bytes + key.len() > MAX_BYTES {
            self.make_room();
        }
        self.bytes += key.len();
        self.counts.insert(key.into(), n);
    }

    /// Takes the median count off every key and drops those with nothing left: at least half of them, so that the work is
    /// constant for each key that was added.
    fn make_room(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        self.short += median;
        let bytes = &mut self.bytes;
        self.counts.retain(|key, count| {
            *count = count.saturating_sub(median);
            if *count == 0 {
                *bytes -= key.len();
            }
            *count > 0
        });
    }

    /// By how much a count may be too low; 0 where all counts are exact.
    pub(crate) fn short(&self) -> u64 {
        self.short
    }

    /// The `n` most frequent keys, ties broken by name.
    pub(crate) fn top(&self, n: usize) -> Vec<(&[u8], u64)> {
        let mut all: Vec<_> = self.counts.iter().map(|(key, count)| (key.as_ref(), *count)).collect();
        let order = |a: &(&[u8], u64), b: &(&[u8], u64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0));
        if n < all.len() {
            all.select_nth_unstable_by(n, order);
            all.truncate(n);
        }
        all.sort_unstable_by(order);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_ties_by_name() {
        let mut counter = Counter::default();
        for key in ["b", "c", "a", "c", "b", "d"] {
            counter.add(key.as_bytes(), 1);
        }
        assert_eq!(counter.top(3), [(&b"b"[..], 2), (&b"c"[..], 2), (&b"a"[..], 1)]);
        assert_eq!(counter.top(9).len(), 4);
        assert_eq!(counter.short(), 0);
    }

    #[test]
    fn beyond_the_cap_counts_are_low_by_no_more_than_what_is_said_and_the_frequent_stay() {
        let mut counter = Counter::default();
        for i in 0..4 * MAX_KEYS {
            counter.add(format!("key {i}").as_bytes(), 1);
            if i % 100 == 0 {
                counter.add(b"often", 1);
            }
        }
        let said = 4 * MAX_KEYS as u64 / 100;
        let (key, count) = counter.top(1)[0];
        assert_eq!(key, b"often");
        assert!(counter.short() > 0 && counter.short() < 20, "{}", counter.short());
        assert!(count <= said && count + counter.short() >= said, "{count} and {} for {said}", counter.short());
        assert!(counter.counts.len() <= MAX_KEYS);
    }

    #[test]
    fn long_keys_are_bounded_in_bytes() {
        let mut counter = Counter::default();
        for i in 0..50_000 {
            counter.add(format!("{i:0>600}").as_bytes(), 1);
            counter.add(format!("{i}{}", "x".repeat(600)).as_bytes(), 1);
        }
        assert!(counter.bytes <= MAX_BYTES);
        assert_eq!(counter.bytes, counter.counts.keys().map(|key| key.len()).sum::<usize>());
    }
}
