//! Free text: one pass that finds what says who somebody is, by the shape of words and by what stands beside them.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use bstr::ByteSlice;
use mls_event::clean;

use crate::anonymizer::Anonymizer;
use crate::class::Class;
use crate::common_words;
use crate::pseudonym::is_domain;

/// Where a text stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct LineContext<'a> {
    /// The host field of its line, which may stand in the text too.
    pub host: Option<&'a [u8]>,
    /// Whether Dovecot wrote it, which puts users and sessions in brackets.
    pub dovecot: bool,
}

/// What a byte may begin.
#[derive(Clone, Copy, PartialEq, Eq)]
enum ByteClass {
    Other,
    Word,
    Angle,
    Colon,
    Hash,
}

/// Words are made of what names and the usual local parts are made of.
const BYTE_CLASSES: [ByteClass; 256] = {
    let mut kinds = [ByteClass::Other; 256];
    let mut byte = 0_usize;
    while byte < 256 {
        let [b, ..] = byte.to_le_bytes();
        if b.is_ascii_alphanumeric()
            || b >= 0x80
            || matches!(b, b'.' | b'_' | b'-' | b'+' | b'%' | b'~')
        {
            kinds[byte] = ByteClass::Word;
        }
        byte += 1;
    }
    kinds[b'<' as usize] = ByteClass::Angle;
    kinds[b':' as usize] = ByteClass::Colon;
    kinds[b'#' as usize] = ByteClass::Hash;
    kinds
};

/// A text half written: all before `done` is.
pub(crate) struct TextPass<'a, 'o> {
    names: &'a mut Anonymizer,
    text: &'a [u8],
    context: LineContext<'a>,
    done: usize,
    out: &'o mut Vec<u8>,
}

impl<'a, 'o> TextPass<'a, 'o> {
    pub(crate) fn new(
        names: &'a mut Anonymizer,
        text: &'a [u8],
        context: LineContext<'a>,
        out: &'o mut Vec<u8>,
    ) -> Self {
        Self { names, text, context, done: 0, out }
    }

    /// Writes the text. The hot loop: about a nanosecond for each byte, and some tens for what is replaced.
    pub(crate) fn run(mut self) {
        let mut at = 0;
        while let Some(byte) = self.text.get(at) {
            at = match BYTE_CLASSES[usize::from(*byte)] {
                ByteClass::Word => self.word(at),
                ByteClass::Angle => self.angle(at),
                ByteClass::Colon if self.text[at..].starts_with(b"::") => {
                    self.ipv6(at).unwrap_or(at + 2)
                }
                ByteClass::Hash if is_escape(&self.text[at..]) => at + ESCAPE,
                ByteClass::Colon | ByteClass::Hash | ByteClass::Other => at + 1,
            };
        }
        self.out.extend_from_slice(&self.text[self.done..]);
    }

    /// Lets `write` append what stands for `range`, and returns its end.
    fn replace(
        &mut self,
        range: Range<usize>,
        write: impl FnOnce(&mut Anonymizer, &[u8], &mut Vec<u8>),
    ) -> usize {
        self.out.extend_from_slice(&self.text[self.done..range.start]);
        self.done = range.end;
        write(self.names, &self.text[range.clone()], self.out);
        range.end
    }

    fn host(&mut self, range: Range<usize>) -> usize {
        self.replace(range, |names, name, out| names.pseudonyms.host(name, out))
    }

    fn secret(&mut self, range: Range<usize>) -> usize {
        self.replace(range, |names, text, out| names.pseudonyms.secret(text, out))
    }

    fn user(&mut self, range: Range<usize>) -> usize {
        self.replace(range, |names, name, out| names.pseudonyms.user(&clean(name), out))
    }

    fn message_id(&mut self, range: Range<usize>) -> usize {
        self.replace(range, |names, id, out| match id.rsplit_once_str("@") {
            Some((local, domain)) if is_domain(domain) => {
                names.pseudonyms.mail(Class::MessageId, local, domain, out);
            }
            _ => names.pseudonyms.text(Class::MessageId, id, out),
        })
    }

    /// The end of the word that begins at `at`.
    fn word_end(&self, at: usize) -> usize {
        let length =
            self.text[at..].iter().position(|b| BYTE_CLASSES[usize::from(*b)] != ByteClass::Word);
        length.map_or(self.text.len(), |length| at + length)
    }

