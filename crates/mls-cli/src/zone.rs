//! The time zone of dates that do not carry one.

use std::str::FromStr;

use chrono::{DateTime, FixedOffset, Local, LocalResult, NaiveDateTime, TimeZone, Utc};
use chrono_tz::Tz;

/// `--timezone`: `local`, an IANA name such as `Europe/Paris`, or an offset such as `+02:00`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Zone {
    /// The machine's zone (`TZ`, else `/etc/localtime`).
    #[default]
    Local,
    /// A zone of the IANA database.
    Named(Tz),
    /// A fixed offset from UTC.
    Fixed(FixedOffset),
}

impl FromStr for Zone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "local" {
            return Ok(Self::Local);
        }
        if let Ok(offset) = text.parse() {
            return Ok(Self::Fixed(offset));
        }
        text.parse().map(Self::Named).map_err(|_| {
            format!("{text:?} is no time zone: use local, an IANA name (Europe/Paris) or an offset (+02:00)")
        })
    }
}

impl Zone {
    /// `at` as people in this zone write it.
    #[must_use]
    pub fn show<T: TimeZone>(self, at: &DateTime<T>) -> DateTime<FixedOffset> {
        match self {
            Self::Local => at.with_timezone(&Local).fixed_offset(),
            Self::Named(tz) => at.with_timezone(&tz).fixed_offset(),
            Self::Fixed(offset) => at.with_timezone(&offset),
        }
    }

    /// The point in time that a clock in this zone shows as `naive`. Where it shows that twice (summer time ends), the
    /// first; where it never does (summer time begins), the same distance after the change.
    #[must_use]
    pub fn read(self, naive: NaiveDateTime) -> DateTime<FixedOffset> {
        match self {
            Self::Local => resolve(&Local, naive),
            Self::Named(tz) => resolve(&tz, naive),
            Self::Fixed(offset) => resolve(&offset, naive),
        }
    }

    /// Now, as a clock in this zone shows it.
    #[must_use]
    pub fn now(self) -> DateTime<FixedOffset> {
        self.show(&Utc::now())
    }
}

fn resolve<T: TimeZone>(zone: &T, naive: NaiveDateTime) -> DateTime<FixedOffset> {
    match zone.from_local_datetime(&naive) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.fixed_offset(),
        LocalResult::None => {
            // Read with the offset in force a day earlier, which is what a clock that was not put forward shows.
            let before = zone.offset_from_utc_datetime(&(naive - chrono::TimeDelta::days(1)));
            let utc = naive - chrono::Offset::fix(&before);
            zone.from_utc_datetime(&utc).fixed_offset()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paris(text: &str) -> String {
        let zone: Zone = "Europe/Paris".parse().unwrap();
        zone.read(text.parse().unwrap()).to_rfc3339()
    }

    #[test]
    fn a_time_shown_twice_is_the_first_and_one_never_shown_moves_on() {
        assert_eq!(paris("2026-10-25T02:30:00"), "2026-10-25T02:30:00+02:00");
        assert_eq!(paris("2026-03-29T02:30:00"), "2026-03-29T03:30:00+02:00");
        assert_eq!(paris("2026-06-01T00:00:45"), "2026-06-01T00:00:45+02:00");
    }

    #[test]
    fn offsets_and_names_are_told_apart() {
        assert_eq!("+02:00".parse(), Ok(Zone::Fixed(FixedOffset::east_opt(7200).unwrap())));
        assert_eq!("UTC".parse(), Ok(Zone::Named(Tz::UTC)));
        assert!("Mars/Olympus".parse::<Zone>().unwrap_err().contains("Mars/Olympus"));
    }
}
