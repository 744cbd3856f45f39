//! What is counted while rows stream by.
//!
//! The limits add up to what the whole process may use: with every counter full, the tool stays below 64 MiB.

use crate::counter::Counter;
use crate::history::History;
use crate::period::{Period, PeriodPart};
use crate::seen::Seen;
use mls_attempts::Attempt;

/// How a counter's keys write what is unknown; text holds no NUL.
const UNKNOWN: &str = "\0";

/// What joins the parts of a key; a row is one line.
pub(crate) const JOINT: u8 = b'\n';

/// The key of a value that may be unknown.
fn key(value: Option<&str>) -> &str {
    value.unwrap_or(UNKNOWN)
}

/// The value that a key stands for.
pub(crate) fn value(key: &str) -> Option<&str> {
    (key != UNKNOWN).then_some(key)
}

/// The parts of a joined key, four at most.
pub(crate) fn split(key: &str) -> [&str; 4] {
    let mut parts = key.split(char::from(JOINT));
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// The values that a joined key stands for.
pub(crate) fn values(key: &str) -> [Option<&str>; 4] {
    split(key).map(value)
}

/// Appends values as one key.
pub(crate) fn join<const N: usize>(joined: &mut String, values: [Option<&str>; N]) {
    for value in values {
        joined.push_str(key(value));
        joined.push(char::from(JOINT));
    }
}

/// Everything that is counted, except what [the other thread](crate::login_counter) counts.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) attempts: u64,
    /// In the stretch of the same length before the period.
    pub(crate) previous: u64,
    /// The first date of all.
    pub(crate) earliest: Option<String>,
    pub(crate) hours: [u64; 24],
    pub(crate) countries: Counter,
    /// By number of the autonomous system and its organisation, joined: they belong together, so that is one search for a
    /// row and not two.
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
            countries: Counter::new(1000, 1 << 16),
            systems: Counter::new(50_000, 3 << 20),
            failed_reverse_lookups: 0,
            reverse_dns_failures: Counter::new(100, 1 << 16),
            history: History::until(period.last_day),
            users_before: Seen::new(400_000),
            addresses_before: Seen::new(400_000),
            countries_before: Seen::new(1000),
            joined: String::new(),
        }
    }

    /// Counts a attempt.
    pub(crate) fn add(&mut self, attempt: &Attempt<'_>, part: PeriodPart) {
        let n = attempt.attempts;
        if self.earliest.as_deref().is_none_or(|earliest| attempt.date < earliest) {
            self.earliest = Some(attempt.date.to_owned());
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
            PeriodPart::Inside => self.add_inside(attempt, n),
        }
        self.history.add(attempt.date, attempt.ip, n, part == PeriodPart::Inside);
    }

    fn add_inside(&mut self, attempt: &Attempt<'_>, n: u64) {
        self.attempts += n;
        if let Some(hour) =
            attempt.date[11..13].parse().ok().and_then(|hour: usize| self.hours.get_mut(hour))
        {
            *hour += n;
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
