//! Reads messages of Dovecot's login processes about sessions that end without a login. A process
//! has the name of its service in the configuration: `imap-login`, or any other name
//! (`master_service_get_configured_name()`, `src/lib-master/master-service.c`). The reason in the
//! message comes from `client_get_extra_disconnect_reason()` in
//! `src/login-common/client-common.c`, in 2.2 and 2.3 also from its callers.
//!
//! | version | example |
//! |---|---|
//! | 1.0 | `imap-login: Aborted login: user=<…>, …` |
//! | 1.1, before its first release | `imap-login: Aborted login (3 authentication attempts): user=<…>, …` |
//! | 1.1, 1.2 | `imap-login: Aborted login (auth failed, 3 attempts): user=<…>, …` |
//! | 2.0 to 2.2 | `imap-login: Aborted login (auth failed, 3 attempts in 6 secs): user=<…>, …` |
//! | 2.3 | `imap-login: Disconnected: Connection closed (auth failed, 3 attempts in 6 secs): user=<…>, …` |
//! | 2.4 | `imap-login: Login aborted: Connection closed (auth failed, 3 attempts in 6 secs) (auth_failed): user=<…>, …` |
//!
//! # Fields
//! The text after the reason must contain `rip=`, as it does by default. If
//! `login_log_format_elements` has another name for the address, no line is found.
//!
//! # Sessions without a reason
//! 1.0 gives no reason, and some reasons do not say whether there was an attempt. Then the fields
//! tell: the login process learns the name of the user from the answer to an attempt, and the
//! mechanism from the command. A login would be another message. So a user was refused at least once,
//! and a mechanism without a user was not finished. If the server ended the session itself, the
//! password may have been right: then the attempt is an error of the server.
//!
//! # Other messages
//! `Login failed: …` and `Authenticate PLAIN failed: …` (`auth_verbose`) come before the end of the
//! session, which counts the same attempt. Only 1.0 does not count an attempt without TLS that
//! `disable_plaintext_auth` refuses.
//!
//! # Counts
//! N attempts are all AUTH and LOGIN commands of the session. Each refused attempt is a failure.
//! The last attempt is not a failure if the client did not finish it, or if the server had an
//! error; the attempts before it are failures. From 2.4 on, `S/N successful auths` means that S of
//! them had the right password. 2.3 writes `auth failed, N attempts` also if the last of several
//! attempts was not finished. The message does not show this, so all N count. 1.1 to 2.0 write `auth
//! failed` also after `Internal login failure`: the last password was right.

use std::sync::LazyLock;

use bstr::ByteSlice;
use memchr::memmem::Finder;
use mls_event::Outcome;

use crate::envelope::number;
use crate::pieces;

use Meaning::{Interrupted, NoAttempt, Other, Refused, ServerError, Unfinished, Unsaid};

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
    /// There may have been attempts: the fields tell.
    Unsaid,
    /// The server ended the session. If there was an attempt, its password may have been right.
    Interrupted,
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

/// The reasons of 1.1 to 2.4. If a reason is the beginning of another one, the longer one comes
/// first.
pub(crate) static REASONS: [Reason; 38] = [
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
    reason("(proxy dest redirected", Other),
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
    // These come before the number of attempts is read. (Up to 2.3 `cert required` comes after it:
    // there was an attempt.)
    reason("(cert required", Unsaid),
    reason("(client didn't send a cert", Unsaid),
    reason("(client sent an invalid cert", Unsaid),
    reason("(client sent an untrusted cert", Unsaid),
    reason("(client_limit and process_limit was hit", Interrupted),
    reason("(The process is shutting down", Interrupted),
    reason("(maximum number of connections", NoAttempt),
];

/// Texts in the lines of attempts: the known reasons, and the words that 2.4 writes after every
/// reason. Lines without a reason have none of them: see [`names_an_attempt`].
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    let reasons = REASONS.iter().filter(|reason| reason.meaning != NoAttempt);
    reasons.map(|reason| reason.words).chain([" attempts in ", " successful auths"])
}

/// Whether a line may be the end of a session that names a user or a mechanism.
pub(crate) fn names_an_attempt(line: &[u8]) -> bool {
    static USER: LazyLock<Finder> = LazyLock::new(|| Finder::new(": user="));
    static METHOD: LazyLock<Finder> = LazyLock::new(|| Finder::new(": method="));
    // In a log of Docker.
    const NOBODY: [&[u8]; 2] = [b"<>", br"\u003c\u003e"];
    let names_one = |at: &usize| {
        let user = &line[at + USER.needle().len()..];
        let after = NOBODY.iter().find_map(|nobody| user.strip_prefix(*nobody));
        after.is_none_or(|after| after.starts_with(b", method="))
    };
    let Some(at) = USER.find(line).filter(names_one).or_else(|| METHOD.find(line)) else {
        return false;
    };
    let text = &line[..at];
    let after_process = text.find("-login: ").map(|at| &text[at + b"-login: ".len()..]);
    after_process.is_some_and(|text| is_end(without_level(text)))
}

