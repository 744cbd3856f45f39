//! For each address: its attempts in the period, the days on which it tried, its country and its
//! autonomous system.

use std::num::NonZeroU32;

use chrono::{Days, NaiveDate};
use mls_attempts::Attempt;

use crate::counter::{Count, Counter};
use crate::table::Table;
use crate::tally::{join, values};

/// Number of days, the last day of the period included. Each is one bit of [`Past`].
pub(crate) const DAYS: usize = 30;

/// What is known about an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Attempts in the period.
    inside: u64,
    /// Attempts in the last [`DAYS`] days.
    pub(crate) attempts: u32,
    /// The days with attempts: bit 0 is the last day, bit 1 the day before.
    days: u32,
    /// The offset of its origin in [`History::origins`], plus one.
    origin: Option<NonZeroU32>,
}

impl Past {
    /// Returns the number of days on which the address tried.
    pub(crate) fn days(self) -> u32 {
        self.days.count_ones()
    }
}

impl Count for Past {
    fn count(&self) -> u64 {
        self.inside
    }

    fn lower(&mut self, by: u64) {
        self.inside.lower(by);
    }
}

/// Country and autonomous system of an address. `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    pub(crate) country_code: Option<&'a str>,
    pub(crate) asn: Option<&'a str>,
    pub(crate) aso: Option<&'a str>,
}

/// The addresses and attempts of the last [`DAYS`] days. If there are too many addresses, addresses without
/// attempts in the period are removed first. So the list of slow attackers becomes incomplete before the
/// lists of the period become inexact.
#[derive(Debug)]
pub(crate) struct History {
    /// The days as `YYYY-MM-DD`, the last day first.
    names: Vec<String>,
    /// The index of the day of the last row. Most rows have the same day as the row before.
    last: usize,
    attempts: [u64; DAYS],
    pub(crate) addresses: Counter<Past>,
    /// Each combination of country and autonomous system once, as a joined key.
    origins: Table<()>,
    joined: String,
}

impl History {
    /// Returns an empty history of the days up to `last`.
    pub(crate) fn until(last: NaiveDate) -> Self {
        let name = |back| {
            last.checked_sub_days(Days::new(back)).map_or_else(String::new, |date| date.to_string())
        };
        Self {
            names: (0..DAYS as u64).map(name).collect(),
            last: 0,
            attempts: [0; DAYS],
            addresses: Counter::new(110_000, 5 << 20),
            origins: Table::new(20_000, 2 << 20),
            joined: String::new(),
        }
    }

    /// Counts an attempt. `inside` says whether it is in the period.
    pub(crate) fn add(&mut self, attempt: &Attempt<'_>, inside: bool) {
        let n = attempt.attempts;
        let day = self.find(&attempt.date[..10]);
        if let Some(day) = day {
            self.attempts[day] += n;
        }
        let Some(ip) = attempt.ip.filter(|_| inside || day.is_some()) else { return };
        let Self { addresses, origins, joined, .. } = self;
        addresses.update(ip, inside, |past| {
            if inside {
                past.inside += n;
            }
            if let Some(day) = day {
                past.days |= 1 << day;
                past.attempts = past.attempts.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
            }
            if past.origin.is_none() && (attempt.country_code.is_some() || attempt.asn.is_some()) {
                joined.clear();
                join(joined, [attempt.country_code, attempt.asn, attempt.aso]);
                let offset = origins.intern(joined, ());
                past.origin = offset.and_then(|offset| NonZeroU32::new(offset + 1));
            }
        });
    }

    /// Returns the country and autonomous system of an address.
    pub(crate) fn origin(&self, ip: &str) -> Origin<'_> {
        let past = self.addresses.get(ip);
        let Some(origin) = past.and_then(|past| past.origin) else { return Origin::default() };
        let [country_code, asn, aso, _] = values(self.origins.text_from(origin.get() - 1));
        Origin { country_code, asn, aso }
    }

    /// Returns the index of the day; `None` if it is not one of the last [`DAYS`] days.
    fn find(&mut self, day: &str) -> Option<usize> {
        if self.names[self.last] != day {
            // If it is another day than before, it is mostly older than all.
            if day < self.names[DAYS - 1].as_str() {
                return None;
            }
            self.last = self.names.iter().position(|name| name == day)?;
        }
        Some(self.last)
    }

    /// Returns the days and their attempts, the first day first.
    pub(crate) fn by_day(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names.iter().map(String::as_str).zip(self.attempts).rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(history: &History, ip: &str) -> Option<Past> {
        history.addresses.values().find(|(name, _)| *name == ip).map(|(_, past)| *past)
    }

    fn attempt<'a>(date: &'a str, ip: &'a str, attempts: u64) -> Attempt<'a> {
        Attempt {
            outcome: mls_event::Outcome::Failure,
            date,
            at: None,
            server: None,
            ip: Some(ip),
            user: None,
            hostname: None,
            reverse_dns_status: None,
            country_code: Some("CN"),
            asn: Some("4837"),
            aso: None,
            service: None,
            queue_id: None,
            attempts,
        }
    }

    #[test]
    fn days_are_counted_once_in_any_order_and_only_those_in_the_window() {
        let mut history = History::until("2026-03-02".parse().unwrap());
        for date in [
            "2026-03-02 10:00",
            "2026-02-28 23:59",
            "2026-03-02 11:00",
            "2026-02-01 00:00",
            "2026-01-31 23:59",
        ] {
            history.add(&attempt(date, "192.0.2.1", 2), date > "2026-03-02");
        }
        history.add(&attempt("2026-03-03 00:00", "192.0.2.1", 1), false);
        history.add(&attempt("2026-03-01 00:00", "192.0.2.2", 1), false);
        let past = of(&history, "192.0.2.1").unwrap();
        assert_eq!((past.days(), past.attempts, past.count()), (3, 8, 4));
        assert_eq!(of(&history, "192.0.2.2"), None);
        let origin = Origin { country_code: Some("CN"), asn: Some("4837"), aso: None };
        assert_eq!(history.origin("192.0.2.1"), origin);
        let days: Vec<_> = history.by_day().collect();
        assert_eq!(
            (days[0], days[27], days[28]),
            (("2026-02-01", 2), ("2026-02-28", 2), ("2026-03-01", 1))
        );
    }
}
