//! Reads messages of Dovecot's login processes about sessions that end without a login. A process
//! has the name of its service in the configuration: `imap-login`, or any other name
//! (`master_service_get_configured_name()`, `src/lib-master/master-service.c`). The reason in the
//! message comes from `client_get_extra_disconnect_reason()` in
//! `src/login-common/client-common.c`, in 2.2 and 2.3 also from its callers.
//!
//! | version | example |
//! |---|---|
//! | 2.0 to 2.2 | `imap-login: Aborted login (auth failed, 3 attempts in 6 secs): user=<…>, …` |
//! | 2.3 | `imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 6 secs): user=<…>, …` |
//! | 2.4 | `imap-login: Login aborted: Connection closed (auth failed, 3 attempts in 6 secs) (auth_failed): user=<…>, …` |
//!
//! # Fields
//! The text after the reason must contain `rip=`, as it does by default. If
//! `login_log_format_elements` has another name for the address, no line is found.
//!
//! # Counts
//! N attempts are all AUTH and LOGIN commands of the session. Each refused attempt is a failure.
//! The last attempt is not a failure if the client did not finish it, or if the server had an
//! error; the attempts before it are failures. From 2.4 on, `S/N successful auths` means that S of
//! them had the right password. 2.3 writes `auth failed, N attempts` also if the last of several
//! attempts was not finished. The message does not show this, so all N count.

use bstr::ByteSlice;
use mls_event::Outcome;

use crate::envelope::number;

use Meaning::{NoAttempt, Other, Refused, ServerError, Unfinished};

/// The outcome of the last attempt of the session, according to the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Refused,
    /// The client did not finish it.
    Unfinished,
    /// The server failed to check it.
    ServerError,
    /// The password was right, but the server redirected the client or had too many connections.
    Other,
    /// There was no attempt.
    NoAttempt,
}

/// A reason: its first words, with the parenthesis before them, and its meaning.
#[derive(Debug)]
pub(crate) struct Reason {
    pub(crate) words: &'static str,
    pub(crate) meaning: Meaning,
}

const fn reason(words: &'static str, meaning: Meaning) -> Reason {
    Reason { words, meaning }
}

/// The reasons of 2.0 to 2.4. If a reason is the beginning of another one, the longer one comes
/// first.
pub(crate) static REASONS: [Reason; 37] = [
    reason("(auth failed", Refused),
    // Names of `client_auth_fail_code_reasons`.
    reason("(authorization failed", Refused),
    reason("(user disabled", Refused),
    reason("(password expired", Refused),
    reason("(sent invalid base64 in response", Refused),
    reason("(login disabled", Refused),
    // `… unsupported auth mechanism`, `… disabled plaintext auth` up to 2.1, then `disallowed`, in
    // 2.4 `cleartext`.
    reason("(tried to use ", Refused),
    reason("(anonymous logins disabled", Refused),
    reason("(credentials contain control characters", Refused),
    reason("(auth service reported temporary failure", ServerError),
    // The answer of the next server, if this one is a proxy. From 2.4 on with `… to HOST`.
    reason("(proxy dest auth failed", Refused),
    reason("(proxy dest authentication failure", Refused),
    reason("(proxy dest temporary authentication failure", ServerError),
    reason("(proxy dest connection failed", ServerError),
    reason("(proxy dest internal failure", ServerError),
    reason("(proxy dest remote failure", ServerError),
    reason("(proxy dest protocol failure", ServerError),
    reason("(proxy dest connection limit reached", Other),
    reason("(connection limit reached", Other),
    reason("(auth referral", Other),
    reason("(internal failure", ServerError),
    reason("(auth process communication failure", ServerError),
    reason("(client didn't finish SASL auth", Unfinished),
    reason("(auth aborted by client", Unfinished),
    reason("(aborted authentication", Unfinished),
    reason("(disconnected while authenticating", Unfinished),
    reason("(disconnected while finishing login", Unfinished),
    reason("(no auth attempts", NoAttempt),
    reason("(disconnected before ", NoAttempt),
    reason("(disconnected during TLS handshake", NoAttempt),
    reason("(cert required", NoAttempt),
    reason("(client didn't send a cert", NoAttempt),
    reason("(client sent an invalid cert", NoAttempt),
    reason("(client sent an untrusted cert", NoAttempt),
    reason("(client_limit and process_limit was hit", NoAttempt),
    reason("(The process is shutting down", NoAttempt),
    reason("(maximum number of connections", NoAttempt),
];

/// Texts in the lines of attempts: the known reasons, and the words that 2.4 writes after every
/// reason.
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    let reasons = REASONS.iter().filter(|reason| reason.meaning != NoAttempt);
    reasons.map(|reason| reason.words).chain([" attempts in ", " successful auths"])
}

/// Whether a message is the end of a session that had no attempt to record.
pub(crate) fn has_no_attempt(message: &[u8]) -> bool {
    Ending::read(message).is_some_and(|ending| ending.attempts.is_none())
}

