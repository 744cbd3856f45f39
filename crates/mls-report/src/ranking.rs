//! Finds the first items of a ranking in one pass over all items.

use crate::report::List;

/// The items with the highest counts. Items with equal counts are sorted by name, so that the same
/// data always gives the same report.
pub(crate) struct Ranking<K, C> {
    n: usize,
    items: Vec<(K, C)>,
    /// The lowest count in the list; `None` until the list is full.
    floor: Option<C>,
    distinct: usize,
    unknown: u64,
}

impl<K: Ord, C: Ord + Copy> Ranking<K, C> {
    /// Returns a ranking for `n` items.
    pub(crate) fn new(n: usize) -> Self {
        Self { n, items: Vec::new(), floor: None, distinct: 0, unknown: 0 }
    }

    /// Adds an item. `name` is called only if the item can be in the list.
    pub(crate) fn add(&mut self, count: C, name: impl FnOnce() -> K) {
        self.distinct += 1;
        if self.floor.is_some_and(|floor| count < floor) {
            return;
        }
        let name = name();
        // Drop an item that has the same count as the last item of the list, but a greater name.
        let is_last = |(last, floor): &(K, C)| count == *floor && name > *last;
        if self.floor.is_some() && self.items.get(self.n - 1).is_some_and(is_last) {
            return;
        }
        self.items.push((name, count));
        if self.items.len() >= self.n.saturating_mul(2).saturating_add(64) {
            self.cut();
        }
    }

    /// Counts attempts without a name.
    pub(crate) fn add_unknown(&mut self, attempts: u64) {
        self.unknown += attempts;
    }

    fn cut(&mut self) {
        self.items.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        self.items.truncate(self.n);
        self.floor = self.items.last().filter(|_| self.items.len() == self.n).map(|(_, n)| *n);
    }

    /// Returns the first items, and totals of all items.
    pub(crate) fn list<T>(mut self, item: impl Fn(K, C) -> T) -> List<T> {
        self.cut();
        let top = self.items.into_iter().map(|(key, count)| item(key, count)).collect();
        List { distinct: self.distinct, exact: true, unknown: self.unknown, top }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_ties_by_name() {
        let mut ranking = Ranking::new(3);
        for i in 0..1000_u32 {
            ranking.add(i * 7919 % 100, || format!("{i:04}"));
        }
        let list = ranking.list(|name, count| (name, count));
        let mut all: Vec<_> = (0..1000_u32).map(|i| (format!("{i:04}"), i * 7919 % 100)).collect();
        all.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        assert_eq!((list.distinct, list.top), (1000, all[..3].to_vec()));
    }
}
