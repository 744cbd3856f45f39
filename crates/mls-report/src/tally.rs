//! What is counted while rows stream by.
//!
//! The limits add up to what the whole process may use: with every counter full, the tool stays below 64 MiB.

use crate::counter::Counter;
use crate::history::History;
use crate::period::{Period, Place};
use crate::rows::Row;
use crate::seen::Seen;

/// How a counter's keys write what is unknown; text holds no NUL.
const UNKNOWN: &str = "\0";

/// What joins the parts of a key; a row is one line.
const JOINT: char = '\n';

/// The key of a value that may be unknown.
fn key(value: Option<&str>) -> &str {
    value.unwrap_or(UNKNOWN)
}

/// The value that a key stands for.
pub(crate) fn value(key: &str) -> Option<&str> {
    (key != UNKNOWN).then_some(key)
}

/// The values that a joined key stands for: user, address, host name, country.
pub(crate) fn values(key: &str) -> [Option<&str>; 4] {
    let mut parts = key.split(JOINT);
    std::array::from_fn(|_| parts.next().and_then(value))
}

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) attempts: u64,
    /// In the stretch of the same length before the period.
    pub(crate) previous: u64,
    /// The first date of all.
    pub(crate) earliest: Option<String>,
    pub(crate) hours: [u64; 24],
    /// By user, address, host name and country, joined.
    pub(crate) logins: Counter,
    pub(crate) users: Counter,
    pub(crate) countries: Counter,
    pub(crate) organisations: Counter,
    pub(crate) systems: Counter,
    pub(crate) failed_reverse_lookups: u64,
    /// By status, those that are failures.
    pub(crate) reverse_dns_failures: Counter,
    pub(crate) history: History,
    pub(crate) users_before: Seen,
    pub(crate) addresses_before: Seen,
    pub(crate) countries_before: Seen,
    joined: String,
}

impl Tally {
    /// Nothing counted yet.
    pub(crate) fn new(period: &Period) -> Self {
        Self {
            attempts: 0,
            previous: 0,
            earliest: None,
            hours: [0; 24],
            logins: Counter::new(100_000, 8 << 20),
            users: Counter::new(100_000, 4 << 20),
            countries: Counter::new(1000, 1 << 16),
            organisations: Counter::new(20_000, 1 << 20),
            systems: Counter::new(20_000, 1 << 20),
            failed_reverse_lookups: 0,
            reverse_dns_failures: Counter::new(100, 1 << 16),
            history: History::until(period.last_day),
            users_before: Seen::default(),
            addresses_before: Seen::default(),
            countries_before: Seen::default(),
            joined: String::new(),
        }
    }

    /// Counts a row.
    pub(crate) fn add(&mut self, row: &Row<'_>, place: Place) {
        let n = row.attempts;
        if self.earliest.as_deref().is_none_or(|earliest| row.date < earliest) {
            self.earliest = Some(row.date.to_owned());
        }
        match place {
            Place::After => return,
            Place::Before { previous } => {
                self.previous += if previous { n } else { 0 };
                for (seen, name) in [
                    (&mut self.users_before, row.user),
                    (&mut self.addresses_before, row.ip),
                    (&mut self.countries_before, row.country_code),
                ] {
                    if let Some(name) = name {
                        seen.insert(name);
                    }
                }
            }
            Place::Inside => self.add_inside(row, n),
        }
        self.history.add(row.date, row.ip, n, place == Place::Inside);
    }

    fn add_inside(&mut self, row: &Row<'_>, n: u64) {
        self.attempts += n;
        if let Some(hour) = row.date[11..13].parse().ok().and_then(|hour: usize| self.hours.get_mut(hour)) {
            *hour += n;
        }
        self.joined.clear();
        for part in [row.user, row.ip, row.hostname, row.country_code] {
            self.joined.push_str(key(part));
            self.joined.push(JOINT);
        }
        self.logins.add(&self.joined, n);
        self.users.add(key(row.user), n);
        self.countries.add(key(row.country_code), n);
        self.organisations.add(key(row.aso), n);
        self.systems.add(key(row.asn), n);
        if let Some(status) = row.reverse_dns_status.filter(|status| *status != "OK") {
            self.failed_reverse_lookups += n;
            self.reverse_dns_failures.add(status, n);
        }
    }
}
