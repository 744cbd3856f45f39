//! The numbers that are counted while rows are read.
//!
//! The limits of the counters limit the memory of the whole process. Data that does not fit goes to
//! temporary files.

use crate::counter::Counter;
use crate::history::History;
use crate::period::{Period, PeriodPart};
use crate::seen::Seen;
use crate::servers::Servers;
use mls_attempts::Attempt;

/// The key of an unknown value. No known value contains NUL.
const UNKNOWN: &str = "\0";

/// Ends each value in a joined key. A row is one line, so no value contains a line feed.
pub(crate) const JOINT: u8 = b'\n';

/// The key of a value that may be unknown. An empty value is unknown, too.
fn key(value: Option<&str>) -> &str {
    value.filter(|value| !value.is_empty()).unwrap_or(UNKNOWN)
}

/// Returns the value of a key, if it is known.
pub(crate) fn value(key: &str) -> Option<&str> {
    (key != UNKNOWN).then_some(key)
}

/// Returns the values of a key that [`join`] has made, at most four.
pub(crate) fn values(key: &str) -> [Option<&str>; 4] {
    let mut ends = memchr::memchr_iter(JOINT, key.as_bytes());
    let mut start = 0;
    [(); 4].map(|()| {
        let end = ends.next().unwrap_or(key.len());
        let part = key.get(start..end).unwrap_or_default();
        start = end + 1;
        value(part)
    })
}

/// Appends values as one key.
pub(crate) fn join<const N: usize>(joined: &mut String, values: [Option<&str>; N]) {
    for value in values {
        joined.push_str(key(value));
        joined.push(char::from(JOINT));
    }
}

/// All counts, except the counts of [the other thread](crate::login_counter).
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) attempts: u64,
    /// Number of logins of the period that the server could not check.
    pub(crate) errors: u64,
    /// Failed logins in the period of the same length directly before the period.
    pub(crate) previous: u64,
    /// Failed logins in all data.
    pub(crate) total: u64,
    /// The first and the last date of all data.
    pub(crate) extent: Option<(String, String)>,
    pub(crate) hours: [u64; 24],
    /// By weekday, Monday first, and by hour. Dates that are not in the calendar are left out.
    pub(crate) weekday_hours: [[u64; 24]; 7],
    pub(crate) countries: Counter,
    /// By number and organisation of the AS in one key: a row needs one lookup, not two.
    pub(crate) systems: Counter,
    pub(crate) failed_reverse_lookups: u64,
    /// By status; only statuses of failed lookups.
    pub(crate) reverse_dns_failures: Counter,
    pub(crate) history: History,
    pub(crate) users_before: Seen,
    pub(crate) addresses_before: Seen,
    pub(crate) countries_before: Seen,
    pub(crate) servers: Servers,
    joined: String,
}

impl Tally {
    pub(crate) fn new(period: &Period) -> Self {
        Self {
            attempts: 0,
            errors: 0,
            previous: 0,
            total: 0,
            extent: None,
            hours: [0; 24],
            weekday_hours: [[0; 24]; 7],
            countries: Counter::new(1000, 1 << 16),
            systems: Counter::new(50_000, 3 << 20),
            failed_reverse_lookups: 0,
            reverse_dns_failures: Counter::new(100, 1 << 16),
            history: History::until(period.last_day),
            users_before: Seen::new(400_000),
            addresses_before: Seen::new(400_000),
            countries_before: Seen::new(1000),
            servers: Servers::new(),
            joined: String::new(),
        }
    }

    /// Counts failed logins on the server with the number `server`.
    pub(crate) fn add(&mut self, attempt: &Attempt<'_>, server: usize, part: PeriodPart) {
        let n = attempt.attempts;
        self.total += n;
        match &mut self.extent {
            None => self.extent = Some((attempt.date.to_owned(), attempt.date.to_owned())),
            Some((first, _)) if attempt.date < first.as_str() => attempt.date.clone_into(first),
            Some((_, last)) if attempt.date > last.as_str() => attempt.date.clone_into(last),
            Some(_) => {}
        }
        match part {
            PeriodPart::After => return,
            PeriodPart::Before { previous } => {
                self.previous += if previous { n } else { 0 };
                for (seen, name) in [
                    (&mut self.users_before, attempt.user),
                    (&mut self.addresses_before, attempt.ip),
                    (&mut self.countries_before, attempt.country_code),
                ] {
                    if let Some(name) = name {
                        seen.insert(name);
                    }
                }
            }
            PeriodPart::Inside => {
                self.servers.add(server, n);
                self.add_inside(attempt, n);
            }
        }
        self.history.add(attempt, server, part == PeriodPart::Inside);
    }

    /// Whether the data begins before this date.
    pub(crate) fn reaches_back(&self, date: Option<&str>) -> bool {
        date.zip(self.extent.as_ref()).is_some_and(|(date, (first, _))| first.as_str() < date)
    }

    fn add_inside(&mut self, attempt: &Attempt<'_>, n: u64) {
        self.attempts += n;
        let hour = attempt.date[11..13].parse().unwrap_or(usize::MAX);
        if let Some(count) = self.hours.get_mut(hour) {
            *count += n;
            if let Some(day) = self.servers.day(&attempt.date[..10]) {
                // The first day of the year 1 was a Monday.
                let weekday = usize::try_from((day - 1).rem_euclid(7)).unwrap_or_default();
                self.weekday_hours[weekday][hour] += n;
            }
        }
        self.countries.add(key(attempt.country_code), n);
        self.joined.clear();
        join(&mut self.joined, [attempt.asn, attempt.aso]);
        self.systems.add(&self.joined, n);
        if let Some(status) = attempt.reverse_dns_status.filter(|status| *status != "OK") {
            self.failed_reverse_lookups += n;
            self.reverse_dns_failures.add(status, n);
        }
    }
}
