//! Time zones, for dates without an offset.
//!
//! Named zones come from the files of the system (`/usr/share/zoneinfo`), like the zone of the
//! machine. A built-in table of all zones would make each tool a megabyte larger and its start
//! slower.

use std::ops::Range;
use std::str::FromStr;

use chrono::{
    DateTime, Datelike, FixedOffset, Local, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike,
    Utc,
};

/// `--timezone`: `local`, an IANA name such as `Europe/Paris`, or an offset such as `+02:00`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Zone {
    /// The machine's zone (`TZ`, else `/etc/localtime`).
    #[default]
    Local,
    /// A zone of the IANA database.
    Named(&'static tz::TimeZone),
    /// A fixed offset from UTC.
    Fixed(FixedOffset),
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "local" {
            return Ok(Self::Local);
        }
        if let Some(offset) =
            if text == "UTC" { FixedOffset::east_opt(0) } else { text.parse().ok() }
        {
            return Ok(Self::Fixed(offset));
        }
        // Refuse `UTC+2`: for POSIX it is two hours behind UTC, but people mean two hours ahead.
        let is_misread =
            ["UTC+", "UTC-", "GMT+", "GMT-"].iter().any(|start| text.starts_with(start));
        Some(text).filter(|_| !is_misread).and_then(Self::from_tz).ok_or_else(|| {
            format!(
                "{text:?} is not a time zone on this machine; use local, UTC, a name in \
                 /usr/share/zoneinfo (Europe/Paris) or an offset (+02:00)"
            )
        })
    }
}

impl Zone {
    /// Reads a value of the environment variable `TZ`. Returns `None` if it is not a zone.
    #[must_use]
    pub fn from_tz(text: &str) -> Option<Self> {
        let zone = tz::TimeZone::from_posix_tz(text).ok()?;
        // Leak the zone, so that `Zone` can be `Copy`. This is harmless, because a run reads only
        // the few zones of its command line and configuration.
        Some(Self::Named(Box::leak(Box::new(zone))))
    }

    /// Converts `at` to this zone.
    #[must_use]
    pub fn show<T: TimeZone>(self, at: &DateTime<T>) -> DateTime<FixedOffset> {
        match self {
            Self::Local => at.with_timezone(&Local).fixed_offset(),
            Self::Named(zone) => at.with_timezone(&offset_at(zone, at.timestamp())),
            Self::Fixed(offset) => at.with_timezone(&offset),
        }
    }

    /// Returns the point in time at which a clock in this zone shows `naive`. If the clock shows it
    /// twice (summer time ends), returns the first time. If the clock skips it (summer time begins),
    /// moves it by the length of the gap.
    #[must_use]
    pub fn read(self, naive: NaiveDateTime) -> DateTime<FixedOffset> {
        // Near a change of the offset, both the old and the new offset are possible.
        let offset = |utc: NaiveDateTime| *self.show(&utc.and_utc()).offset();
        let (before, after) = match self {
            Self::Fixed(offset) => (offset, offset),
            _ => (offset(naive - TimeDelta::days(1)), offset(naive + TimeDelta::days(1))),
        };
        if before == after {
            return (naive - before).and_utc().with_timezone(&before);
        }
        let candidates = [before, after].map(|offset| (naive - offset).and_utc());
        let shown = candidates.iter().filter(|at| self.show(at).naive_local() == naive).min();
        self.show(shown.unwrap_or(&candidates[0]))
    }

    /// Now, as a clock in this zone shows it.
    #[must_use]
    pub fn now(self) -> DateTime<FixedOffset> {
        self.show(&Utc::now())
    }
}

/// Formats a date of the years 0 to 9999 as `YYYY-MM-DD HH:MM:SS`. chrono would parse its format
/// string for each date, which took a third of the time to write a row.
#[must_use]
pub fn digits(at: &NaiveDateTime) -> Option<[u8; 19]> {
    let year = u32::try_from(at.year()).ok().filter(|year| *year <= 9999)?;
    let mut text = *b"0000-00-00 00:00:00";
    let mut write = |place: Range<usize>, mut n: u32| {
        for digit in text[place].iter_mut().rev() {
            *digit = b'0' + (n % 10) as u8;
            n /= 10;
        }
    };
    write(0..4, year);
    write(5..7, at.month());
    write(8..10, at.day());
    write(11..13, at.hour());
    write(14..16, at.minute());
    write(17..19, at.second());
    Some(text)
}

/// The offset of a zone at a time. If the file of the zone has no rule for this time, UTC.
fn offset_at(zone: &tz::TimeZone, unix_time: i64) -> FixedOffset {
    let seconds = zone.find_local_time_type(unix_time).map_or(0, tz::LocalTimeType::ut_offset);
    FixedOffset::east_opt(seconds).unwrap_or(Utc.fix())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paris(text: &str) -> String {
        let zone: Zone = "Europe/Paris".parse().unwrap();
        zone.read(text.parse().unwrap()).to_rfc3339()
    }

    #[test]
    fn an_ambiguous_time_is_the_first_and_a_skipped_time_moves_by_the_gap() {
        assert_eq!(paris("2026-10-25T02:30:00"), "2026-10-25T02:30:00+02:00");
        assert_eq!(paris("2026-03-29T02:30:00"), "2026-03-29T03:30:00+02:00");
        assert_eq!(paris("2026-06-01T00:00:45"), "2026-06-01T00:00:45+02:00");
    }

    #[test]
    fn offsets_and_utc_are_read_and_unknown_names_are_refused() {
        assert_eq!("+02:00".parse(), Ok(Zone::Fixed(FixedOffset::east_opt(7200).unwrap())));
        assert_eq!("UTC".parse(), Ok(Zone::Fixed(FixedOffset::east_opt(0).unwrap())));
        for text in ["Mars/Olympus", "UTC+2", "GMT-02:00", "", "+2"] {
            let error = text.parse::<Zone>().unwrap_err();
            assert!(error.starts_with(&format!("{text:?} is not a time zone")), "{error}");
        }
        assert!(Zone::from_tz("UTC-2").is_some() && Zone::from_tz(":Europe/Paris").is_some());
        assert_eq!(Zone::from_tz("Mars/Olympus"), None);
    }
}
