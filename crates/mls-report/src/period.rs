//! The period of a report, and which attempts belong to it.

use chrono::{Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use mls_config::moment::{Day, DayOrMinute, midnight};
use mls_rotation::Point;

/// Whether a row is before, in or after the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PeriodPart {
    /// Before the period. `previous` is true on the day before a period of one day, and in the hour
    /// before a period of one hour.
    Before {
        previous: bool,
    },
    Inside,
    After,
}

/// A range of time in the time zone of the report, or a range of rows of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    /// The first minute; `None` if the period has no beginning.
    pub(crate) from: Option<NaiveDateTime>,
    /// The minute after the last minute; `None` if the period has no end.
    pub(crate) to: Option<NaiveDateTime>,
    /// Offset in the file at which the period begins. All rows from this offset on are in the
    /// period, because rows can be written late. If `offset` is `None`, the date of a row decides.
    pub(crate) offset: Option<u64>,
    pub(crate) last_day: NaiveDate,
    /// The name of the period in titles: `today`, a date, or a range.
    pub(crate) label: String,
    from_text: String,
    to_text: String,
    previous_text: String,
}

impl Period {
    pub(crate) fn day(day: Day, now: NaiveDateTime) -> Self {
        let date = day.on(now.date());
        let (from, to) = (midnight(date), midnight(date + Days::new(1)));
        let label = if date == now.date() { "today".to_owned() } else { date.to_string() };
        Self::new(Some(from), Some(to), now, label)
    }

    /// Returns the period from `since` to `until`. If `until` is a day, all of the day is included.
    pub(crate) fn between(
        since: Option<DayOrMinute>,
        until: Option<DayOrMinute>,
        now: NaiveDateTime,
    ) -> Self {
        let today = now.date();
        let from = since.map(|since| since.begin(today));
        let to = until.map(|until| until.end(today));
        let show = |moment| match moment {
            DayOrMinute::Day(day) => day.on(today).to_string(),
            DayOrMinute::Minute(minute) => minute.format("%Y-%m-%d %H:%M").to_string(),
        };
        let label = match (since.map(show), until.map(show)) {
            (Some(since), Some(until)) => format!("{since} to {until}"),
            (Some(since), None) => format!("since {since}"),
            (None, Some(until)) => format!("until {until}"),
            (None, None) => "in all".to_owned(),
        };
        Self::new(from, to, now, label)
    }

    /// Returns the period from the end of the last digest (`offset` in the file) until now.
    pub(crate) fn after(offset: u64, last: Option<NaiveDateTime>, now: NaiveDateTime) -> Self {
        let period =
            Self::between(last.map(DayOrMinute::Minute), Some(DayOrMinute::Minute(now)), now);
        Self { offset: Some(offset), ..period }
    }

    fn new(
        from: Option<NaiveDateTime>,
        to: Option<NaiveDateTime>,
        now: NaiveDateTime,
        label: String,
    ) -> Self {
        let previous = from.zip(to).map(|(from, to)| from - (to - from));
        let text = |at: Option<NaiveDateTime>, otherwise: &str| {
            at.map_or_else(|| otherwise.to_owned(), |at| at.format("%Y-%m-%d %H:%M").to_string())
        };
        Self {
            from,
            to,
            offset: None,
            last_day: (to.unwrap_or(now) - TimeDelta::minutes(i64::from(to.is_some()))).date(),
            label,
            from_text: text(from, ""),
            // As text, `a` is greater than any date.
            to_text: text(to, "a"),
            previous_text: text(previous, "a"),
        }
    }

    /// Returns whether a row is before, in or after the period. Compares dates as text.
    pub(crate) fn part_of(&self, date: &str, point: Point) -> PeriodPart {
        match self.offset {
            Some(offset) if point >= Point { file: 0, offset } => PeriodPart::Inside,
            None if date >= self.to_text.as_str() => PeriodPart::After,
            None if date >= self.from_text.as_str() => PeriodPart::Inside,
            _ => PeriodPart::Before { previous: date >= self.previous_text.as_str() },
        }
    }

