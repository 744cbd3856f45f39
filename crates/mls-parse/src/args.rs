//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use chrono::{DateTime, FixedOffset};
use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use ipnet::IpNet;
use mls_cli::{Common, Strict};
use mls_config::zone::Zone;
use mls_event::Outcome;

use crate::Daemon;

/// Turn mail log lines into authentication events
///
/// Reads log lines on standard input and writes one NDJSON record for each login that failed. The
/// lines are those of a mail log in any common form, the output of mls-tail --framed, or that of
/// journalctl -o json.
#[derive(Debug, Parser)]
#[command(name = "mls-parse", version, after_help = EXAMPLES)]
pub struct Args {
    /// Which attempts to write
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "failure", value_parser = outcomes())]
    pub outcome: Vec<Outcome>,

    /// Mail servers whose lines to read [default: `[parse] daemons` of --config, else both]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub daemon: Vec<Daemon>,

    /// Time zone of stamps without one: local, an IANA name such as Europe/Paris, or an offset such
    /// as +02:00
    #[arg(long, value_name = "ZONE", default_value = "local", allow_hyphen_values = true)]
    pub timezone: Zone,

    /// Give a time stamp without a year the latest year for which it is not after this RFC 3339
    /// time [default: 26 hours, the largest difference of time zones, after the last change of the
    /// log as mls-tail --framed reports it, else after now]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub reference_time: Option<DateTime<FixedOffset>>,

    /// Server name for lines without a host name, as in log files that Postfix or Dovecot write
    /// themselves
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,

    /// Leave out attempts from this network or address
    #[arg(long, value_name = "CIDR", value_parser = network)]
    pub ignore_net: Vec<IpNet>,

    /// Leave out attempts with this user name
    #[arg(long, value_name = "USER")]
    pub ignore_user: Vec<String>,

    /// Print counts to standard error at the end
    #[arg(long)]
    pub stats: bool,

    /// Append to FILE the lines that have the words of an attempt but cannot be parsed, up to 10
    /// MiB
    #[arg(long, value_name = "FILE")]
    pub rejects: Option<PathBuf>,

    /// Not read: the message says what to do
    #[arg(value_name = "FILE", hide = true)]
    pub files: Vec<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub strict: Strict,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub common: Common,
}

const EXAMPLES: &str = "\
Examples:
  mls-tail /var/log/mail.log | mls-parse
  zcat /var/log/mail.log.2.gz | mls-parse | jq -r .ip | sort | uniq -c | sort -rn | head
  mls-parse --daemon postfix,dovecot --outcome success < mail.log | jq -r '[.date, .user, .ip] | @tsv'
  journalctl -o json --all SYSLOG_FACILITY=2 | mls-parse --stats > failures.ndjson";

/// The names in records, with their meanings. The crate of the records does not depend on clap.
fn outcomes() -> impl TypedValueParser<Value = Outcome> {
    let names = [
        PossibleValue::new(Outcome::Failure.name()).help("A login that failed"),
        PossibleValue::new(Outcome::Success.name()).help("A login that succeeded"),
        PossibleValue::new(Outcome::Aborted.name())
            .help("The client gave up before it sent a password"),
        PossibleValue::new(Outcome::Error.name())
            .help("The server could not check the password: a temporary failure"),
    ];
    PossibleValuesParser::new(names)
        .try_map(|name| Outcome::from_name(&name).ok_or("not an outcome"))
}

fn time(text: &str) -> Result<DateTime<FixedOffset>, String> {
    DateTime::parse_from_rfc3339(text)
        .map_err(|_| "not an RFC 3339 time such as 2026-06-01T00:00:45+02:00".into())
}

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse().map(|ip: IpAddr| ip.into());
    text.parse()
        .or_else(|_| address())
        .map_err(|_| "neither a network such as 192.0.2.0/24 nor an address".into())
}

impl mls_cli::Args for Args {
    fn common(&self) -> &Common {
        &self.common
    }

    fn strict(&self) -> bool {
        self.strict.strict
    }
}
