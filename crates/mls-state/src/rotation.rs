//! The names that rotation gives to files.

use std::cmp::Reverse;

/// What the name of a rotated file says but for its compression, in the order of age: `LOG-YYYYMMDD` in the order of dates, then
/// `LOG.N`, the highest number first (logrotate(8), `dateext` and its absence). The hyphen may be a full stop, and a number
/// have zeros in front.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Its digits, and what stands before them.
    Date(Vec<u8>, u8),
    /// It, and how many digits it has.
    Number(Reverse<(u32, usize)>),
    /// It was not rotated.
    Live,
}

/// How a name says that its file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// It is not.
    None,
    /// RFC 1952.
    Gzip,
    /// In a way that is not read here.
    Other,
}

/// What `name` is to the file called `log`; `None` for a stranger.
#[must_use]
pub fn classify(log: &[u8], name: &[u8]) -> Option<(Age, Compression)> {
    let suffix = name.strip_prefix(log)?;
    if suffix.is_empty() {
        return Some((Age::Live, Compression::None));
    }
    let unreadable = [&b".xz"[..], b".bz2", b".zst", b".lz4", b".Z"];
    let (stem, compression) = match suffix.strip_suffix(b".gz") {
        Some(stem) => (stem, Compression::Gzip),
        None => match unreadable.iter().find_map(|ending| suffix.strip_suffix(*ending)) {
            Some(stem) => (stem, Compression::Other),
            None => (suffix, Compression::None),
        },
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let age = match stem {
        [b'.', number @ ..] if digits(number) && number.len() < 8 => {
            Age::Number(Reverse((str::from_utf8(number).ok()?.parse().ok()?, number.len())))
        }
        // `-%Y%m%d`, and with the hour or the time behind it.
        [mark @ (b'-' | b'.'), date @ ..]
            if date.len() >= 8 && date.split(|b| *b == b'-').all(digits) =>
        {
            Age::Date(date.to_vec(), *mark)
        }
        // The log itself may be named with its ending: mls-tail old.gz.
        [] => Age::Live,
        _ => return None,
    };
    Some((age, compression))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_age() {
        let mut names: Vec<&str> = vec![
            "mail.log",
            "mail.log.1",
            "mail.log.2.gz",
            "mail.log.10.gz",
            "mail.log-20260101",
            "mail.log-20251231.gz",
            "mail.log-2026010112",
            "mail.log.20251230",
        ];
        names.sort_by_key(|name| classify(b"mail.log", name.as_bytes()).unwrap());
        assert_eq!(
            names,
            [
                "mail.log.20251230",
                "mail.log-20251231.gz",
                "mail.log-20260101",
                "mail.log-2026010112",
                "mail.log.10.gz",
                "mail.log.2.gz",
                "mail.log.1",
                "mail.log",
            ]
        );
    }

    #[test]
    fn strangers_are_no_siblings() {
        for name in [
            "mail.log.old",
            "mail.logs",
            "mail.log.1.gz.tmp",
            "mail.log-x",
            "mail.log-2026",
            "mail.err",
            "mail.log.1.2",
        ] {
            assert_eq!(classify(b"mail.log", name.as_bytes()), None, "{name}");
        }
    }
}