    /// Replaces, if that is what it is, the word at `at`. All of these return where to look next.
    fn word(&mut self, at: usize) -> usize {
        let end = self.word_end(at);
        let (word, rest) = (&self.text[at..end], &self.text[end..]);
        match rest.first() {
            Some(b':') if word.len() <= 4 && word.iter().all(u8::is_ascii_hexdigit) => {
                if let Some(end) = self.ipv6(at) {
                    return end;
                }
            }
            Some(b'@') => {
                let domain = self.domain(end + 1);
                if is_domain(&self.text[domain.clone()]) {
                    return self.replace(self.local_start(at)..domain.end, |names, mail, out| {
                        names.pseudonyms.user(&clean(mail), out);
                    });
                }
            }
            Some(b'=') => return self.value(at..end),
            Some(b'[') if word != b"unknown" && names_address(rest) => return self.host(at..end),
            Some(b'(') if self.context.dovecot || is_dovecot_service(word) => {
                // `lmtp(PID, USER)`
                let pid = rest[1..].iter().take_while(|b| b.is_ascii_digit()).count();
                let is_pid = pid > 0 && rest[1 + pid..].starts_with(b", ");
                let start = end + 1 + if is_pid { pid + 2 } else { 0 };
                let inside = &self.text
                    [start..start + near(&self.text[start..]).find_byteset(b",)").unwrap_or(0)];
                let is_process = word.ends_with(b"worker") && inside.iter().all(u8::is_ascii_digit);
                // `service(managesieve-login)`, and `euid=5000(vmail)`, which has a system's user.
                let is_system = word == b"service" || word.iter().all(u8::is_ascii_digit);
                if !inside.is_empty() && !is_process && !is_system {
                    return self.user(start..start + inside.len());
                }
            }
            Some(b' ')
                if matches!(word, b"header" | b"body" | b"mime-error")
                    && self.text[..at].ends_with(b": ") =>
            {
                return self.quoted(end + 1, word != b"body");
            }
            // What `REPLACE` puts in its place, and what other programs quote.
            Some(b':') if rest.starts_with(b": ") && names_a_subject(word) => {
                return self.quoted(at, true);
            }
            Some(b':' | b' ') if word == b"user" => {
                if let Some(name) = self.named(at, end) {
                    return self.user(name);
                }
            }
            // What postscreen(8) and smtpd(8) quote of a client that speaks too early. Their own words for a command that they
            // reject begin alike.
            Some(b' ')
                if is_hello(word)
                    && self.text[..at].ends_with(b": ")
                    && !rest.starts_with(b" from ")
                    && !rest.starts_with(b" command rejected")
                    && !self.text[..at].ends_with(b"Syntax: ") =>
            {
                let name = &rest[1..];
                // They write a line's end as `\r\n`.
                let length = name.find_byteset(b" \\").unwrap_or(name.len());
                return self.host(end + 1..end + 1 + length);
            }
            _ => {}
        }
        if self.text[..at].last() == Some(&b'/') && self.text[..at].ends_with(b"/home/") {
            return self.user(at..end);
        }
        if self.names.queue_ids && self.text[..at].ends_with(b"queued as ") {
            return self.replace(at..end, |names, id, out| names.pseudonyms.queue_id(id, out));
        }
        self.alone(at..end)
    }

    /// The name behind the word `user` at `at`: `unknown user: "NAME"` of local(8), `user: NAME, ` of rspamd, `session opened for
    /// user NAME` of PAM. Elsewhere it is an English word.
    fn named(&self, at: usize, end: usize) -> Option<Range<usize>> {
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

    /// A word that nothing beside it explains.
    fn alone(&mut self, range: Range<usize>) -> usize {
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
            return self.numbers(at..end);
        }
        let name = word.trim_end_with(|c| matches!(c, '.' | '-' | '_'));
        let (before, last) = name.rsplit_once_str(".").unwrap_or((b"", name));
        let begins_a_label = last.len() >= 2 && (last[0].is_ascii_alphabetic() || last[0] >= 0x80);
        let dotted = !before.is_empty() && begins_a_label && !self.is_file(at, name, last);
        let length = name.len();
        if dotted || spells_an_address(name) {
            self.host(at..at + length).max(end)
        } else {
            self.numbers(at..end)
        }
    }

