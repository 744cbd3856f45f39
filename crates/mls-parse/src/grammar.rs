//! The messages of mail servers about logins, as tables. A reader can compare them with the source
//! code of the servers.
//!
//! A form is a sequence of parts. Each part reads a piece from the beginning of the remaining
//! message. A message has a form if every part finds its piece. The message is never searched for
//! words, because the client chooses most of the message.

use std::borrow::Cow;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use mls_event::{Outcome, clean};

use crate::daemon::Daemon;
use crate::dovecot;
pub use crate::pieces::{Pieces, login_process, pieces};

use FormPart::{
    Client, End, Level, LoginFields, LoginUser, Mechanism, Process, Proxied, QueueId,
    ReasonAndUser, SessionEnd, Text,
};

/// The text before a user name. The searcher is built once, not for every message.
pub(crate) static USER: LazyLock<Finder<'static>> =
    LazyLock::new(|| Finder::new(", sasl_username="));

/// The form of a message, such as Postfix's message about a failed login.
#[derive(Debug)]
pub struct MessageForm {
    /// The outcome of the attempt. Some parts of a message, such as the reason, can change it.
    pub(crate) outcome: Outcome,
    pub(crate) parts: &'static [FormPart],
}

/// A part of a form. It reads one piece of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FormPart {
    Text(&'static str),
    /// `NAME[ADDRESS]`, or `NAME[ADDRESS]:PORT` with `smtpd_client_port_logging`. NAME has no
    /// blanks and no brackets.
    Client,
    /// The mechanism as the client named it, up to this byte: a blank in a failure, a comma in a
    /// success. In a failure, the client may have [quoted](crate::mechanism) it. In a success, the
    /// server offers the mechanism, so it has no quotes.
    Mechanism(u8),
    /// `: REASON, sasl_username=USER`; the reason and the user may be missing. The server writes
    /// the first `, sasl_username=`. All text after these words comes from the client. If the
    /// reason is [temporary](TEMPORARY), the outcome is an error.
    ReasonAndUser,
    /// The user of a successful login, up to the next attribute (`, sasl_sender=`) or the end.
    LoginUser,
    /// A queue ID, or `NOQUEUE`.
    QueueId,
    /// Dovecot's login process: `imap-login`.
    Process,
    /// `Info: `, in log files that Dovecot writes itself.
    Level,
    /// The text about the [end of a session](crate::dovecot), up to the fields.
    SessionEnd,
    /// The [words of a proxy](dovecot::proxied) about a login, and the fields after these words.
    Proxied,
    /// `user=<USER>, method=MECHANISM, rip=ADDRESS`, and then any text. User and mechanism may be
    /// missing. USER comes from the client and may look like more fields. So the last match counts,
    /// because the server wrote it.
    LoginFields,
    /// The end of the message.
    End,
}

/// The forms of Postfix: `src/smtpd/smtpd_sasl_glue.c` writes failures, `src/smtpd/smtpd.c` writes
/// successes.
///
/// `msg_warn()` in `src/util/msg.c` writes `warning: `. A client is `state->namaddr`. From 3.7.8
/// and 3.8.3 on, a failure has the user name, and Postfix cuts the user name and the mechanism
/// after 100 bytes.
pub static POSTFIX: [MessageForm; 3] = [
    // "%s: SASL %.100s authentication failed: %s, sasl_username=%.100s"
    MessageForm {
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
    MessageForm {
        outcome: Outcome::Aborted,
        parts: &[Text("warning: "), Client, Text(": SASL "), Mechanism(b' '), Text(ABORTED), End],
    },
    // "%s: client=%s%s%s%s%s%s%s"
    MessageForm {
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

/// Reasons with which Postfix answers 454: the server could not check the password. With Dovecot,
/// Postfix uses the words for `XSASL_AUTH_TEMP` in `src/xsasl/xsasl_dovecot_server.c`. With Cyrus
/// SASL (`xsasl_cyrus_server.c`), it uses the words in `lib/common.c` of Cyrus SASL for
/// `SASL_FAIL`, `SASL_NOMEM`, `SASL_TRYAGAIN` and `SASL_UNAVAIL`.
/// If Postfix cannot connect to Dovecot at all, it logs no reason, and the line looks like a wrong
/// password.
pub(crate) const TEMPORARY: [&str; 6] = [
    "Connection lost to authentication server",
    "Can't connect to authentication server",
    "generic failure",
    "no memory available",
    "transient failure (e.g., weak key)",
    "remote authentication server unavailable",
];

/// The forms of Dovecot 1.0 to 2.4 (`src/login-common/client-common.c`) with the default
/// `login_log_format_elements`.
pub static DOVECOT: [MessageForm; 4] = [
    // imap-login: Login: user=<…>, method=PLAIN, rip=…, …
    MessageForm {
        outcome: Outcome::Success,
        parts: &[Process, Text(": "), Level, Text("Login: "), LoginFields],
    },
    // imap-login: Logged in: user=<…>, method=PLAIN, rip=…, …
    MessageForm {
        outcome: Outcome::Success,
        parts: &[Process, Text(": "), Level, Text("Logged in: "), LoginFields],
    },
    // imap-login: proxy(…): started proxying to HOST:143: user=<…>, method=PLAIN, rip=…, …
    MessageForm { outcome: Outcome::Success, parts: &[Process, Text(": "), Level, Proxied] },
    // imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 6 secs): user=<…>,
    // method=PLAIN, rip=…, …
    MessageForm {
        outcome: Outcome::Failure,
        parts: &[Process, Text(": "), Level, SessionEnd, LoginFields],
    },
];

/// The texts that the search looks for. If `daemon` logs an attempt with one of `outcomes`, the
/// line has one of these texts, except [lines of Dovecot without a
/// reason](dovecot::names_an_attempt).
pub(crate) fn words(daemon: Daemon, outcomes: &[Outcome]) -> Vec<&'static str> {
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
                words.extend([": Login: ", ": Logged in: ", dovecot::PROXIED]);
            }
            if has(Outcome::Failure) || has(Outcome::Aborted) || has(Outcome::Error) {
                words.extend(dovecot::words());
            }
        }
    }
    words
}

/// The name of a mechanism for a record: safe to print, in upper case.
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
mod tests;
