//! Reads a record that has its members in exactly the order in which this crate writes them.
//!
//! Almost every line has this order. [`Record::parse`](crate::Record::parse) reads the other lines
//! (other members, another order, a value that its type does not allow). It takes several times as
//! long.

#![expect(clippy::option_option, reason = "not read, read as null and read as a value differ")]

use std::borrow::Cow;
use std::str::FromStr;

use crate::text::find_control_or;

pub(crate) fn read<'a, T>(
    line: &'a [u8],
    head: &str,
    members: impl FnOnce(&mut Rest<'a>) -> Option<T>,
) -> Option<T> {
    let mut rest = Rest(str::from_utf8(line).ok()?);
    rest.skip(head)?;
    let record = members(&mut rest)?;
    (rest.0 == "}").then_some(record)
}

/// The part of the line that is not read yet.
pub(crate) struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    pub(crate) fn skip(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    pub(crate) fn has_next(&self, name: &str) -> bool {
        let member = self.0.strip_prefix(",\"").and_then(|rest| rest.strip_prefix(name));
        member.is_some_and(|rest| rest.starts_with("\":"))
    }

    /// A string, or null.
    pub(crate) fn text(&mut self) -> Option<Option<Cow<'a, str>>> {
        if self.skip("null").is_some() {
            return Some(None);
        }
        let quoted = self.0;
        self.skip("\"")?;
        // RFC 8259, section 7: a string holds no unescaped control character.
        let find = |from: usize| find_control_or([b'"', b'\\'], quoted.as_bytes().get(from..)?);
        let mut end = 1 + find(1)?;
        let escaped = quoted.as_bytes()[end] == b'\\';
        while quoted.as_bytes()[end] == b'\\' {
            // An escaped quote does not end the string.
            end += 2;
            end += find(end)?;
        }
        if quoted.as_bytes()[end] != b'"' {
            return None;
        }
        let (text, rest) = (&quoted[1..end], &quoted[end + 1..]);
        self.0 = rest;
        if escaped {
            return serde_json::from_str(&quoted[..=end]).ok().map(Cow::Owned).map(Some);
        }
        Some(Some(Cow::Borrowed(text)))
    }

    /// Digits, or null.
    pub(crate) fn number<T: FromStr>(&mut self) -> Option<Option<T>> {
        if self.skip("null").is_some() {
            return Some(None);
        }
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        // RFC 8259, section 6: only the number zero begins with the digit zero.
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        digits.parse().ok().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::{Auth, Body, Enrichment, Members, Outcome, Timestamp};

    fn line(user: &str) -> String {
        let mut auth =
            Auth::new(Timestamp::parse("2026-06-01T00:00:45+02:00").unwrap(), Outcome::Failure);
        auth.user = Some(user.into());
        auth.pid = Some(7);
        auth.ip = "192.0.2.7".parse().ok();
        auth.enrichment = Some(Enrichment { asn: Some(64500), ..Enrichment::default() });
        let mut line = Vec::new();
        auth.write_line(&mut line);
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    #[test]
    fn a_line_as_written_is_read_without_the_tolerant_reader() {
        for user in ["élève", r#"a"b\"#, r"\\", "tab\tnewline\n\u{1}", ""] {
            assert_eq!(
                Auth::as_written(line(user).as_bytes()).unwrap().user.as_deref(),
                Some(user)
            );
        }
    }

    proptest::proptest! {
        /// After any change to the line, this reader gives the same record as the tolerant reader,
        /// or no record.
        #[test]
        fn the_fast_path_agrees_with_the_tolerant_reader_or_gives_none(
            at in 0usize..400,
            length in 0usize..12,
            with in r#"([\\"0-9:,{}a-z\x00-\x20]|null|"x":1,|é){0,3}"#,
        ) {
            let line = line(r#"él"è\ve"#);
            let (start, end) = (at.min(line.len()), (at + length).min(line.len()));
            if let (Some(head), Some(tail)) = (line.get(..start), line.get(end..)) {
                let changed = format!("{head}{with}{tail}");
                if let Some(auth) = Auth::as_written(changed.as_bytes()) {
                    let members = Members::parse(changed.as_bytes()).unwrap();
                    proptest::prop_assert_eq!(Auth::from_members(&members).ok(), Some(auth), "{}", changed);
                }
            }
        }
    }
}
