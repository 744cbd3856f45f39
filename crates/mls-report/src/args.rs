//! The command line.

use std::path::PathBuf;

use clap::Parser;
use mls_cli::zone::Zone;

use crate::period::Day;

/// Digest of the failed logins of a day
///
/// Reads the CSV that mls-csv writes, or the records of mls-parse and mls-enrich, plain or compressed by gzip, and prints
/// a digest on standard output.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "mls-report",
    version,
    after_help = "Examples:\n  \
        mls-report --date yesterday /var/log/maillogsentinel/maillogsentinel.csv\n  \
        zcat mail.log.2.gz | mls-parse | mls-enrich | mls-report --date 2026-06-01"
)]
pub struct Args {
    /// What to read; `-`, or no FILE, is standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// The day to report: today, yesterday or YYYY-MM-DD
    #[arg(long, value_name = "DAY", default_value = "today")]
    pub date: Day,

    /// How many rows a list has at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pub top: u16,

    /// The zone of dates in the CSV and in the report: local, Europe/Paris, +02:00
    #[arg(long, value_name = "ZONE", default_value = "local", allow_hyphen_values = true)]
    pub timezone: Zone,

    #[command(flatten)]
    pub common: mls_cli::Common,

    #[command(flatten)]
    pub strict: mls_cli::Strict,
}

impl mls_cli::Args for Args {
    fn common(&self) -> &mls_cli::Common {
        &self.common
    }

    fn strict(&self) -> bool {
        self.strict.strict
    }
}
