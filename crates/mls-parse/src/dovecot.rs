//! Reads messages of Dovecot's login processes about sessions that end without a login. A process
//! has the name of its service in the configuration: `imap-login`, or any other name
//! (`master_service_get_configured_name()`, `src/lib-master/master-service.c`). The reason in the
//! message comes from `client_get_extra_disconnect_reason()` in
//! `src/login-common/client-common.c`. In 2.2 and 2.3, callers of this function also write reasons.
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
//! By default, the text after the reason contains the address as `rip=ADDRESS`. If
//! `login_log_format_elements` gives the address another name, mls-parse finds no line of Dovecot.
//!
//! # Sessions without a reason
//! Version 1.0 writes no reason, and some reasons do not say whether there was an attempt. In these
//! cases, the fields show the attempt. The login process knows the mechanism after the command, but
//! the user name only after the answer to the attempt. A successful login has another message. So a
//! user means that at least one attempt was refused. A mechanism without a user means that the
//! client did not finish the attempt. If the server ended the session itself, the password may have
//! been right, so the attempt is an error of the server.
//!
//! # Other messages
//! mls-parse does not read `Login failed: …` and `Authenticate PLAIN failed: …` (`auth_verbose`),
//! because the message at the end of the session counts these attempts. Exception: in 1.0, that
//! message does not count attempts that `disable_plaintext_auth` refuses.
//!
//! # Cut lines
//! A proxy writes a refused user twice: `proxy(USER): Login failed to …: user=<USER>, …`. If
//! `auth_username_chars` is empty, USER can be any text, so it can look like a successful login
//! with all fields. In a whole line, `): ` after USER shows that the login failed. But if a relay
//! cuts the line inside the first USER, the line looks like a successful login. Relays may cut
//! lines after 1024 bytes (RFC 3164 section 4.1). So mls-parse does not read a text longer than
//! `MAX_PROXIED` as a login, and counts it as unparsable. Some relays cut earlier (busybox syslogd:
//! 256 bytes). With such a relay, an attacker can forge a login of a proxy. To prevent this, keep
//! the default of `auth_username_chars`.
//!
//! # Counts
//! The number in `N attempts` counts all AUTH and LOGIN commands of the session. Each refused
//! attempt is a failure. If the client did not finish the last attempt, or if the server had an
//! error, only the attempts before the last one are failures.
//!
//! - From 2.4 on, `S/N successful auths` means that S of the N attempts had the right password.
//! - 2.3 writes `auth failed, N attempts` also if the last of several attempts was not finished.
//!   The message does not show this, so all N attempts are failures.
//! - 1.1 to 2.0 write `auth failed` also after `Internal login failure`. In this case, the last
//!   password was right, so the last attempt is an error of the server.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use bstr::ByteSlice;
use memchr::memmem::Finder;
use mls_event::Outcome;

use crate::envelope::number;
use crate::pieces::SessionFields;

use Meaning::{Interrupted, NoAttempt, Other, Refused, ServerError, Unfinished, Unsaid};

/// The outcome of the last attempt of the session, according to the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Refused,
    /// The client did not finish the attempt.
    Unfinished,
    /// The server could not check the attempt.
    ServerError,
    /// The password was right, but the server redirected the client or had too many connections.
    Other,
    NoAttempt,
    /// The reason does not say whether there was an attempt; the fields of the message show it.
    Unsaid,
    /// The server ended the session. If there was an attempt, its password may have been right.
    Interrupted,
}

/// The first words of a reason, such as `(auth failed`, and the meaning of the reason.
#[derive(Debug)]
pub(crate) struct SessionReason {
    pub(crate) words: &'static str,
    pub(crate) meaning: Meaning,
}

const fn reason(words: &'static str, meaning: Meaning) -> SessionReason {
    SessionReason { words, meaning }
}

/// The reasons of Dovecot 1.1 to 2.4. The first match counts. So if one reason is the beginning of
/// another reason, the longer reason must come first.
pub(crate) static REASONS: [SessionReason; 38] = [
    reason("(auth failed", Refused),
    // The next reasons are from Dovecot's table `client_auth_fail_code_reasons`.
    reason("(authorization failed", Refused),
    reason("(user disabled", Refused),
    reason("(password expired", Refused),
    reason("(sent invalid base64 in response", Refused),
    reason("(login disabled", Refused),
    // The reason goes on with `unsupported auth mechanism` or `disabled plaintext auth`. After 2.1,
    // `disabled` became `disallowed`. In 2.4, `plaintext` became `cleartext`.
    reason("(tried to use ", Refused),
    reason("(anonymous logins disabled", Refused),
    reason("(credentials contain control characters", Refused),
    reason("(auth service reported temporary failure", ServerError),
    // If this server is a proxy, the following reasons are answers of the backend. From 2.4 on, `
    // to HOST` comes after these words.
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
    // Dovecot checks these four reasons before the number of attempts, so perhaps there was no
    // attempt. (Exception: up to 2.3, `cert required` means that there was an attempt.)
    reason("(cert required", Unsaid),
    reason("(client didn't send a cert", Unsaid),
    reason("(client sent an invalid cert", Unsaid),
    reason("(client sent an untrusted cert", Unsaid),
    reason("(client_limit and process_limit was hit", Interrupted),
    reason("(The process is shutting down", Interrupted),
    reason("(maximum number of connections", NoAttempt),
];

