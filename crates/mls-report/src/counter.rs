//! Counts the occurrences of each key, in bounded memory.

use std::io::{self, Read};

use crate::name_table::NameTable;
use crate::runs::Runs;

/// The value of a key: one number, or several as in `Past`.
pub(crate) trait Count: Default {
    /// Adds another count of the key.
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

/// Counts by key. Counts are always exact. If the keys do not fit in memory, sorts the keys and
/// writes them with their counts to temporary files.
#[derive(Debug)]
pub(crate) struct Counter<V = u64> {
    table: NameTable<V>,
    runs: Runs,
    /// The first failure to write a file.
    failure: Option<io::Error>,
}

impl Counter {
    /// Adds `n` to the count of `key`.
    pub(crate) fn add(&mut self, key: &str, n: u64) {
        self.update(key, |count| *count += n);
    }
}

impl<V: Count> Counter<V> {
    /// Returns an empty counter. At most `max_keys` keys of `max_bytes` bytes in total are in
    /// memory. Each key must be much shorter than `max_bytes`, and shorter than 64 KiB.
    pub(crate) fn new(max_keys: usize, max_bytes: usize) -> Self {
        Self { table: NameTable::new(max_keys, max_bytes), runs: Runs::default(), failure: None }
    }

    /// Changes the value of `key`. [`for_each`](Self::for_each) reports failures to write a file.
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

    /// Calls `each` once for each key, in the order of the keys. Fails if a temporary file could
    /// not be written or read.
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

    /// The number of the first update of a key.
    #[derive(Debug, Default, PartialEq)]
    struct FirstUpdate(Option<u64>);

    impl Count for FirstUpdate {
        fn merge(&mut self, later: &Self) {
            self.0 = self.0.or(later.0);
        }

        fn write(&self, out: &mut Vec<u8>) {
            self.0.unwrap_or_default().write(out);
        }

        fn read(input: &mut impl Read) -> io::Result<Self> {
            u64::read(input).map(|n| Self(Some(n)))
        }
    }

    #[test]
    fn values_are_merged_in_the_order_of_the_updates_even_if_few_keys_fit_in_memory() {
        for max_keys in [1, 2, 7, 100_000] {
            let mut counter = Counter::<FirstUpdate>::new(max_keys, 1 << 20);
            let mut expected = BTreeMap::new();
            for i in 0..3000 {
                let key = (i * i % 517).to_string();
                counter.update(&key, |first| first.merge(&FirstUpdate(Some(i))));
                expected.entry(key).or_insert(i);
            }
            counter
                .for_each(|key, first| assert_eq!(first.0, expected.remove(key), "{max_keys}"))
                .unwrap();
            assert!(expected.is_empty(), "{max_keys}");
        }
    }
}
