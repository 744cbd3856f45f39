//! Converts the time stamps of log lines to points in time. The BSD form (`Jun  1 00:00:45`) has no
//! year, so this module finds the year.

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};
use mls_config::zone::Zone;
use mls_event::Timestamp;

use crate::month;

/// How many years before the year of the reference time are tried for a stamp without a year. Eight
/// years are enough for 29 February, because leap years are at most eight years apart.
const YEARS: i32 = 8;

/// The time zone for stamps without a zone, and the latest possible time of a stamp.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zone: Zone,
    reference: DateTime<FixedOffset>,
}

/// The hour of the last BSD stamp, such as `Jun  1 00:`. The next stamp often has the same hour,
/// and to find year and offset again takes longer than all other work for a line.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastHour {
    /// `Jun  1 00:`
    stamp: [u8; 10],
    /// The reference time of the clock that has read the stamp.
    reference: Option<DateTime<FixedOffset>>,
    /// Whether `text` was computed. The result can be `None`.
    is_read: bool,
    /// The first second of the hour, as in a record: `2026-06-01T00:00:00+02:00`. `None` if the
    /// date or the offset changes within the hour.
    text: Option<String>,
}

/// Splits `Jun  1 00:00:45` into `Jun  1 00:` and `00:45`. `None` for other forms.
fn split_hour(stamp: &[u8]) -> Option<(&[u8; 10], &[u8; 5])> {
    let (hour, time) = stamp.split_first_chunk()?;
    let time: &[u8; 5] = time.try_into().ok()?;
    let is_time = matches!(time, [b'0'..=b'5', b'0'..=b'9', b':', b'0'..=b'5', b'0'..=b'9']);
    (is_time && hour.ends_with(b":") && hour[0].is_ascii_alphabetic()).then_some((hour, time))
}

impl Clock {
    /// `reference` is the latest possible time of a stamp. A caller that knows only when the log
    /// was last changed must add the largest difference of time zones: 26 hours.
    #[must_use]
    pub fn new(zone: Zone, reference: DateTime<FixedOffset>) -> Self {
        Self { zone, reference: zone.show(&reference) }
    }

    pub(crate) fn in_zone(self, zone: Zone) -> Self {
        Self::new(zone, self.reference)
    }

