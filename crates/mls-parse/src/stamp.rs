//! Finds the end of the time stamp at the beginning of a line.
//!
//! | form | example |
//! |---|---|
//! | RFC 3339, and ISO 8601 with a blank or without a zone | `2026-11-21T07:11:22.212047+00:00`, `2026-11-21 07:11:22` |
//! | svlogd(8) `-tt`, which is UTC | `2026-11-21_07:11:22.21204` |
//! | BSD (RFC 3164), with or without a year | `Jun  1 00:00:45`, `2026 Jun  1 00:00:45`, `Jun  1 2026 00:00:45` |
//! | asctime(3) | `Mon Jun  1 00:00:45 2026` |
//! | `journalctl -o short-full` and `with-unit` | `Thu 2026-11-26 00:30:46 UTC` |
//! | `journalctl -o short-unix` | `1795245082.212047` |
//! | TAI64 and TAI64N of daemontools, runit and s6 | `@400000006745d6a20c9a1b00` |
//!
//! The names of months may be those of several languages (`month.rs`).
//! [`Clock`](crate::clock::Clock) reads the stamps.

use crate::month;

/// Splits `text` into its time stamp and the text after it, without the blanks and tabs between
/// them.
pub(crate) fn split(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *text.first()?;
    let end = match first {
        b'@' => word_end(text, 0).filter(|end| is_tai(&text[..*end])),
        b'0'..=b'9' => after_digits(text),
        _ => after_letters(text),
    }?;
    let rest = &text[end..];
    let blanks = rest.iter().take_while(|byte| matches!(**byte, b' ' | b'\t')).count();
    Some((&text[..end], &rest[blanks..]))
}

/// Whether a stamp is the same point in time in every zone: it has a zone or counts seconds.
pub(crate) fn is_absolute(stamp: &[u8]) -> bool {
    match stamp {
        [b'@', ..] => true,
        [_, _, _, _, b'-', ..] => {
            stamp.get(10) == Some(&b'_') || stamp.last() == Some(&b'Z') || {
                let time = stamp.get(11..).unwrap_or_default();
                memchr::memchr3(b'+', b'-', b'U', time).is_some()
            }
        }
        // `Thu 2026-11-26 00:30:46 UTC`. The names of other zones are not unique.
        [b'A'..=b'Z' | b'a'..=b'z', ..] => stamp.ends_with(b" UTC"),
        _ => memchr::memchr(b'.', stamp).is_some() && !stamp.contains(&b' '),
    }
}

/// Whether the year of a stamp is known: the stamp has a year, or counts seconds.
pub(crate) fn has_year(stamp: &[u8]) -> bool {
    let is_named = |word: &[u8]| is_year(word) || is_date(word);
    matches!(stamp.first(), Some(b'@' | b'0'..=b'9'))
        || stamp.split(|byte| *byte == b' ').any(is_named)
}

/// Whether a stamp is that of asctime(3): `Mon Jun  1 00:00:45 2026`.
pub(crate) fn ends_in_a_year(stamp: &[u8]) -> bool {
    stamp.rsplit(|byte| *byte == b' ').next().is_some_and(is_year) && stamp.contains(&b':')
}

fn after_digits(text: &[u8]) -> Option<usize> {
    let end = word_end(text, 0)?;
    let word = &text[..end];
    if word.len() > 10 && is_date(&word[..10]) && matches!(word[10], b'T' | b't' | b'_') {
        return is_time(&word[11..]).then_some(end);
    }
    if is_date(word) {
        return after_date(text, end, is_zone);
    }
    if is_year(word) {
        let month = next_if(text, end, is_month)?;
        let day = next_if(text, month, is_day)?;
        return next_if(text, day, is_time);
    }
    is_unix(word).then_some(end)
}

