//! Flags that mean the same in several tools.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap::{Arg, ArgAction};
use ipnet::IpNet;
use mls_config::config::Logins;
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
        value_parser = zone,
        allow_hyphen_values = true,
        global = true
    )]
    pub timezone: Zone,
}

/// Parses the value of `--timezone`. Refuses a wrong `TZ`: the library for dates would not report
/// it, but use another zone.
fn zone(text: &str) -> Result<Zone, String> {
    let zone = text.parse()?;
    match std::env::var("TZ") {
        Ok(tz) if zone == Zone::Local && !tz.is_empty() && Zone::from_tz(&tz).is_none() => {
            Err(format!(
                "the environment variable TZ is {tz:?}, which is not a time zone on this machine; \
                 set it to a name in /usr/share/zoneinfo (Europe/Paris), or unset it"
            ))
        }
        _ => Ok(zone),
    }
}

/// Returns the flag `--strict`, for a subcommand that reads records.
#[must_use]
pub fn strict() -> Arg {
    Arg::new("strict")
        .long("strict")
        .action(ArgAction::SetTrue)
        .help("If a record is bad, process all others and then exit with 65")
}

/// Returns the parser for the value of a flag: one of the outcomes in `accepted`.
#[must_use]
pub fn outcomes<const N: usize>(accepted: [Outcome; N]) -> impl TypedValueParser<Value = Outcome> {
    PossibleValuesParser::new(accepted.map(value))
        .try_map(|name| Outcome::from_name(&name).ok_or("unknown outcome"))
}

fn value(outcome: Outcome) -> PossibleValue {
    PossibleValue::new(outcome.name()).help(match outcome {
        Outcome::Failure => "The login failed",
        Outcome::Success => "The login succeeded",
        Outcome::Aborted => "The client gave up before it sent a password",
        Outcome::Error => "The server could not check the password: a temporary failure",
    })
}

/// The flag `--outcome`. It also takes `recorded`: what the configuration records.
#[derive(Clone, Debug, clap::Args)]
pub struct OutcomeFlag {
    /// Use only attempts with these outcomes
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "failure",
        value_parser = selected()
    )]
    outcome: Vec<Selected>,
}

impl OutcomeFlag {
    /// Returns the selected outcomes.
    #[must_use]
    pub fn outcomes(&self, logins: &Logins) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for one in &self.outcome {
            match one {
                Selected::Outcome(outcome) => outcomes.push(*outcome),
                Selected::Recorded => {
                    outcomes.push(Outcome::Failure);
                    outcomes.extend(logins.record.then_some(Outcome::Success));
                }
            }
        }
        outcomes
    }

    /// Replaces the value `recorded` with the outcomes that the configuration records.
    pub fn resolve(&mut self, logins: &Logins) {
        self.outcome = self.outcomes(logins).into_iter().map(Selected::Outcome).collect();
    }
}

#[derive(Clone, Copy, Debug)]
enum Selected {
    Outcome(Outcome),
    Recorded,
}

fn selected() -> impl TypedValueParser<Value = Selected> {
    const RECORDED: &str = "recorded";
    let recorded = PossibleValue::new(RECORDED)
        .help("What --config selects: failure, and success if `[logins]` record is yes");
    PossibleValuesParser::new(Outcome::ALL.map(value).into_iter().chain([recorded])).try_map(
        |name| {
            let outcome = Outcome::from_name(&name).map(Selected::Outcome);
            outcome.or((name == RECORDED).then_some(Selected::Recorded)).ok_or("unknown outcome")
        },
    )
}

/// Returns the parser of a flag that takes a whole number in a range.
#[must_use]
pub fn number<T>(range: RangeInclusive<T>) -> impl TypedValueParser<Value = T>
where
    T: FromStr + PartialOrd + Display + Clone + Send + Sync + 'static,
{
    let parse = move |text: String| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number
            .ok_or_else(|| format!("give a whole number from {} to {}", range.start(), range.end()))
    };
    StringValueParser::new().try_map(parse)
}

/// Parses the value of a flag that takes a network or an address, see [`mls_config::config::network`].
///
/// # Errors
/// A message, if the text is neither a network nor an address.
pub fn network(text: &str) -> Result<IpNet, String> {
    mls_config::config::network(text)
        .map_err(|_| "give an address or a network such as 192.0.2.1 or 192.0.2.0/24".into())
}
