//! Flags that mean the same in several tools.

use std::net::IpAddr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, ArgAction};
use ipnet::IpNet;
use mls_config::zone::Zone;
use mls_event::Outcome;

/// The flag `--timezone`.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct ZoneFlag {
    /// Time zone of dates and times that do not name one: local, an IANA name such as Europe/Paris,
    /// or an offset such as +02:00
    #[arg(
        long,
        value_name = "ZONE",
        default_value = "local",
        allow_hyphen_values = true,
        global = true
    )]
    pub timezone: Zone,
}

/// Returns the flag `--strict`, for a subcommand that reads records.
#[must_use]
pub fn strict() -> Arg {
    Arg::new("strict")
        .long("strict")
        .action(ArgAction::SetTrue)
        .help("Exit with 65 if any record was bad, after all other records were processed")
}

/// Returns the parser of a flag that takes outcomes. It accepts the outcomes in `accepted`.
#[must_use]
pub fn outcomes<const N: usize>(accepted: [Outcome; N]) -> impl TypedValueParser<Value = Outcome> {
    let value = |outcome: Outcome| {
        PossibleValue::new(outcome.name()).help(match outcome {
            Outcome::Failure => "The login failed",
            Outcome::Success => "The login succeeded",
            Outcome::Aborted => "The client gave up before it sent a password",
            Outcome::Error => "The server could not check the password: a temporary failure",
        })
    };
    PossibleValuesParser::new(accepted.map(value))
        .try_map(|name| Outcome::from_name(&name).ok_or("unknown outcome"))
}

/// Parses the value of a flag that takes a network or an address. Bits after the length of the prefix
/// are cleared, and an IPv4-mapped address becomes an IPv4 address.
///
/// # Errors
/// A message, if the text is neither a network nor an address.
pub fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map(|network| network.trunc())
        .map_err(|_| "give an address or a network such as 192.0.2.1 or 192.0.2.0/24".into())
}