/// Whether a message is the end of a session that had no attempt to record.
pub(crate) fn has_no_attempt(message: &[u8]) -> bool {
    Ending::read(message).is_some_and(|ending| ending.attempts.is_none())
}

/// Whether a message is a login, or the end of a session that had an attempt to record.
pub(crate) fn is_attempt(message: &[u8]) -> bool {
    Ending::read(message).map_or_else(
        || LOGINS.iter().any(|words| message.contains_str(words)) || message.contains_str(PROXIED),
        |ending| ending.attempts.is_some(),
    )
}

const LOGINS: [&str; 2] = ["Login: user=<", "Logged in: user=<"];

/// The words of a proxy about a login: `proxy(USER): started proxying to HOST:PORT` up to 2.3.10,
/// then `proxy(USER,ADDRESS:PORT): Started proxying to …`. The next server has let the user in, and
/// the proxy writes no `Login`. (`client_proxy_finish_destroy_client()`,
/// `src/login-common/client-common-auth.c`)
pub(crate) const PROXIED: &str = "tarted proxying to ";

/// The fields of a login through a proxy. The text before them has the user too. For a refused login
/// the text can contain anything that the client has sent, so both users must be the same.
pub(crate) fn proxied(text: &[u8]) -> Option<&[u8]> {
    let (front, fields) = text.split_once_str(": user=<")?;
    let fields = &text[text.len() - fields.len() - b"user=<".len()..];
    let user = pieces::user_and_mechanism(fields)?.0;
    let rest = front.strip_prefix(b"proxy(")?.strip_prefix(user)?;
    let rest = match rest.strip_prefix(b",") {
        Some(rest) => &rest[rest.find_byteset(b") ").filter(|end| rest[*end] == b')')?..],
        None => rest,
    };
    let rest = rest.strip_prefix(b"): ")?;
    let rest = rest.strip_prefix(b"s").or_else(|| rest.strip_prefix(b"S"))?;
    rest.starts_with(PROXIED.as_bytes()).then_some(fields)
}

/// The words before the reason.
const ENDS: [&str; 6] = [
    "Login aborted",
    "Aborted login",
    "Disconnected",
    "Internal login failure",
    "Remote closed connection",
    "Client has quit the connection",
];

pub(crate) fn is_end(text: &[u8]) -> bool {
    ENDS.iter().any(|words| text.starts_with(words.as_bytes()))
}

fn without_level(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"Info: ").unwrap_or(text)
}

/// Whether this is the text of a login process about a session, after the colon that follows its
/// name. Every version begins it with one of these words. No client controls the text before the
/// fields.
pub(crate) fn is_about_session(text: &[u8]) -> bool {
    let text = without_level(text.strip_prefix(b" ").unwrap_or(text));
    LOGINS.iter().any(|words| text.starts_with(words.as_bytes()))
        || proxied(text).is_some()
        || (is_end(text) && Ending::with_reason(text).is_some())
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
        // After the fields begin, a parenthesis may be part of a user name.
        let reason = text.find("): ").filter(|end| fields(text).is_none_or(|fields| *end < fields));
        reason.and_then(|_| Self::with_reason(text)).or_else(|| Self::without_reason(text))
    }

    fn with_reason(text: &'a [u8]) -> Option<Self> {
        let end = end_of_reason(text)?;
        let (reasons, fields) = (&text[..end], &text[end + b"): ".len()..]);
        let (meaning, details) =
            memchr::memchr_iter(b'(', reasons).find_map(|at| known(&reasons[at..]))?;
        let (attempts, successes) = count(details)?;
        let meaning = match meaning {
            Refused if has_part(reasons, "Internal login failure") => ServerError,
            _ => meaning,
        };
        Some(Self { attempts: judge(meaning, attempts, successes, fields), fields })
    }

    /// Version 1.0.
    fn without_reason(text: &'a [u8]) -> Option<Self> {
        let end = fields(text)?;
        let (words, fields) = (&text[..end], &text[end + b": ".len()..]);
        let meaning = if has_part(words, "Internal login failure") {
            ServerError
        } else if has_part(words, "Aborted login") || has_part(words, "Disconnected") {
            Unsaid
        } else {
            return None;
        };
        // Later versions have a reason in parentheses.
        let is_known = !words.contains(&b'(');
        is_known.then(|| Self { attempts: judge(meaning, 1, 0, fields), fields })
    }
}

