//! Splits a message into pieces, as a form of the grammar describes.

use std::net::IpAddr;

use bstr::ByteSlice;
use mls_event::Outcome;

use crate::grammar::{
    FormPart,
    FormPart::{
        Client, End, Level, LoginFields, LoginUser, Mechanism, Process, Proxied, QueueId,
        ReasonAndUser, SessionEnd, Text,
    },
    MessageForm, TEMPORARY, USER,
};
use crate::{dovecot, envelope, mechanism};

/// The fields of an `auth` record, as slices of the message. Their text is not yet safe to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pieces<'a> {
    pub outcome: Outcome,
    pub attempts: u32,
    pub process: Option<&'a str>,
    pub mechanism: Option<&'a [u8]>,
    /// The rest of the message, from the first byte that a client may have chosen.
    pub untrusted: &'a [u8],
    /// The text that `ip` was read from; `None` if there is no address.
    pub address: Option<&'a [u8]>,
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    pub client: Option<&'a [u8]>,
    pub user: Option<&'a [u8]>,
    /// The user name in `proxy(USER)`. Dovecot does not cut this name.
    pub proxied_user: Option<&'a [u8]>,
    pub reason: Option<&'a [u8]>,
    pub queue_id: Option<&'a str>,
}

/// Splits `message` by the first of `forms` that fits; `None` if no form fits.
#[must_use]
pub fn pieces<'a>(message: &'a [u8], forms: &[MessageForm]) -> Option<Pieces<'a>> {
    forms.iter().find_map(|form| {
        let mut pieces = Pieces {
            outcome: form.outcome,
            attempts: 1,
            process: None,
            mechanism: None,
            untrusted: message,
            address: None,
            ip: None,
            port: None,
            client: None,
            user: None,
            proxied_user: None,
            reason: None,
            queue_id: None,
        };
        form.parts.iter().try_fold(message, |rest, part| pieces.take(*part, rest))?;
        Some(pieces)
    })
}

impl<'a> Pieces<'a> {
    /// Reads a part at the beginning of `text` and returns the text after it.
    fn take(&mut self, part: FormPart, text: &'a [u8]) -> Option<&'a [u8]> {
        match part {
            Text(words) => text.strip_prefix(words.as_bytes()),
            Client => {
                self.untrusted = text;
                self.client(text)
            }
            Mechanism(stop) => {
                let end = memchr::memchr(stop, text)?;
                let quoted =
                    stop == b' ' && memchr::memchr3(b'"', b'<', b'\\', &text[..end]).is_some();
                let (word, rest) = text.split_at(if quoted { mechanism::end(text)? } else { end });
                self.mechanism = (!word.is_empty()).then_some(word);
                Some(rest)
            }
            ReasonAndUser => self.reason_and_user(text),
            LoginUser => {
                let follows = [", sasl_sender=", ", orig_queue_id=", ", orig_client="];
                let end =
                    follows.iter().filter_map(|words| text.find(words)).min().unwrap_or(text.len());
                self.user = known_user(&text[..end]);
                Some(&text[end..])
            }
            QueueId => {
                let end = text.find_byte(b':').filter(|end| *end > 0)?;
                let id = text[..end].to_str().ok()?;
                self.queue_id = Some(id).filter(|id| *id != "NOQUEUE");
                id.bytes().all(|b| b.is_ascii_alphanumeric()).then(|| &text[end..])
            }
            Process => {
                let (name, rest) = login_process(text)?;
                self.process = Some(name);
                Some(rest)
            }
            Level => Some(dovecot::without_level(text)),
            SessionEnd => {
                let ending = dovecot::is_end(text).then(|| dovecot::Ending::read(text))??;
                (self.outcome, self.attempts) = ending.attempts?;
                Some(ending.fields)
            }
            Proxied => {
                let (user, fields) = dovecot::proxied(text)?;
                let rest = self.login_fields(fields);
                self.proxied_user = (!user.is_empty()).then_some(user);
                self.untrusted = text;
                rest
            }
            LoginFields => self.login_fields(text),
            End => text.is_empty().then_some(text),
        }
    }

    fn reason_and_user(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        // If the server does not offer the mechanism, the reason quotes it. A client can write `,
        // sasl_username=` into the mechanism, so search after the quotation.
        let from = mechanism::end_of_quotation(text, self.mechanism.unwrap_or_default());
        let (reason, user) = match USER.find(&text[from..]) {
            Some(at) => (&text[..from + at], Some(&text[from + at + USER.needle().len()..])),
            None => (text, None),
        };
        self.user = user.and_then(known_user);
        let reason = match reason.strip_prefix(b":") {
            Some(reason) => reason.trim_ascii(),
            None if reason.is_empty() => reason,
            None => return None,
        };
        // A blank or nothing must follow the words: `no memory availableX` is another reason.
        let rest = TEMPORARY.iter().find_map(|words| reason.strip_prefix(words.as_bytes()));
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" ")) {
            self.outcome = Outcome::Error;
        }
        self.reason = (!reason.is_empty()).then_some(reason);
        Some(b"")
    }

    fn login_fields(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        self.untrusted = text;
        let SessionFields { user, mechanism, rest } = SessionFields::split(text)?;
        self.user = (!user.is_empty()).then_some(user);
        self.mechanism = mechanism;
        let (address, rest) = rest.split_at(rest.find_byte(b',').unwrap_or(rest.len()));
        self.ip = Some(ip(address)?);
        self.address = Some(address);
        Some(rest)
    }

    fn client(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        let open = memchr::memchr3(b'[', b']', b' ', text).filter(|at| text[*at] == b'[')?;
        let close = open + text[open..].find_byte(b']')?;
        let (name, address) = (&text[..open], &text[open + 1..close]);
        self.client = (name != b"unknown" && !name.is_empty()).then_some(name);
        self.address = (address != b"unknown").then_some(address);
        if let Some(address) = self.address {
            self.ip = Some(ip(address)?);
        }
        let mut rest = &text[close + 1..];
        if let Some(port) = rest.strip_prefix(b":")
            && port.first().is_some_and(u8::is_ascii_digit)
        {
            let digits = port.iter().take_while(|b| b.is_ascii_digit()).count();
            self.port = Some(port[..digits].to_str().ok()?.parse().ok()?);
            rest = &port[digits..];
        }
        // `CLIENT_PORT_UNKNOWN` of `src/smtpd/smtpd.h`.
        rest = rest.strip_prefix(b":unknown").unwrap_or(rest);
        Some(rest)
    }
}