fn after_letters(text: &[u8]) -> Option<usize> {
    let mut end = word_end(text, 0)?;
    if !is_month(&text[..end]) {
        // The word must be a weekday, in any language.
        let word = &text[..end];
        if word.len() > 12 || word.iter().any(|byte| byte.is_ascii_digit() || *byte == b':') {
            return None;
        }
        if let Some(date) = next_if(text, end, is_date) {
            return after_date(text, date, is_named_zone);
        }
        end = next_if(text, end, is_month)?;
    }
    let day = next_if(text, end, is_day)?;
    if let Some(time) = next_if(text, day, is_time) {
        return Some(next_if(text, time, is_year).unwrap_or(time));
    }
    let year = next_if(text, day, is_year)?;
    next_if(text, year, is_time)
}

/// The end of the time and the zone after a date. The zone may be missing.
fn after_date(text: &[u8], date: usize, is_zone: fn(&[u8]) -> bool) -> Option<usize> {
    let time = next_if(text, date, is_time)?;
    Some(next_if(text, time, is_zone).unwrap_or(time))
}

/// The end of the word that begins at `start`. Words have at least one byte.
fn word_end(text: &[u8], start: usize) -> Option<usize> {
    let rest = text.get(start..)?;
    let length = memchr::memchr2(b' ', b'\t', rest).unwrap_or(rest.len());
    (length > 0).then_some(start + length)
}

/// The end of the word after `end`, if `fits` accepts the word. More than one blank may come before
/// the word, as in `Jun  1`.
fn next_if(text: &[u8], end: usize, fits: impl Fn(&[u8]) -> bool) -> Option<usize> {
    let start = end + text.get(end..)?.iter().take_while(|byte| **byte == b' ').count();
    let end = word_end(text, start)?;
    fits(&text[start..end]).then_some(end)
}

fn is_month(word: &[u8]) -> bool {
    month::number(word).is_some()
}

fn is_date(word: &[u8]) -> bool {
    has_shape(word, b"0000-00-00")
}

/// Whether a word is a time such as `00:00:00`, with or without a fraction and an offset.
fn is_time(word: &[u8]) -> bool {
    let Some((time, rest)) = word.split_at_checked(8) else { return false };
    let rest = match rest.strip_prefix(b".").or_else(|| rest.strip_prefix(b",")) {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
        None => rest,
    };
    has_shape(time, b"00:00:00") && (rest.is_empty() || rest == b"Z" || is_offset(rest))
}

fn is_zone(word: &[u8]) -> bool {
    matches!(word, b"UTC" | b"Z") || is_offset(word)
}

/// Whether a word is a zone such as `CET` or `-03`, as `%Z` of strftime(3) writes it.
fn is_named_zone(word: &[u8]) -> bool {
    is_offset(word) || ((3..=5).contains(&word.len()) && word.iter().all(u8::is_ascii_uppercase))
}

fn is_offset(word: &[u8]) -> bool {
    matches!(word, [b'+' | b'-', offset @ ..]
        if has_shape(offset, b"00:00") || has_shape(offset, b"0000") || has_shape(offset, b"00"))
}

fn is_day(word: &[u8]) -> bool {
    has_shape(word, b"0") || has_shape(word, b"00")
}

fn is_year(word: &[u8]) -> bool {
    has_shape(word, b"0000") && (word.starts_with(b"19") || word.starts_with(b"20"))
}

/// Whether a word is the number of seconds since 1970, with a fraction. This number has nine digits
/// since 1973, and ten since 2001.
fn is_unix(word: &[u8]) -> bool {
    let Some(dot) = memchr::memchr(b'.', word) else { return false };
    let is_digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    (9..=11).contains(&dot)
        && is_digits(&word[..dot])
        && (1..=9).contains(&(word.len() - dot - 1))
        && is_digits(&word[dot + 1..])
}

/// Whether a word is TAI64 or TAI64N: `@`, 16 hexadecimal digits for the second, and in TAI64N 8
/// more digits for the nanoseconds.
fn is_tai(word: &[u8]) -> bool {
    matches!(word.len(), 17 | 25) && word[1..].iter().all(u8::is_ascii_hexdigit)
}

