//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use ipnet::IpNet;

use crate::reporter::Reporter;

/// Write a report about one address or network, for the abuse contact of its owner
///
/// Reads the CSV of mls-csv, or the records of mls-parse and mls-enrich, and prints a report about the
/// failed logins from the address. It sends nothing. The report contains no user names, and its times
/// are in UTC.
#[derive(Clone, Debug, Parser)]
#[command(name = "mls-abuse", version, after_help = EXAMPLES)]
pub struct Args {
    /// Address or network to report
    #[arg(value_name = "IP", value_parser = mls_cli::network)]
    pub(crate) network: IpNet,

    /// Input file; `-` is standard input. Default: the CSV of --config, else standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Format of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ReportFormat,

    /// Your name and mail address: "Example Ltd <abuse@example.org>". Default: `[report]
    /// sender_override` of --config
    #[arg(long, value_name = "NAME <ADDRESS>")]
    pub(crate) reporter: Option<Reporter>,

    /// Add the lines of this mail log that contain the address; they may contain user names
    #[arg(long, value_name = "LOG")]
    pub(crate) log: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) zone: mls_cli::ZoneFlag,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// Text for a mail
    #[default]
    Text,
    /// JSON of X-ARF version 4
    Xarf,
}

const EXAMPLES: &str = "\
Examples:
  mls-abuse 192.0.2.1 maillogsentinel.csv --reporter 'Example Ltd <abuse@example.org>'
  zcat mail.log.2.gz | mls-parse | mls-abuse 192.0.2.0/24 --format xarf --reporter abuse@example.org";

impl mls_cli::Args for Args {
    const STRICT: bool = true;
}