pub(crate) struct SessionFields<'a> {
    /// Empty if the session has no user.
    pub(crate) user: &'a [u8],
    pub(crate) mechanism: Option<&'a [u8]>,
    /// The text after `rip=`.
    pub(crate) rest: &'a [u8],
}

impl<'a> SessionFields<'a> {
    pub(crate) fn split(fields: &'a [u8]) -> Option<Self> {
        // A session ID can contain `rip=`, but no blank.
        let (before, rest) = match fields.rsplit_once_str(" rip=") {
            Some((before, rest)) => (before.strip_suffix(b",").unwrap_or(before), rest),
            None => (&b""[..], fields.strip_prefix(b"rip=")?),
        };
        let (user, mechanism) = match before.strip_prefix(b"user=<") {
            // There is no mechanism, but the user name may contain `>, method=`: do not search it.
            Some(text) if text.ends_with(b">") => (&text[..text.len() - 1], None),
            Some(text) => {
                let (user, mechanism) = text.rsplit_once_str(">, method=")?;
                (user, Some(mechanism))
            }
            None => (&b""[..], before.strip_prefix(b"method=")),
        };
        Some(Self { user, mechanism, rest })
    }
}

/// Reads an address of Postfix or Dovecot. `fe80::1%eth0` is `fe80::1`; `::ffff:192.0.2.1` is IPv4.
fn ip(text: &[u8]) -> Option<IpAddr> {
    let text = text.strip_prefix(b"IPv6:").unwrap_or(text);
    let text = &text[..text.find_byte(b'%').unwrap_or(text.len())];
    mls_event::read_ip(text).map(|ip| ip.to_canonical())
}

/// Splits a message such as `imap-login: …` or `imap-login(812): …` into the name of the login
/// process and the rest from the colon on. If the name does not end in `-login`, the text after the
/// colon must be about a session, else the result is `None`.
#[must_use]
pub fn login_process(message: &[u8]) -> Option<(&str, &[u8])> {
    let length = message.iter().take_while(|byte| envelope::is_in_process_name(**byte)).count();
    let (name, rest) = message.split_at(length);
    let name = name.to_str().ok().filter(|name| !name.is_empty())?;
    let rest = without_process_id(rest);
    let text = rest.strip_prefix(b":")?;
    (name.ends_with("-login") || dovecot::is_about_session(text)).then_some((name, rest))
}

fn without_process_id(text: &[u8]) -> &[u8] {
    let after = |close: u8| {
        let end = text.find_byte(close)?;
        envelope::number(&text[1..end]).map(|_| &text[end + 1..])
    };
    match text.first() {
        Some(b'(') => after(b')'),
        Some(b'[') => after(b']'),
        _ => None,
    }
    .unwrap_or(text)
}

fn known_user(user: &[u8]) -> Option<&[u8]> {
    (user != b"(unavailable)").then_some(user)
}
