//! Counts the occurrences of each key, in bounded memory.

use std::io::{self, Read};

use crate::name_table::NameTable;
use crate::runs::Runs;

/// The value of a key: a count, and perhaps more.
pub(crate) trait Count: Default {
    /// Adds a later count of the same key.
    fn merge(&mut self, later: &Self);

    /// Appends the value as bytes.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads what [`write`](Self::write) has written.
    fn read(input: &mut impl Read) -> io::Result<Self>;
}

impl Count for u64 {
    fn merge(&mut self, later: &Self) {
        *self = self.saturating_add(*later);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.to_le_bytes());
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        let mut bytes = [0; 8];
        input.read_exact(&mut bytes)?;
        Ok(Self::from_le_bytes(bytes))
    }
}

/// Counts by key. Counts are always exact. If the keys do not fit in memory, they are sorted and
/// written to temporary files.
#[derive(Debug)]
pub(crate) struct Counter<V = u64> {
    table: NameTable<V>,
    runs: Runs,
    /// The first failure to write a file.
    failure: Option<io::Error>,
}

impl Counter {
    /// Counts `key` `n` times more.
    pub(crate) fn add(&mut self, key: &str, n: u64) {
        self.update(key, |count| *count += n);
    }
}

impl<V: Count> Counter<V> {
    /// Holds in memory at most `max_keys` keys, which have together at most `max_bytes` bytes. Each
    /// key must be much shorter than `max_bytes`, and shorter than 64 KiB.
    pub(crate) fn new(max_keys: usize, max_bytes: usize) -> Self {
        Self { table: NameTable::new(max_keys, max_bytes), runs: Runs::default(), failure: None }
    }

    /// Changes the value of `key`. If a file cannot be written, [`for_each`](Self::for_each) fails.
    pub(crate) fn update(&mut self, key: &str, mut change: impl FnMut(&mut V)) {
        let hash = self.table.hash(key);
        if let Some(value) = self.table.get_mut(hash, key) {
            return change(value);
        }
        if self.table.is_full(key) {
            self.spill();
        }
        let mut value = V::default();
        change(&mut value);
        self.table.insert(hash, key, value);
    }

    /// Moves all keys from memory to a file.
    fn spill(&mut self) {
        if self.failure.is_none() {
            self.failure = self.runs.add(&self.table.sorted()).err();
        }
        self.table.clear();
    }

    /// Calls `each` once for each key, in order. Fails if a temporary file could not be written or
    /// read.
    pub(crate) fn for_each(mut self, mut each: impl FnMut(&str, &V)) -> io::Result<()> {
        if self.runs.is_empty() && self.failure.is_none() {
            self.table.sorted().into_iter().for_each(|(key, value)| each(key, value));
            return Ok(());
        }
        self.spill();
        match self.failure {
            Some(failure) => Err(failure),
            None => self.runs.merge(|key, value| {
                each(key, value);
                Ok(())
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn counts_are_exact_and_in_order_even_if_few_keys_fit_in_memory() {
        for max_keys in [1, 2, 7, 100_000] {
            let mut counter: Counter = Counter::new(max_keys, 1 << 20);
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for i in 0..3000_u64 {
                let key = format!("é{}", i * i % 517);
                counter.add(&key, i);
                *expected.entry(key).or_default() += i;
            }
            let mut found = Vec::new();
            counter.for_each(|key, count| found.push((key.to_owned(), *count))).unwrap();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{max_keys}");
        }
    }
}
