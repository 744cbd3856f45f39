//! The command line.

use std::path::PathBuf;

use clap::Parser;
use mls_config::config::Threshold;

/// Write alerts about suspicious logins, and about addresses and users with too many failed logins
///
/// Reads the CSV files of mls-csv, or the records of mls-parse and mls-enrich. Writes an alert
/// record for each suspicious login, and each time a threshold is reached.
#[derive(Clone, Debug, Parser)]
#[command(name = "mls-alert", version, after_help = EXAMPLES)]
pub struct Args {
    /// Input file; `-` is standard input. Default: the CSV of --config, else standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// Alert on N failed logins from one address within TIME, such as 20/10m. Default: `[alert] ip`
    #[arg(long, value_name = "N/TIME")]
    pub(crate) ip: Option<Threshold>,

    /// Alert on N failed logins of one user within TIME. Default: `[alert] user`
    #[arg(long, value_name = "N/TIME")]
    pub(crate) user: Option<Threshold>,

    /// Alert on N failed logins in total within TIME. Default: `[alert] total`
    #[arg(long, value_name = "N/TIME")]
    pub(crate) total: Option<Threshold>,

    /// The CSV of successful logins, to find suspicious ones. Default: `logins_filename` of
    /// --config with `[logins] record = yes`
    #[arg(long, value_name = "FILE")]
    pub(crate) logins: Option<PathBuf>,

    /// File in which to remember past alerts. Default with --config: alerts.cursor in `state_dir`
    /// if a file is read, and alerts.ledger with --framed
    #[arg(long, value_name = "CURSOR")]
    pub(crate) cursor_file: Option<PathBuf>,

    /// Only attempts of this server, as the log names it; give it several times for several servers
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Vec<String>,

    /// Count each server separately, and name it in the alert. Default: `[alert] by_server`
    #[arg(long)]
    pub(crate) by_server: bool,

    /// Keep running until SIGTERM, and check again after each commit to the files
    #[arg(long)]
    pub(crate) follow: bool,

    /// Write a framed stream, so that the next program, such as mls-mail, saves the position
    #[arg(long)]
    pub(crate) framed: bool,

    /// Read only the committed part of FILE; CURSOR is the cursor file of the tool that appends to
    /// FILE. Default for the CSV of --config: state.offset in its `state_dir`
    #[arg(long, value_name = "CURSOR")]
    pub(crate) committed_by: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) zone: mls_cli::ZoneFlag,
}

const EXAMPLES: &str = "\
Examples:
  mls-alert maillogsentinel.csv --logins logins.csv
  mls-tail --follow LOG | mls-parse | mls-alert --ip 20/10m
  mls-alert --config /etc/maillogsentinel.conf --framed | mls-mail --config /etc/maillogsentinel.conf";

impl mls_cli::Args for Args {
    const STRICT: bool = true;
}
