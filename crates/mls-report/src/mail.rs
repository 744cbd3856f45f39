//! The message: who sends what to whom, and by which server.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use lettre::message::header::{ContentTransferEncoding, ContentType, HeaderName, HeaderValue};
use lettre::message::{
    Attachment as AttachmentPart, Body, Mailbox, Message, MessageBuilder, MultiPart, SinglePart,
};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{Address, address::AddressError};
use mls_config::config::{Report as Settings, SmtpTls};
use mls_config::secret;
use mls_diag::Exit;
use mls_state::cursor_file::sha256;

use crate::attachment::Attachment;
use crate::server::Server;
use crate::smtp::MailServer;
use crate::text::number;

/// Everything about mail that does not depend on its content.
pub(crate) struct Post {
    pub(crate) sender: Mailbox,
    pub(crate) recipients: Vec<Mailbox>,
    pub(crate) server: MailServer,
    prefix: String,
    machine: String,
}

impl Post {
    /// Reads `[report]`.
    pub(crate) fn new(settings: &Settings, machine: &Server, timeout: u16) -> anyhow::Result<Self> {
        let user = || user().unwrap_or_else(|| "maillogsentinel".to_owned());
        let sender = settings
            .sender_override
            .clone()
            .unwrap_or_else(|| format!("{}@{}", user(), machine.name));
        let sender = mailbox("the sender", &sender)?;
        let recipients = settings
            .email
            .iter()
            .map(|email| mailbox("email", email))
            .collect::<anyhow::Result<Vec<_>>>()?;
        if recipients.is_empty() {
            return Err(Exit::Config.error("nobody to send to: name addresses in [report] email"));
        }
        let host = settings.smtp_host.clone().unwrap_or_else(|| "localhost".to_owned());
        let tls = settings.smtp_tls.unwrap_or_else(|| default_tls(&host));
        let credentials = match (&settings.smtp_user, &settings.smtp_password_file) {
            (Some(user), Some(file)) => {
                Some(Credentials::new(user.clone(), secret::read("smtp_password_file", file)?))
            }
            (None, None) => None,
            _ => {
                return Err(Exit::Config
                    .error("smtp_user and smtp_password_file go together: give both or neither"));
            }
        };
        let server = MailServer {
            port: settings.smtp_port.unwrap_or(if tls == SmtpTls::Tls { 465 } else { 25 }),
            host,
            tls,
            credentials,
            hello: machine.name.clone(),
            timeout: Duration::from_secs(timeout.into()),
        };
        Ok(Self {
            sender,
            recipients,
            server,
            prefix: settings.subject_prefix.clone(),
            machine: machine.name.clone(),
        })
    }

    /// Where it goes.
    pub(crate) fn addresses(&self) -> Vec<Address> {
        self.recipients.iter().map(|to| to.email.clone()).collect()
    }

    /// A Message-ID that the same `content` always gets.
    pub(crate) fn message_id(&self, content: &str) -> String {
        let recipients: Vec<_> = self.addresses().iter().map(Address::to_string).collect();
        let hash = sha256(
            format!("{}\n{}\n{content}", self.sender.email, recipients.join(",")).as_bytes(),
        );
        format!("<{}.maillogsentinel@{}>", &hash[..32], self.sender.email.domain())
    }

    /// A message without a body.
    fn head(
        &self,
        subject: &str,
        message_id: String,
        date: DateTime<FixedOffset>,
    ) -> MessageBuilder {
        // A control character in a header could begin another one, and what looks like an encoded word (RFC 2047) is decoded.
        let subject = format!("{} {subject}", self.prefix);
        let subject = mls_event::clean(subject.trim().as_bytes()).replace("=?", "= ?");
        let builder = Message::builder()
            .from(self.sender.clone())
            .subject(subject)
            .date(date.into())
            .message_id(Some(message_id))
            // RFC 3834: whoever answers mail by machine shall not answer this.
            .raw_header(HeaderValue::new(
                HeaderName::new_from_ascii_str("Auto-Submitted"),
                "auto-generated".to_owned(),
            ));
        self.recipients.iter().fold(builder, |builder, to| builder.to(to.clone()))
    }

