//! Converts the date of an attempt to a point in time.

use chrono::{DateTime, FixedOffset, NaiveDateTime, TimeDelta};
use mls_config::zone::Zone;
use mls_event::Outcome;
use mls_findings::Observation;

use crate::Attempt;

/// Converts dates of a CSV to points in time. A lookup of the UTC offset for every row would take
/// longer than all other work. So one lookup is used for all dates of the same ten minutes.
#[derive(Debug)]
pub struct DateReader {
    zone: Zone,
    /// The last lookup: ten minutes, such as `2026-06-01 10:3`, and the time at which they begin.
    last: Option<([u8; 15], DateTime<FixedOffset>)>,
}

impl DateReader {
    /// Makes a reader. Dates without an offset are in `zone`.
    #[must_use]
    pub fn new(zone: Zone) -> Self {
        Self { zone, last: None }
    }

    /// The attempt in the form that the rules for suspicious logins use. `None` if the attempt is
    /// neither a failure nor a success, or if its date does not exist (`2026-02-31`).
    pub fn observation<'a>(&mut self, attempt: &Attempt<'a>) -> Option<Observation<'a>> {
        if !matches!(attempt.outcome, Outcome::Failure | Outcome::Success) {
            return None;
        }
        Some(Observation {
            at: self.moment(attempt)?,
            outcome: attempt.outcome,
            user: attempt.user,
            ip: attempt.ip.and_then(|ip| ip.parse().ok()),
            country_code: attempt.country_code,
            asn: attempt.asn.and_then(|asn| asn.parse().ok()),
            aso: attempt.aso,
        })
    }

    /// The time of the attempt; `None` if its date does not exist (`2026-02-31`).
    pub fn moment(&mut self, attempt: &Attempt<'_>) -> Option<DateTime<FixedOffset>> {
        attempt.at.or_else(|| self.read(attempt.date))
    }

    fn read(&mut self, date: &str) -> Option<DateTime<FixedOffset>> {
        let bytes = date.as_bytes();
        let ten: [u8; 15] = bytes.get(..15)?.try_into().ok()?;
        let digit = |index: usize| match bytes.get(index) {
            Some(digit @ b'0'..=b'9') => Some(i64::from(digit - b'0')),
            _ => None,
        };
        let start = match self.last {
            Some((last, start)) if last == ten => start,
            _ => {
                let text = format!("{}0", str::from_utf8(&ten).ok()?);
                let naive = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M").ok()?;
                let start = self.zone.read(naive);
                self.last = Some((ten, start));
                start
            }
        };
        let seconds = digit(17).zip(digit(18)).map_or(0, |(tens, ones)| tens * 10 + ones);
        start.checked_add_signed(TimeDelta::seconds(digit(15)? * 60 + seconds))
    }
}
