//! Mail addresses, for SMTP and for the header.

use std::fmt;

use lettre::message::{Mailbox, Mailboxes, header};
use mls_diag::Exit;

/// The address of a mailbox. Its domain is in ASCII: an internationalized domain becomes A-labels (RFC 5890).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    local: String,
    domain: String,
}

impl Address {
    /// Whether the address is ASCII. Only servers with SMTPUTF8 (RFC 6531) accept other addresses.
    pub(crate) fn is_ascii(&self) -> bool {
        self.local.is_ascii()
    }

    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// Reads an address that [`Display`](fmt::Display) has written.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (local, domain) = text.rsplit_once('@')?;
        Some(Self { local: local.to_owned(), domain: domain.to_owned() })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.local, self.domain)
    }
}

/// An address and the name of its owner.
#[derive(Clone, Debug)]
pub(crate) struct NamedAddress {
    pub(crate) address: Address,
    name: Option<String>,
}

impl NamedAddress {
    /// Reads `admin@example.com` or `Admin <admin@example.com>`, the value of `key` in `[report]`.
    pub(crate) fn read(key: &str, text: &str) -> anyhow::Result<Self> {
        let error = |why: &dyn fmt::Display| {
            Exit::Config.error(format!(
                "[report] {key} = {text:?} is not a mail address ({why}); set {key} to an address \
                 such as anna@example.org (email: one or more addresses, separated by commas)"
            ))
        };
        let mailbox: Mailbox =
            text.parse().map_err(|why: lettre::address::AddressError| error(&why))?;
        let domain = mailbox.email.domain();
        let domain = if domain.starts_with('[') {
            domain.to_owned()
        } else {
            idna::domain_to_ascii(domain).map_err(|_| error(&"its domain is not allowed"))?
        };
        let address = Address { local: mailbox.email.user().to_owned(), domain };
        // The parser may allow these, but they could end the SMTP command that contains the
        // address.
        if address.to_string().contains(|c: char| c.is_control() || matches!(c, '<' | '>')) {
            return Err(error(&"it has a control character or an angle bracket"));
        }
        Ok(Self { address, name: mailbox.name })
    }

    /// The address for the header. `None` if it is not ASCII: a header in UTF-8 needs SMTPUTF8 for
    /// every recipient.
    fn mailbox(&self) -> Option<Mailbox> {
        let Address { local, domain } = &self.address;
        let address = lettre::Address::new(local.as_str(), domain.as_str()).ok()?;
        self.address.is_ascii().then(|| Mailbox::new(self.name.clone(), address))
    }
}

/// The field `From`, without the end of its line.
pub(crate) fn from_field(sender: &NamedAddress) -> String {
    let mailboxes: Vec<_> = sender.mailbox().into_iter().collect();
    field(|headers| headers.set(header::From::from(Mailboxes::from(mailboxes))))
}

/// The field `To`, without the end of its line.
pub(crate) fn to_field(recipients: &[NamedAddress]) -> String {
    let mailboxes: Vec<_> = recipients.iter().filter_map(NamedAddress::mailbox).collect();
    if mailboxes.is_empty() {
        // RFC 5322, section 3.4: a group without members.
        return "To: undisclosed-recipients:;".to_owned();
    }
    field(|headers| headers.set(header::To::from(Mailboxes::from(mailboxes))))
}

fn field(set: impl FnOnce(&mut header::Headers)) -> String {
    let mut headers = header::Headers::new();
    set(&mut headers);
    headers.to_string().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internationalized_domain_becomes_a_labels() {
        let address = NamedAddress::read("email", "Chef <root@bücher.example>").unwrap();
        assert_eq!(address.address.to_string(), "root@xn--bcher-kva.example");
        assert_eq!(to_field(&[address]), "To: Chef <root@xn--bcher-kva.example>");
        let address = NamedAddress::read("email", "élève@bücher.example").unwrap();
        assert!(!address.address.is_ascii());
        assert_eq!(to_field(&[address]), "To: undisclosed-recipients:;");
    }

    #[test]
    fn text_that_could_end_a_command_is_not_an_address() {
        for text in
            ["a", "@b", "a@", "a@b\r\nRCPT TO:<c@d>", "a\n@b.example", "a>b@c.example", "<>"]
        {
            let read = NamedAddress::read("email", text);
            assert!(read.is_err(), "{text:?}: {read:?}");
        }
    }

    #[test]
    fn an_error_names_key_value_and_reason() {
        let error = NamedAddress::read("email", "a@b.test; c@d.test").unwrap_err().to_string();
        assert!(
            error.starts_with("[report] email = \"a@b.test; c@d.test\" is not a mail"),
            "{error}"
        );
        assert!(error.ends_with("(email: one or more addresses, separated by commas)"), "{error}");
    }
}
