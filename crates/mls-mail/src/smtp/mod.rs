//! Delivery by SMTP (RFC 5321).

mod connection;
mod delivery;
mod failure;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod reply;
mod session;

use std::time::Duration;

use lettre::Address;
use mls_config::config::SmtpTls;
use mls_diag::Exit;

use crate::message::Message;

#[derive(Clone)]
pub(crate) struct MailServer {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: SmtpTls,
    /// User and password.
    pub(crate) credentials: Option<(String, String)>,
    /// The name in EHLO.
    pub(crate) hello: String,
    /// The time limit for each reply.
    pub(crate) timeout: Duration,
}

impl MailServer {
    pub(crate) fn name(&self) -> String {
        format!("mail server {}", self.address())
    }

    pub(crate) fn address(&self) -> String {
        // An IPv6 address needs brackets before the port.
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        format!("{open}{}{close}:{}", self.host, self.port)
    }
}

pub(crate) struct MailObject<'a> {
    pub(crate) sender: &'a Address,
    pub(crate) recipients: &'a [Address],
    pub(crate) message: &'a Message,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct DeliveryOutcome {
    /// Whether a session (greeting, TLS, login) has succeeded.
    pub(crate) has_answered: bool,
    pub(crate) delivered: Vec<Address>,
    /// The addresses that the server refused permanently, with its text.
    pub(crate) refused: Vec<(Address, String)>,
    /// The addresses with a temporary failure, with the reason.
    pub(crate) deferred: Vec<(Address, String)>,
}

impl DeliveryOutcome {
    /// Fails if a recipient did not get the message. The error names these recipients and the
    /// reasons. Exit 75 if a later run may deliver the message, otherwise 69.
    pub(crate) fn into_result(self, server: &MailServer) -> anyhow::Result<()> {
        let exit = if self.deferred.is_empty() { Exit::Unavailable } else { Exit::TempFail };
        let mut by_reason: Vec<(Vec<String>, String)> = Vec::new();
        for (address, words) in self.deferred.into_iter().chain(self.refused) {
            match by_reason.iter_mut().find(|(_, known)| *known == words) {
                Some((addresses, _)) => addresses.push(address.to_string()),
                None => by_reason.push((vec![address.to_string()], words)),
            }
        }
        if by_reason.is_empty() {
            return Ok(());
        }
        let reasons: Vec<_> = by_reason
            .iter()
            .map(|(addresses, words)| format!("{}: {words}{}", addresses.join(", "), cure(words)))
            .collect();
        let (server, reasons) = (server.name(), reasons.join("; for "));
        Err(exit.error(format!("{server} did not accept the mail for {reasons}")))
    }
}

/// Returns advice for a failed connection. Probably the configuration is wrong, not the mail.
fn cure(words: &str) -> &'static str {
    if words.starts_with("Connection refused") {
        "; no mail server listens on this port: check [report] smtp_host and smtp_port"
    } else if words.starts_with("failed to lookup address information") {
        "; check the name of the mail server in [report] smtp_host, and the DNS of this machine"
    } else if words.starts_with("the server offers no login") {
        "; many servers offer logins only with TLS: set [report] smtp_tls = starttls, or remove smtp_user"
    } else if words == "the server did not answer in time" {
        "; check [report] smtp_port and smtp_tls: port 465 needs smtp_tls = tls"
    } else {
        ""
    }
}