/// Whether a message is a login, or the end of a session that had an attempt to record.
pub(crate) fn is_attempt(message: &[u8]) -> bool {
    Ending::read(message).map_or_else(
        || LOGINS.iter().any(|words| message.contains_str(words)),
        |ending| ending.attempts.is_some(),
    )
}

const LOGINS: [&str; 2] = ["Login: user=<", "Logged in: user=<"];

/// Whether this is the text of a login process about a session, after the colon that follows its
/// name. Every version begins it with one of these words. No client controls the text before the
/// fields.
pub(crate) fn is_about_session(text: &[u8]) -> bool {
    const ENDS: [&str; 5] = [
        "Login aborted",
        "Aborted login",
        "Disconnected",
        "Remote closed connection",
        "Client has quit the connection",
    ];
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let text = text.strip_prefix(b"Info: ").unwrap_or(text);
    let begins = |words: &[&str]| words.iter().any(|words| text.starts_with(words.as_bytes()));
    begins(&LOGINS) || (begins(&ENDS) && Ending::read(text).is_some())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending<'a> {
    /// `None` if there was nothing to record.
    pub(crate) attempts: Option<(Outcome, u32)>,
    /// The text after the reason: `user=<…>, …`.
    pub(crate) fields: &'a [u8],
}

impl<'a> Ending<'a> {
    /// Reads the text after the login process; `None` if it has no known reason.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let end = end_of_reason(text)?;
        let (reasons, fields) = (&text[..end], &text[end + b"): ".len()..]);
        let (reason, details) =
            memchr::memchr_iter(b'(', reasons).find_map(|at| known(&reasons[at..]))?;
        let (attempts, successes) = count(details)?;
        Some(Self { attempts: judge(reason.meaning, attempts, successes), fields })
    }
}

/// Returns the offset of the parenthesis that ends the reason. A client controls no text before the
/// fields. But 2.4 quotes the answer of another server (`last failure: …`), which may contain a
/// parenthesis and a colon. So this first searches for a parenthesis before one of the default
/// fields. An administrator can configure other fields (`login_log_format_elements`); then the
/// first parenthesis counts.
fn end_of_reason(text: &[u8]) -> Option<usize> {
    const FIELDS: [&[u8]; 3] = [b"user=<", b"method=", b"rip="];
    let ends = || text.find_iter("): ");
    ends()
        .find(|end| FIELDS.iter().any(|field| text[end + b"): ".len()..].starts_with(field)))
        .or_else(|| ends().next())
}

fn known(text: &[u8]) -> Option<(&'static Reason, &[u8])> {
    REASONS.iter().find_map(|reason| Some((reason, text.strip_prefix(reason.words.as_bytes())?)))
}

/// The number of attempts and the number of successful ones: `, 3 attempts in 6 secs`, `, 1/3
/// successful auths in 6 secs`, or in 2.3 `, 1 successful auths`. A reason without a number is
/// about one attempt.
fn count(details: &[u8]) -> Option<(u32, u32)> {
    for part in details.split_str(", ").skip(1) {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            continue;
        }
        let (first, rest) = (number(&part[..digits]), &part[digits..]);
        if rest.starts_with(b" attempts") {
            return first.filter(|attempts| *attempts > 0).map(|attempts| (attempts, 0));
        }
        if rest.starts_with(b" successful auths") {
            return first.map(|successes| (successes.max(1), successes));
        }
        if let Some(rest) = rest.strip_prefix(b"/") {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if rest[digits..].starts_with(b" successful auths") {
                let attempts = number(&rest[..digits]).filter(|attempts| *attempts > 0)?;
                return first.map(|successes| (attempts, successes.min(attempts)));
            }
        }
    }
    Some((1, 0))
}

