//! What mail servers write about a login, as tables to hold against their sources.
//!
//! A form is a sequence of parts, and each part takes a piece off the front of the message. A message is of a form when
//! every part finds its piece; it is never searched for words that look right, because most of it comes from the client.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::LazyLock;

use bstr::ByteSlice;
use memchr::memmem::Finder;
use mls_event::{Outcome, clean};

use crate::daemon::Daemon;
use crate::{dovecot, envelope, mechanism};

use Part::{
    Client, End, Level, LoginFields, LoginUser, Mechanism, Process, QueueId, ReasonAndUser,
    SessionEnd, Text,
};

/// What stands before a user name. Built once, not for every message.
pub(crate) static USER: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new(", sasl_username="));

/// A kind of message.
#[derive(Debug)]
pub struct Form {
    /// What it says about the attempt, unless one of its parts says more.
    outcome: Outcome,
    parts: &'static [Part],
}

/// A piece of a message.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// These words.
    Text(&'static str),
    /// `NAME[ADDRESS]`, and `:PORT` with `smtpd_client_port_logging`. A name has neither blanks nor brackets.
    Client,
    /// The client's name of its mechanism, up to a blank. It may be [quoted](crate::mechanism). In a success it is one that
    /// the server offers, and it ends at a comma.
    Mechanism(u8),
    /// `: REASON, sasl_username=USER`, of which all may be missing. The first `, sasl_username=` is the server's: what the
    /// client sent comes after it, to the end. A [temporary](TEMPORARY) reason makes the outcome an error.
    ReasonAndUser,
    /// Up to an attribute that may follow in a success, or to the end.
    LoginUser,
    /// A queue ID, or `NOQUEUE`.
    QueueId,
    /// Dovecot's login process: `imap-login`.
    Process,
    /// `Info: `, in log files that Dovecot writes itself.
    Level,
    /// How a session of Dovecot [ended](crate::dovecot).
    SessionEnd,
    /// `user=<USER>, method=MECHANISM, rip=ADDRESS`, of which the first two may be missing. Anything may follow. The client
    /// chooses the user, so the last of these words that fit are the server's.
    LoginFields,
    /// The end of the message.
    End,
}

/// Postfix, `src/smtpd/smtpd_sasl_glue.c`, and for the success `src/smtpd/smtpd.c`.
///
/// `warning: ` is `msg_warn()`'s, `src/util/msg.c`. A client is `state->namaddr`. The user name came with 3.7.8 and 3.8.3. It
/// is cut after 100 bytes, and so is the mechanism.
pub static POSTFIX: [Form; 3] = [
    // "%s: SASL %.100s authentication failed: %s, sasl_username=%.100s"
    Form {
        outcome: Outcome::Failure,
        parts: &[
            Text("warning: "),
            Client,
            Text(": SASL "),
            Mechanism(b' '),
            Text(FAILED),
            ReasonAndUser,
        ],
    },
    // "%s: SASL %s authentication aborted"
    Form {
        outcome: Outcome::Aborted,
        parts: &[Text("warning: "), Client, Text(": SASL "), Mechanism(b' '), Text(ABORTED), End],
    },
    // "%s: client=%s%s%s%s%s%s%s"
    Form {
        outcome: Outcome::Success,
        parts: &[
            QueueId,
            Text(": client="),
            Client,
            Text(METHOD),
            Mechanism(b','),
            Text(", sasl_username="),
            LoginUser,
        ],
    },
];

const FAILED: &str = " authentication failed";
const ABORTED: &str = " authentication aborted";
const METHOD: &str = ", sasl_method=";