    /// Reads a [stamp](crate::stamp). RFC 3339 keeps its text, but `Z` becomes `+00:00`. A stamp
    /// without a year gets the latest year for which the result is not after the reference time.
    #[must_use]
    pub fn read<'a>(&self, stamp: &'a [u8]) -> Option<Timestamp<'a>> {
        let text = str::from_utf8(stamp).ok()?;
        match stamp {
            [b'@', ..] => self.tai(text),
            [b'0'..=b'9', _, _, _, b'-', ..] => self.iso(text),
            [b'0'..=b'9', ..] if !text.contains(' ') => self.unix(text),
            _ => self.words(text),
        }
    }

    /// Returns the same result as [`read`](Self::read), but faster if the last stamp had the same
    /// hour. The caller must use a separate `last` for each time zone.
    pub(crate) fn read_after<'a>(
        &self,
        last: &mut LastHour,
        stamp: &'a [u8],
    ) -> Option<Timestamp<'a>> {
        let Some((hour, time)) = split_hour(stamp) else { return self.read(stamp) };
        if last.stamp != *hour || last.reference != Some(self.reference) {
            (last.stamp, last.reference) = (*hour, Some(self.reference));
            (last.is_read, last.text) = (false, None);
        } else if !std::mem::replace(&mut last.is_read, true) {
            last.text = self.whole_hour(hour);
        }
        let Some(text) = &last.text else { return self.read(stamp) };
        let time = str::from_utf8(time).ok()?;
        Timestamp::parse([&text[..14], time, &text[19..]].concat()).ok()
    }

    /// The first second of an hour, as text. `None` if the date or the offset changes within the
    /// hour: the clocks change, or the reference time is within the hour.
    fn whole_hour(&self, hour: &[u8; 10]) -> Option<String> {
        let read = |time: &[u8]| self.read(&[&hour[..], time].concat()).map(|it| it.at());
        let (first, last) = (read(b"00:00")?, read(b"59:59")?);
        let is_whole = last - first == TimeDelta::seconds(3599) && first.offset() == last.offset();
        let text = Timestamp::from(first).to_string();
        (is_whole && text.len() == 25).then_some(text)
    }

    /// Reads a stamp that begins with a year, or with the name of a month or of a weekday.
    fn words(&self, text: &str) -> Option<Timestamp<'static>> {
        let mut words = text.split_ascii_whitespace().peekable();
        let mut year = None;
        if words.peek()?.as_bytes()[0].is_ascii_digit() {
            year = words.next();
        } else if month::number(words.peek()?.as_bytes()).is_none() {
            // Skip the weekday.
            words.next();
        }
        let first = words.next()?;
        let Some(month) = month::number(first.as_bytes()) else {
            return self.full(first, words.next()?, words.next().unwrap_or_default());
        };
        let day = words.next()?.parse().ok()?;
        let mut time = words.next()?;
        if !time.contains(':') {
            year = Some(std::mem::replace(&mut time, words.next()?));
        }
        let year = match year.or_else(|| words.next()) {
            Some(year) => Some(year.parse().ok()?),
            None => None,
        };
        let time = NaiveTime::parse_from_str(&time.replace(',', "."), "%H:%M:%S%.f").ok()?;
        self.bsd(year, month, day, time).and_then(timestamp)
    }

    fn bsd(
        &self,
        year: Option<i32>,
        month: u32,
        day: u32,
        time: NaiveTime,
    ) -> Option<DateTime<FixedOffset>> {
        let on = |year| {
            NaiveDate::from_ymd_opt(year, month, day)
                .map(|date| self.zone.read(date.and_time(time)))
        };
        if let Some(year) = year {
            return on(year);
        }
        // Compare points in time, not local times: at the end of summer time, clocks show an hour
        // twice.
        let latest = self.reference.year();
        (latest - YEARS..=latest).rev().filter_map(on).find(|at| *at <= self.reference)
    }

    /// Reads a stamp of `journalctl -o short-full`. `zone` counts if it is UTC, GMT or an offset.
    /// Other zone names, such as `CST`, have more than one meaning, so they are ignored.
    fn full(&self, date: &str, time: &str, zone: &str) -> Option<Timestamp<'static>> {
        let offset = match zone.as_bytes() {
            b"UTC" | b"GMT" => "Z",
            [b'+' | b'-', _, _] => &format!("{zone}:00"),
            [b'+' | b'-', ..] => zone,
            _ => "",
        };
        self.rfc3339(&format!("{date}T{time}{offset}")).map(Timestamp::into_owned)
    }

    /// Reads RFC 3339 and similar forms: with a blank between date and time, with a comma before
    /// the fraction, or without a zone. An `_` between date and time means UTC.
    fn iso<'a>(&self, text: &'a str) -> Option<Timestamp<'a>> {
        let (date, time) = (text.get(..10)?, text.get(11..)?);
        match text.as_bytes()[10] {
            b'T' if memchr::memchr2(b',', b' ', text.as_bytes()).is_none() => self.rfc3339(text),
            b'_' => self.rfc3339(&format!("{date}T{time}Z")).map(Timestamp::into_owned),
            _ => {
                let time = time.replace(',', ".");
                let mut words = time.split_ascii_whitespace();
                let (time, zone) = (words.next()?, words.next().unwrap_or_default());
                self.full(date, time, zone)
            }
        }
    }

    fn rfc3339<'a>(&self, text: &'a str) -> Option<Timestamp<'a>> {
        if let Some(utc) = text.strip_suffix('Z') {
            return Timestamp::parse(format!("{utc}+00:00")).ok();
        }
        if let Ok(stamp) = Timestamp::parse(text) {
            return Some(stamp);
        }
        // journalctl writes `+0200` instead of `+02:00`. Some syslog templates write no offset.
        if let Some((rest, minutes)) = text.split_at_checked(text.len().saturating_sub(2))
            && let Ok(stamp) = Timestamp::parse(format!("{rest}:{minutes}"))
        {
            return Some(stamp);
        }
        let naive = text.parse::<NaiveDateTime>().ok().filter(|_| text.len() >= 19)?;
        let offset = self.zone.read(naive).offset().to_string();
        Timestamp::parse(format!("{text}{offset}")).ok()
    }

    /// Reads seconds since 1970 with a fraction.
    fn unix(&self, text: &str) -> Option<Timestamp<'static>> {
        let (seconds, fraction) = text.split_once('.')?;
        let digits = fraction.get(..fraction.len().min(9))?;
        let nanoseconds: u32 = format!("{digits:0<9}").parse().ok()?;
        self.since_1970(seconds.parse().ok()?, nanoseconds)
    }

    /// Reads TAI64 or TAI64N: 2^62 plus seconds since 1970, in International Atomic Time. Most
    /// programs write UTC plus ten seconds, as tai64nlocal(8) of daemontools expects.
    fn tai(&self, text: &str) -> Option<Timestamp<'static>> {
        const EPOCH: i64 = (1 << 62) + 10;
        let seconds = i64::from_str_radix(text.get(1..17)?, 16).ok()?;
        let nanoseconds = match text.get(17..)? {
            "" => 0,
            digits => u32::from_str_radix(digits, 16).ok()?,
        };
        self.since_1970(seconds.checked_sub(EPOCH)?, nanoseconds)
    }

    fn since_1970(&self, seconds: i64, nanoseconds: u32) -> Option<Timestamp<'static>> {
        timestamp(self.zone.show(&DateTime::from_timestamp(seconds, nanoseconds)?))
    }
}

