//! Days and times on the command line: `--date`, `--since` and `--until`.

use std::str::FromStr;

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime};

/// A day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// The current day.
    Today,
    /// The day before the current day.
    Yesterday,
    /// Any day.
    Date(NaiveDate),
}

impl Day {
    /// The date of this day, if the current date is `today`.
    #[must_use]
    pub fn on(self, today: NaiveDate) -> NaiveDate {
        match self {
            Self::Today => today,
            Self::Yesterday => today - Days::new(1),
            Self::Date(date) => date,
        }
    }
}

/// Reads a date of the years 1000 to 9998. Such dates sort as text, and the next day is always a
/// date that chrono can represent.
fn date(text: &str) -> Option<NaiveDate> {
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let years = NaiveDate::from_ymd_opt(1000, 1, 1)?..NaiveDate::from_ymd_opt(9999, 1, 1)?;
    years.contains(&date).then_some(date)
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "today" => Ok(Self::Today),
            "yesterday" => Ok(Self::Yesterday),
            _ => date(text).map(Self::Date).ok_or_else(|| {
                format!("{text:?} is not a day: use today, yesterday or a date such as 2026-06-01")
            }),
        }
    }
}

/// The beginning or the end of a period: a whole day, or a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DayOrMinute {
    /// The whole day.
    Day(Day),
    /// The beginning of the minute.
    Minute(NaiveDateTime),
}

impl DayOrMinute {
    /// The first moment of a period that begins with this day or minute.
    #[must_use]
    pub fn begin(self, today: NaiveDate) -> NaiveDateTime {
        match self {
            Self::Day(day) => midnight(day.on(today)),
            Self::Minute(minute) => minute,
        }
    }

    /// The first moment after a period that ends with this day, or at this minute.
    #[must_use]
    pub fn end(self, today: NaiveDate) -> NaiveDateTime {
        match self {
            Self::Day(day) => midnight(day.on(today) + Days::new(1)),
            Self::Minute(minute) => minute,
        }
    }
}

/// The first moment of a date.
#[must_use]
pub fn midnight(date: NaiveDate) -> NaiveDateTime {
    date.and_time(NaiveTime::MIN)
}

impl FromStr for DayOrMinute {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(day) = text.parse() {
            return Ok(Self::Day(day));
        }
        let minute = || {
            let (day, time) = text.split_once([' ', 'T'])?;
            Some(date(day)?.and_time(NaiveTime::parse_from_str(time, "%H:%M").ok()?))
        };
        minute().map(Self::Minute).ok_or_else(|| {
            format!(
                "{text:?} is not a time: use today, yesterday, a date such as 2026-06-01, or a \
                 minute such as \"2026-06-01 23:59\""
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_words_and_impossible_dates_are_refused() {
        for text in
            ["", "tomorrow", "2026-02-29", "01/06/2026", "0999-12-31", "9999-12-31", "+12026-01-01"]
        {
            assert!(text.parse::<Day>().is_err(), "{text}");
            assert!(text.parse::<DayOrMinute>().is_err(), "{text}");
        }
    }
}
