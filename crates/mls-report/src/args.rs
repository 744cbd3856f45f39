//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use mls_config::config::Threshold;
use mls_config::zone::Zone;

use crate::period::{Day, Moment};

/// Digest of failed logins, for people and for machines
///
/// Reads the CSV that mls-csv writes, or the records of mls-parse and mls-enrich, plain or compressed by gzip, and prints
/// or mails a report of a day or of any stretch of time.
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(name = "mls-report", version, after_help = EXAMPLES)]
pub struct Args {
    /// What to read; `-` is standard input. Default: the CSV that --config names, else standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// The day to report: today (the default), yesterday or YYYY-MM-DD
    #[arg(long, value_name = "DAY", conflicts_with_all = ["since", "until", "since_last"])]
    pub date: Option<Day>,

    /// Report from this day or minute on: yesterday, YYYY-MM-DD, "YYYY-MM-DD HH:MM"
    #[arg(long, value_name = "TIME", conflicts_with = "since_last")]
    pub since: Option<Moment>,

    /// Report up to and including this day, or up to and not including this minute
    #[arg(long, value_name = "TIME", conflicts_with = "since_last")]
    pub until: Option<Moment>,

    /// Report what came after the last digest that --mail --since-last has made, so that every attempt is in exactly one
    #[arg(long, requires = "config")]
    pub since_last: bool,

    /// Read FILE no further than the cursor file of the sink that appends to it says. Default where FILE is that of --config: its
    /// state.offset
    #[arg(long, value_name = "CURSOR")]
    pub committed_by: Option<PathBuf>,

    /// How many rows a list has at most
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    pub top: u16,

    /// The zone of dates in the CSV and in the report: local, Europe/Paris, +02:00
    #[arg(long, value_name = "ZONE", default_value = "local", allow_hyphen_values = true)]
    pub timezone: Zone,

    /// What to write
    #[arg(long, value_enum, default_value_t, conflicts_with_all = ["mail", "test_mail", "alert"])]
    pub format: Format,

    /// Replace FILE at once instead of writing to standard output; with --mail, write the message there and send nothing
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Send the report to `[report] email`, as text and HTML with the CSV attached
    #[arg(long, requires = "config", group = "message")]
    pub mail: bool,

    /// Send a short message to `[report] email`, to see whether mail arrives
    #[arg(long, requires = "config", group = "message", conflicts_with = "alert")]
    pub test_mail: bool,

    /// Print the message instead of sending it
    #[arg(long, requires = "message", conflicts_with = "output")]
    pub dry_run: bool,

    /// How long to wait for an answer of the mail server (six times as long for the last one)
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    pub smtp_timeout: u16,

    /// Print a record for each time that a threshold is crossed, instead of a report; with --mail, send it too
    #[arg(long, conflicts_with_all = ["date", "since", "until", "since_last", "output"])]
    pub alert: bool,

    /// So many attempts from one address within so long, such as 20/10m. Default: `[alert] ip`
    #[arg(long, value_name = "N/TIME", requires = "alert")]
    pub alert_ip: Option<Threshold>,

    /// So many attempts on one user. Default: `[alert] user`
    #[arg(long, value_name = "N/TIME", requires = "alert")]
    pub alert_user: Option<Threshold>,

    /// So many attempts in all. Default: `[alert] total`
    #[arg(long, value_name = "N/TIME", requires = "alert")]
    pub alert_total: Option<Threshold>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub common: mls_cli::Common,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub strict: mls_cli::Strict,
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The digest that people read
    #[default]
    Text,
    /// One self-contained page
    Html,
    /// One line of JSON
    Json,
    /// For the textfile collector of `node_exporter`
    Prometheus,
}

const EXAMPLES: &str = "\
Examples:
  mls-report --date yesterday /var/log/maillogsentinel/maillogsentinel.csv
  mls-report --since 2026-06-01 --until 2026-06-07 --format html F.csv > week.html
  mls-report --format prometheus --output /var/lib/prometheus/node-exporter/logins.prom F.csv
  mls-report --config /etc/maillogsentinel.conf --since-last --mail
  zcat mail.log.2.gz | mls-parse | mls-enrich | mls-report --date 2026-06-01
  mls-tail --follow LOG | mls-parse | mls-report --alert --alert-ip 20/10m";

impl mls_cli::Args for Args {
    fn common(&self) -> &mls_cli::Common {
        &self.common
    }

    fn strict(&self) -> bool {
        self.strict.strict
    }
}
