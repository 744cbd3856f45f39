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
    /// All mail servers of this enum.
    pub const ALL: [Self; 2] = [Self::Postfix, Self::Dovecot];

    /// Whether a message of an unknown program probably contains a login attempt at this server.
    /// Words that end in a colon may come before the attempt, such as the name of a program.
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
            // A word with a parenthesis can contain a user name. A client chooses this name and can
            // make it look like an attempt. So stop here.
            if is_attempt || !word.ends_with(b":") || word.contains(&b'(') {
                return is_attempt;
            }
            message = rest;
        }
        false
    }

    /// The server that has written `message` under the name `program`. An administrator can choose
    /// any instance name (`syslog_name`, `instance_name`), so other names identify the server:
    ///
    /// - Postfix: the name of the daemon at the end of `program`, as in `mx-in/smtpd`.
    /// - Dovecot: the login process at the beginning of `message`, as in `imap-login: …`. If the
    ///   name of the process does not end in `-login`, or if `program` contains `/`, `program` must
    ///   begin with `dovecot`, or Dovecot must have written the log file itself. In such a file,
    ///   `program` is the process, and a level (`Info: `) follows.
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
/// Postfix logs as `SYSLOG_NAME/PROGRAM`, for example `postfix/submission/smtpd`. The administrator
/// chooses `SYSLOG_NAME`. smtpd(8) is a server. smtp(8) and lmtp(8) are clients: their failures are
/// logins of this host at another server. With any other PROGRAM, `program` must begin with
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