    /// Postfix's own configuration, and what stands behind a slash and ends as no domain does.
    fn is_file(&self, at: usize, name: &[u8], last: &[u8]) -> bool {
        let in_path = self.text[..at].ends_with(b"/") && !self.text[..at].ends_with(b"//");
        matches!(name, b"main.cf" | b"master.cf" | b"dovecot.conf")
            || (in_path
                && matches!(
                    last,
                    b"cf"
                        | b"conf"
                        | b"db"
                        | b"lmdb"
                        | b"so"
                        | b"pid"
                        | b"sock"
                        | b"log"
                        | b"sieve"
                ))
    }

    /// IPv4 addresses in a word: others may stand before and after them, as in ranges. What stands behind a `v` is a version.
    fn numbers(&mut self, range: Range<usize>) -> usize {
        let mut at = range.start;
        while at < range.end {
            let length = self.text[at..range.end]
                .iter()
                .take_while(|b| b.is_ascii_digit() || **b == b'.')
                .count();
            let run = self.text[at..at + length].trim_end_with(|c| c == '.');
            let version = self.text[..at].ends_with(b"v");
            if let Some(ip) = run
                .to_str()
                .ok()
                .filter(|run| run.len() >= 7 && !version)
                .and_then(|run| run.parse::<Ipv4Addr>().ok())
            {
                self.replace(at..at + run.len(), |names, text, out| {
                    names.pseudonyms.ip(ip.into(), text, out);
                });
            }
            at += length.max(1);
        }
        range.end
    }

    /// An IPv6 address at `at`.
    fn ipv6(&mut self, at: usize) -> Option<usize> {
        let run = self.text[at..]
            .iter()
            .take(46)
            .take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
            .count();
        let run = self.text[at..at + run].to_str().ok()?;
        // Behind an address may stand a colon or a full stop of the sentence.
        let trimmed = run.trim_end_matches('.');
        let candidates = [trimmed, trimmed.strip_suffix(':').unwrap_or(trimmed)];
        let (text, ip) =
            candidates.iter().find_map(|text| Some((*text, text.parse::<Ipv6Addr>().ok()?)))?;
        // `::` alone is as often a separator.
        (text.len() > 2).then(|| {
            self.replace(at..at + text.len(), |names, text, out| {
                names.pseudonyms.ip(ip.into(), text, out);
            })
        })
    }

    /// Where the local part begins whose last word begins at `at` (RFC 5322, section 3.2.3, but for `/` and `=`, which separate).
    fn local_start(&self, at: usize) -> usize {
        let atext =
            |b: &u8| BYTE_CLASSES[usize::from(*b)] == ByteClass::Word || b"!#$&'*?^{|}".contains(b);
        let before = &self.text[self.done..at];
        let length = before.iter().rev().take_while(|b| atext(b)).count();
        let local = &before[before.len() - length..];
        let escaped =
            (0..local.len()).rev().find(|i| is_escape(&local[*i..])).map_or(0, |i| i + ESCAPE);
        let quotes = local[escaped..].iter().take_while(|b| **b == b'\'').count();
        at - length + escaped + quotes
    }

    /// The domain of a mail address, from behind its `@`.
    fn domain(&self, at: usize) -> Range<usize> {
        if self.text.get(at) == Some(&b'[') {
            let end = near(&self.text[at..]).find_byte(b']').map_or(at, |close| at + close + 1);
            return at..end;
        }
        let end = self.word_end(at);
        at..at + self.text[at..end].trim_end_with(|c| matches!(c, '.' | '-' | '_')).len()
    }

