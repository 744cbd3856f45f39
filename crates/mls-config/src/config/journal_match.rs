//! Matches, which select the entries of the systemd journal to read.

use std::fmt;
use std::str::FromStr;

/// A match of journalctl(1): `FIELD=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalMatch(String);

impl JournalMatch {
    /// The text that journalctl gets.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for JournalMatch {
    type Err = String;

    /// journalctl reads a word without `=` as a path, and a word that begins with `-` as an option, so
    /// both are refused. For the names of fields, see `journal_field_valid()` in systemd's
    /// `src/libsystemd/sd-journal/journal-file.c`.
    fn from_str(text: &str) -> Result<Self, String> {
        let is_part = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let is_field = |field: &str| {
            (1..=64).contains(&field.len())
                && field.bytes().all(is_part)
                && !field.starts_with(|c: char| c.is_ascii_digit())
        };
        let is_value = |value: &str| !value.is_empty() && !value.contains(char::is_control);
        match text.split_once('=') {
            Some((field, value)) if is_field(field) && is_value(value) => Ok(Self(text.to_owned())),
            _ => Err(format!(
                "{text:?} is not a match; give FIELD=VALUE, such as CONTAINER_NAME=postfix-mailcow"
            )),
        }
    }
}

impl fmt::Display for JournalMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_field_and_a_value_are_a_match() {
        for text in ["CONTAINER_NAME=postfix-mailcow", "_SYSTEMD_UNIT=podman@a=b.service"] {
            assert_eq!(text.parse::<JournalMatch>().unwrap().as_str(), text);
        }
        for text in
            ["", "postfix", "=x", "A=", "-A=x", "--root=/", "/bin/sh", "a=x", "1A=x", "A=\n"]
        {
            assert!(text.parse::<JournalMatch>().is_err(), "{text}");
        }
    }
}
