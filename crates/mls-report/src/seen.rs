//! Remembers which names occurred, with eight bytes for each name.

use std::collections::HashSet;
use std::hash::BuildHasher;

use foldhash::quality::RandomState;

/// A set of names that stores only a hash of each name. The seed of the hash is random, so nobody
/// can choose names with the same hash. The probability that two names have the same hash by
/// accident is below one in ten million.
#[derive(Debug)]
pub(crate) struct Seen {
    max: usize,
    hasher: RandomState,
    hashes: HashSet<u64, foldhash::fast::RandomState>,
    full: bool,
}

impl Seen {
    pub(crate) fn new(max: usize) -> Self {
        Self { max, hasher: RandomState::default(), hashes: HashSet::default(), full: false }
    }

    pub(crate) fn insert(&mut self, name: &str) {
        if self.hashes.len() < self.max {
            self.hashes.insert(self.hasher.hash_one(name));
        } else if !self.full {
            self.full = !self.contains(name);
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.hashes.contains(&self.hasher.hash_one(name))
    }

    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Returns whether a name did not fit. If so, a name outside the set may have occurred too.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_incomplete_only_after_a_name_did_not_fit() {
        let mut seen = Seen::new(1000);
        for i in 0..1000 {
            seen.insert(&i.to_string());
        }
        seen.insert("7");
        assert!(seen.contains("7") && !seen.is_full());
        seen.insert("one more");
        assert!(!seen.contains("one more") && seen.is_full());
    }
}