    /// `KEY=VALUE`, where the key stands in `key`.
    fn value(&mut self, key: Range<usize>) -> usize {
        let (begin, start) = (key.start, key.end + 1);
        let key = &self.text[key];
        let rest = &self.text[start..];
        let angle = self.inside(start);
        let ends = |at: &usize| b" \t,;])>\"'".contains(&rest[*at]) || is_escape(&rest[*at..]);
        let bare = || start..start + (0..rest.len()).find(ends).unwrap_or(rest.len());
        match key {
            b"sasl_username" => {
                let ends = [", sasl_sender=", ", orig_queue_id=", ", orig_client="];
                let end =
                    ends.iter().filter_map(|words| rest.find(words)).min().unwrap_or(rest.len());
                if &rest[..end] == b"(unavailable)" {
                    start + end
                } else {
                    self.user(start..start + end)
                }
            }
            b"from" | b"to" | b"orig_to" | b"sasl_sender" | b"sender" | b"recipient" | b"user"
            | b"ruser" | b"logname" | b"login" | b"username" => match angle {
                Some(inside) => self.user(inside),
                None if rest.starts_with(b"<") || matches!(key, b"from" | b"to") => start,
                None => self.user(bare()),
            },
            // How often it was said, in what smtpd(8) sums up of a connection.
            b"helo" if self.text[bare()].iter().all(|b| matches!(b, b'0'..=b'9' | b'/')) => start,
            b"helo"
            | b"helo_name"
            | b"client_name"
            | b"reverse_client_name"
            | b"rhost"
            | b"realm"
            | b"hostname"
            | b"myhostname" => self.host(angle.unwrap_or_else(bare)),
            b"message-id" | b"resent-message-id" => {
                self.message_id(angle.unwrap_or(start..self.text.len()))
            }
            // Dovecot's, which may go on behind it.
            b"msgid" => {
                let end = || {
                    [": ", ", "]
                        .iter()
                        .filter_map(|words| rest.find(words))
                        .min()
                        .unwrap_or(rest.len())
                };
                self.message_id(angle.unwrap_or_else(|| start..start + end()))
            }
            b"session" => self.replace(angle.unwrap_or_else(bare), |names, id, out| {
                names.pseudonyms.text(Class::Session, id, out);
            }),
            // mail_log's, which is the last where it stands last; more may be in it.
            b"subject" if self.context.dovecot => {
                self.replace(start..self.text.len(), |names, text, out| {
                    names.pseudonyms.text(Class::Subject, text, out);
                })
            }
            _ if names_a_password(key) => self.secret(bare()),
            b"orig_queue_id" if self.names.queue_ids => {
                self.replace(bare(), |names, id, out| names.pseudonyms.queue_id(id, out))
            }
            // Local parts with a mail address of somebody else in them: VERP, SRS, BATV.
            _ if key.contains(&b'+')
                || ["srs0", "srs1", "prvs", "btv1", "msprvs1"]
                    .iter()
                    .any(|tag| key.eq_ignore_ascii_case(tag.as_bytes())) =>
            {
                let length = (0..near(rest).len()).find(ends).unwrap_or(near(rest).len());
                let domain = rest[..length].rfind_byte(b'@').map(|at| self.domain(start + at + 1));
                match domain.filter(|domain| is_domain(&self.text[domain.clone()])) {
                    Some(domain) => self.user(self.local_start(begin)..domain.end),
                    None => start,
                }
            }
            _ => {
                // `example.com=pass`, but not `smtp.mailfrom=` and the like (RFC 8601, section 2.3).
                let results = ["smtp.", "header.", "body.", "policy."];
                if key.contains(&b'.') && !results.iter().any(|kind| key.starts_with_str(kind)) {
                    self.alone(begin..begin + key.len());
                }
                start
            }
        }
    }

    /// What stands between `<` at `at` and the first `>` that ends something.
    fn inside(&self, at: usize) -> Option<Range<usize>> {
        let text = near(self.text.get(at..)?).strip_prefix(b"<")?;
        let ends = |close: &usize| {
            text.get(close + 1)
                .is_none_or(|b| matches!(b, b' ' | b',' | b';' | b':' | b')' | b'<' | b'\r'))
        };
        let close = memchr::memchr_iter(b'>', text).find(ends)?;
        Some(at + 1..at + 1 + close)
    }

    /// `<…>` that is no value.
    fn angle(&mut self, at: usize) -> usize {
        let Some(inside) = self.inside(at) else { return at + 1 };
        // Those of amavisd and rspamd; spamd has two.
        let ids = [&b"Message-ID: "[..], b" id: ", b" message ", b"mid="];
        if ids.iter().any(|words| self.text[..at].ends_with(words)) {
            return self.message_id(inside);
        }
        let (text, behind) = (&self.text[inside.clone()], &self.text[inside.end..]);
        if self.text[..at].ends_with(b"qid: ") || self.text[..at].ends_with(b"queue-id: ") {
            if self.names.queue_ids {
                return self.replace(inside, |names, id, out| names.pseudonyms.queue_id(id, out));
            }
            return inside.end;
        }
        let is_mail = text.rsplit_once_str("@").is_some_and(|(_, domain)| is_domain(domain));
        if is_mail {
            return self.user(inside);
        }
        if text.find_byteset(b" <[]@").is_some() || text.iter().all(u8::is_ascii_digit) {
            return at + 1;
        }
        if self.context.dovecot {
            return self
                .replace(inside, |names, id, out| names.pseudonyms.text(Class::Session, id, out));
        }
        if behind.starts_with(b">: Helo") || text.contains(&b'.') || text.contains(&b':') {
            return self.host(inside);
        }
        self.user(inside)
    }