/// Whether `word` has a digit for each `0` of `shape`, and otherwise the same characters as
/// `shape`. A loop without an early exit compiles to a few vector instructions.
fn has_shape<const N: usize>(word: &[u8], shape: &[u8; N]) -> bool {
    let largest = |shape: u8| if shape == b'0' { 9 } else { 0 };
    word.len() == N
        && word
            .iter()
            .zip(shape)
            .fold(true, |fits, (byte, shape)| fits & (byte.wrapping_sub(*shape) <= largest(*shape)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_each_form_of_stamp_is_found() {
        for stamp in [
            "2026-11-21T07:11:22.212047+00:00",
            "2026-11-21T07:11:22Z",
            "2026-11-21T07:11:22+0100",
            "2026-11-21T07:11:22.5",
            "2026-11-21 07:11:22",
            "2026-11-21 07:11:22,123",
            "2026-11-21 07:11:22 +0100",
            "2026-11-21 07:11:22.5 UTC",
            "2026-11-21_07:11:22.21204",
            "Jun  1 00:00:45",
            "Jun 01 00:00:45.123456",
            "2025 Jun  1 00:00:45",
            "Jun  1 2025 00:00:45",
            "Jun  1 00:00:45 2025",
            "Mon Jun  1 00:00:45 2025",
            "märz 21 00:00:45",
            "févr. 21 00:00:45",
            "Thu 2026-11-26 00:30:46 UTC",
            "jeu. 2026-11-26 00:30:46 CET",
            "Thu 2026-11-26 00:30:46 -03",
            "1795245082.212047",
            "@400000006745d6a20c9a1b00",
            "@400000006745d6a2",
        ] {
            let line = format!("{stamp}  vm postfix/smtpd[1]: x");
            let (found, rest) = split(line.as_bytes()).unwrap_or_else(|| panic!("{stamp}"));
            assert_eq!(found, stamp.as_bytes());
            assert!(rest.starts_with(b"vm "), "{stamp}");
        }
    }

    #[test]
    fn other_words_are_not_stamps() {
        for line in [
            "",
            " ",
            "vm postfix/smtpd[1]: x",
            "Jun",
            "Jun 1",
            "Jun  1 0:0",
            "Foo  1 00:00:00 vm",
            "[12.345] vm",
            "warning: header Subject: x",
            "2026-11-21 vm",
            "@4000 vm",
            "12345 vm",
        ] {
            assert_eq!(split(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn only_a_bsd_stamp_can_lack_its_year() {
        for (stamp, has) in [
            ("Jun  1 00:00:45", false),
            ("Mon Jun  1 00:00:45.123", false),
            ("févr. 21 00:00:45", false),
            ("Jun  1 2025 00:00:45", true),
            ("Jun  1 00:00:45 2025", true),
            ("2025 Jun  1 00:00:45", true),
            ("Thu 2026-11-26 00:30:46 CET", true),
            ("2026-11-21T07:11:22", true),
            ("1795245082.212047", true),
            ("@400000006745d6a20c9a1b00", true),
        ] {
            assert_eq!(has_year(stamp.as_bytes()), has, "{stamp}");
        }
    }

    #[test]
    fn a_stamp_with_a_zone_or_a_count_of_seconds_is_absolute() {
        for (stamp, absolute) in [
            ("2026-11-21T07:11:22+00:00", true),
            ("2026-11-21T07:11:22Z", true),
            ("2026-11-21_07:11:22.2", true),
            ("2026-11-21 07:11:22 UTC", true),
            ("2026-11-21 07:11:22 -0300", true),
            ("Thu 2026-11-26 00:30:46 UTC", true),
            ("1795245082.212047", true),
            ("@400000006745d6a20c9a1b00", true),
            ("Thu 2026-11-26 00:30:46 CET", false),
            ("2026-11-21T07:11:22.5", false),
            ("2026-11-21 07:11:22", false),
            ("Jun  1 00:00:45.123", false),
            ("2026 Jun  1 00:00:45.123", false),
        ] {
            assert_eq!(is_absolute(stamp.as_bytes()), absolute, "{stamp}");
        }
    }
}