/// Texts that a line about an attempt can contain: the known reasons, and the words that 2.4 writes
/// after every reason. A line without a reason has none of these texts: see [`names_an_attempt`].
pub(crate) fn words() -> impl Iterator<Item = &'static str> {
    let reasons = REASONS.iter().filter(|reason| reason.meaning != NoAttempt);
    reasons.map(|reason| reason.words).chain([" attempts in ", " successful auths"])
}

/// Whether `line` may be about the end of a session, with a user or a mechanism.
pub(crate) fn names_an_attempt(line: &[u8]) -> bool {
    static USER: LazyLock<Finder> = LazyLock::new(|| Finder::new(": user="));
    static METHOD: LazyLock<Finder> = LazyLock::new(|| Finder::new(": method="));
    // The ways to write no user: `<>`, and `<>` in Docker's JSON.
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

/// The words of a proxy about a login. Up to 2.3.10, a proxy writes `proxy(USER): started proxying
/// to HOST:PORT`. Later versions write `proxy(USER,ADDRESS:PORT): Started proxying to …`. The
/// backend has accepted the user, and the proxy writes no `Login`.
/// (`client_proxy_finish_destroy_client()`, `src/login-common/client-common-auth.c`)
pub(crate) const PROXIED: &str = "tarted proxying to ";

/// The largest length of the text about a login through a proxy. See [Cut lines](self#cut-lines).
const MAX_PROXIED: usize = 800;

/// The possible lengths of a user name that Dovecot has cut in `user=<…>`, in bytes. A cut name
/// ends in `...`. It has 80 bytes, or fewer if a character of several bytes does not fit
/// (`str_sanitize(client->virtual_user, 80)`, `src/login-common/client-common.c`).
const CUT_USER: RangeInclusive<usize> = 77..=80;

/// Reads the words of a proxy about a login: returns the user and the fields. If the login was
/// refused, a client can choose the text before the fields. So `proxy(USER…)` and `user=<USER>`
/// must name the same user, and [`PROXIED`] must come directly before the fields.
pub(crate) fn proxied(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.find(": user=<").filter(|_| text.len() <= MAX_PROXIED)?;
    let (front, fields) = (&text[..at], &text[at + b": ".len()..]);
    let SessionFields { user, mechanism, rest } = SessionFields::split(fields)?;
    // 2.2 writes no fields after the words about a refused login. In this case, the fields that
    // were found are a part of the user name.
    if [mechanism.unwrap_or_default(), rest].iter().any(|text| text.contains_str("): ")) {
        return None;
    }
    let (named, words) =
        front.strip_prefix(b"proxy(")?.split_at(front.rfind("): ")? - b"proxy(".len());
    let words = words.strip_prefix(b"): ")?;
    let words = words.strip_prefix(b"s").or_else(|| words.strip_prefix(b"S"))?;
    let address = named.rfind_byte(b',').filter(|at| {
        let address = &named[at + 1..];
        named[..*at] == *user && !address.contains(&b' ') || is_socket_address(address)
    });
    let name = &named[..address.unwrap_or(named.len())];
    let is_same = name == user || is_cut_from(user, name);
    (words.starts_with(PROXIED.as_bytes()) && is_same).then_some((name, fields))
}

fn is_socket_address(text: &[u8]) -> bool {
    text.to_str().is_ok_and(|text| text.parse::<SocketAddr>().is_ok())
}

/// Whether `user` is the beginning of the longer `name` and `...`. False if `name` contains `): `:
/// such a `name` may be the user of a refused login, and words of the backend after the user.
fn is_cut_from(user: &[u8], name: &[u8]) -> bool {
    let begin = user.strip_suffix(b"...").filter(|_| CUT_USER.contains(&user.len()));
    begin.is_some_and(|begin| name.starts_with(begin)) && !name.contains_str("): ")
}

/// The first words of a message about the end of a session.
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

/// `text` without `Info: `, the level in log files that Dovecot writes itself.
pub(crate) fn without_level(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"Info: ").unwrap_or(text)
}