    /// What `header_checks(5)` quotes from `start` on: `Subject: TEXT from CLIENT; from=<…>`. With a name, that stays.
    fn quoted(&mut self, start: usize, named: bool) -> usize {
        let rest = &self.text[start..];
        let end = rest.rfind("; from=<").and_then(|end| rest[..end].rfind(" from "));
        // Another server's reply may quote it, too.
        let end = end.or_else(|| rest.rfind(" (in reply to ")).unwrap_or(rest.len());
        let name = rest[..end].find_byte(b':').filter(|_| named).map_or(0, |colon| colon + 1);
        let blanks = rest[name..end].iter().take_while(|b| **b == b' ').count();
        let text = start + name + blanks..start + end;
        if rest[..name].eq_ignore_ascii_case(b"Message-ID:")
            && let Some(inside) =
                self.inside(text.start).filter(|inside| inside.end + 1 == text.end)
        {
            return self.message_id(inside);
        }
        self.replace(text, |names, text, out| names.pseudonyms.text(Class::Subject, text, out))
    }
}

/// What rsyslogd(8) writes for a control character: `#011` for a tab. It separates words.
pub(crate) fn is_escape(text: &[u8]) -> bool {
    matches!(text, [b'#', b'0'..=b'3', b'0'..=b'7', b'0'..=b'7', ..])
}

/// So long is that.
pub(crate) const ESCAPE: usize = 4;

/// As much of a text as is searched for the end of something: no name or address is longer, and a line of brackets would be
/// searched to its end for each of them.
fn near(text: &[u8]) -> &[u8] {
    &text[..text.len().min(1024)]
}

/// The services and databases that Dovecot logs with the name of a user after them: `imap(NAME)<PID>`, `sql(NAME,ADDRESS)`.
fn is_dovecot_service(word: &[u8]) -> bool {
    const SERVICES: [&[u8]; 18] = [
        b"imap",
        b"pop3",
        b"lmtp",
        b"lda",
        b"managesieve",
        b"submission",
        b"imap-hibernate",
        b"indexer-worker",
        b"doveadm",
        b"sql",
        b"ldap",
        b"pam",
        b"passwd",
        b"passwd-file",
        b"static",
        b"lua",
        b"oauth2",
        b"dict",
    ];
    SERVICES.contains(&word)
}

/// `resp=`, `pass=`, `userPassword=`, `proxy_pass=`.
fn names_a_password(key: &[u8]) -> bool {
    key == b"resp"
        || [&b"pass"[..], b"password", b"passwd", b"password_noscheme"].iter().any(|name| {
            let start = key.len().wrapping_sub(name.len());
            key.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(name))
        })
}

fn is_hello(word: &[u8]) -> bool {
    word.eq_ignore_ascii_case(b"EHLO") || word.eq_ignore_ascii_case(b"HELO")
}

/// The header's name, or one like `X-Original-Subject`.
fn names_a_subject(word: &[u8]) -> bool {
    word.rsplit(|b| *b == b'-').next().is_some_and(|last| last.eq_ignore_ascii_case(b"Subject"))
}

/// Whether `[…]` at the front of `text` holds an address, or says that there is none.
fn names_address(text: &[u8]) -> bool {
    let inside = near(&text[1..]).split_once_str("]").map_or(&b""[..], |(inside, _)| inside);
    inside == b"unknown"
        || (inside.find_byteset(b".:").is_some() && is_domain(&[b"[", inside, b"]"].concat()))
}

/// Whether a name has the four numbers of an address in it, as `ip-192-0-2-1` has.
fn spells_an_address(name: &[u8]) -> bool {
    let numbers = name
        .split(|b| *b == b'-')
        .filter(|part| !part.is_empty() && part.len() <= 3 && part.iter().all(u8::is_ascii_digit));
    name.contains(&b'-') && numbers.count() >= 3 && name.split(|b| *b == b'-').count() >= 4
}
