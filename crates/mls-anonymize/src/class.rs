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
    pub(crate) const COUNT: usize = 10;

    /// The name on the command line, in files of rules and in maps.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Host => "host",
            Self::User => "user",
            Self::MessageId => "message-id",
            Self::Subject => "subject",
            Self::Session => "session",
            Self::Challenge => "challenge",
            Self::Asn => "asn",
            Self::Secret => "secret",
            Self::QueueId => "queue-id",
        }
    }

    /// The first letter of the pseudonyms, so that a pseudonym is never a number or an address.
    pub(crate) fn letter(self) -> u8 {
        match self {
            Self::User => b'u',
            Self::MessageId => b'm',
            Self::Subject => b's',
            Self::Session => b'd',
            Self::Challenge => b'c',
            Self::Secret => b'p',
            Self::Ip | Self::Host | Self::Asn | Self::QueueId => b'h',
        }
    }
}
