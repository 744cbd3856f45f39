//! Counts how often each key occurred within a number of seconds, in bounded memory.

use std::collections::{HashMap, VecDeque};

use foldhash::fast::RandomState;
use mls_config::config::Threshold;

/// The largest number of remembered times of all keys together.
const MAX_TIMES: usize = 100_000;

/// The largest number of remembered times of one key: enough for any threshold.
const MAX_TIMES_OF_ONE: usize = Threshold::MAX_COUNT as usize;

/// A sliding window per key.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    pub(crate) threshold: Threshold,
    keys: HashMap<Box<str>, Window, RandomState>,
    times: usize,
}

/// The times of one key, oldest first, each with the number of attempts at this time.
#[derive(Clone, Debug, Default)]
struct Window {
    times: VecDeque<(i64, u64)>,
    count: u64,
}

impl Windows {
    pub(crate) fn new(threshold: Threshold) -> Self {
        Self { threshold, keys: HashMap::default(), times: 0 }
    }

    /// Counts `n` attempts of `key` at the time `at`. Returns the number of attempts in the window
    /// that ends at the newest time of the key. If `at` is before this window, returns 0.
    pub(crate) fn add(&mut self, key: &str, at: i64, n: u64) -> u64 {
        if self.times >= MAX_TIMES {
            self.forget(at);
        }
        let length = i64::from(self.threshold.seconds);
        if !self.keys.contains_key(key) {
            self.keys.insert(key.into(), Window::default());
        }
        let Some(window) = self.keys.get_mut(key) else { return 0 };
        let newest = window.times.back().map_or(at, |(newest, _)| at.max(*newest));
        if at + length <= newest {
            return 0;
        }
        // Times come almost in order, so a search from the newest time is short.
        let position = window.times.iter().rposition(|(time, _)| *time <= at);
        match position {
            Some(i) if window.times[i].0 == at => window.times[i].1 += n,
            _ => {
                window.times.insert(position.map_or(0, |i| i + 1), (at, n));
                self.times += 1;
            }
        }
        window.count += n;
        let surplus = window.times.len().saturating_sub(MAX_TIMES_OF_ONE);
        let horizon = surplus.checked_sub(1).map_or(i64::MIN, |last| window.times[last].0);
        self.times -= window.cut(horizon.max(newest - length));
        window.count
    }

    /// Forgets old times. Then forgets the keys with the fewest attempts, until fewer than half of
    /// [`MAX_TIMES`] times remain.
    fn forget(&mut self, now: i64) {
        let horizon = now - i64::from(self.threshold.seconds);
        for window in self.keys.values_mut() {
            window.cut(horizon);
        }
        for fewer_than in (0..).map(|power| 1_u64 << power) {
            self.keys.retain(|_, window| window.count >= fewer_than);
            self.times = self.keys.values().map(|window| window.times.len()).sum();
            if self.times < MAX_TIMES / 2 {
                break;
            }
            log::warn!(
                "threshold {}: too many attempts to keep; mls-alert forgets the addresses or users \
                 with fewer than {} attempts, and can miss alerts about them",
                self.threshold,
                fewer_than * 2
            );
        }
    }
}

impl Window {
    /// Drops the times up to `horizon` and returns their number.
    fn cut(&mut self, horizon: i64) -> usize {
        let before = self.times.len();
        while let Some((_, n)) = self.times.front().filter(|(time, _)| *time <= horizon) {
            self.count -= n;
            self.times.pop_front();
        }
        before - self.times.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(threshold: &str) -> Windows {
        Windows::new(threshold.parse().unwrap())
    }

    #[test]
    fn times_before_the_window_do_not_count() {
        let mut windows = windows("3/60s");
        assert_eq!(windows.add("a", 100, 1), 1);
        assert_eq!(windows.add("b", 100, 1), 1);
        assert_eq!(windows.add("a", 159, 2), 3);
        assert_eq!(windows.add("a", 160, 1), 3);
        assert_eq!(windows.add("a", 400, 1), 1);
    }

    #[test]
    fn a_late_time_counts_where_it_belongs() {
        let mut windows = windows("3/60s");
        windows.add("a", 100, 1);
        windows.add("a", 150, 1);
        assert_eq!(windows.add("a", 120, 1), 3);
        assert_eq!(windows.add("a", 90, 1), 0);
        assert_eq!(windows.add("a", 170, 1), 3);
    }

    #[test]
    fn one_key_keeps_as_many_times_as_any_threshold_needs() {
        let mut windows = windows("10000/30d");
        for at in 0..30_000 {
            let count = windows.add("a", at, 2);
            assert_eq!(count, 2 * u64::try_from(at + 1).unwrap().min(10_000));
        }
        assert_eq!(windows.times, MAX_TIMES_OF_ONE);
    }

    #[test]
    fn memory_is_bounded_and_frequent_keys_stay() {
        let mut windows = windows("100/1h");
        for i in 0..1_000_000 {
            windows.add(&i.to_string(), 1000, 1);
            if i % 10_000 == 0 {
                windows.add("often", 1000, 1);
            }
            assert!(windows.times <= MAX_TIMES);
        }
        assert_eq!(windows.add("often", 1001, 1), 101);
    }
}
