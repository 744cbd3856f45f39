//! The differences between the databases: quoted names, text literals and timestamps.
//!
//! These literals mean the same under every server setting:
//!
//! | dialect | text | text with `\` or non-ASCII characters |
//! |---|---|---|
//! | SQLite | `'it''s'` | `'\é'`: SQLite has no escapes and reads UTF-8 |
//! | PostgreSQL | `'it''s'` | `E'\\ \u00e9'` |
//! | MySQL, MariaDB | `'it''s'` | `_utf8mb4 X'5c'` |
//!
//! The PostgreSQL literals do not depend on `standard_conforming_strings` and `client_encoding`.
//! The MySQL literals do not depend on `NO_BACKSLASH_ESCAPES` and `character_set_client`.
//!
//! Sources: SQLite "SQL Language Expressions"; PostgreSQL manual 4.1.2; MySQL manual 9.1.1 and
//! 9.1.4.

use std::io::Write as _;

use chrono::{DateTime, Datelike, FixedOffset, Timelike};
use clap::ValueEnum;
use mls_config::config::DbType;
use mls_config::zone::digits;

/// The SQL dialect of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Dialect {
    Sqlite,
    Postgresql,
    /// MySQL and MariaDB.
    Mysql,
}

impl From<DbType> for Dialect {
    fn from(kind: DbType) -> Self {
        match kind {
            DbType::Sqlite => Self::Sqlite,
            DbType::Postgresql => Self::Postgresql,
            DbType::Mysql => Self::Mysql,
        }
    }
}

impl Dialect {
    /// Quotes the name of a table or column.
    pub(crate) fn name(self, name: &str) -> String {
        let quote = if self == Self::Mysql { '`' } else { '"' };
        format!("{quote}{}{quote}", name.replace(quote, &format!("{quote}{quote}")))
    }

    /// Writes a text as a literal. The text must not contain NUL, which PostgreSQL cannot store.
    pub(crate) fn text(self, text: &str) -> String {
        let mut out = Vec::new();
        self.write_text(text, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Appends a text as a literal.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "a loop without an early exit becomes a few vector instructions"
    )]
    pub(crate) fn write_text(self, text: &str, out: &mut Vec<u8>) {
        // All dialects read ASCII without `\` and `'` in the same way. Nearly all texts are such
        // ASCII.
        let plain =
            text.bytes().fold(true, |plain, b| plain & (b < 0x80) & (b != b'\\') & (b != b'\''));
        match self {
            _ if plain => {
                out.push(b'\'');
                out.extend_from_slice(text.as_bytes());
                out.push(b'\'');
            }
            _ if self == Self::Sqlite || (text.is_ascii() && !text.contains('\\')) => {
                out.push(b'\'');
                doubled(text, b'\'', out);
                out.push(b'\'');
            }
            Self::Mysql => {
                out.extend_from_slice(b"_utf8mb4 X'");
                for byte in text.bytes() {
                    // Writing to memory cannot fail.
                    let _ = write!(out, "{byte:02x}");
                }
                out.push(b'\'');
            }
            _ => {
                out.extend_from_slice(b"E'");
                for c in text.chars() {
                    let _ = match c {
                        '\'' | '\\' => write!(out, "{c}{c}"),
                        c if c.is_ascii() => write!(out, "{c}"),
                        c if u32::from(c) <= 0xffff => write!(out, "\\u{:04x}", u32::from(c)),
                        c => write!(out, "\\U{:08x}", u32::from(c)),
                    };
                }
                out.push(b'\'');
            }
        }
    }

    pub(crate) fn time_literal(self, at: &DateTime<FixedOffset>) -> Option<String> {
        Some(self.text(str::from_utf8(self.time(at)?.as_bytes()).ok()?))
    }

    /// Encodes a timestamp for its column, without quotes: UTC, with microseconds. Before the year
    /// 1000 and after 9999, returns `None`, because MySQL's `DATETIME` cannot store these years.
    pub(crate) fn time(self, at: &DateTime<FixedOffset>) -> Option<Time> {
        let at = at.naive_utc();
        if !(1000..=9999).contains(&at.year()) {
            return None;
        }
        let (mark, end) = match self {
            Self::Sqlite => (b'T', &b"Z"[..]),
            Self::Postgresql => (b' ', &b"+00"[..]),
            Self::Mysql => (b' ', &b""[..]),
        };
        let mut text = *b"0000-00-00 00:00:00.000000   ";
        text[..19].copy_from_slice(&digits(&at)?);
        let mut micros = at.nanosecond() / 1000;
        for digit in text[20..26].iter_mut().rev() {
            *digit = b'0' + (micros % 10) as u8;
            micros /= 10;
        }
        text[10] = mark;
        let length = 26 + end.len();
        text[26..length].copy_from_slice(end);
        Some(Time { text, length })
    }
}

pub(crate) struct Time {
    text: [u8; 29],
    length: usize,
}

impl Time {
    /// Returns the text: digits and the separators of a date, so it needs no escaping.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.text[..self.length]
    }
}

/// Appends a text with each `byte` doubled: `it's` becomes `it''s`.
#[inline]
pub(crate) fn doubled(text: &str, byte: u8, out: &mut Vec<u8>) {
    for part in text.as_bytes().split_inclusive(|b| *b == byte) {
        out.extend_from_slice(part);
        if part.ends_with(&[byte]) {
            out.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_do_not_depend_on_server_settings() {
        for (text, sqlite, postgresql, mysql) in [
            ("a", "'a'", "'a'", "'a'"),
            ("it's", "'it''s'", "'it''s'", "'it''s'"),
            ("\\'", "'\\'''", "E'\\\\'''", "_utf8mb4 X'5c27'"),
            ("é😀", "'é😀'", "E'\\u00e9\\U0001f600'", "_utf8mb4 X'c3a9f09f9880'"),
            ("", "''", "''", "''"),
        ] {
            assert_eq!(Dialect::Sqlite.text(text), sqlite);
            assert_eq!(Dialect::Postgresql.text(text), postgresql);
            assert_eq!(Dialect::Mysql.text(text), mysql);
        }
    }

    #[test]
    fn names_cannot_leave_their_quotes() {
        assert_eq!(Dialect::Sqlite.name("a\"; --"), "\"a\"\"; --\"");
        assert_eq!(Dialect::Mysql.name("a`b"), "`a``b`");
    }

    #[test]
    fn times_are_utc_with_microseconds() {
        let time = |text: &str, dialect: Dialect| {
            let time = dialect.time(&DateTime::parse_from_rfc3339(text).unwrap());
            time.map(|time| String::from_utf8(time.as_bytes().to_vec()).unwrap())
        };
        let text = "2026-06-01T00:30:45.1234567+02:00";
        assert_eq!(time(text, Dialect::Sqlite).unwrap(), "2026-05-31T22:30:45.123456Z");
        assert_eq!(time(text, Dialect::Postgresql).unwrap(), "2026-05-31 22:30:45.123456+00");
        assert_eq!(time(text, Dialect::Mysql).unwrap(), "2026-05-31 22:30:45.123456");
        assert_eq!(time("0999-12-31T23:59:59Z", Dialect::Sqlite), None);
        assert_eq!(time("9999-12-31T23:59:59-01:00", Dialect::Mysql), None);
    }
}
