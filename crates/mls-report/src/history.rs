//! On which of the last days each address tried, and how often in all.

use chrono::{Days, NaiveDate};

use crate::table::Table;

/// How many days back it goes: one bit each.
pub(crate) const DAYS: usize = 30;

/// What is known of an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Bit 0 is the last day, bit 1 the one before.
    days: u32,
    pub(crate) attempts: u32,
}

impl Past {
    /// On how many days it tried.
    pub(crate) fn days(self) -> u32 {
        self.days.count_ones()
    }
}

/// The last [`DAYS`] days.
#[derive(Debug)]
pub(crate) struct History {
    /// `YYYY-MM-DD`, the last day first.
    names: Vec<String>,
    /// Where the day of the last row was found: most rows are of the day that the row before was of.
    last: usize,
    pub(crate) attempts: [u64; DAYS],
    addresses: Table<Past>,
    full: bool,
}

impl History {
    /// The days that end with `last`.
    pub(crate) fn until(last: NaiveDate) -> Self {
        let name = |back| last.checked_sub_days(Days::new(back)).map_or_else(String::new, |date| date.to_string());
        Self {
            names: (0..DAYS as u64).map(name).collect(),
            last: 0,
            attempts: [0; DAYS],
            addresses: Table::new(100_000, 4 << 20),
            full: false,
        }
    }

    /// Counts `n` attempts of an address.
    pub(crate) fn add(&mut self, date: &str, ip: Option<&str>, n: u64) {
        let day = &date[..10];
        if self.names[self.last] != day {
            // The name of the day after the first is the greatest: what is outside is told at once.
            if day < self.names[DAYS - 1].as_str() || day > self.names[0].as_str() {
                return;
            }
            let Some(found) = self.names.iter().position(|name| name == day) else { return };
            self.last = found;
        }
        self.attempts[self.last] += n;
        let Some(ip) = ip else { return };
        let day = 1 << self.last;
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        if let Some(past) = self.addresses.get_mut(ip) {
            past.days |= day;
            past.attempts = past.attempts.saturating_add(n);
        } else {
            self.full |= !self.addresses.insert(ip, Past { days: day, attempts: n });
        }
    }

    pub(crate) fn of(&self, ip: &str) -> Past {
        self.addresses.get(ip).copied().unwrap_or_default()
    }

    /// The days and their attempts, the first day first.
    pub(crate) fn by_day(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names.iter().map(String::as_str).zip(self.attempts).rev()
    }

    /// Whether addresses were left out.
    pub(crate) fn is_full(&self) -> bool {
        self.full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_once_in_any_order_and_only_those_in_the_window() {
        let mut history = History::until("2026-03-02".parse().unwrap());
        for date in ["2026-03-02 10:00", "2026-02-28 23:59", "2026-03-02 11:00", "2026-02-01 00:00", "2026-01-31 23:59"]
        {
            history.add(date, Some("192.0.2.1"), 2);
        }
        history.add("2026-03-03 00:00", Some("192.0.2.1"), 1);
        assert_eq!((history.of("192.0.2.1").days(), history.of("192.0.2.1").attempts), (3, 8));
        assert_eq!(history.of("192.0.2.2"), Past::default());
        let days: Vec<_> = history.by_day().collect();
        assert_eq!((days[0], days[27], days[29]), (("2026-02-01", 2), ("2026-02-28", 2), ("2026-03-02", 4)));
    }
}