/// Returns `None` if the year is not between 1 and 9999, because RFC 3339 has four digits for a
/// year.
fn timestamp(at: DateTime<FixedOffset>) -> Option<Timestamp<'static>> {
    (1..=9999).contains(&at.year()).then(|| at.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(stamp: &str, reference: &str) -> String {
        let reference = DateTime::parse_from_rfc3339(reference).unwrap();
        let clock = Clock::new("Europe/Paris".parse().unwrap(), reference);
        clock.read(stamp.as_bytes()).map_or("-".into(), |stamp| stamp.to_string())
    }

    #[test]
    fn the_year_is_the_latest_that_is_not_in_the_future() {
        let now = "2026-06-01T00:00:45+02:00";
        assert_eq!(read("Jun  1 00:00:45", now), "2026-06-01T00:00:45+02:00");
        assert_eq!(read("Jun  1 00:00:46", now), "2025-06-01T00:00:46+02:00");
        assert_eq!(read("Dec 31 23:59:59", now), "2025-12-31T23:59:59+01:00");
        assert_eq!(read("Jan  1 00:00:00", now), "2026-01-01T00:00:00+01:00");
        assert_eq!(read("2019 Jun  1 00:00:46", now), "2019-06-01T00:00:46+02:00");
        assert_eq!(read("Jun  1 20215 0:00:45", now), "-");
    }

    #[test]
    fn every_time_is_the_same_with_and_without_the_remembered_hour() {
        // Some of these hours contain the reference time, or the start or end of summer time.
        for (zone, reference, hours) in [
            (
                "Europe/Paris",
                "2026-06-01T00:30:30+02:00",
                ["Jun  1 00:", "May 31 23:", "Jun  1 01:"],
            ),
            (
                "Europe/Paris",
                "2026-12-01T00:00:30+02:00",
                ["Mar 29 01:", "Mar 29 02:", "Mar 29 03:"],
            ),
            (
                "Europe/Paris",
                "2026-10-25T02:30:30+01:00",
                ["Oct 25 01:", "Oct 25 02:", "Oct 25 03:"],
            ),
            (
                "Europe/Paris",
                "2026-06-01T00:00:30+02:00",
                ["Feb 29 00:", "Feb 30 00:", "Foo  1 00:"],
            ),
            (
                "Europe/Paris",
                "2026-06-01T00:00:30+02:00",
                ["un  1 2025", "Jun  1 24:", "Jun  1 0:0"],
            ),
            // In this zone, summer time moves the clocks by half an hour.
            (
                "Australia/Lord_Howe",
                "2026-12-01T00:00:30Z",
                ["Oct  4 01:", "Oct  4 02:", "Oct  4 03:"],
            ),
            (
                "Australia/Lord_Howe",
                "2026-12-01T00:00:30Z",
                ["Apr  5 01:", "Apr  5 02:", "Apr  5 03:"],
            ),
        ] {
            let reference = DateTime::parse_from_rfc3339(reference).unwrap();
            let clock = Clock::new(zone.parse().unwrap(), reference);
            let mut last = LastHour::default();
            for hour in hours.iter().chain(&hours) {
                for (minute, second) in
                    (0..62).flat_map(|it| [(it, 0), (it, 59), (30, it), (0, it)])
                {
                    let stamp = format!("{hour}{minute:02}:{second:02}");
                    let found = clock.read_after(&mut last, stamp.as_bytes());
                    assert_eq!(found, clock.read(stamp.as_bytes()), "{stamp}, {reference}");
                }
            }
        }
    }

    #[test]
    fn an_hour_is_remembered_unless_it_contains_the_reference_time() {
        let reference = DateTime::parse_from_rfc3339("2026-06-01T00:00:30+02:00").unwrap();
        let clock = Clock::new("Europe/Paris".parse().unwrap(), reference);
        for (hour, is_ordinary) in [("May 31 23:", true), ("Jun  1 00:", false)] {
            let mut last = LastHour::default();
            for time in ["00:00", "59:01"] {
                clock.read_after(&mut last, format!("{hour}{time}").as_bytes());
            }
            assert_eq!(last.text.is_some(), is_ordinary, "{hour}");
        }
    }

    #[test]
    fn another_reference_time_gives_the_remembered_hour_another_year() {
        let mut last = LastHour::default();
        for (reference, year) in [("2026-06-01T00:00:00Z", 2025), ("2026-06-03T00:00:00Z", 2026)] {
            let reference = DateTime::parse_from_rfc3339(reference).unwrap();
            let clock = Clock::new("UTC".parse().unwrap(), reference);
            for time in ["00:00", "00:01", "00:02"] {
                let stamp = format!("Jun  2 10:{time}");
                let found = clock.read_after(&mut last, stamp.as_bytes()).unwrap();
                assert_eq!(found.at().year(), year, "{stamp}");
            }
        }
    }

    #[test]
    fn the_hour_that_clocks_show_twice_is_of_this_year() {
        assert_eq!(
            read("Oct 25 02:30:00", "2026-10-25T02:00:05+01:00"),
            "2026-10-25T02:30:00+02:00"
        );
    }

    #[test]
    fn a_leap_day_belongs_to_a_leap_year() {
        assert_eq!(read("Feb 29 12:00:00", "2026-06-01T00:00:00Z"), "2024-02-29T12:00:00+01:00");
        assert_eq!(read("Feb 29 12:00:00", "2028-02-29T11:00:00Z"), "2028-02-29T12:00:00+01:00");
        assert_eq!(read("Feb 29 12:00:00", "2028-02-29T10:59:59Z"), "2024-02-29T12:00:00+01:00");
        assert_eq!(read("Feb 30 12:00:00", "2028-06-01T00:00:00Z"), "-");
    }

    #[test]
    fn rfc_3339_keeps_its_precision_and_gets_an_offset() {
        let now = "2026-06-01T00:00:00Z";
        for (stamp, written) in [
            ("2026-11-21T07:11:22.212047+00:00", "2026-11-21T07:11:22.212047+00:00"),
            ("2026-11-21T07:11:22.21Z", "2026-11-21T07:11:22.21+00:00"),
            ("2026-11-21T07:11:22+0100", "2026-11-21T07:11:22+01:00"),
            ("2026-07-21T07:11:22.5", "2026-07-21T07:11:22.5+02:00"),
            ("2026-07-21 07:11:22,5", "2026-07-21T07:11:22.5+02:00"),
            ("2026-07-21 07:11:22 +0100", "2026-07-21T07:11:22+01:00"),
            ("2026-07-21_07:11:22.12345", "2026-07-21T07:11:22.12345+00:00"),
        ] {
            assert_eq!(read(stamp, now), written);
        }
    }

    #[test]
    fn a_year_may_stand_in_three_places_and_months_in_nine_languages() {
        let now = "2026-12-01T00:00:00Z";
        for stamp in [
            "2025 May  1 00:00:45",
            "May  1 2025 00:00:45",
            "May  1 00:00:45 2025",
            "Thu May  1 00:00:45 2025",
            "Mai  1 2025 00:00:45",
            "мая  1 2025 00:00:45",
        ] {
            assert_eq!(read(stamp, now), "2025-05-01T00:00:45+02:00", "{stamp}");
        }
        assert_eq!(read("déc.  1 00:00:45", now), "2026-12-01T00:00:45+01:00");
    }

    #[test]
    fn seconds_since_1970_and_tai64n_are_read() {
        let now = "2026-12-01T00:00:00Z";
        // tai64nlocal(8) shows this stamp as 2010-09-16 05:50:50 in UTC.
        let tai = "@400000004c91b04400000000";
        assert_eq!(read(tai, now), "2010-09-16T07:50:50+02:00");
        assert_eq!(read("1795245082.212047", now), "2026-11-21T08:11:22.212047+01:00");
        assert_eq!(read("@4000000000000000", now), "1970-01-01T00:59:50+01:00");
        assert_eq!(read("@ffffffffffffffff", now), "-");
    }

    #[test]
    fn every_short_format_of_journalctl_is_read() {
        let now = "2026-12-01T00:00:00Z";
        for (stamp, written) in [
            ("Nov 26 00:30:46", "2026-11-26T00:30:46+01:00"),
            ("Nov 26 00:30:46.123456", "2026-11-26T00:30:46.123456+01:00"),
            ("2026-11-26T00:30:46+0100", "2026-11-26T00:30:46+01:00"),
            ("2026-11-26T00:30:46.123456+0100", "2026-11-26T00:30:46.123456+01:00"),
            ("Thu 2026-11-26 00:30:46 UTC", "2026-11-26T00:30:46+00:00"),
            ("Thu 2026-11-26 00:30:46 CET", "2026-11-26T00:30:46+01:00"),
            ("Thu 2026-11-26 00:30:46 -03", "2026-11-26T00:30:46-03:00"),
            ("Thu 2026-11-26 00:30:46 +0545", "2026-11-26T00:30:46+05:45"),
            ("Thu 2026-11-26 24:30:46 UTC", "-"),
        ] {
            assert_eq!(read(stamp, now), written, "{stamp}");
        }
    }

    #[test]
    fn other_text_is_not_read_as_a_time() {
        for stamp in [
            "",
            "Jun",
            "Jun 1 0:0",
            "Foo  1 00:00:00",
            "2026-13-01T00:00:00Z",
            "2026-",
            "2026-11-21T25:00:00",
            "é",
        ] {
            assert_eq!(read(stamp, "2026-06-01T00:00:00Z"), "-", "{stamp}");
        }
    }
}
