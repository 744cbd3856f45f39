//! A point in time, together with the text that it was read from.

use std::borrow::Cow;
use std::fmt;

use chrono::{DateTime, FixedOffset, NaiveDate, SecondsFormat, Timelike};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An RFC 3339 date and time with offset. The text is stored too, because the precision and the
/// offset of the text are part of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timestamp<'a> {
    text: Cow<'a, str>,
    at: DateTime<FixedOffset>,
}

/// The text is not an RFC 3339 date and time with an offset.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 timestamp such as 2026-06-01T00:00:45.123456+02:00")]
pub struct BadTimestamp(String);

impl<'a> Timestamp<'a> {
    /// Reads RFC 3339 text.
    ///
    /// # Errors
    /// [`BadTimestamp`] if the text is not RFC 3339.
    pub fn parse(text: impl Into<Cow<'a, str>>) -> Result<Self, BadTimestamp> {
        let text = text.into();
        if let Some(at) = read_common(text.as_bytes()) {
            return Ok(Self { text, at });
        }
        match DateTime::parse_from_rfc3339(&text) {
            // chrono also accepts a blank instead of the `T`, which other readers refuse, and a
            // minus sign that is not ASCII.
            Ok(at) if text.as_bytes().get(10) == Some(&b'T') && text.is_ascii() => {
                Ok(Self { text, at: without_leap_second(at) })
            }
            _ => Err(BadTimestamp(text.chars().take(80).collect())),
        }
    }

    /// The point in time. Second 60 counts as second 59.
    #[must_use]
    pub fn at(&self) -> DateTime<FixedOffset> {
        self.at
    }

    /// The text that the timestamp was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The same timestamp, owning its text.
    #[must_use]
    pub fn into_owned(self) -> Timestamp<'static> {
        Timestamp { text: Cow::Owned(self.text.into_owned()), at: self.at }
    }
}

/// Reads `2026-06-01T00:00:45+02:00`, also with at most nine digits of a fraction. Almost every
/// record has this form. chrono reads all forms, and takes five times as long. If the result is
/// `None`, chrono must read the text.
fn read_common(text: &[u8]) -> Option<DateTime<FixedOffset>> {
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |number, byte| {
            let digit = byte.wrapping_sub(b'0');
            (digit < 10).then(|| number * 10 + u32::from(digit))
        })
    };
    let (front, rest) = text.split_at_checked(19)?;
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T', _, _, b':', _, _, b':', _, _] = front else {
        return None;
    };
    let (fraction, offset) = rest.split_at(rest.len().checked_sub(6)?);
    let [sign @ (b'+' | b'-'), hours @ .., b':', tens, ones] = offset else { return None };
    let (hours, minutes) = (number(hours)?, number(&[*tens, *ones])?);
    let nanoseconds = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let missing = u32::try_from(9 - digits.len()).ok()?;
            number(digits)? * 10_u32.pow(missing)
        }
        _ => return None,
    };
    let year = number(&front[..4]).filter(|year| *year > 0)?;
    let (month, day) = (number(&front[5..7])?, number(&front[8..10])?);
    let (hour, minute, second) =
        (number(&front[11..13])?, number(&front[14..16])?, number(&front[17..])?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let east = (hours * 3600 + minutes * 60).cast_signed();
    let offset = FixedOffset::east_opt(if *sign == b'+' { east } else { -east })?;
    let date = NaiveDate::from_ymd_opt(year.cast_signed(), month, day)?;
    date.and_hms_nano_opt(hour, minute, second, nanoseconds)?.and_local_timezone(offset).single()
}

/// Reads second 60 as second 59, because Linux repeats second 59 during a leap second. chrono
/// stores second 60 as second 59 with 10^9 nanoseconds or more, which no other code here expects.
fn without_leap_second(at: DateTime<FixedOffset>) -> DateTime<FixedOffset> {
    at.with_nanosecond(at.nanosecond() % 1_000_000_000).unwrap_or(at)
}

impl From<DateTime<FixedOffset>> for Timestamp<'static> {
    /// Writes `at` with the necessary fractional digits (0, 3, 6 or 9), and an offset of whole
    /// minutes. RFC 3339 allows no seconds in an offset, but local times before time zones had
    /// offsets with seconds.
    fn from(at: DateTime<FixedOffset>) -> Self {
        let at = without_leap_second(at);
        let seconds = at.offset().local_minus_utc();
        let minutes = FixedOffset::east_opt(seconds - seconds % 60);
        let at = minutes.map_or(at, |offset| at.with_timezone(&offset));
        Self { text: Cow::Owned(at.to_rfc3339_opts(SecondsFormat::AutoSi, false)), at }
    }
}

impl fmt::Display for Timestamp<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Timestamp<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Timestamp<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
        let Text(text) = Text::deserialize(deserializer)?;
        Self::parse(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logged_precision_is_kept() {
        for text in [
            "2026-11-21T07:11:22.212047+00:00",
            "2026-06-01T00:00:45+02:00",
            "2026-06-01T00:00:45.1Z",
        ] {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn the_common_form_is_read_as_chrono_reads_it() {
        let whole = "2026-06-01T00:00:45.123456789+02:00";
        let mut texts = vec![whole.to_owned(), whole.replace(".123456789", "")];
        // Try each character in each position, and each text without one of its characters.
        for at in 0..whole.len() {
            texts.push([&whole[..at], &whole[at + 1..]].concat());
            for other in "0123456789+-:.TZ t".chars() {
                texts.push(format!("{}{other}{}", &whole[..at], &whole[at + 1..]));
            }
        }
        for last in ["0001-01-01", "9999-12-31", "0000-02-29", "2024-02-29", "2026-02-29"] {
            texts.extend(
                ["+23:59", "-23:59", "-00:00"].map(|zone| format!("{last}T23:59:59{zone}")),
            );
        }
        for text in texts {
            if let Some(at) = read_common(text.as_bytes()) {
                let chrono = DateTime::parse_from_rfc3339(&text).ok();
                assert_eq!(chrono.map(|it| (it, *it.offset())), Some((at, *at.offset())), "{text}");
            }
        }
        for common in [whole, "2026-06-01T00:00:45+02:00", "2026-06-01T00:00:45.123456+02:00"] {
            assert!(read_common(common.as_bytes()).is_some(), "{common}");
        }
    }

    #[test]
    fn text_of_a_local_mean_time_is_the_same_moment() {
        let paris = FixedOffset::east_opt(9 * 60 + 21).unwrap();
        let at = DateTime::parse_from_rfc3339("1901-01-01T00:00:00Z").unwrap();
        let written = Timestamp::from(at.with_timezone(&paris));
        assert_eq!(Timestamp::parse(written.to_string()).unwrap().at(), at);
    }

    #[test]
    fn second_60_is_read_as_second_59() {
        let leap = "2016-12-31T23:59:60.25+00:00";
        let read = Timestamp::parse(leap).unwrap();
        assert_eq!(read.to_string(), leap);
        let written = Timestamp::from(DateTime::parse_from_rfc3339(leap).unwrap());
        assert_eq!(written.as_str(), "2016-12-31T23:59:59.250+00:00");
        assert_eq!(read.at(), written.at());
    }

    #[test]
    fn other_spellings_of_time_are_refused() {
        for text in [
            "",
            "Jun  1 00:00:45",
            "2026-06-01T00:00:45",
            "2026-06-01 00:00:45Z",
            "2026-06-01T00:00:45\u{2212}01:00",
            "2026-13-01T00:00:45Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }
}
