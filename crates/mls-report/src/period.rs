//! Which attempts a report is about.

use std::str::FromStr;

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime};

/// `--date`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Day {
    /// The day that it is now.
    Today,
    /// The day before.
    Yesterday,
    /// Any day.
    Date(NaiveDate),
}

impl FromStr for Day {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "today" => Ok(Self::Today),
            "yesterday" => Ok(Self::Yesterday),
            _ => text
                .parse()
                .map(Self::Date)
                .map_err(|_| format!("{text:?} is no day: use today, yesterday or a date such as 2026-06-01")),
        }
    }
}

/// A stretch of time on the clock of the report's zone, from the first minute to before the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// What titles call it: `today`, or a date.
    pub(crate) label: String,
    from: [u8; 16],
    to: [u8; 16],
}

impl Period {
    /// The day that `day` names when the clock shows `now`. None beyond the calendar's ends.
    pub(crate) fn day(day: Day, now: NaiveDateTime) -> Option<Self> {
        let today = now.date();
        let date = match day {
            Day::Today => today,
            Day::Yesterday => today.pred_opt()?,
            Day::Date(date) => date,
        };
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN);
        let label = if date == today { "today".to_owned() } else { date.to_string() };
        Some(Self { label, from: text(midnight(date))?, to: text(midnight(date.checked_add_days(Days::new(1))?))? })
    }

    /// Whether a row's date is in it. Dates sort as text.
    pub(crate) fn contains(&self, date: &[u8]) -> bool {
        *date >= self.from[..] && *date < self.to[..]
    }
}

/// As the CSV writes it. None for years that it cannot write in four digits.
fn text(at: NaiveDateTime) -> Option<[u8; 16]> {
    at.format("%Y-%m-%d %H:%M").to_string().into_bytes().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> NaiveDateTime {
        "2026-03-01T10:30:00".parse().unwrap()
    }

    #[test]
    fn a_day_is_from_midnight_to_midnight() {
        let day = Period::day(Day::Yesterday, now()).unwrap();
        assert_eq!(day.label, "2026-02-28");
        for (date, inside) in [
            ("2026-02-27 23:59:59", false),
            ("2026-02-28 00:00", true),
            ("2026-02-28 23:59:59", true),
            ("2026-03-01 00:00", false),
        ] {
            assert_eq!(day.contains(date.as_bytes()), inside, "{date}");
        }
    }

    #[test]
    fn the_present_day_is_called_today_however_it_was_named() {
        assert_eq!(Period::day(Day::Today, now()).unwrap().label, "today");
        assert_eq!(Period::day("2026-03-01".parse().unwrap(), now()).unwrap().label, "today");
    }

    #[test]
    fn other_words_and_impossible_dates_are_refused() {
        for text in ["", "tomorrow", "2026-02-29", "01/06/2026"] {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        assert_eq!(Period::day(Day::Date(NaiveDate::MAX), now()), None);
    }
}
