//! Reads an `auth` record that stands as this crate writes it, straight from its first member to its last.
//!
//! That is what almost every line is. Any other, with a member more, another order or a value that its type does not allow, is
//! left to serde, which takes three times as long.

#![expect(clippy::option_option, reason = "not read, read as null, and read as a value differ")]

use std::borrow::Cow;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::{Auth, Enrichment, Outcome, Timestamp};

impl<'a> Auth<'a> {
    /// Reads a line (without its newline) that stands as [`Body`](crate::Body) writes it; `None` where
    /// [`Record::parse`](crate::Record::parse) has to look at it.
    #[must_use]
    pub fn as_written(line: &'a [u8]) -> Option<Self> {
        read(str::from_utf8(line).ok()?)
    }
}

fn read(line: &str) -> Option<Auth<'_>> {
    let mut rest = Rest(line);
    rest.skip("{\"v\":1,\"type\":\"auth\"")?;
    let date = Timestamp::parse(rest.text(",\"date\":")??).ok()?;
    let mut auth = Auth::new(date, Outcome::Failure);
    auth.server = rest.text(",\"server\":")?;
    auth.service = rest.text(",\"service\":")?;
    auth.pid = rest.number(",\"pid\":")?;
    auth.outcome = Outcome::of(&rest.text(",\"outcome\":")??)?;
    auth.attempts = rest.number::<NonZeroU32>(",\"attempts\":")??.get();
    auth.mechanism = rest.text(",\"mechanism\":")?;
    auth.ip = match rest.text(",\"ip\":")? {
        Some(ip) => Some(ip.parse::<IpAddr>().ok()?.to_canonical()),
        None => None,
    };
    if rest.0.starts_with(",\"port\":") {
        auth.port = rest.number(",\"port\":")?;
    }
    auth.client = rest.text(",\"client\":")?;
    auth.user = rest.text(",\"user\":")?;
    auth.reason = rest.text(",\"reason\":")?;
    if rest.0.starts_with(",\"pos\":") {
        auth.pos = rest.text(",\"pos\":")?;
    }
    if rest.0.starts_with(",\"hostname\":") {
        auth.enrichment = Some(Enrichment {
            hostname: rest.text(",\"hostname\":")?,
            reverse_dns_status: rest.text(",\"reverse_dns_status\":")?,
            country_code: rest.text(",\"country_code\":")?,
            asn: rest.number(",\"asn\":")?,
            aso: rest.text(",\"aso\":")?,
        });
    }
    (rest.0 == "}").then_some(auth)
}

/// What is still to be read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn skip(&mut self, text: &str) -> Option<()> {
        self.0 = self.0.strip_prefix(text)?;
        Some(())
    }

    /// The member that begins with `name`: a string, or null.
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "without a way out of the loop it is a few vector instructions"
    )]
    fn text(&mut self, name: &str) -> Option<Option<Cow<'a, str>>> {
        self.skip(name)?;
        if self.skip("null").is_some() {
            return Some(None);
        }
        let quoted = self.0;
        self.skip("\"")?;
        let mut end = 1 + memchr::memchr2(b'"', b'\\', self.0.as_bytes())?;
        let escaped = quoted.as_bytes()[end] == b'\\';
        while quoted.as_bytes()[end] == b'\\' {
            // What is escaped does not end it.
            end += 2;
            end += memchr::memchr2(b'"', b'\\', quoted.as_bytes().get(end..)?)?;
        }
        let (text, rest) = (&quoted[1..end], &quoted[end + 1..]);
        self.0 = rest;
        if escaped {
            return serde_json::from_str(&quoted[..=end]).ok().map(Cow::Owned).map(Some);
        }
        // RFC 8259, section 7: control characters stand in no string unescaped.
        let control = text.bytes().fold(false, |any, byte| any | (byte < b' '));
        (!control).then_some(Some(Cow::Borrowed(text)))
    }

    /// The member that begins with `name`: digits, or null.
    fn number<T: FromStr>(&mut self, name: &str) -> Option<Option<T>> {
        self.skip(name)?;
        if self.skip("null").is_some() {
            return Some(None);
        }
        let end = self.0.bytes().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        // RFC 8259, section 6: no number but zero itself begins with it.
        if digits.len() > 1 && digits.starts_with('0') {
            return None;
        }
        digits.parse().ok().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

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
    fn a_line_as_it_is_written_needs_no_serde() {
        for user in ["élève", r#"a"b\"#, r"\\", "tab\tnewline\n\u{1}", ""] {
            assert_eq!(read(&line(user)).unwrap().user.as_deref(), Some(user));
        }
    }

    proptest::proptest! {
        /// Whatever is put in the place of whatever: this reader says the same as serde, or nothing.
        #[test]
        fn it_never_reads_what_serde_does_not(
            at in 0usize..400,
            length in 0usize..12,
            with in r#"([\\"0-9:,{}a-z\x00-\x20]|null|"x":1,|é){0,3}"#,
        ) {
            let line = line(r#"él"è\ve"#);
            let (start, end) = (at.min(line.len()), (at + length).min(line.len()));
            if let (Some(head), Some(tail)) = (line.get(..start), line.get(end..)) {
                let changed = format!("{head}{with}{tail}");
                if let Some(auth) = read(&changed) {
                    proptest::prop_assert_eq!(serde_json::from_str::<Auth>(&changed).ok(), Some(auth), "{}", changed);
                }
            }
        }
    }
}