/// Returns the offset of the colon before the first field.
fn fields(text: &[u8]) -> Option<usize> {
    [": user=<", ": method=", ": rip="].iter().filter_map(|field| text.find(field)).min()
}

/// Whether one of the parts of `text` between colons begins with these words, and a parenthesis or
/// nothing follows.
fn has_part(text: &[u8], words: &str) -> bool {
    text.split_str(": ").any(|part| {
        let rest = part.strip_prefix(words.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" ("))
    })
}

const FIELDS: [&[u8]; 3] = [b"user=<", b"method=", b"rip="];

/// Returns the offset of the parenthesis that ends the reason. A client controls no text before the
/// fields. But 2.4 quotes the answer of another server (`last failure: …`), which may contain a
/// parenthesis and a colon. So this first searches for a parenthesis before one of the default
/// fields. An administrator can configure other fields (`login_log_format_elements`); then the
/// first parenthesis counts.
fn end_of_reason(text: &[u8]) -> Option<usize> {
    let ends = || text.find_iter("): ");
    ends()
        .find(|end| FIELDS.iter().any(|field| text[end + b"): ".len()..].starts_with(field)))
        .or_else(|| ends().next())
}

/// The meaning of a reason, and the text after its words.
fn known(text: &[u8]) -> Option<(Meaning, &[u8])> {
    // `(3 authentication attempts`
    let digits = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 0 && text[1 + digits..].starts_with(b" authentication attempts") {
        return Some((Refused, text));
    }
    REASONS
        .iter()
        .find_map(|reason| Some((reason.meaning, text.strip_prefix(reason.words.as_bytes())?)))
}

/// The number of attempts and the number of successful ones: `, 3 attempts in 6 secs`, `, 1/3
/// successful auths in 6 secs`, or in 2.3 `, 1 successful auths`. A reason without a number is
/// about one attempt.
fn count(details: &[u8]) -> Option<(u32, u32)> {
    if let Some(rest) = details.strip_prefix(b"(") {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        return number(&rest[..digits]).map(|attempts| (attempts, 0));
    }
    for part in details.split_str(", ").skip(1) {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            continue;
        }
        let (first, rest) = (number(&part[..digits]), &part[digits..]);
        if rest.starts_with(b" attempts") {
            return first.map(|attempts| (attempts, 0));
        }
        if rest.starts_with(b" successful auths") {
            return first.map(|successes| (successes.max(1), successes));
        }
        if let Some(rest) = rest.strip_prefix(b"/") {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if rest[digits..].starts_with(b" successful auths") {
                let attempts = number(&rest[..digits])?;
                return first.map(|successes| (attempts, successes.min(attempts)));
            }
        }
    }
    Some((1, 0))
}

