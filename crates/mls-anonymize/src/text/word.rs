//! Decides which words in free text are names, by the characters after a word and the words before
//! it.

use std::ops::Range;

use bstr::ByteSlice;
use mls_parse::envelope::is_facility_and_level;

use super::{LineContext, QUERY, TextPass, near};
use crate::common_words;
use crate::pseudonym::is_domain;

impl TextPass<'_, '_> {
    /// Replaces the word at `at` if it identifies somebody. Like the other methods here, it returns
    /// the offset where the search must continue.
    pub(super) fn word(&mut self, at: usize) -> usize {
        let end = self.word_end(at);
        let (word, rest) = (&self.text[at..end], &self.text[end..]);
        let next = match rest.first() {
            Some(b'=') => Some(self.value(at..end)),
            Some(b'[') if word != b"unknown" && begins_with_address(rest) => {
                Some(self.host(at..end))
            }
            Some(b'@') => self.mail_address(at, end),
            Some(b'(') => self.in_parentheses(at, end),
            Some(b':') => self.before_colon(at, end),
            Some(b' ') => self.before_blank(at, end),
            _ => None,
        };
        if let Some(next) = next {
            next
        } else if self.text[..at].ends_with(b"/home/") {
            self.user(at..end)
        } else if self.anonymizer.queue_ids && self.text[..at].ends_with(b"queued as ") {
            self.queue_id(at..end)
        } else {
            self.bare_word(at..end)
        }
    }

    fn mail_address(&mut self, at: usize, end: usize) -> Option<usize> {
        let domain = self.domain(end + 1);
        is_domain(&self.text[domain.clone()]).then(|| self.user(self.local_start(at)..domain.end))
    }

    fn in_parentheses(&mut self, at: usize, end: usize) -> Option<usize> {
        let (word, rest) = (&self.text[at..end], &self.text[end..]);
        let name = name_in_parentheses(word, rest, self.context)?;
        Some(self.user(end + name.start..end + name.end))
    }

    fn before_colon(&mut self, at: usize, end: usize) -> Option<usize> {
        let word = &self.text[at..end];
        if word.len() <= 4 && word.iter().all(u8::is_ascii_hexdigit) {
            return self.ipv6(at);
        }
        self.context.in_query |= self.text[at..].starts_with(QUERY.as_bytes());
        // cleanup(8) logs the new header if header_checks(5) says `REPLACE`. Other programs log headers
        // too.
        if self.text[end..].starts_with(b": ") && is_subject(word) {
            return Some(self.quoted(at, true));
        }
        self.user_name_after(at, end).map(|name| self.user(name))
    }

    fn before_blank(&mut self, at: usize, end: usize) -> Option<usize> {
        let (before, word, rest) = (&self.text[..at], &self.text[at..end], &self.text[end..]);
        if matches!(word, b"header" | b"body" | b"mime-error") && before.ends_with(b": ") {
            return Some(self.quoted(end + 1, word != b"body"));
        }
        // If a client speaks too early, postscreen(8) and smtpd(8) log its command: `EHLO NAME`. If
        // they reject the command, ` from ` or ` command rejected` comes after `EHLO`, not a name.
        if is_hello(word)
            && before.ends_with(b": ")
            && !rest.starts_with(b" from ")
            && !rest.starts_with(b" command rejected")
            && !before.ends_with(b"Syntax: ")
        {
            let name = &rest[1..];
            // postscreen and smtpd write the end of the quoted line as `\r\n`.
            let length = name.find_byteset(b" \\").unwrap_or(name.len());
            return Some(self.host(end + 1..end + 1 + length));
        }
        self.user_name_after(at, end).map(|name| self.user(name))
    }

    /// The name after the word `user`: `unknown user: "NAME"` of local(8), `user: NAME, ` of rspamd,
    /// `session opened for user NAME` of PAM. Elsewhere `user` is an English word.
    fn user_name_after(&self, at: usize, end: usize) -> Option<Range<usize>> {
        if &self.text[at..end] != b"user" {
            return None;
        }
        let (before, rest) = (&self.text[..at], &self.text[end..]);
        if let Some(quoted) = rest.strip_prefix(b": \"") {
            let start = end + b": \"".len();
            return Some(start..start + quoted.find_byte(b'"')?);
        }
        if let Some(quoted) = rest.strip_prefix(b" '") {
            let start = end + b" '".len();
            return Some(start..start + near(quoted).find_byte(b'\'')?);
        }
        let is_field = rest.starts_with(b": ");
        let is_session = before.ends_with(b" opened for ") || before.ends_with(b" closed for ");
        if !(is_field || rest.starts_with(b" ") && is_session) {
            return None;
        }
        let start = end + if is_field { 2 } else { 1 };
        let name = start
            ..start
                + self.text[start..]
                    .find_byteset(b" ,;:()<>[]\"")
                    .unwrap_or(self.text.len() - start);
        let is_sentence = is_field && self.text.get(name.end) == Some(&b' ');
        (!is_sentence && !common_words::are_kept(&self.text[name.clone()])).then_some(name)
    }

