//! Sender, recipients and mail server; and the delivery of accepted messages.

use std::cell::Cell;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::time::Duration;

use chrono::Local;
use lettre::Address;
use lettre::message::header::{MIME_VERSION_1_0, Subject};
use lettre::message::{Mailbox, SinglePart};
use mls_config::config::{Report as Settings, SmtpTls, is_host};
use mls_config::secret;
use mls_diag::{Exit, count, summary};
use mls_state::cursor_file::sha256;
use mls_state::mail_cursor::header_text;

use crate::address::{from_field, parse, read, to_field};
use crate::ledger::{Ledger, NewMessage};
use crate::message::Message;
use crate::smtp::{DeliveryOutcome, MailObject, MailServer};

pub(crate) struct Mailer {
    sender: Mailbox,
    recipients: Vec<Mailbox>,
    server: MailServer,
    prefix: String,
    pub(crate) machine: String,
    /// The number of delivered mails. A mail to two addresses counts twice.
    delivered: Cell<u64>,
}

pub(crate) struct WaitingResult {
    /// The first error, if a mail is not delivered yet.
    pub(crate) error: Option<anyhow::Error>,
    /// Whether the server answered, or was not needed.
    pub(crate) has_answered: bool,
}

impl WaitingResult {
    pub(crate) fn into_result(self) -> anyhow::Result<()> {
        self.error.map_or(Ok(()), Err)
    }
}