fn judge(last: Meaning, attempts: u32, successes: u32, fields: &[u8]) -> Option<(Outcome, u32)> {
    // 1.1 writes `auth failed, 0 attempts`.
    let before = attempts.checked_sub(successes.max(1))?;
    let has_user = || fields.starts_with(b"user=<") && !fields.starts_with(b"user=<>");
    let has_method = || fields.strip_prefix(b"user=<>, ").unwrap_or(fields).starts_with(b"method=");
    match last {
        NoAttempt => None,
        Unsaid if has_user() => Some((Outcome::Failure, 1)),
        Unsaid => has_method().then_some((Outcome::Aborted, 1)),
        Interrupted => (has_user() || has_method()).then_some((Outcome::Error, 1)),
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
        ("Aborted login (auth failed, 0 attempts)", None),
        ("Aborted login (0 authentication attempts)", None),
        ("Aborted login (2 authentication attempts)", Some((FAILURE, 2))),
        ("Internal login failure (auth failed, 1 attempts)", Some((ERROR, 1))),
        ("Internal login failure (pid=7 id=2) (auth failed, 3 attempts)", Some((FAILURE, 2))),
        (
            "Internal login failure (pid=7 id=2) (internal failure, 1 succesful auths)",
            Some((ERROR, 1)),
        ),
        (
            "Login aborted: x (proxy dest redirected to mx, 1/1 successful auths in 1 secs) (proxy_dest_redirected)",
            None,
        ),
        ("Internal login failure", Some((ERROR, 1))),
    ];

    /// Texts that do not say whether there was an attempt.
    const UNSAID: [&str; 8] = [
        "Aborted login",
        "Disconnected",
        "Disconnected: Inactivity",
        "Disconnected: Too many invalid commands",
        "Disconnected: x (cert required, client didn't start TLS)",
        "Disconnected (client didn't send a cert)",
        "Disconnected (client sent an invalid cert)",
        "Login aborted: x (client sent an untrusted cert) (client_ssl_cert_untrusted)",
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
    fn without_a_reason_the_fields_tell_whether_there_was_an_attempt() {
        for words in UNSAID {
            for (fields, attempts) in [
                ("user=<a>, method=PLAIN, rip=192.0.2.1", Some((FAILURE, 1))),
                ("user=<a>, rip=192.0.2.1", Some((FAILURE, 1))),
                ("user=<>, method=PLAIN, rip=192.0.2.1", Some((ABORTED, 1))),
                ("method=PLAIN, rip=192.0.2.1", Some((ABORTED, 1))),
                ("user=<>, rip=192.0.2.1", None),
                ("rip=192.0.2.1", None),
            ] {
                let text = format!("{words}: {fields}");
                let ending = Ending::read(text.as_bytes());
                let fields = fields.as_bytes();
                assert_eq!(ending, Some(Ending { attempts, fields }), "{text}");
                let line = format!("Jun  1 00:00:45 vm dovecot: imap-login: {text}");
                let is_found = names_an_attempt(line.as_bytes());
                assert!(is_found || attempts.is_none(), "{text}");
            }
        }
    }

    #[test]
    fn a_session_that_the_server_ended_is_not_a_wrong_password() {
        for words in [
            "Disconnected (client_limit and process_limit was hit)",
            "Login aborted: x (The process is shutting down so the login is aborted.) (shutting_down)",
        ] {
            for (fields, attempts) in [
                ("user=<a>, method=PLAIN, rip=192.0.2.1", Some((ERROR, 1))),
                ("method=PLAIN, rip=192.0.2.1", Some((ERROR, 1))),
                ("user=<>, rip=192.0.2.1", None),
            ] {
                let text = format!("{words}: {fields}");
                let fields = fields.as_bytes();
                assert_eq!(Ending::read(text.as_bytes()), Some(Ending { attempts, fields }));
            }
        }
    }

    #[test]
    fn a_user_name_is_not_read_as_a_reason() {
        let name = "(auth failed, 4000000000 attempts): user=<bob>, method=PLAIN, rip=192.0.2.66";
        let fields = format!("user=<{name}>, method=PLAIN, rip=192.0.2.1");
        let text = format!("Aborted login: {fields}");
        let (attempts, fields) = (Some((FAILURE, 1)), fields.as_bytes());
        assert_eq!(Ending::read(text.as_bytes()), Some(Ending { attempts, fields }));
        let message = format!(
            "imap-login: proxy({name}): Login failed to mx:143: no: user=<{name}>, rip=192.0.2.1"
        );
        let pieces = crate::grammar::pieces(message.as_bytes(), &crate::grammar::DOVECOT);
        assert!(pieces.is_none(), "{message}");
    }

    #[test]
    fn a_login_through_a_proxy_names_the_same_user_twice() {
        let fields = "user=<a@b>, method=PLAIN, rip=192.0.2.1";
        for words in [
            "proxy(a@b): started proxying to mx:143",
            "proxy(a@b): started proxying to mx:143/c (master m)",
            "proxy(a@b,192.0.2.5:143): Started proxying to <192.0.2.5> (<mx>) (0.005 secs)",
            "proxy(a@b,[2001:db8::1]:143): Started proxying to remote host (0.005 secs)",
        ] {
            let text = format!("{words}: {fields}");
            assert_eq!(proxied(text.as_bytes()), Some(fields.as_bytes()), "{text}");
        }
        let failed = |user: &str| {
            format!(
                "proxy({user}): Login failed to mx:143: no: user=<{user}>, method=PLAIN, rip=192.0.2.1"
            )
        };
        for text in [
            format!("proxy(a): started proxying to mx:143: {fields}"),
            failed("a@b"),
            failed(&format!("a@b): started proxying to mx:143: {fields}")),
            failed("a@b): started proxying to mx:143: user=<a@b"),
            failed("a@b): started proxying to mx:143: user=<a@b>, method=PLAIN, rip=192.0.2.9"),
        ] {
            assert_eq!(proxied(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_unknown_reason_is_not_read() {
        for text in [
            "",
            "Disconnected for a new reason: user=<a>, rip=192.0.2.1",
            "Disconnected (new words): user=<a>, rip=192.0.2.1",
            "Disconnected (new words, 1 attempts in 2 secs): user=<(auth failed, 7 attempts)>, rip=192.0.2.1",
            "Disconnected (auth failed, 99999999999 attempts in 2 secs): rip=192.0.2.1",
        ] {
            assert_eq!(Ending::read(text.as_bytes()), None, "{text}");
        }
    }
}
