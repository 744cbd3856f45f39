//! The lines that Postfix writes at the end of a session, which count its commands: `disconnect from
//! unknown[192.0.2.1] ehlo=1 auth=0/2 quit=1 commands=2/4`.
//!
//! This session had two AUTH commands, and none succeeded. Postfix writes a line with `SASL` about
//! each command that failed or that the client aborted. It checks no password and writes no such
//! line (`smtpd_sasl_auth_cmd()`, `src/smtpd/smtpd_sasl_proto.c`) in these cases:
//!
//! - the service offers no login;
//! - the client does not use TLS, and `smtpd_tls_auth_only` is set;
//! - the command comes before EHLO, in the middle of a mail, or after a login;
//! - the command has wrong syntax;
//! - a milter refuses the command;
//! - the client left before it sent the password.
//!
//! No password was tested, so mls-parse does not record these commands as failures. But if a log is
//! filtered by level, it may not contain the lines with `SASL`. Only the counts at the end of the
//! sessions then show the attempts. `--stats` shows the sum of these counts.

use std::sync::LazyLock;

use bstr::ByteSlice;
use memchr::memmem::Finder;
use mls_event::clean;

use crate::daemon::is_postfix_server;
use crate::envelope::{self, number};
use crate::journal::JournalEntry;
use crate::{docker, envelope::Envelope};

const WORDS: &str = "disconnect from ";

/// The number of AUTH commands without success in all sessions that end in these lines.
pub(crate) fn refused_commands(lines: &[u8]) -> u64 {
    static FINDER: LazyLock<Finder> = LazyLock::new(|| Finder::new(WORDS));
    let (mut count, mut from) = (0_u64, 0);
    while let Some(at) = FINDER.find(&lines[from..]) {
        let start = memchr::memrchr(b'\n', &lines[..from + at]).map_or(0, |newline| newline + 1);
        from =
            memchr::memchr(b'\n', &lines[from + at..]).map_or(lines.len(), |end| from + at + end);
        let refused = refused_in_session(&lines[start..from]).unwrap_or_default();
        count = count.saturating_add(refused);
    }
    count
}

fn refused_in_session(line: &[u8]) -> Option<u64> {
    if let Some(docker) = docker::DockerLine::parse(line) {
        return of_envelope(&envelope::open(&docker.to_text())?);
    }
    let Some(entry) = line.starts_with(b"{").then(|| JournalEntry::parse(line)).flatten() else {
        return of_envelope(&envelope::open(line)?);
    };
    let (program, message) = (entry.program()?, entry.message()?);
    match envelope::open_message(&program, &message, entry.is_container()) {
        Some(inner) => of_envelope(&inner),
        None => of_message(&program, &message),
    }
}

fn of_envelope(envelope: &Envelope<'_>) -> Option<u64> {
    let refused = of_message(envelope.program, envelope.message)?;
    Some(refused.saturating_mul(u64::from(envelope.repeated)))
}

fn of_message(program: &[u8], message: &[u8]) -> Option<u64> {
    let words = message.strip_prefix(WORDS.as_bytes())?;
    if !is_postfix_server(&clean(program)) {
        return None;
    }
    // If all commands succeeded, the word has no `/`, such as `auth=1`.
    let auth = words.split_str(" ").skip(1).find_map(|word| word.strip_prefix(b"auth="))?;
    let (successes, all) = auth.split_once_str("/")?;
    Some(u64::from(number(all)?.saturating_sub(number(successes)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_without_success_are_counted_in_every_form_of_log() {
        let session =
            |auth: &str| format!("disconnect from x[192.0.2.1] ehlo=1 {auth} commands=2/4");
        let plain = |auth: &str| format!("Jun  1 00:00:45 mx postfix/smtpd[7]: {}", session(auth));
        for (auth, count) in [("auth=0/2", 2), ("auth=1/3 quit=1", 2), ("auth=2", 0), ("quit=1", 0)]
        {
            let entry = serde_json::json!({
                "MESSAGE": session(auth), "SYSLOG_IDENTIFIER": "postfix/submission/smtpd",
            });
            let docker =
                serde_json::json!({"log": plain(auth) + "\n", "stream": "stdout", "time": "x"});
            let docker = docker.to_string().replace("\"x\"", "\"2026-06-01T00:00:45Z\"");
            for line in [plain(auth), entry.to_string(), docker] {
                assert_eq!(
                    refused_commands(format!("x\n{line}\n{line}").as_bytes()),
                    2 * count,
                    "{line}"
                );
            }
        }
        for line in [
            plain("auth=0/2").replace("smtpd[", "smtp["),
            plain("auth=0/2").replace("disconnect", "x: disconnect"),
            "Jun  1 00:00:45 mx app[7]: ".to_owned() + &session("auth=0/2"),
            session("auth=0/2"),
        ] {
            assert_eq!(refused_commands(line.as_bytes()), 0, "{line}");
        }
        let repeated = format!("message repeated 3 times: [ {}]", session("auth=0/2"));
        let line = plain("").replace(&session(""), &repeated);
        assert_eq!(refused_commands(line.as_bytes()), 6, "{line}");
    }
}
