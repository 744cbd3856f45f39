//! Text in angle brackets, and headers that a program quotes.

use bstr::ByteSlice;

use super::TextPass;
use crate::class::Class;
use crate::pseudonym::is_domain;

impl TextPass<'_, '_> {
    /// Replaces `<…>` that is not the value of a key.
    pub(super) fn angle(&mut self, at: usize) -> usize {
        let Some(inside) = self.bracketed(at) else { return at + 1 };
        // Message-IDs of amavisd, rspamd and spamd (the last two).
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
