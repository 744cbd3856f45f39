//! Finds the mail server that has written a message.

use bstr::ByteSlice;
use clap::ValueEnum;
use mls_event::clean;

use crate::dovecot;
use crate::envelope::has_dovecot_level;
use crate::grammar::{self, DOVECOT, POSTFIX, Pieces};

/// A mail server whose log lines are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Daemon {
    /// Postfix's SMTP servers
    Postfix,
    /// Dovecot's IMAP, POP3, submission and ManageSieve logins
    Dovecot,
}

impl Daemon {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Postfix, Self::Dovecot];

    /// Whether a message of an unknown program probably contains an attempt at this server. Before
    /// the attempt, there may be words that end in a colon, such as the name of a program.
    pub(crate) fn is_likely(self, mut message: &[u8]) -> bool {
        const MAX_WORDS: usize = 6;
        for _ in 0..MAX_WORDS {
            let (word, rest) = message.split_once_str(" ").unwrap_or((message, b""));
            let is_attempt = match self {
                Self::Postfix => grammar::pieces(message, &POSTFIX).is_some(),
                Self::Dovecot => {
                    let is_known =
                        word.contains_str("-login") || dovecot::is_about_session(message);
                    is_known && dovecot::is_attempt(message)
                }
            };
            // A word with a parenthesis can contain a user name from a client, so do not search
            // after it.
            if is_attempt || !word.ends_with(b":") || word.contains(&b'(') {
                return is_attempt;
            }
            message = rest;
        }
        false
    }

    /// The server that has written `message` as `program`. An administrator can give both servers
    /// any instance name (`syslog_name` and `instance_name`). So the name of the daemon identifies
    /// Postfix, and the login process at the beginning of the message identifies Dovecot. If the
    /// name of this process does not end in `-login`, or if `program` contains a `/`, one more
    /// condition must be true: `program` begins with `dovecot`, or the line is of a log file that
    /// Dovecot writes itself (`program` is the process, and a level follows).
    pub(crate) fn of(program: &str, message: &[u8]) -> Option<Self> {
        if is_postfix_server(program) {
            return Some(Self::Postfix);
        }
        let (process, rest) = grammar::login_process(message)?;
        let is_login = process.ends_with("-login") && !program.contains('/');
        let is_own_log =
            || program == process && has_dovecot_level(rest.trim_start_with(|c| c == ':'));
        let is_dovecot = program.starts_with("dovecot") || is_own_log();
        (is_login || is_dovecot).then_some(Self::Dovecot)
    }
}

/// Whether `program` is one of Postfix's SMTP servers.
///
/// Postfix logs as `SYSLOG_NAME/PROGRAM`. The administrator chooses `SYSLOG_NAME`, such as
/// `postfix/submission`. PROGRAM smtpd(8) is a server. smtp(8) and lmtp(8) are clients: a failure
/// there is our own login at another server. With any other PROGRAM, `program` must begin with
/// `postfix`.
pub(crate) fn is_postfix_server(program: &str) -> bool {
    match program.rsplit_once('/').map_or(program, |(_, name)| name) {
        "smtpd" => true,
        "smtp" | "lmtp" => false,
        _ => program.starts_with("postfix"),
    }
}

/// The pieces of an attempt in a message of `program`; `None` if the message is not an attempt.
#[must_use]
pub fn pieces<'a>(program: &[u8], message: &'a [u8]) -> Option<Pieces<'a>> {
    match Daemon::of(&clean(program), message)? {
        Daemon::Postfix => grammar::pieces(message, &POSTFIX),
        Daemon::Dovecot => grammar::pieces(message, &DOVECOT),
    }
}
