//! Text in angle brackets, literals of SQL, and headers that a program quotes.

use std::net::IpAddr;

use bstr::ByteSlice;

use super::{TextPass, near};
use crate::class::Class;
use crate::pseudonym::is_domain;

impl TextPass<'_, '_> {
    /// Replaces `<…>` that is not the value of a key.
    pub(super) fn angle(&mut self, at: usize) -> usize {
        let Some(inside) = self.bracketed(at) else { return at + 1 };
        // The words before the message-IDs of amavisd, rspamd and spamd (spamd: the last two).
        let ids = [&b"Message-ID: "[..], b" id: ", b" message ", b"mid="];
        if ids.iter().any(|words| self.text[..at].ends_with(words)) {
            return self.message_id(inside);
        }
        let (text, after) = (&self.text[inside.clone()], &self.text[inside.end..]);
        if self.text[..at].ends_with(b"qid: ") || self.text[..at].ends_with(b"queue-id: ") {
            return if self.anonymizer.queue_ids { self.queue_id(inside) } else { inside.end };
        }
        let is_mail = text.rsplit_once_str("@").is_some_and(|(_, domain)| is_domain(domain));
        if is_mail {
            return self.user(inside);
        }
        if text.find_byteset(b" <[]@").is_some() || text.iter().all(u8::is_ascii_digit) {
            return at + 1;
        }
        if self.context.dovecot {
            return self.pseudonym(Class::Session, inside);
        }
        if after.starts_with(b">: Helo") || text.contains(&b'.') || text.contains(&b':') {
            return self.host(inside);
        }
        self.user(inside)
    }

    /// Replaces the SQL literal that begins with the quote at `at`. Numbers and times do not
    /// change. In a literal, a backslash escapes the next character, and two quotes are one quote.
    pub(super) fn literal(&mut self, at: usize) -> usize {
        let (quote, rest) = (self.text[at], near(&self.text[at + 1..]));
        let mut length = 0;
        while let Some(byte) = rest.get(length) {
            length += match byte {
                b'\\' => 2,
                _ if *byte != quote => 1,
                _ if rest.get(length + 1) == Some(&quote) => 2,
                _ => break,
            };
        }
        if length >= rest.len() {
            return at + 1;
        }
        let (inside, context) = (at + 1..at + 1 + length, self.context);
        let text = &rest[..length];
        let is_name = text.iter().any(|byte| !b"0123456789-:+. T".contains(byte))
            && text.to_str().is_ok_and(|text| text.parse::<IpAddr>().is_err());
        let end = if is_name {
            self.user(inside)
        } else {
            self.replace(inside, |anonymizer, text, out| anonymizer.text(text, context, out))
        };
        end + 1
    }

    /// Replaces text that `header_checks`(5) quotes from `start` on: `Subject: TEXT from CLIENT;
    /// from=<…>`. If `is_header`, the name of the header stays.
    pub(super) fn quoted(&mut self, start: usize, is_header: bool) -> usize {
        let rest = &self.text[start..];
        let end = rest.rfind("; from=<").and_then(|end| rest[..end].rfind(" from "));
        // The reply of another server may quote a header, too.
        let end = end.or_else(|| rest.rfind(" (in reply to ")).unwrap_or(rest.len());
        let name = rest[..end].find_byte(b':').filter(|_| is_header).map_or(0, |colon| colon + 1);
        let blanks = rest[name..end].iter().take_while(|b| **b == b' ').count();
        let text = start + name + blanks..start + end;
        if rest[..name].eq_ignore_ascii_case(b"Message-ID:")
            && let Some(inside) =
                self.bracketed(text.start).filter(|inside| inside.end + 1 == text.end)
        {
            return self.message_id(inside);
        }
        self.pseudonym(Class::Subject, text)
    }
}
