//! Classes of text that is replaced.

use clap::ValueEnum;

/// A class of text that identifies somebody. The first line of each comment is the help text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub enum Class {
    /// IPv4 and IPv6 addresses
    Ip,
    /// Host and domain names, also in mail addresses
    Host,
    /// User names, and the local parts of mail addresses
    User,
    /// Message-IDs, up to the @
    MessageId,
    /// Text that header and body checks quote
    Subject,
    /// Dovecot's session IDs
    Session,
    /// Challenges that Postfix logs after `authentication failed:`
    Challenge,
    /// AS number and AS organisation, because they reveal the first bits of an address
    Asn,
    /// Passwords, their hashes, and SASL responses: always replaced
    #[value(skip)]
    Secret,
    /// Queue IDs: replaced only with --queue-ids
    #[value(skip)]
    QueueId,
}

impl Class {
    /// The name of each class, and the first letter of its pseudonyms, in the order of the enum. A
    /// pseudonym begins with a letter, so that it is never a number or an address.
    pub(crate) const ALL: [(Self, &'static str, u8); 10] = [
        (Self::Ip, "ip", b'h'),
        (Self::Host, "host", b'h'),
        (Self::User, "user", b'u'),
        (Self::MessageId, "message-id", b'm'),
        (Self::Subject, "subject", b's'),
        (Self::Session, "session", b'd'),
        (Self::Challenge, "challenge", b'c'),
        (Self::Asn, "asn", b'h'),
        (Self::Secret, "secret", b'p'),
        (Self::QueueId, "queue-id", b'h'),
    ];

    /// The name on the command line, in files of rules and in maps.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL[self as usize].1
    }

    pub(crate) fn letter(self) -> u8 {
        Self::ALL[self as usize].2
    }
}

const _: () = {
    let mut n = 0;
    while n < Class::ALL.len() {
        assert!(Class::ALL[n].0 as usize == n, "the classes are in the order of the enum");
        n += 1;
    }
};
