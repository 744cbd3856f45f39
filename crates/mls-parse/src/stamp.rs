//! Time stamps of log lines, and the year that the BSD form leaves out.

use bstr::ByteSlice;
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, NaiveTime};
use mls_config::zone::Zone;
use mls_event::Timestamp;

/// Eight years hold a 29 February, but for those around 1900 and 2100.
const YEARS: i32 = 8;

/// How stamps without year or zone are read.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    zone: Zone,
    reference: DateTime<FixedOffset>,
}

impl Clock {
    /// No stamp is after `reference`; how far clocks and zones may differ is the caller's to add.
    #[must_use]
    pub fn new(zone: Zone, reference: DateTime<FixedOffset>) -> Self {
        Self { zone, reference: zone.show(&reference) }
    }

    /// Reads a stamp. RFC 3339 keeps its text, with `+00:00` for `Z`; the BSD form gets the latest year for which it is not
    /// after the reference time.
    #[must_use]
    pub fn read<'a>(&self, stamp: &'a [u8]) -> Option<Timestamp<'a>> {
        let text = stamp.to_str().ok()?;
        if text.as_bytes().first()?.is_ascii_digit() && text.as_bytes().get(4) == Some(&b'-') {
            return self.rfc3339(text);
        }
        if text.as_bytes().get(8) == Some(&b'-') {
            let mut words = text.split(' ').skip(1);
            return self.full(words.next()?, words.next()?, words.next()?);
        }
        let (year, rest) = match text.split_once(' ') {
            Some((year, rest)) if year.len() == 4 => (Some(year.parse().ok()?), rest),
            _ => (None, text),
        };
        let mut words = rest.split_ascii_whitespace();
        let (month, day, time) =
            (month(words.next()?)?, words.next()?.parse().ok()?, words.next()?);
        let time: NaiveTime = time.parse().ok().filter(|_| time.len() >= 8)?;
        let on = |year| {
            NaiveDate::from_ymd_opt(year, month, day)
                .map(|date| self.zone.read(date.and_time(time)))
        };
        let latest = self.reference.year();
        let at = match year {
            Some(year) => on(year)?,
            // Points in time are compared, not what clocks show: at the end of summer time they show an hour twice.
            None => {
                (latest - YEARS..=latest).rev().filter_map(on).find(|at| *at <= self.reference)?
            }
        };
        Some(at.into())
    }

    /// Of `journalctl -o short-full`. But for UTC and for offsets, zones by name are taken for the one of a clock without zone.
    fn full(&self, date: &str, time: &str, zone: &str) -> Option<Timestamp<'static>> {
        let offset = match zone.as_bytes() {
            b"UTC" | b"GMT" => "Z",
            [b'+' | b'-', _, _] => &format!("{zone}:00"),
            [b'+' | b'-', ..] => zone,
            _ => "",
        };
        self.rfc3339(&format!("{date}T{time}{offset}")).map(Timestamp::into_owned)
    }

    fn rfc3339<'a>(&self, text: &'a str) -> Option<Timestamp<'a>> {
        if let Some(utc) = text.strip_suffix('Z') {
            return Timestamp::parse(format!("{utc}+00:00")).ok();
        }
        if let Ok(stamp) = Timestamp::parse(text) {
            return Some(stamp);
        }
        // journalctl writes the offset without its colon, and some templates leave it out.
        if let Some((rest, minutes)) = text.split_at_checked(text.len().saturating_sub(2))
            && let Ok(stamp) = Timestamp::parse(format!("{rest}:{minutes}"))
        {
            return Some(stamp);
        }
        let naive = text.parse::<NaiveDateTime>().ok().filter(|_| text.len() >= 19)?;
        let offset = self.zone.read(naive).offset().to_string();
        Timestamp::parse(format!("{text}{offset}")).ok()
    }
}

/// The number of an English month's three letters.
fn month(name: &str) -> Option<u32> {
    let months =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    (1..).zip(months).find(|(_, month)| *month == name).map(|(number, _)| number)
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
        ] {
            assert_eq!(read(stamp, now), written);
        }
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
    fn nonsense_is_no_time() {
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
