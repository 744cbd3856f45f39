//! Writes the attempts at a server as a log and as records.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use mls_event::{Auth, Body, Enrichment, Outcome, Timestamp};

use super::{Event, Program, Server};

impl Program {
    fn service(self) -> &'static str {
        match self {
            Self::Submission => "postfix/submission/smtpd",
            Self::Imap => "dovecot/imap-login",
            Self::Pop3 => "dovecot/pop3-login",
        }
    }
}

impl Server {
    /// The record of an event as mls-enrich writes it, without reverse DNS.
    #[must_use]
    pub fn auth<'a>(&'a self, event: &'a Event) -> Auth<'a> {
        let at = DateTime::from_timestamp(event.at, 0).unwrap_or_default().fixed_offset();
        let network = self.world.find(event.ip);
        let mut auth = Auth::new(Timestamp::from(at), event.outcome);
        auth.server = Some(Cow::Borrowed("mx1"));
        auth.service = Some(Cow::Borrowed(event.program.service()));
        auth.attempts = event.attempts;
        auth.ip = Some(event.ip);
        auth.user = Some(Cow::Borrowed(&event.user));
        auth.enrichment = Some(Enrichment {
            country_code: network.map(|network| Cow::Borrowed(network.country)),
            asn: network.map(|network| network.asn),
            aso: network.map(|network| Cow::Borrowed(&*network.aso)),
            ..Enrichment::default()
        });
        auth
    }

    /// Writes the log of Postfix and Dovecot.
    ///
    /// # Errors
    /// Any error of `out`.
    pub fn write_log(&self, out: &mut impl Write) -> io::Result<()> {
        for (n, event) in self.events.iter().enumerate() {
            let stamp = DateTime::from_timestamp(event.at, 0).unwrap_or_default();
            let stamp = stamp.to_rfc3339_opts(SecondsFormat::Micros, false);
            let Event { ip, user, attempts, .. } = event;
            let pid = 1000 + n % 30_000;
            match (event.program, event.outcome) {
                (Program::Submission, Outcome::Success) => writeln!(
                    out,
                    "{stamp} mx1 postfix/submission/smtpd[{pid}]: {:010X}: client=unknown[{ip}], sasl_method=PLAIN, sasl_username={user}",
                    n + 1
                )?,
                (Program::Submission, _) => writeln!(
                    out,
                    "{stamp} mx1 postfix/submission/smtpd[{pid}]: warning: unknown[{ip}]: SASL PLAIN authentication failed: UGFzc3dvcmQ6, sasl_username={user}"
                )?,
                (Program::Imap | Program::Pop3, outcome) => {
                    let process = event.program.service().trim_start_matches("dovecot/");
                    let said = if outcome == Outcome::Success {
                        "Login".to_owned()
                    } else {
                        format!(
                            "Disconnected: Connection closed (auth failed, {attempts} attempts in 6 secs)"
                        )
                    };
                    writeln!(
                        out,
                        "{stamp} mx1 dovecot: {process}: {said}: user=<{user}>, method=PLAIN, rip={ip}, lip=192.0.2.25, TLS, session=<s{n}>"
                    )?;
                }
            }
        }
        Ok(())
    }

    /// Writes records as mls-enrich writes them: failures and logins in order of time.
    ///
    /// # Errors
    /// Any error of `out`.
    pub fn write_records(&self, out: &mut impl Write) -> io::Result<()> {
        let mut line = Vec::new();
        for event in &self.events {
            line.clear();
            self.auth(event).write_line(&mut line);
            out.write_all(&line)?;
        }
        Ok(())
    }

    /// Writes the content of `truth.tsv`: first a line for each compromised account (rule, user,
    /// time and address of the attacker's first login), then a line for each user (user, oddity).
    ///
    /// # Errors
    /// Any error of `out`.
    pub fn write_truth(&self, out: &mut impl Write) -> io::Result<()> {
        for compromise in &self.compromised {
            let at = DateTime::from_timestamp(compromise.at, 0).unwrap_or_default();
            let at = at.to_rfc3339_opts(SecondsFormat::Secs, false);
            let (method, user, ip) = (compromise.rule.name(), &compromise.user, compromise.ip);
            writeln!(out, "{method}\t{user}\t{at}\t{ip}")?;
        }
        for person in &self.people {
            writeln!(out, "honest\t{}\t{:?}", person.name, person.oddity)?;
        }
        Ok(())
    }

    /// Writes IP databases with all networks of the server into `directory`.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn save_databases(&self, directory: &Path) -> io::Result<()> {
        self.world.save(directory)
    }
}