    /// Returns whether the period overlaps the day of this date.
    pub(crate) fn touches(&self, date: &str) -> bool {
        format!("{date} 23:59") >= self.from_text && format!("{date} 00:00") < self.to_text
    }

    /// Returns whether the period is one day from midnight to midnight.
    pub(crate) fn is_day(&self) -> bool {
        self.offset.is_none()
            && self.from.zip(self.to).is_some_and(|(from, to)| {
                from.time() == NaiveTime::MIN && to - from == TimeDelta::days(1)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> NaiveDateTime {
        "2026-03-01T10:30:00".parse().unwrap()
    }

    #[test]
    fn a_day_is_from_midnight_to_midnight_and_the_one_before_it_is_previous() {
        let day = Period::day(Day::Yesterday, now());
        assert_eq!(
            (day.label.as_str(), day.last_day.to_string().as_str()),
            ("2026-02-28", "2026-02-28")
        );
        assert!(day.is_day());
        for (date, part) in [
            ("2026-02-26 23:59:59", PeriodPart::Before { previous: false }),
            ("2026-02-27 00:00", PeriodPart::Before { previous: true }),
            ("2026-02-27 23:59:59", PeriodPart::Before { previous: true }),
            ("2026-02-28 00:00", PeriodPart::Inside),
            ("2026-02-28 23:59:59", PeriodPart::Inside),
            ("2026-03-01 00:00", PeriodPart::After),
        ] {
            assert_eq!(day.part_of(date, Point::default()), part, "{date}");
        }
    }

    #[test]
    fn the_current_day_is_called_today_in_every_form() {
        assert_eq!(Period::day(Day::Today, now()).label, "today");
        assert_eq!(Period::day("2026-03-01".parse().unwrap(), now()).label, "today");
    }

    #[test]
    fn a_range_includes_its_last_day_but_not_its_last_minute() {
        let moment = |text: &str| Some(text.parse().unwrap());
        let days = Period::between(moment("2026-02-01"), moment("2026-02-07"), now());
        assert_eq!(days.label, "2026-02-01 to 2026-02-07");
        assert_eq!(days.part_of("2026-02-07 23:59", Point::default()), PeriodPart::Inside);
        assert_eq!(days.part_of("2026-02-08 00:00", Point::default()), PeriodPart::After);
        assert_eq!(
            days.part_of("2026-01-25 00:00", Point::default()),
            PeriodPart::Before { previous: true }
        );
        let minutes =
            Period::between(moment("2026-02-01 10:00"), moment("2026-02-01T11:00"), now());
        assert_eq!(minutes.part_of("2026-02-01 10:59:59", Point::default()), PeriodPart::Inside);
        assert_eq!(minutes.part_of("2026-02-01 11:00", Point::default()), PeriodPart::After);
        assert_eq!(minutes.label, "2026-02-01 10:00 to 2026-02-01 11:00");
        let since = Period::between(moment("yesterday"), None, now());
        assert_eq!(
            (since.label.as_str(), since.part_of("9999-01-01 00:00", Point::default())),
            ("since 2026-02-28", PeriodPart::Inside)
        );
        let until = Period::between(None, moment("yesterday"), now());
        assert_eq!(until.part_of("0000-01-01 00:00", Point::default()), PeriodPart::Inside);
    }

    #[test]
    fn the_offset_decides_which_rows_are_in_the_period() {
        let last = "2026-02-28T23:59:00".parse().ok();
        let period = Period::after(100, last, now());
        assert_eq!(period.label, "2026-02-28 23:59 to 2026-03-01 10:30");
        assert_eq!(
            period.part_of("2026-02-28 12:00", Point { file: 0, offset: 100 }),
            PeriodPart::Inside
        );
        assert_eq!(
            period.part_of("2026-03-01 12:00", Point { file: 0, offset: 100 }),
            PeriodPart::Inside
        );
        assert_eq!(
            period.part_of("2026-03-01 12:00", Point { file: 0, offset: 99 }),
            PeriodPart::Before { previous: true }
        );
        assert!(!period.is_day());
    }
}
