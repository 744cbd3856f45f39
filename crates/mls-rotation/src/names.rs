//! The names that rotation gives to files.
//!
//! | name | made by |
//! |---|---|
//! | `LOG.N`, `LOG.0N` | logrotate(8) without `dateext`; newsyslog(8), savelog(8) |
//! | `LOG-DATE`, `LOG.DATE` | logrotate with `dateext`; `newsyslog -t` |
//! | `STEM.N.EXT`, `STEM-DATE.EXT` | logrotate with `extension .EXT`, if LOG is `STEM.EXT` |
//! | each of these with `.gz`, `.xz`, `.bz2` or `.zst` | compressed, see [`Compression`] |

use std::cmp::Reverse;

use crate::Compression;

/// The age of a rotated file, from its name. A smaller value is older. Only names of one kind
/// (dates or numbers) can be compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// A date: the numbers in the file name, and the character before them. The first number is the
    /// day (20260101). The others are the hour, the time or a counter.
    Date(Vec<u64>, u8),
    /// The number in the name, and how many digits it has. The highest number is the oldest file.
    Number(Reverse<(u32, usize)>),
    /// Unknown: the name only matches the pattern of the user.
    Unknown,
}

impl Age {
    pub(crate) fn is_comparable(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other) && *self != Self::Unknown
    }
}

/// The compression of a file, from its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NamedCompression {
    /// The file is not compressed.
    None,
    /// The file is compressed by a method that this crate reads.
    Known(Compression),
    /// The file is compressed by a method that this crate does not read.
    Unsupported,
}

/// The endings of the methods that this crate does not read.
const UNSUPPORTED: [&[u8]; 4] = [b".lz4", b".Z", b".lzma", b".lz"];

/// Splits a name such as `LOG.1.gz` into `LOG.1` and the compression.
pub(crate) fn split_compression(name: &[u8]) -> (&[u8], NamedCompression) {
    for method in Compression::ALL {
        if let Some(stem) = name.strip_suffix(method.ending().as_bytes()) {
            return (stem, NamedCompression::Known(method));
        }
    }
    match UNSUPPORTED.iter().find_map(|ending| name.strip_suffix(*ending)) {
        Some(stem) => (stem, NamedCompression::Unsupported),
        None => (name, NamedCompression::None),
    }
}

/// Returns the age of `name`; `None` if `name` is not a rotated file of `log`. `name` must not have
/// an ending such as `.gz`.
pub(crate) fn age(log: &[u8], name: &[u8]) -> Option<Age> {
    if let Some(rest) = name.strip_prefix(log) {
        return parse(rest);
    }
    let dot = memchr::memrchr(b'.', log).filter(|dot| *dot > 0)?;
    let (stem, extension) = log.split_at(dot);
    parse(name.strip_prefix(stem)?.strip_suffix(extension)?)
}

/// Reads `.N`, `-DATE` or `.DATE`.
fn parse(rest: &[u8]) -> Option<Age> {
    let (mark, rest) = rest.split_first()?;
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    match (mark, rest) {
        (b'.', number) if is_number(number) && number.len() < 8 => {
            let number = str::from_utf8(number).ok()?;
            Some(Age::Number(Reverse((number.parse().ok()?, number.len()))))
        }
        // `%Y%m%d` or `%Y-%m-%d`, perhaps followed by the hour, the time or seconds since 1970.
        (b'-' | b'.', date)
            if date.len() >= 8
                && date.first().is_some_and(u8::is_ascii_digit)
                && date.split(|b| matches!(b, b'-' | b'_' | b'T')).all(is_number) =>
        {
            Some(Age::Date(numbers(date), *mark))
        }
        _ => None,
    }
}

/// Splits a date such as `20260101`, `2026-01-01`, `2026010112` or `20260101-9` into its numbers.
fn numbers(date: &[u8]) -> Vec<u64> {
    let mut date = date.to_vec();
    if date.get(4) == Some(&b'-') && date.get(7) == Some(&b'-') {
        date.retain(|b| *b != b'-');
    }
    let number = |text: &[u8]| {
        let text = str::from_utf8(text).unwrap_or_default();
        text.parse().unwrap_or(u64::MAX)
    };
    let mut parts = date.split(|b| matches!(b, b'-' | b'_' | b'T'));
    let first = parts.next().unwrap_or_default();
    let (day, hour) = first.split_at(first.len().min(8));
    let hour = Some(hour).filter(|hour| !hour.is_empty());
    [day].into_iter().chain(hour).chain(parts).map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_kind_sort_by_age() {
        let mut numbers = vec!["mail.log.1", "mail.log.2", "mail.10.log", "mail.log.0"];
        numbers.sort_by_key(|name| age(b"mail.log", name.as_bytes()).unwrap());
        assert_eq!(numbers, ["mail.10.log", "mail.log.2", "mail.log.1", "mail.log.0"]);
        let mut dates = vec![
            "mail.log-2026010112",
            "mail-20260102.log",
            "mail.log-20260101",
            "mail.log.20251231",
            "mail.log.20251230T120000",
        ];
        dates.sort_by_key(|name| age(b"mail.log", name.as_bytes()).unwrap());
        assert_eq!(
            dates,
            [
                "mail.log.20251230T120000",
                "mail.log.20251231",
                "mail.log-20260101",
                "mail.log-2026010112",
                "mail-20260102.log",
            ]
        );
    }

    #[test]
    fn counters_and_forms_of_a_date_sort_by_number() {
        let mut names = vec![
            "mail.log-20260102",
            "mail.log-2026-01-01",
            "mail.log-20260101-10",
            "mail.log-20260101-9",
            "mail.log-20251231",
            "mail.log-2026-01-01-08",
        ];
        names.sort_by_key(|name| age(b"mail.log", name.as_bytes()).unwrap());
        assert_eq!(
            names,
            [
                "mail.log-20251231",
                "mail.log-2026-01-01",
                "mail.log-2026-01-01-08",
                "mail.log-20260101-9",
                "mail.log-20260101-10",
                "mail.log-20260102",
            ]
        );
    }

    #[test]
    fn other_names_are_not_rotated_files() {
        for name in [
            "mail.log",
            "mail.log.old",
            "mail.logs",
            "mail.log-x",
            "mail.log-2026",
            "mail.err",
            "mail.log.1.2",
            "mail-20260101.err",
            "mail.log-",
            "mail.log.",
            "mail.log.--------",
            "mail..log",
        ] {
            assert_eq!(age(b"mail.log", name.as_bytes()), None, "{name}");
        }
        assert_eq!(age(b".log", b"-20260101.log"), None);
    }

    #[test]
    fn the_ending_of_a_compression_is_split_off() {
        assert_eq!(
            split_compression(b"mail.log.1.xz"),
            (&b"mail.log.1"[..], NamedCompression::Known(Compression::Xz))
        );
        assert_eq!(
            split_compression(b"mail.log.1.lz4"),
            (&b"mail.log.1"[..], NamedCompression::Unsupported)
        );
        assert_eq!(split_compression(b"mail.log"), (&b"mail.log"[..], NamedCompression::None));
    }
}
