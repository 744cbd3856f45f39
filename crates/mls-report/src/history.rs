//! For each address: its attempts in the period, the days on which it tried, its country and its
//! autonomous system.

use std::io::{self, Read};
use std::num::NonZeroU32;

use chrono::{Days, NaiveDate};
use mls_attempts::Attempt;

use crate::counter::{Count, Counter};
use crate::name_table::NameTable;
use crate::tally::{JOINT, join, values};

/// Number of days up to the last day of the period. Each day is one bit of `Past::days`.
pub(crate) const DAYS: usize = 30;

/// What is known about an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Past {
    /// Attempts in the period.
    pub(crate) inside: u64,
    /// Attempts in the last [`DAYS`] days.
    pub(crate) attempts: u32,
    /// The days with attempts: bit 0 is the last day, bit 1 the day before.
    days: u32,
    /// The offset of the location in [`History::locations`], plus one. `None` is unknown.
    pub(crate) location: Option<NonZeroU32>,
}

impl Past {
    /// Returns the number of days on which the address tried.
    pub(crate) fn days(self) -> u32 {
        self.days.count_ones()
    }
}

impl Count for Past {
    fn merge(&mut self, later: &Self) {
        self.inside = self.inside.saturating_add(later.inside);
        self.attempts = self.attempts.saturating_add(later.attempts);
        self.days |= later.days;
        self.location = self.location.or(later.location);
    }

    fn write(&self, out: &mut Vec<u8>) {
        self.inside.write(out);
        for number in [self.attempts, self.days, self.location.map_or(0, NonZeroU32::get)] {
            out.extend(number.to_le_bytes());
        }
    }

    fn read(input: &mut impl Read) -> io::Result<Self> {
        let inside = u64::read(input)?;
        let mut number = || {
            let mut bytes = [0; 4];
            input.read_exact(&mut bytes).map(|()| u32::from_le_bytes(bytes))
        };
        let (attempts, days, location) = (number()?, number()?, NonZeroU32::new(number()?));
        Ok(Self { inside, attempts, days, location })
    }
}

/// Country and autonomous system of an address. `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocationRef<'a> {
    pub(crate) country_code: Option<&'a str>,
    pub(crate) asn: Option<&'a str>,
    pub(crate) aso: Option<&'a str>,
}

/// The attempts of each address on each server, and the attempts of each of the last [`DAYS`] days.
#[derive(Debug)]
pub(crate) struct History {
    /// The days as `YYYY-MM-DD`, the last day first.
    names: Vec<String>,
    /// The index of the day of the last row. `find` tries this day first: most rows have it.
    last: usize,
    attempts: [u64; DAYS],
    /// The counts by address and number of the server. [`address_key`] makes the keys.
    pub(crate) addresses: Counter<Past>,
    /// Each combination of country and autonomous system once. [`join`] makes the keys.
    pub(crate) locations: NameTable<()>,
    joined: String,
    location: String,
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
            locations: NameTable::new(20_000, 2 << 20),
            joined: String::new(),
            location: String::new(),
        }
    }

    /// Counts an attempt on a server. `inside` is true if the attempt is in the period.
    pub(crate) fn add(&mut self, attempt: &Attempt<'_>, server: usize, inside: bool) {
        let n = attempt.attempts;
        let day = self.find(&attempt.date[..10]);
        if let Some(day) = day {
            self.attempts[day] += n;
        }
        let Some(ip) = attempt.ip.filter(|_| inside || day.is_some()) else { return };
        let Self { addresses, locations, joined, location, .. } = self;
        joined.clear();
        address_key(joined, ip, server);
        addresses.update(joined, |past| {
            if inside {
                past.inside += n;
            }
            if let Some(day) = day {
                past.days |= 1 << day;
                past.attempts = past.attempts.saturating_add(u32::try_from(n).unwrap_or(u32::MAX));
            }
            if past.location.is_none() && (attempt.country_code.is_some() || attempt.asn.is_some())
            {
                location.clear();
                join(location, [attempt.country_code, attempt.asn, attempt.aso]);
                let offset = locations.intern(location, ());
                past.location = offset.and_then(|offset| NonZeroU32::new(offset + 1));
            }
        });
    }

    /// Returns the index of the day; `None` if the day is not one of the last [`DAYS`] days.
    fn find(&mut self, day: &str) -> Option<usize> {
        if self.names[self.last] != day {
            // Most rows of a long CSV are older than the history, so check for such rows first.
            if day < self.names[DAYS - 1].as_str() {
                return None;
            }
            self.last = self.names.iter().position(|name| name == day)?;
        }
        Some(self.last)
    }

    /// Removes and returns all counts by address.
    pub(crate) fn take_addresses(&mut self) -> Counter<Past> {
        std::mem::replace(&mut self.addresses, Counter::new(0, 0))
    }

    /// Returns the days and their attempts, the first day first.
    pub(crate) fn by_day(&self) -> impl Iterator<Item = (&str, u64)> {
        self.names.iter().map(String::as_str).zip(self.attempts).rev()
    }
}