impl Mailer {
    /// Reads `[report]`.
    pub(crate) fn new(
        settings: &Settings,
        machine: String,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let recipients = settings.email.iter().map(|email| read("email", email));
        let recipients = recipients.collect::<anyhow::Result<Vec<_>>>()?;
        if recipients.is_empty() {
            return Err(Exit::Config.error(
                "there is no recipient: set [report] email in the file that --config names",
            ));
        }
        let host = settings.smtp_host.clone().unwrap_or_else(|| "localhost".to_owned());
        if !is_host(&host) {
            return Err(Exit::Config.error(format!(
                "[report] smtp_host = {host:?} is not allowed; give a host name or an IP address \
                 here, and the port in smtp_port"
            )));
        }
        // An IPv6 address may have brackets, as in a URL.
        let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(address) => address.to_owned(),
            None => host,
        };
        let port = settings.smtp_port.map(NonZeroU16::get);
        let tls = settings.smtp_tls.unwrap_or_else(|| default_tls(&host, port));
        let server = MailServer {
            port: port.unwrap_or(if tls == SmtpTls::Tls { TLS_PORT } else { 25 }),
            host: idna::domain_to_ascii(&host).unwrap_or(host),
            tls,
            credentials: credentials(settings)?,
            hello: hello_name(&machine),
            timeout,
        };
        Ok(Self {
            sender: sender(settings, &machine)?,
            recipients,
            server,
            prefix: settings.subject_prefix.clone(),
            machine,
            delivered: Cell::new(0),
        })
    }

    pub(crate) fn plain(&self, subject: &str, text: &str) -> anyhow::Result<Message> {
        let part = SinglePart::builder()
            .header(Subject::from(header_text(&format!("{} {subject}", self.prefix))))
            .header(MIME_VERSION_1_0)
            .content_type(lettre::message::header::ContentType::TEXT_PLAIN)
            .body(text.to_owned());
        let mut message = Message::parse(&part.formatted())?;
        // RFC 3834: programs must not answer this message.
        message.complete(["Auto-Submitted: auto-generated".to_owned()]);
        Ok(message)
    }

    /// Adds the required fields (RFC 5322, section 3.6) that are missing, and removes private
    /// fields.
    pub(crate) fn complete(&self, message: &mut Message) {
        let hash = sha256(&message.to_bytes());
        let id = format!("<{}.maillogsentinel@{}>", &hash[..32], self.sender.email.domain());
        message.complete([
            from_field(&self.sender),
            to_field(&self.recipients),
            format!("Date: {}", Local::now().to_rfc2822()),
            format!("Message-ID: {id}"),
        ]);
    }

    /// Sends a message without a ledger.
    pub(crate) fn deliver_at_once(&self, message: &Message) -> anyhow::Result<()> {
        let recipients = self.addresses();
        self.deliver(&recipients, message, |_| Ok(()))?.into_result(&self.server)
    }

    /// Delivers the messages that wait in the ledger, oldest first. Stops if the server does not
    /// answer.
    pub(crate) fn deliver_waiting(&self, ledger: &mut Ledger) -> anyhow::Result<WaitingResult> {
        let mut all = WaitingResult { error: None, has_answered: true };
        let configured = self.addresses();
        for entry in ledger.waiting() {
            let waiting = entry.waiting.iter().filter_map(|address| address.parse().ok());
            let mut recipients: Vec<_> =
                waiting.filter(|address| configured.contains(address)).collect();
            if recipients.is_empty() && entry.delivered.is_empty() {
                // No waiting recipient is configured any more, and nobody has the message: send it
                // to the current recipients.
                recipients.clone_from(&configured);
            }
            if recipients.is_empty() {
                ledger.forget(&entry.message_id)?;
                continue;
            }
            let message = ledger.read_message(&entry.message_id)?;
            let outcome = self.deliver(&recipients, &message, |outcome| {
                ledger.settle(&entry.message_id, outcome)
            })?;
            let has_answered = outcome.has_answered;
            if let Err(error) = outcome.into_result(&self.server) {
                all.error.get_or_insert(error);
            }
            if !has_answered {
                all.has_answered = false;
                break;
            }
        }
        Ok(all)
    }

    /// Accepts a message, and delivers it to the recipients that have not received it.
    pub(crate) fn accept_and_deliver(
        &self,
        ledger: &mut Ledger,
        mut message: Message,
    ) -> anyhow::Result<()> {
        let waiting = self.accept(ledger, &mut message, false)?;
        if waiting.is_empty() {
            let subject = message.get("Subject").unwrap_or_default();
            log::warn!("{subject:?} was sent before with the same content: it is not sent again");
            return Ok(());
        }
        let message_id = message.get("Message-ID").unwrap_or_default();
        let outcome =
            self.deliver(&waiting, &message, |outcome| ledger.settle(&message_id, outcome))?;
        outcome.into_result(&self.server)
    }

    /// Completes a message and accepts it. Returns the recipients that have not received it.
    pub(crate) fn accept(
        &self,
        ledger: &mut Ledger,
        message: &mut Message,
        commits: bool,
    ) -> anyhow::Result<Vec<Address>> {
        let cursor = message.cursor()?;
        self.complete(message);
        let recipients: Vec<_> = self.addresses().iter().map(Address::to_string).collect();
        let new = NewMessage {
            message_id: message.get("Message-ID").unwrap_or_default(),
            subject: message.get("Subject").unwrap_or_default(),
            bytes: &message.to_bytes(),
            recipients: &recipients,
            commits: commits || cursor.is_some(),
        };
        let waiting = ledger.accept(&new, cursor)?;
        Ok(waiting.iter().filter_map(|address| address.parse().ok()).collect())
    }

    fn deliver(
        &self,
        recipients: &[Address],
        message: &Message,
        settle: impl FnMut(&DeliveryOutcome) -> anyhow::Result<()>,
    ) -> anyhow::Result<DeliveryOutcome> {
        let mail = MailObject { sender: &self.sender.email, recipients, message };
        let outcome = self.server.deliver(&mail, settle)?;
        for address in &outcome.delivered {
            log::debug!("{} was sent to {address}", message.get("Subject").unwrap_or_default());
        }
        self.delivered.set(self.delivered.get() + outcome.delivered.len() as u64);
        Ok(outcome)
    }

    pub(crate) fn summarize(&self) {
        let server = self.server.address();
        match self.delivered.get() {
            0 => summary(format_args!("delivered no mail to {server}")),
            n => summary(format_args!("delivered {} to {server}", count(n, "mail", "mails"))),
        }
    }

    fn addresses(&self) -> Vec<Address> {
        self.recipients.iter().map(|recipient| recipient.email.clone()).collect()
    }
}

