//! The types of values: how each is read, shown and resolved.

use std::fmt;
use std::net::{AddrParseError, IpAddr};
use std::num::NonZeroU16;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use log::LevelFilter;

use super::journal_match::JournalMatch;
use super::server_zone::ServerZone;
use super::threshold::Threshold;
use super::time_span::TimeSpan;
use crate::secret;

/// A value that its key does not allow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotAllowed {
    /// The wrong value. If the value is a list, only the wrong item.
    pub(super) value: String,
    /// What to give instead, such as `yes or no`.
    pub(super) give: String,
}

impl NotAllowed {
    fn new(value: &str, give: impl Into<String>) -> Self {
        Self { value: value.to_owned(), give: give.into() }
    }
}

/// The type of a key's value.
pub(super) trait ConfigValue: Sized {
    fn parse(text: &str) -> Result<Self, NotAllowed>;

    /// The text that [`parse`](ConfigValue::parse) reads as this value; empty for no value.
    fn show(&self) -> String;

    /// The value if no configuration file is read.
    fn without_file(default: &str) -> Self {
        Self::parse(default).unwrap_or_else(|wrong| unreachable!("default {:?}", wrong.value))
    }

    /// If the value is a relative path, resolves it below `directory`.
    fn resolve(&mut self, directory: &Path) {
        let _ = directory;
    }
}

impl<T: ConfigValue> ConfigValue for Option<T> {
    fn parse(text: &str) -> Result<Self, NotAllowed> {
        if text.is_empty() { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(String::new, ConfigValue::show)
    }

    fn without_file(_: &str) -> Self {
        None
    }

    fn resolve(&mut self, directory: &Path) {
        if let Some(value) = self {
            value.resolve(directory);
        }
    }
}

/// Items are separated by commas or by newlines.
impl<T: ConfigValue> ConfigValue for Vec<T> {
    fn parse(text: &str) -> Result<Self, NotAllowed> {
        let items = text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
        items.map(T::parse).collect()
    }

    fn show(&self) -> String {
        self.iter().map(ConfigValue::show).collect::<Vec<_>>().join(", ")
    }

    fn without_file(_: &str) -> Self {
        Self::new()
    }

    fn resolve(&mut self, directory: &Path) {
        for value in self {
            value.resolve(directory);
        }
    }
}

impl ConfigValue for String {
    fn parse(text: &str) -> Result<Self, NotAllowed> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// Whether a value contains what looks like a comment, such as ` # old`.
pub(super) fn has_comment(value: &str) -> bool {
    [" #", "\t#", " ;", "\t;"].iter().any(|sign| value.contains(sign))
}

impl ConfigValue for PathBuf {
    fn parse(text: &str) -> Result<Self, NotAllowed> {
        // A shell would interpret these characters, but no shell reads this file.
        let is_shell = text.starts_with(['"', '\'', '~', '$']);
        if is_shell || has_comment(text) {
            return Err(NotAllowed::new(text, "the whole path, without quotes, ~ and variables"));
        }
        Ok(text.into())
    }

    fn show(&self) -> String {
        self.display().to_string()
    }

    fn resolve(&mut self, directory: &Path) {
        *self = directory.join(&self);
    }
}

impl ConfigValue for bool {
    fn parse(text: &str) -> Result<Self, NotAllowed> {
        match text.to_ascii_lowercase().as_str() {
            "yes" | "true" | "on" | "1" => Ok(true),
            "no" | "false" | "off" | "0" => Ok(false),
            _ => Err(NotAllowed::new(text, "yes or no")),
        }
    }