/// Returns the location at an offset in `locations`. `offset` is this offset plus one. If it is
/// `None`, the location is unknown.
pub(crate) fn location(locations: &NameTable<()>, offset: Option<NonZeroU32>) -> LocationRef<'_> {
    let Some(offset) = offset else { return LocationRef::default() };
    let [country_code, asn, aso, _] = values(locations.text_from(offset.get() - 1));
    LocationRef { country_code, asn, aso }
}

/// In a key, the number of the server is one character: the number plus `FIRST_SERVER`. So this
/// character is never [`JOINT`].
const FIRST_SERVER: u32 = 0x100;

fn address_key(key: &mut String, ip: &str, server: usize) {
    key.push_str(ip);
    key.push(char::from(JOINT));
    let number = u32::try_from(server).ok().and_then(|number| FIRST_SERVER.checked_add(number));
    key.push(number.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
}

/// Returns the address and the number of the server in a key.
pub(crate) fn address_and_server(key: &str) -> (&str, usize) {
    let end = memchr::memchr(JOINT, key.as_bytes()).unwrap_or(key.len());
    let (ip, server) = (&key[..end], key.get(end + 1..).unwrap_or_default());
    let number = server.chars().next().map_or(0, |c| u32::from(c).saturating_sub(FIRST_SERVER));
    (ip, usize::try_from(number).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Returns the counts by address, summed over all servers.
    fn addresses(counter: Counter<Past>) -> HashMap<String, Past> {
        let mut addresses: HashMap<String, Past> = HashMap::new();
        let add = |key: &str, past: &Past| {
            addresses.entry(address_and_server(key).0.to_owned()).or_default().merge(past);
        };
        counter.for_each(add).unwrap();
        addresses
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
        for (n, date) in [
            "2026-03-02 10:00",
            "2026-02-28 23:59",
            "2026-03-02 11:00",
            "2026-02-01 00:00",
            "2026-01-31 23:59",
        ]
        .into_iter()
        .enumerate()
        {
            history.add(&attempt(date, "192.0.2.1", 2), n, date > "2026-03-02");
        }
        history.add(&attempt("2026-03-03 00:00", "192.0.2.1", 1), 0, false);
        history.add(&attempt("2026-03-01 00:00", "192.0.2.2", 1), 0, false);
        let found = addresses(history.take_addresses());
        let past = found["192.0.2.1"];
        assert_eq!((past.days(), past.attempts, past.inside), (3, 8, 4));
        assert_eq!(found["192.0.2.2"].inside, 0);
        let of = LocationRef { country_code: Some("CN"), asn: Some("4837"), aso: None };
        assert_eq!(location(&history.locations, past.location), of);
        let days: Vec<_> = history.by_day().collect();
        assert_eq!(
            (days[0], days[27], days[28]),
            (("2026-02-01", 2), ("2026-02-28", 2), ("2026-03-01", 1))
        );
    }
}