fn judge(last: Meaning, attempts: u32, successes: u32) -> Option<(Outcome, u32)> {
    let before = attempts - successes.max(1);
    match last {
        NoAttempt => None,
        // A proxy checks no password: the next server has refused what the proxy counts as a
        // success.
        Refused => Some((Outcome::Failure, attempts)),
        _ if before > 0 => Some((Outcome::Failure, before)),
        Unfinished => Some((Outcome::Aborted, 1)),
        ServerError => Some((Outcome::Error, 1)),
        Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILURE: Outcome = Outcome::Failure;
    const ABORTED: Outcome = Outcome::Aborted;
    const ERROR: Outcome = Outcome::Error;

    /// Each kind of reason, with its meaning.
    const ENDINGS: &[(&str, Option<(Outcome, u32)>)] = &[
        ("Aborted login (auth failed, 1 attempts)", Some((FAILURE, 1))),
        ("Disconnected: Inactivity (auth failed, 3 attempts in 6 secs)", Some((FAILURE, 3))),
        (
            "Disconnected: Connection closed: read(size=1007) failed: Connection reset by peer (auth failed, 2 attempts in 3 secs)",
            Some((FAILURE, 2)),
        ),
        (
            "Login aborted: Connection closed (auth failed, 2 attempts in 3 secs) (auth_failed)",
            Some((FAILURE, 2)),
        ),
        (
            "Login aborted: Logged out (auth failed, 1 attempts in 3 secs, last failure: no (x): y) (auth_failed)",
            Some((FAILURE, 1)),
        ),
        (
            "Login aborted: x (authorization failed, 4 attempts in 3 secs) (authorization_failed)",
            Some((FAILURE, 4)),
        ),
        ("Disconnected: x (user disabled)", Some((FAILURE, 1))),
        (
            "Login aborted: x (user disabled, 2 attempts in 3 secs) (user_disabled)",
            Some((FAILURE, 2)),
        ),
        ("Disconnected: x (password expired)", Some((FAILURE, 1))),
        ("Disconnected: x (tried to use unsupported auth mechanism)", Some((FAILURE, 1))),
        ("Aborted login (tried to use disabled plaintext auth)", Some((FAILURE, 1))),
        ("Disconnected: x (login disabled)", Some((FAILURE, 1))),
        ("Disconnected: x (sent invalid base64 in response)", Some((FAILURE, 1))),
        (
            "Login aborted: x (anonymous logins disabled, 1 attempts in 1 secs) (anonymous_auth_disabled)",
            Some((FAILURE, 1)),
        ),
        (
            "Login aborted: x (credentials contain control characters, 1 attempts in 1 secs) (invalid_credentials)",
            Some((FAILURE, 1)),
        ),
        ("Disconnected: x (proxy dest auth failed)", Some((FAILURE, 1))),
        (
            "Login aborted: x (proxy dest authentication failure to 192.0.2.5:143, 2/2 successful auths in 3 secs, last failure: Authentication failed.) (proxy_dest_auth_failed)",
            Some((FAILURE, 2)),
        ),
        (
            "Login aborted: x (proxy dest connection failed to (unknown), 1/1 successful auths in 3 secs) (proxy_dest_connect_failed)",
            Some((ERROR, 1)),
        ),
        (
            "Login aborted: x (proxy dest temporary authentication failure to mx, 1/3 successful auths in 3 secs) (proxy_dest_auth_temp_failed)",
            Some((FAILURE, 2)),
        ),
        ("Disconnected: x (auth service reported temporary failure)", Some((ERROR, 1))),
        ("Disconnected: x (internal failure, 1 successful auths)", Some((ERROR, 1))),
        (
            "Login aborted: x (internal failure, 1/1 successful auths in 1 secs) (internal_failure)",
            Some((ERROR, 1)),
        ),
        (
            "Login aborted: x (auth process communication failure, 3 attempts in 1 secs) (auth_process_comm_fail)",
            Some((FAILURE, 2)),
        ),
        ("Disconnected: x (client didn't finish SASL auth, waited 9 secs)", Some((ABORTED, 1))),
        (
            "Login aborted: x (client didn't finish SASL auth, 3 attempts in 1 secs) (auth_waiting_client)",
            Some((FAILURE, 2)),
        ),
        (
            "Login aborted: x (auth aborted by client, 1 attempts in 1 secs) (auth_aborted_by_client)",
            Some((ABORTED, 1)),
        ),
        ("Disconnected: x (aborted authentication)", Some((ABORTED, 1))),
        ("Disconnected: x (disconnected while authenticating, waited 1 secs)", Some((ABORTED, 1))),
        ("Disconnected: x (disconnected while finishing login, waited 1 secs)", Some((ABORTED, 1))),
        (
            "Login aborted: x (connection limit reached, 1/1 successful auths in 1 secs) (connection_limit)",
            None,
        ),
        (
            "Login aborted: x (connection limit reached, 1/4 successful auths in 1 secs) (connection_limit)",
            Some((FAILURE, 3)),
        ),
        (
            "Login aborted: x (auth referral, 1/1 successful auths in 1 secs) (auth_nologin_referral)",
            None,
        ),
        ("Login aborted: x (no auth attempts in 5 secs) (no_auth_attempts)", None),
        ("Disconnected: x (disconnected before auth was ready, waited 0 secs)", None),
        ("Disconnected: x (cert required, client didn't start TLS)", None),
    ];

    #[test]
    fn every_reason_is_judged_by_its_last_attempt() {
        for (words, attempts) in ENDINGS {
            let text = format!("{words}: user=<a>, rip=192.0.2.1");
            let ending = Ending::read(text.as_bytes());
            let fields = &b"user=<a>, rip=192.0.2.1"[..];
            assert_eq!(ending, Some(Ending { attempts: *attempts, fields }), "{words}");
        }
    }

    #[test]
    fn an_unknown_reason_is_not_read() {
        for text in [
            "",
            "Disconnected: rip=192.0.2.1",
            "Disconnected (new words, 1 attempts in 2 secs): user=<(auth failed, 7 attempts)>, rip=192.0.2.1",
            "Disconnected (auth failed, 0 attempts in 2 secs): rip=192.0.2.1",
            "Disconnected (auth failed, 99999999999 attempts in 2 secs): rip=192.0.2.1",
        ] {
            assert_eq!(Ending::read(text.as_bytes()), None, "{text}");
        }
    }
}
