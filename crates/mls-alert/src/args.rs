//! The command line.

use std::path::PathBuf;

use clap::Parser;
use mls_config::config::Threshold;
use mls_config::zone::Zone;

/// Report suspicious logins, and addresses and users that fail to log in too often
///
/// Reads the CSV files that mls-csv writes, or the records of mls-parse and mls-enrich, and writes an alert record for each
/// suspicious login and each time that a threshold is reached.
#[derive(Clone, Debug, Parser)]
#[command(name = "mls-alert", version, after_help = EXAMPLES)]
pub struct Args {
    /// What to read; `-` is standard input. Default: the CSV that --config names, else standard input
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Alert on so many attempts from one address within such a time: 20/10m. Default: `[alert] ip`
    #[arg(long, value_name = "N/TIME")]
    pub ip: Option<Threshold>,

    /// Alert on so many attempts on one user. Default: `[alert] user`
    #[arg(long, value_name = "N/TIME")]
    pub user: Option<Threshold>,

    /// Alert on so many attempts in total. Default: `[alert] total`
    #[arg(long, value_name = "N/TIME")]
    pub total: Option<Threshold>,

    /// The CSV of successful logins, to find suspicious ones. Default: the one that --config names, if `[logins]` record is on
    #[arg(long, value_name = "FILE")]
    pub logins: Option<PathBuf>,

    /// Remember in this file what has alerted. Default with --config: alerts.cursor in `state_dir` if a file is read, and
    /// alerts.ledger with --framed
    #[arg(long, value_name = "CURSOR")]
    pub cursor_file: Option<PathBuf>,

    /// Go on until SIGTERM: look again when the sinks of the files have committed more
    #[arg(long)]
    pub follow: bool,

    /// Leave writing the cursor file to the program that reads the records, such as mls-mail
    #[arg(long)]
    pub framed: bool,

    /// Read FILE only up to what this cursor file, of the sink that appends to FILE, has committed. Default for the CSV
    /// of --config: its state.offset
    #[arg(long, value_name = "CURSOR")]
    pub committed_by: Option<PathBuf>,

    /// The time zone of dates in the CSV and in alerts: local, Europe/Paris, +02:00
    #[arg(long, value_name = "ZONE", default_value = "local", allow_hyphen_values = true)]
    pub timezone: Zone,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub common: mls_cli::Common,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub strict: mls_cli::Strict,
}

const EXAMPLES: &str = "\
Examples:
  mls-alert maillogsentinel.csv --logins logins.csv
  mls-tail --follow LOG | mls-parse | mls-alert --ip 20/10m
  mls-alert --config /etc/maillogsentinel.conf --framed | mls-mail --config /etc/maillogsentinel.conf";

impl mls_cli::Args for Args {
    fn common(&self) -> &mls_cli::Common {
        &self.common
    }

    fn strict(&self) -> bool {
        self.strict.strict
    }
}
