//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use ipnet::IpNet;
use mls_config::zone::Zone;

use crate::reporter::Reporter;

/// Write a report about one address or network, for the abuse contact of its owner
///
/// Reads the CSV of mls-csv, or the records of mls-parse and mls-enrich, and prints a report about the
/// failed logins from the address. It sends nothing. The report contains no user names.
#[derive(Clone, Debug, Parser)]
#[command(name = "mls-abuse", version, after_help = EXAMPLES)]
pub struct Args {
    /// Address or network to report
    #[arg(value_name = "IP", value_parser = network)]
    pub(crate) network: IpNet,

    /// Input file; `-` is standard input. Default: the CSV of --config, else standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Format of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) form: Form,

    /// Your name and address: "Example Ltd <abuse@example.org>". Default: `[report] sender_override`
    /// of --config
    #[arg(long, value_name = "NAME <ADDRESS>")]
    pub(crate) reporter: Option<Reporter>,

    /// Add the lines of this mail log that contain the address; they may contain user names
    #[arg(long, value_name = "LOG")]
    pub(crate) log: Option<PathBuf>,

    /// Time zone of dates in the CSV: local, Europe/Paris, +02:00. Times in the report are UTC
    #[arg(long, value_name = "ZONE", default_value = "local", allow_hyphen_values = true)]
    pub(crate) timezone: Zone,

    #[command(flatten)]
    pub(crate) common: mls_cli::Common,

    #[command(flatten)]
    pub(crate) strict: mls_cli::Strict,
}

/// `--form`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// Text for a mail
    #[default]
    Text,
    /// JSON of X-ARF version 4
    Xarf,
}

const EXAMPLES: &str = "\
Examples:
  mls-abuse 192.0.2.1 maillogsentinel.csv --reporter 'Example Ltd <abuse@example.org>'
  zcat mail.log.2.gz | mls-parse | mls-abuse 192.0.2.0/24 --form xarf --reporter abuse@example.org";

fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(|ip| IpNet::from(ip.to_canonical()));
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map(|network| network.trunc())
        .map_err(|_| "give an address or a network such as 192.0.2.1 or 192.0.2.0/24".into())
}

impl mls_cli::Args for Args {
    fn common(&self) -> &mls_cli::Common {
        &self.common
    }

    fn strict(&self) -> bool {
        self.strict.strict
    }
}