/// Whether `text` is a message of a login process about a session. `text` is the part after
/// `imap-login:`. In every version, such a message begins with fixed words, and no client controls
/// the text before the fields.
pub(crate) fn is_about_session(text: &[u8]) -> bool {
    let text = without_level(text.strip_prefix(b" ").unwrap_or(text));
    LOGINS.iter().any(|words| text.starts_with(words.as_bytes()))
        || proxied(text).is_some()
        || (is_end(text) && Ending::with_reason(text).is_some())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending<'a> {
    /// The outcome and the number of attempts; `None` if there is nothing to record.
    pub(crate) attempts: Option<(Outcome, u32)>,
    /// The text after the reason: `user=<…>, …`.
    pub(crate) fields: &'a [u8],
}

impl<'a> Ending<'a> {
    /// Reads the text after the login process; `None` if the text is not a known end of a session.
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        // A parenthesis after the beginning of the fields may be part of a user name, so it does
        // not count.
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

    /// Reads a message without a reason, as version 1.0 writes it. This version has only the login
    /// processes `imap-login` and `pop3-login` (`login_group_create()`,
    /// `src/master/login-process.c`). Few words identify this form. So if the name of a process
    /// does not end in `-login`, [`is_about_session`] does not accept the form.
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
        // A parenthesis means a later version, with a reason that is not in `REASONS`.
        let is_known = !words.contains(&b'(');
        is_known.then(|| Self { attempts: judge(meaning, 1, 0, fields), fields })
    }
}

/// By default, the text after the reason begins with one of these fields.
const FIELDS: [&[u8]; 3] = [b"user=<", b"method=", b"rip="];

fn begins_with_field(text: &[u8]) -> bool {
    FIELDS.iter().any(|field| text.starts_with(field))
}

/// Returns the offset of the colon before the first field.
fn fields(text: &[u8]) -> Option<usize> {
    text.find_iter(": ").find(|at| begins_with_field(&text[at + b": ".len()..]))
}

/// Splits `text` at `: `. Returns whether one of the parts is `words`, or begins with `words (`.
fn has_part(text: &[u8], words: &str) -> bool {
    text.split_str(": ").any(|part| {
        let rest = part.strip_prefix(words.as_bytes());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b" ("))
    })
}

/// Returns the offset of the `): ` that ends the reason. A client controls no text before the
/// fields. But 2.4 quotes the answer of another server (`last failure: …`), which may contain `):
/// `. So a `): ` before a default field counts. If the administrator has configured other fields
/// (`login_log_format_elements`), the first `): ` counts.
fn end_of_reason(text: &[u8]) -> Option<usize> {
    let ends = || text.find_iter("): ");
    ends().find(|end| begins_with_field(&text[end + b"): ".len()..])).or_else(|| ends().next())
}

/// The meaning of a reason, and the text after its words.
fn known(text: &[u8]) -> Option<(Meaning, &[u8])> {
    // `(3 authentication attempts`
    let digits = text[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits > 0 && text[1 + digits..].starts_with(b" authentication attempts") {
        return Some((Refused, &text[1..]));
    }
    REASONS
        .iter()
        .find_map(|reason| Some((reason.meaning, text.strip_prefix(reason.words.as_bytes())?)))
}

/// Returns the number of attempts and the number of successful attempts. Reads `, 3 attempts in 6
/// secs`, `, 1/3 successful auths in 6 secs`, or in 2.3 `, 1 successful auths`. A reason without a
/// number is about one attempt.
fn count(details: &[u8]) -> Option<(u32, u32)> {
    for part in details.split_str(", ") {
        let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            continue;
        }
        let (first, rest) = (number(&part[..digits]), &part[digits..]);
        if rest.starts_with(b" attempts") || rest.starts_with(b" authentication attempts") {
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
    // 1.1 can write `auth failed, 0 attempts`: there is nothing to record.
    let before = attempts.checked_sub(successes.max(1))?;
    let has_user = || fields.starts_with(b"user=<") && !fields.starts_with(b"user=<>");
    let has_method = || fields.strip_prefix(b"user=<>, ").unwrap_or(fields).starts_with(b"method=");
    match last {
        NoAttempt => None,
        Unsaid if has_user() => Some((Outcome::Failure, 1)),
        Unsaid => has_method().then_some((Outcome::Aborted, 1)),
        Interrupted => (has_user() || has_method()).then_some((Outcome::Error, 1)),
        // A proxy checks no password. The proxy may count an attempt as a success although the
        // backend has refused it. So `successes` is not subtracted here.
        Refused => Some((Outcome::Failure, attempts)),
        _ if before > 0 => Some((Outcome::Failure, before)),
        Unfinished => Some((Outcome::Aborted, 1)),
        ServerError => Some((Outcome::Error, 1)),
        Other => None,
    }
}

#[cfg(test)]
mod tests;
