//! Mail addresses, for SMTP and for the header.

use lettre::Address;
use lettre::address::AddressError;
use lettre::message::{Mailbox, Mailboxes, header};
use mls_diag::Exit;

/// Reads `admin@example.com` or `Admin <admin@example.com>`, the value of `key` in `[report]`.
pub(crate) fn read(key: &str, text: &str) -> anyhow::Result<Mailbox> {
    parse(text).map_err(|why| {
        Exit::Config.error(format!(
            "[report] {key} = {text:?} is not a mail address ({why}); set {key} to an address \
             such as anna@example.org (email: one or more addresses, separated by commas)"
        ))
    })
}

/// Reads a mail address, perhaps with a name. An internationalized domain becomes A-labels
/// (RFC 5890), so the domain is ASCII. Fails with the reason.
pub(crate) fn parse(text: &str) -> Result<Mailbox, String> {
    let mailbox: Mailbox = text.parse().map_err(|why: AddressError| why.to_string())?;
    let domain = mailbox.email.domain();
    let domain = if domain.starts_with('[') {
        domain.to_owned()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| "its domain is not allowed")?
    };
    let email = Address::new(mailbox.email.user(), domain).map_err(|why| why.to_string())?;
    // The parser may allow these characters, but in an SMTP command they could end the address.
    if email.to_string().contains(|c: char| c.is_control() || matches!(c, '<' | '>')) {
        return Err("it has a control character or an angle bracket".to_owned());
    }
    Ok(Mailbox { email, ..mailbox })
}

/// Whether every server accepts the address. Only servers with SMTPUTF8 (RFC 6531) accept an
/// address that is not ASCII.
pub(crate) fn is_ascii(address: &Address) -> bool {
    address.user().is_ascii()
}

/// The addresses for the header. Only ASCII addresses, because servers without SMTPUTF8 refuse a
/// header in UTF-8.
fn in_header(mailboxes: &[Mailbox]) -> Mailboxes {
    mailboxes.iter().filter(|mailbox| is_ascii(&mailbox.email)).cloned().collect()
}

/// The field `From`, without CRLF.
pub(crate) fn from_field(sender: &Mailbox) -> String {
    let mailboxes = in_header(std::slice::from_ref(sender));
    field(|headers| headers.set(header::From::from(mailboxes)))
}

/// The field `To`, without CRLF.
pub(crate) fn to_field(recipients: &[Mailbox]) -> String {
    let mailboxes = in_header(recipients);
    if mailboxes.iter().next().is_none() {
        // RFC 5322, section 3.4: a group without members.
        return "To: undisclosed-recipients:;".to_owned();
    }
    field(|headers| headers.set(header::To::from(mailboxes)))
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
        let address = read("email", "Chef <root@bücher.example>").unwrap();
        assert_eq!(address.email.to_string(), "root@xn--bcher-kva.example");
        assert_eq!(to_field(&[address]), "To: Chef <root@xn--bcher-kva.example>");
        let address = read("email", "élève@bücher.example").unwrap();
        assert!(!is_ascii(&address.email));
        assert_eq!(to_field(&[address]), "To: undisclosed-recipients:;");
    }

    #[test]
    fn text_that_could_end_a_command_is_not_an_address() {
        for text in
            ["a", "@b", "a@", "a@b\r\nRCPT TO:<c@d>", "a\n@b.example", "a>b@c.example", "<>"]
        {
            let address = read("email", text);
            assert!(address.is_err(), "{text:?}: {address:?}");
        }
    }

    #[test]
    fn an_error_names_key_value_and_reason() {
        let error = read("email", "a@b.test; c@d.test").unwrap_err().to_string();
        assert!(
            error.starts_with("[report] email = \"a@b.test; c@d.test\" is not a mail"),
            "{error}"
        );
        assert!(error.ends_with("(email: one or more addresses, separated by commas)"), "{error}");
    }
}