/// The configured sender; by default `USER@MACHINE`.
fn sender(settings: &Settings, machine: &str) -> anyhow::Result<Mailbox> {
    if let Some(sender) = &settings.sender_override {
        return read("sender_override", sender);
    }
    let user = mls_machine::user();
    let sender = format!("{}@{machine}", user.as_deref().unwrap_or("maillogsentinel"));
    parse(&sender).map_err(|why| {
        Exit::Config.error(format!(
            "the default sender {sender:?} is not a mail address ({why}); set [report] \
             sender_override"
        ))
    })
}

fn credentials(settings: &Settings) -> anyhow::Result<Option<(String, String)>> {
    match (&settings.smtp_user, &settings.smtp_password_file) {
        (Some(user), Some(file)) => {
            let password = secret::read("smtp_password_file", file)?;
            Ok(Some((user.clone(), password)))
        }
        (None, None) => Ok(None),
        _ => Err(Exit::Config.error(
            "only one of [report] smtp_user and smtp_password_file is set; set the other key too, \
             or remove the key that is set",
        )),
    }
}

/// The port of connections that begin with TLS (RFC 8314, section 3.3).
const TLS_PORT: u16 = 465;

/// Passwords and digests need encryption, except on the way to this machine itself.
fn default_tls(host: &str, port: Option<u16>) -> SmtpTls {
    if port == Some(TLS_PORT) {
        SmtpTls::Tls
    } else if host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()) {
        SmtpTls::None
    } else {
        SmtpTls::StartTls
    }
}

/// The machine's name if it is a domain, else an address literal (RFC 5321, section 4.1.4).
fn hello_name(machine: &str) -> String {
    let name = idna::domain_to_ascii_strict(machine).unwrap_or_default();
    if name.is_empty() { "[127.0.0.1]".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_tls_except_for_this_machine() {
        for (host, tls) in [
            ("localhost", SmtpTls::None),
            ("127.0.0.1", SmtpTls::None),
            ("::1", SmtpTls::None),
            ("mail.example.com", SmtpTls::StartTls),
            ("192.0.2.1", SmtpTls::StartTls),
            ("127.0.0.1.example.com", SmtpTls::StartTls),
        ] {
            assert_eq!(default_tls(host, None), tls, "{host}");
            assert_eq!(default_tls(host, Some(TLS_PORT)), SmtpTls::Tls, "{host}");
        }
    }

    #[test]
    fn a_machine_whose_name_is_not_a_domain_says_hello_with_an_address() {
        assert_eq!(hello_name("mail.example.com"), "mail.example.com");
        assert_eq!(hello_name("bücher"), "xn--bcher-kva");
        assert_eq!(hello_name("a b\r\nRCPT"), "[127.0.0.1]");
    }

    #[test]
    fn a_completed_message_has_the_fields_that_every_message_needs() {
        let settings = Settings {
            email: vec!["Chef <a@example.com>".to_owned()],
            sender_override: Some("mls@example.com".to_owned()),
            ..Settings::default()
        };
        let mailer = Mailer::new(&settings, "mail".to_owned(), Duration::from_secs(1)).unwrap();
        let complete = |text: &str| {
            let mut message = mailer.plain("x", text).unwrap();
            mailer.complete(&mut message);
            message
        };
        let message = complete("hello");
        for (name, value) in [("From", "mls@example.com"), ("To", "Chef <a@example.com>")] {
            assert_eq!(message.get(name).as_deref(), Some(value));
        }
        let id = message.get("Message-ID").unwrap();
        assert!(id.starts_with('<') && id.ends_with(".maillogsentinel@example.com>"), "{id}");
        assert_eq!(complete("hello").get("Message-ID"), Some(id.clone()));
        assert_ne!(complete("other").get("Message-ID"), Some(id));
    }
}