    fn show(&self) -> String {
        if *self { "yes" } else { "no" }.to_owned()
    }
}

impl ConfigValue for IpNet {
    fn parse(text: &str) -> Result<Self, NotAllowed> {
        let give = "addresses and networks such as 192.0.2.0/24, separated by commas";
        network(text).map_err(|_| NotAllowed::new(text, give))
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// Parses a network or an address. The address `192.0.2.1` becomes the network `192.0.2.1/32`, and
/// `192.0.2.7/24` becomes `192.0.2.0/24`. An IPv4-mapped address becomes an IPv4 address.
///
/// # Errors
/// The text is neither a network nor an address.
pub fn network(text: &str) -> Result<IpNet, AddrParseError> {
    let address = |_| text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
    text.parse::<IpNet>().or_else(address).map(|network| network.trunc())
}

/// Formats a network. A single address has no prefix length: `192.0.2.1`.
#[must_use]
pub fn show_network(network: IpNet) -> String {
    if network.prefix_len() == network.max_prefix_len() {
        network.addr().to_string()
    } else {
        network.to_string()
    }
}

/// Implements [`ConfigValue`] with the `FromStr` and `Display` of each type. The expression is for
/// messages: it names the allowed values.
macro_rules! texts {
    ($($type:ty: $give:expr,)+) => {
        $(impl ConfigValue for $type {
            fn parse(text: &str) -> Result<Self, NotAllowed> {
                text.parse().map_err(|_| NotAllowed::new(text, $give))
            }

            fn show(&self) -> String {
                self.to_string()
            }
        })+
    };
}

fn whole_number(min: impl fmt::Display, max: impl fmt::Display) -> String {
    format!("a whole number from {min} to {max}")
}

texts! {
    u32: whole_number(u32::MIN, u32::MAX),
    u64: whole_number(u64::MIN, u64::MAX),
    usize: whole_number(usize::MIN, usize::MAX),
    // `NonZeroU16`: a port 0 does not exist, and data that is kept for 0 days would be removed at once.
    NonZeroU16: whole_number(NonZeroU16::MIN, NonZeroU16::MAX),
    Threshold: "N/TIME such as 20/10m (20 times in 10 minutes; at most 10000/30d)",
    TimeSpan: "a length of time such as 90s, 10m, 1h or 7d, at most 30d",
    JournalMatch: "matches of journalctl (FIELD=VALUE) such as CONTAINER_NAME=postfix-mailcow, separated by commas",
    ServerZone: "servers with their time zones (NAME=ZONE; zones are in /usr/share/zoneinfo), such \
                 as mx1=Europe/Paris, separated by commas",
}

/// A password. `--show-config` and debug output omit it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl ConfigValue for Password {
    fn parse(text: &str) -> Result<Self, NotAllowed> {
        secret::protect_memory();
        Ok(Self(text.to_owned()))
    }

    fn show(&self) -> String {
        String::new()
    }
}

/// Reads one of the words in `choices`. For a value with several words, `word` returns the first.
fn choice<T: Copy>(choices: &[(&str, T)], text: &str) -> Result<T, NotAllowed> {
    let found = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words = choices.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        NotAllowed::new(text, format!("one of {}", words.join(", ")))
    })
}

fn word<T: PartialEq>(choices: &[(&'static str, T)], value: &T) -> String {
    let found = choices.iter().find(|(_, choice)| choice == value);
    found.map_or("", |(word, _)| word).to_owned()
}

/// Implements [`ConfigValue`] for a type whose values are a few words. If an enum is given, the macro
/// also declares it.
macro_rules! choices {
    (
        $(#[$meta:meta])*
        pub enum $type:ident { $($(#[$doc:meta])* $variant:ident $($word:literal)+,)+ }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type {
            $($(#[$doc])* $variant,)+
        }

        choices! { $type: $($($word $type::$variant,)+)+ }
    };
    ($type:ty: $($word:literal $value:path,)+) => {
        impl ConfigValue for $type {
            fn parse(text: &str) -> Result<Self, NotAllowed> {
                choice(&[$(($word, $value)),+], text)
            }

            fn show(&self) -> String {
                word(&[$(($word, $value)),+], self)
            }
        }
    };
}

choices! {
    /// Values of `smtp_tls`.
    #[expect(missing_docs, reason = "each variant is the value of the same name")]
    pub enum SmtpTls { None "none", StartTls "starttls", Tls "tls", }
}

choices! {
    /// Values of `db_type`.
    #[expect(missing_docs, reason = "each variant is the value of the same name")]
    pub enum DbType {
        Sqlite "sqlite" "sqlite3",
        Postgresql "postgresql",
        Mysql "mysql" "mariadb",
    }
}

choices! {
    /// Values of `mode` of `[database]`.
    #[expect(missing_docs, reason = "each variant is the value of the same name")]
    pub enum DbMode { Load "load", Files "files", }
}

choices! {
    /// `formats` of `[block]`, and `--format` of `mls-block`: the formats of a block list.
    #[derive(clap::ValueEnum)]
    pub enum BlockFormat {
        /// One address or network on each line
        Plain "plain",
        /// A table for Postfix, see `cidr_table`(5)
        Cidr "cidr",
        /// A script for nft -f that replaces the addresses in two sets (IPv4 and IPv6)
        Nft "nft",
        /// Commands for fail2ban-client -i
        Fail2ban "fail2ban",
        /// Decisions for cscli decisions import
        Crowdsec "crowdsec",
        /// An array, one entry on each line
        Json "json",
    }
}

// The levels of Python's `logging` module.
choices! { LevelFilter:
    "DEBUG" LevelFilter::Debug,
    "INFO" LevelFilter::Info,
    "WARNING" LevelFilter::Warn,
    "ERROR" LevelFilter::Error,
    "CRITICAL" LevelFilter::Error,
}

/// Refuses a list with an item other than `nftables` and `postfix`.
pub(super) fn is_enforcer(names: &[String]) -> Result<(), NotAllowed> {
    let other = names.iter().find(|name| !["nftables", "postfix"].contains(&name.as_str()));
    other.map_or(Ok(()), |other| {
        Err(NotAllowed::new(other, "nftables, postfix, or both separated by a comma"))
    })
}

/// Refuses an empty list, and a list with an item other than `postfix` and `dovecot`.
pub(super) fn are_daemons(names: &[String]) -> Result<(), NotAllowed> {
    let other = names.iter().find(|name| !["postfix", "dovecot"].contains(&name.as_str()));
    let other = other.map(String::as_str).or_else(|| names.is_empty().then_some(""));
    other.map_or(Ok(()), |other| {
        Err(NotAllowed::new(other, "postfix, dovecot, or both separated by a comma"))
    })
}