    /// Replaces the host of the line, or a word by its shape.
    pub(super) fn bare_word(&mut self, range: Range<usize>) -> usize {
        let (at, end) = (range.start, range.end);
        let word = &self.text[range];
        if self.context.host.is_some_and(|host| host.eq_ignore_ascii_case(word))
            && !common_words::are_kept(word)
        {
            return self.host(at..end);
        }
        if !word.iter().any(|b| matches!(b, b'.' | b'-')) {
            return end;
        }
        let at = at + word.iter().position(u8::is_ascii_alphanumeric).unwrap_or(0);
        let word = &self.text[at..end];
        if !word.iter().any(|b| b.is_ascii_alphabetic() || *b >= 0x80) {
            return self.ipv4(at..end);
        }
        let name = word.trim_end_with(|c| matches!(c, '.' | '-' | '_'));
        let (before, last) = name.rsplit_once_str(".").unwrap_or((b"", name));
        let begins_a_label = last.len() >= 2 && (last[0].is_ascii_alphabetic() || last[0] >= 0x80);
        let dotted = !before.is_empty()
            && begins_a_label
            && !self.is_file(at, name, last)
            && !is_facility_and_level(name);
        let length = name.len();
        if dotted || spells_an_address(name) {
            self.host(at..at + length).max(end)
        } else {
            self.ipv4(at..end)
        }
    }

    /// Whether a dotted name is a file: a configuration file such as `main.cf`, or in a path, a
    /// name with the ending of a file, such as `.pid`. `.cf` and `.so` are top-level domains too:
    /// `/var/vmail/example.so/anna` contains a domain.
    fn is_file(&self, at: usize, name: &[u8], last: &[u8]) -> bool {
        const ENDINGS: [&[u8]; 7] = [b"conf", b"db", b"lmdb", b"pid", b"sock", b"log", b"sieve"];
        let in_path = self.text[..at].ends_with(b"/") && !self.text[..at].ends_with(b"//");
        matches!(name, b"main.cf" | b"master.cf" | b"dovecot.conf")
            || (in_path && ENDINGS.contains(&last))
    }
}

/// Finds the user name that Dovecot writes after `word`: `imap(NAME)<PID>`, `lmtp(PID, NAME)`,
/// `sql(NAME,ADDRESS)`. `rest` is the text after `word`.
pub(crate) fn name_in_parentheses(
    word: &[u8],
    rest: &[u8],
    context: LineContext<'_>,
) -> Option<Range<usize>> {
    let inner = rest.strip_prefix(b"(").filter(|_| context.dovecot || is_dovecot_service(word))?;
    let digits = inner.iter().take_while(|b| b.is_ascii_digit()).count();
    let is_pid = digits > 0 && inner[digits..].starts_with(b", ");
    let start = 1 + if is_pid { digits + 2 } else { 0 };
    let name = &rest[start..];
    let name = &name[..near(name).find_byteset(b",)").unwrap_or(0)];
    let has_pid = word.ends_with(b"worker") || word.ends_with(b"-login");
    let is_process = has_pid && name.iter().all(u8::is_ascii_digit);
    // `service(managesieve-login)` names a service, and `euid=5000(vmail)` names a system user.
    // Both names stay.
    let is_system = word == b"service" || word.iter().all(u8::is_ascii_digit);
    (!name.is_empty() && !is_process && !is_system).then(|| start..start + name.len())
}

/// Whether Dovecot logs a user name in parentheses after this service or database. Before version
/// 2, Dovecot wrote some of these services in upper case.
fn is_dovecot_service(word: &[u8]) -> bool {
    const SERVICES: &str = "imap pop3 lmtp lda deliver managesieve submission imap-hibernate \
        indexer-worker doveadm sql ldap pam passwd passwd-file static lua oauth2 dict";
    SERVICES.split(' ').any(|service| service.as_bytes().eq_ignore_ascii_case(word))
}

fn is_hello(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"EHLO") || word.eq_ignore_ascii_case(b"HELO")
}

/// Whether `word` is the name of a subject header, for example `X-Original-Subject`.
fn is_subject(word: &[u8]) -> bool {
    word.rsplit(|b| *b == b'-').next().is_some_and(|last| last.eq_ignore_ascii_case(b"Subject"))
}

/// Whether `text` begins with `[ADDRESS]` or `[unknown]`.
fn begins_with_address(text: &[u8]) -> bool {
    let inside = near(&text[1..]).split_once_str("]").map_or(&b""[..], |(inside, _)| inside);
    inside == b"unknown"
        || (inside.find_byteset(b".:").is_some() && is_domain(&[b"[", inside, b"]"].concat()))
}

/// Whether a name contains the numbers of an IPv4 address, like `ip-192-0-2-1`.
fn spells_an_address(name: &[u8]) -> bool {
    let numbers = name
        .split(|b| *b == b'-')
        .filter(|part| !part.is_empty() && part.len() <= 3 && part.iter().all(u8::is_ascii_digit));
    name.contains(&b'-') && numbers.count() >= 3 && name.split(|b| *b == b'-').count() >= 4
}
