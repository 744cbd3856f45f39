//! `KEY=VALUE` in free text.

use std::ops::Range;

use bstr::ByteSlice;

use super::{TextPass, is_escape, near};
use crate::class::Class;
use crate::pseudonym::is_domain;

/// Keys whose value is a host.
const HOSTS: [&[u8]; 8] = [
    b"helo",
    b"helo_name",
    b"client_name",
    b"reverse_client_name",
    b"rhost",
    b"realm",
    b"hostname",
    b"myhostname",
];

impl TextPass<'_, '_> {
    /// Replaces the value after `key`, and the key if it is a name.
    pub(super) fn value(&mut self, key: Range<usize>) -> usize {
        let (text, start) = (self.text, key.end + 1);
        let (name, rest) = (&text[key.clone()], &text[start..]);
        let is_count = |b: &u8| matches!(b, b'0'..=b'9' | b'/');
        if let Some(value) = self.value_in_ldap(&key) {
            return self.user(value);
        }
        match name {
            b"sasl_username" => self.sasl_username(start),
            b"from" | b"to" | b"orig_to" | b"sasl_sender" | b"sender" | b"recipient" | b"user"
            | b"ruser" | b"logname" | b"login" | b"username" => match self.bracketed(start) {
                Some(inside) => self.user(inside),
                None if rest.starts_with(b"<") || matches!(name, b"from" | b"to") => start,
                None => self.user(self.bare_value(start)),
            },
            // smtpd(8) counts the commands of a connection: `helo=1` is not a host.
            b"helo" if text[self.bare_value(start)].iter().all(is_count) => start,
            _ if HOSTS.contains(&name) => self.host(self.whole_value(start)),
            b"message-id" | b"resent-message-id" => {
                self.message_id(self.bracketed(start).unwrap_or(start..text.len()))
            }
            // Dovecot writes more text after the message-ID.
            b"msgid" => {
                let end = end_before(rest, &[": ", ", "]);
                self.message_id(self.bracketed(start).unwrap_or(start..start + end))
            }
            b"session" => self.pseudonym(Class::Session, self.whole_value(start)),
            // Dovecot's mail_log plugin writes `subject` last. The subject may contain anything.
            b"subject" if self.context.dovecot => self.pseudonym(Class::Subject, start..text.len()),
            _ if is_password_key(name) => self.pseudonym(Class::Secret, self.bare_value(start)),
            b"orig_queue_id" if self.anonymizer.queue_ids => self.queue_id(self.bare_value(start)),
            _ if is_rewritten_sender(name) => self.rewritten_sender(key.start, start),
            _ => {
                // In `example.com=pass`, the key is a host name. Keys such as `smtp.mailfrom` are
                // no host names (RFC 8601, section 2.3).
                let results = ["smtp.", "header.", "body.", "policy."];
                if name.contains(&b'.') && !results.iter().any(|kind| name.starts_with_str(kind)) {
                    self.bare_word(key);
                }
                start
            }
        }
    }

    fn sasl_username(&mut self, start: usize) -> usize {
        let rest = &self.text[start..];
        let end = end_before(rest, &[", sasl_sender=", ", orig_queue_id=", ", orig_client="]);
        if &rest[..end] == b"(unavailable)" { start + end } else { self.user(start..start + end) }
    }

    /// Replaces a mail address that contains another mail address before its `@`, as in SRS.
    fn rewritten_sender(&mut self, begin: usize, start: usize) -> usize {
        let rest = near(&self.text[start..]);
        let length = (0..rest.len()).find(|at| ends_value(rest, *at)).unwrap_or(rest.len());
        let domain = rest[..length].rfind_byte(b'@').map(|at| self.domain(start + at + 1));
        match domain.filter(|domain| is_domain(&self.text[domain.clone()])) {
            Some(domain) => self.user(self.local_start(begin)..domain.end),
            None => start,
        }
    }

    /// The value after a key in a filter or name of LDAP: `(uid=NAME)`, `dn cn=First Last,ou=people`.
    fn value_in_ldap(&self, key: &Range<usize>) -> Option<Range<usize>> {
        const KEYS: [&str; 5] = ["uid", "cn", "mail", "sAMAccountName", "userPrincipalName"];
        let (before, name) = (&self.text[..key.start], &self.text[key.clone()]);
        let begins = ["(", ",", "dn ", "dn="].iter().any(|end| before.ends_with(end.as_bytes()));
        if !begins || !KEYS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes())) {
            return None;
        }
        let rest = near(&self.text[key.end + 1..]);
        let value = &rest[..rest.find_byteset(b",)\"").unwrap_or(rest.len())];
        // `uid=1000` is a user ID of the kernel, not a name.
        let is_name = !value.iter().all(u8::is_ascii_digit);
        is_name.then(|| key.end + 1..key.end + 1 + value.len())
    }

    /// The value at `start`. If it is in angle brackets, the text between them.
    fn whole_value(&self, start: usize) -> Range<usize> {
        self.bracketed(start).unwrap_or_else(|| self.bare_value(start))
    }

    fn bare_value(&self, start: usize) -> Range<usize> {
        let rest = &self.text[start..];
        start..start + (0..rest.len()).find(|at| ends_value(rest, *at)).unwrap_or(rest.len())
    }
}

fn ends_value(text: &[u8], at: usize) -> bool {
    b" \t,;])>\"'".contains(&text[at]) || is_escape(&text[at..])
}

/// Returns where one of `words` first begins in `text`. If `text` has none, returns its length.
fn end_before(text: &[u8], words: &[&str]) -> usize {
    words.iter().filter_map(|words| text.find(words)).min().unwrap_or(text.len())
}

/// Whether `key` begins a local part of VERP (`NAME+…`), SRS or BATV, which contains another mail
/// address.
fn is_rewritten_sender(key: &[u8]) -> bool {
    let tags = ["srs0", "srs1", "prvs", "btv1", "msprvs1"];
    key.contains(&b'+') || tags.iter().any(|tag| key.eq_ignore_ascii_case(tag.as_bytes()))
}

/// Whether the value after `key` is a secret, as in `resp=`, `pass=`, `userPassword=`,
/// `proxy_pass=` and `access_token=`.
fn is_password_key(key: &[u8]) -> bool {
    const NAMES: [&str; 6] = ["pass", "password", "passwd", "password_noscheme", "token", "secret"];
    key == b"resp"
        || NAMES.iter().any(|name| {
            let start = key.len().wrapping_sub(name.len());
            key.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(name.as_bytes()))
        })
}