    /// A report in both its forms, and what goes with it.
    pub(crate) fn report(
        &self,
        subject: &str,
        message_id: String,
        date: DateTime<FixedOffset>,
        (text, html): (String, String),
        attachment: Attachment,
    ) -> anyhow::Result<Vec<u8>> {
        let forms = MultiPart::alternative_plain_html(text, html);
        let parts = match attachment {
            Attachment::File { name, content, content_type } => {
                let content_type = ContentType::parse(content_type)?;
                // As it is, whatever its lines look like.
                let body = Body::new_with_encoding(content, ContentTransferEncoding::Base64)
                    .map_err(|_| Exit::Software.error("base64 takes any bytes"))?;
                let part = AttachmentPart::new(mls_event::clean(name.as_bytes()).into_owned())
                    .body(body, content_type);
                MultiPart::mixed().multipart(forms).singlepart(part)
            }
            Attachment::None | Attachment::LeftOut { .. } => forms,
        };
        let message =
            self.head(subject, message_id, date).multipart(parts).context("composing the mail")?;
        Ok(message.formatted())
    }

    /// A message of plain text.
    pub(crate) fn plain(
        &self,
        subject: &str,
        message_id: String,
        date: DateTime<FixedOffset>,
        text: String,
    ) -> anyhow::Result<Vec<u8>> {
        let message = self.head(subject, message_id, date).singlepart(SinglePart::plain(text));
        Ok(message.context("composing the mail")?.formatted())
    }

    /// `[MailLogSentinel] report on mail.example.com: 55 failed logins today`, without the prefix
    pub(crate) fn subject(&self, attempts: u64, label: &str) -> String {
        let attempts = number(attempts, "failed login", "failed logins");
        format!("report on {}: {attempts} {label}", self.machine)
    }
}

/// `admin@example.com` or `Admin <admin@example.com>`.
fn mailbox(what: &str, text: &str) -> anyhow::Result<Mailbox> {
    let mailbox: Result<Mailbox, AddressError> = text.parse();
    mailbox
        .map_err(|error| Exit::Config.error(format!("{what} {text:?} is no mail address: {error}")))
}

/// What a password or a digest says is nobody's business on the way; to the machine itself there is no way.
fn default_tls(host: &str) -> SmtpTls {
    if is_loopback(host) { SmtpTls::None } else { SmtpTls::StartTls }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// The user whom this process runs as, by passwd(5).
fn user() -> Option<String> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_itself_is_spoken_to_without_tls_unless_said() {
        for (host, tls) in [
            ("localhost", SmtpTls::None),
            ("127.0.0.1", SmtpTls::None),
            ("::1", SmtpTls::None),
            ("mail.example.com", SmtpTls::StartTls),
            ("192.0.2.1", SmtpTls::StartTls),
            ("127.0.0.1.example.com", SmtpTls::StartTls),
        ] {
            assert_eq!(default_tls(host), tls, "{host}");
        }
    }

    #[test]
    fn the_same_content_to_the_same_people_has_the_same_message_id() {
        let post = |email: &str| {
            let settings = Settings {
                email: vec![email.to_owned()],
                sender_override: Some("mls@example.com".to_owned()),
                ..Settings::default()
            };
            Post::new(&settings, &Server { name: "mail".to_owned(), address: None }, 1).unwrap()
        };
        let id = post("a@example.com").message_id("x");
        assert!(id.starts_with('<') && id.ends_with(".maillogsentinel@example.com>"), "{id}");
        assert_eq!(post("a@example.com").message_id("x"), id);
        assert_ne!(post("b@example.com").message_id("x"), id);
        assert_ne!(post("a@example.com").message_id("y"), id);
    }
}