/// Reasons with which Postfix answers 454: the server could not check the password. `XSASL_AUTH_TEMP` in
/// `src/xsasl/xsasl_dovecot_server.c`; in `xsasl_cyrus_server.c` the words of Cyrus SASL's `lib/common.c` for `SASL_FAIL`,
/// `SASL_NOMEM`, `SASL_TRYAGAIN` and `SASL_UNAVAIL`. If Postfix cannot connect to Dovecot at all, it has no reason, and the line
/// is that of a wrong password.
const TEMPORARY: [&str; 6] = [
    "Connection lost to authentication server",
    "Can't connect to authentication server",
    "generic failure",
    "no memory available",
    "transient failure (e.g., weak key)",
    "remote authentication server unavailable",
];

/// Dovecot 2.0 to 2.4, `src/login-common/client-common.c` with the default `login_log_format_elements`.
pub static DOVECOT: [Form; 3] = [
    // imap-login: Login: user=<…>, method=PLAIN, rip=…, …
    Form {
        outcome: Outcome::Success,
        parts: &[Process, Text(": "), Level, Text("Login: "), LoginFields],
    },
    // imap-login: Logged in: user=<…>, method=PLAIN, rip=…, …
    Form {
        outcome: Outcome::Success,
        parts: &[Process, Text(": "), Level, Text("Logged in: "), LoginFields],
    },
    // imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 6 secs): user=<…>, method=PLAIN, rip=…, …
    Form {
        outcome: Outcome::Failure,
        parts: &[Process, Text(": "), Level, SessionEnd, LoginFields],
    },
];

/// What lines hold that are attempts of `daemon` with one of `outcomes`: one of these texts. The search for candidates looks
/// for them.
#[must_use]
pub fn words(daemon: Daemon, outcomes: &[Outcome]) -> Vec<&'static str> {
    let has = |outcome| outcomes.contains(&outcome);
    let mut words = Vec::new();
    match daemon {
        Daemon::Postfix => {
            words.extend((has(Outcome::Failure) || has(Outcome::Error)).then_some(FAILED));
            words.extend(has(Outcome::Aborted).then_some(ABORTED));
            words.extend(has(Outcome::Success).then_some(METHOD));
        }
        Daemon::Dovecot => {
            if has(Outcome::Success) {
                let login = ["-login: Login: ", "-login: Logged in: "];
                // In log files of its own.
                words.extend(login.into_iter().chain([": Info: Login: ", ": Info: Logged in: "]));
            }
            if has(Outcome::Failure) || has(Outcome::Aborted) || has(Outcome::Error) {
                words.extend(dovecot::words());
            }
        }
    }
    words
}

/// What a message says.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of the auth record")]
pub struct Attempt<'a> {
    pub outcome: Outcome,
    pub attempts: u32,
    pub process: Option<&'a str>,
    pub mechanism: Option<Cow<'a, str>>,
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    pub client: Option<Cow<'a, str>>,
    pub user: Option<Cow<'a, str>>,
    pub reason: Option<Cow<'a, str>>,
    pub queue_id: Option<&'a str>,
}

/// The pieces of a message as they stand in it, with their places.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the fields are those of the auth record, before their text is made safe to print"
)]
pub struct Pieces<'a> {
    pub outcome: Outcome,
    pub attempts: u32,
    pub process: Option<&'a str>,
    pub mechanism: Option<&'a [u8]>,
    /// The rest of the message from the first byte on that somebody else than the server may have chosen.
    pub untrusted: &'a [u8],
    /// The text that `ip` was read from; `None` if there is no address.
    pub address: Option<&'a [u8]>,
    pub ip: Option<IpAddr>,
    pub port: Option<u16>,
    pub client: Option<&'a [u8]>,
    pub user: Option<&'a [u8]>,
    pub reason: Option<&'a [u8]>,
    pub queue_id: Option<&'a str>,
}

/// Reads `message` as one of `forms`.
#[must_use]
pub fn read<'a>(message: &'a [u8], forms: &[Form]) -> Option<Attempt<'a>> {
    pieces(message, forms).map(|pieces| Attempt {
        outcome: pieces.outcome,
        attempts: pieces.attempts,
        process: pieces.process,
        mechanism: pieces.mechanism.map(mechanism),
        ip: pieces.ip,
        port: pieces.port,
        client: pieces.client.map(clean),
        user: pieces.user.map(clean),
        reason: pieces.reason.map(clean),
        queue_id: pieces.queue_id,
    })
}

/// Takes `message` apart as one of `forms`.
#[must_use]
pub fn pieces<'a>(message: &'a [u8], forms: &[Form]) -> Option<Pieces<'a>> {
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
            reason: None,
            queue_id: None,
        };
        form.parts.iter().try_fold(message, |rest, part| pieces.take(*part, rest))?;
        Some(pieces)
    })
}

impl<'a> Pieces<'a> {
    /// Takes a part off the front of `text` and returns what follows it.
    fn take(&mut self, part: Part, text: &'a [u8]) -> Option<&'a [u8]> {
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
            Level => Some(text.strip_prefix(b"Info: ").unwrap_or(text)),
            SessionEnd => {
                let ending = dovecot::Ending::read(text)?;
                (self.outcome, self.attempts) = ending.attempts?;
                Some(ending.fields)
            }
            LoginFields => self.login_fields(text),
            End => text.is_empty().then_some(text),
        }
    }

    fn reason_and_user(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        // A mechanism that the server does not offer is quoted, and may hold the words that are looked for.
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
        if TEMPORARY.iter().any(|words| reason.starts_with(words.as_bytes())) {
            self.outcome = Outcome::Error;
        }
        self.reason = (!reason.is_empty()).then_some(reason);
        Some(b"")
    }

    fn login_fields(&mut self, text: &'a [u8]) -> Option<&'a [u8]> {
        self.untrusted = text;
        let (before, rest) = text.rsplit_once_str("rip=")?;
        let before = before.strip_suffix(b", ").unwrap_or(before);
        let (user, mechanism) = match before.strip_prefix(b"user=<") {
            Some(user) => match user.rsplit_once_str(">, method=") {
                Some((user, mechanism)) => (user, Some(mechanism)),
                None => (user.strip_suffix(b">")?, None),
            },
            None => (&b""[..], before.strip_prefix(b"method=")),
        };
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

/// An address as Postfix and Dovecot write it, without an interface (`%eth0`); IPv4-mapped IPv6 is IPv4.
fn ip(text: &[u8]) -> Option<IpAddr> {
    let text = text.strip_prefix(b"IPv6:").unwrap_or(text);
    let text = &text[..text.find_byte(b'%').unwrap_or(text.len())];
    text.to_str().ok()?.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

/// Dovecot's login process at the beginning of a message, and the colon and text after it: `imap-login: …`. Its process ID
/// may follow the name: `imap-login(812): …`.
#[must_use]
pub fn login_process(message: &[u8]) -> Option<(&str, &[u8])> {
    let is_part = |b: &&u8| b.is_ascii_alphanumeric() || matches!(**b, b'-' | b'_');
    let (name, rest) = message.split_at(message.iter().take_while(is_part).count());
    let name = name.to_str().ok().filter(|name| name.ends_with("-login"))?;
    let rest = without_process_id(rest);
    rest.starts_with(b":").then_some((name, rest))
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

/// The name of a mechanism as records have it: made safe to print, in upper case.
#[must_use]
pub fn mechanism(word: &[u8]) -> Cow<'_, str> {
    let word = clean(word);
    if word.bytes().any(|b| b.is_ascii_lowercase()) {
        Cow::Owned(word.to_ascii_uppercase())
    } else {
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str) -> Attempt<'_> {
        read(message.as_bytes(), &POSTFIX).unwrap_or_else(|| panic!("no failure: {message}"))
    }

    #[test]
    fn what_the_client_sent_never_ends_a_field_before_it() {
        let a = failure(
            "warning: x[192.0.2.1]: SASL LOGIN authentication failed: no, sasl_username=a, sasl_username=b: SASL x",
        );
        assert_eq!(
            (a.reason.as_deref(), a.user.as_deref()),
            (Some("no"), Some("a, sasl_username=b: SASL x"))
        );
        let line = "imap-login: Login: user=<a>, method=PLAIN, rip=192.0.2.66>, method=LOGIN, rip=192.0.2.1, lip=::1, TLS";
        let a = read(line.as_bytes(), &DOVECOT).unwrap();
        assert_eq!(a.user.as_deref(), Some("a>, method=PLAIN, rip=192.0.2.66"));
        assert_eq!(
            (a.mechanism.as_deref(), a.ip.unwrap().to_string().as_str()),
            (Some("LOGIN"), "192.0.2.1")
        );
    }

    #[test]
    fn reasons_may_be_anything_or_nothing() {
        for (text, reason) in [
            (": UGFzc3dvcmQ6", Some("UGFzc3dvcmQ6")),
            (": Password:", Some("Password:")),
            (
                ": Invalid authentication mechanism: 'NTLM'",
                Some("Invalid authentication mechanism: 'NTLM'"),
            ),
            (": ", None),
            (":", None),
            ("", None),
        ] {
            let message =
                format!("warning: unknown[unknown]: SASL ntlm authentication failed{text}");
            let a = failure(&message);
            assert_eq!((a.reason.as_deref(), a.mechanism.as_deref()), (reason, Some("NTLM")));
            assert_eq!((a.ip, a.client, a.user), (None, None, None));
        }
    }

    #[test]
    fn dovecot_leaves_out_what_it_does_not_know() {
        for (fields, user, mechanism, attempts) in [
            (
                "Disconnected (auth failed, 2 attempts): user=<a>, method=PLAIN, rip=192.0.2.1, lip=::1",
                Some("a"),
                Some("PLAIN"),
                2,
            ),
            (
                "Disconnected: Inactivity (auth failed, 1 attempts): rip=192.0.2.1, lip=::1",
                None,
                None,
                1,
            ),
            (
                "Aborted login (auth failed, 1 attempts in 9 secs): user=<>, rip=192.0.2.1",
                None,
                None,
                1,
            ),
            (
                "Aborted login (auth failed, 1 attempts in 9 secs): method=LOGIN, rip=192.0.2.1",
                None,
                Some("LOGIN"),
                1,
            ),
            ("Logged in: user=<a>, method=PLAIN, rip=192.0.2.1", Some("a"), Some("PLAIN"), 1),
        ] {
            let line = format!("imap-login: {fields}");
            let a = read(line.as_bytes(), &DOVECOT).unwrap();
            assert_eq!(
                (a.user.as_deref(), a.mechanism.as_deref(), a.attempts),
                (user, mechanism, attempts),
                "{line}"
            );
            assert_eq!(a.ip.unwrap().to_string(), "192.0.2.1");
        }
    }

    #[test]
    fn a_mechanism_is_what_the_client_called_it() {
        for (word, mechanism) in
            [("LOGIN,X", Some("LOGIN,X")), ("", None), ("xoauth2", Some("XOAUTH2"))]
        {
            let message = format!(
                "warning: x[192.0.2.1]: SASL {word} authentication failed: Invalid authentication mechanism"
            );
            assert_eq!(failure(&message).mechanism.as_deref(), mechanism);
        }
    }

    #[test]
    fn a_mechanism_ends_where_postfix_ends_its_token() {
        let forged = " authentication failed: bad password, sasl_username=ceo@victim.example";
        let refused = " authentication failed: Invalid authentication mechanism";
        let cut = |token: &str| {
            token.as_bytes().iter().take(100).map(|b| char::from(*b)).collect::<String>()
        };
        for token in [
            format!("\"X{forged}\""),
            format!("<X{forged}>"),
            format!("<a \"> b\" <c> d{forged}>"),
            format!("\"X \\\"{forged}\""),
            format!("X\"{refused}, sasl_username=a\""),
            cut(&format!("\"{forged}{forged}\"")),
            cut(&format!("\"{refused}, sasl_username=ceo{refused}, sasl_username=a\"")),
            // Never closed.
            format!("\"X{forged}"),
            format!("\"X{refused}, sasl_username=ceo"),
            "\"LOGIN X\"".into(),
            "\"LOGIN\"".into(),
            "LOGIN\\ X".into(),
            "X<\">".into(),
            "a\\".into(),
        ] {
            for user in
                [None, Some("(unavailable)"), Some("a\" authentication failed: x, sasl_username=b")]
            {
                let tail = user.map_or(String::new(), |user| format!(", sasl_username={user}"));
                let message = format!("warning: x[192.0.2.1]: SASL {token}{refused}{tail}");
                let a = failure(&message);
                assert_eq!(
                    a.mechanism.as_deref(),
                    Some(token.to_ascii_uppercase().as_str()),
                    "{message}"
                );
                assert_eq!(
                    a.reason.as_deref(),
                    Some("Invalid authentication mechanism"),
                    "{message}"
                );
                assert_eq!(
                    a.user.as_deref(),
                    user.filter(|user| *user != "(unavailable)"),
                    "{message}"
                );
            }
        }
        // Postfix 3.7.7 and earlier cut nothing.
        let token = format!("\"{}{refused}, sasl_username=ceo\"", "x".repeat(99));
        let message = format!("warning: x[192.0.2.1]: SASL {token}{refused}");
        let a = failure(&message);
        assert_eq!((a.mechanism.unwrap().len(), a.user), (token.len(), None));
        // Cyrus SASL has other words; a blank that nothing protects ends a token as it always did.
        let message =
            "warning: x[192.0.2.1]: SASL \"a b\" authentication failed: no mechanism available";
        assert_eq!(failure(message).mechanism.as_deref(), Some("\"A B\""));
        assert_eq!(
            read(b"warning: x[192.0.2.1]: SASL LOGIN X authentication failed: x", &POSTFIX),
            None
        );
    }

    #[test]
    fn the_address_is_the_one_in_brackets() {
        for (client, name, address, port) in [
            (
                "44.188.11.37.dynamic.example[37.11.188.44]",
                Some("44.188.11.37.dynamic.example"),
                "37.11.188.44",
                None,
            ),
            ("unknown[2001:DB8::1]:50123", None, "2001:db8::1", Some(50123)),
            ("a_b[::ffff:192.0.2.7]", Some("a_b"), "192.0.2.7", None),
            ("unknown[fe80::1%eth0]", None, "fe80::1", None),
        ] {
            let message = format!("warning: {client}: SASL PLAIN authentication failed: x");
            let a = failure(&message);
            assert_eq!((a.client.as_deref(), a.port), (name, port));
            assert_eq!(a.ip.unwrap().to_string(), address);
        }
    }

    #[test]
    fn messages_that_only_contain_the_words_are_not_read() {
        for message in [
            "SASL authentication failed; server mail.example[192.0.2.1] said: 535 5.7.8 Error: authentication failed",
            "warning: SASL authentication failure: Password verification failed",
            "warning: non-SMTP command from unknown[192.0.2.1]: x[192.0.2.6]: SASL LOGIN authentication failed: x",
            "NOQUEUE: reject: RCPT from a[192.0.2.1]: 450 4.7.1 <x>: helo=<warning: x[192.0.2.6]: SASL X authentication failed: y>",
            "warning: x[192.0.2.300]: SASL LOGIN authentication failed: x",
            "warning: x[192.0.2.1]: SASL LOGIN authentication failedly",
            "warning: x[192.0.2.1]: SASL LOGIN authentication aborted by y",
            "5A226BA054: client=x[192.0.2.1]",
        ] {
            assert_eq!(read(message.as_bytes(), &POSTFIX), None, "{message}");
        }
    }
}
