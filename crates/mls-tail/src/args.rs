//! The command line.

use std::path::PathBuf;

use clap::Parser;
use mls_cli::Common;

/// Print what is new in a log
///
/// Reads logs with what rotation made of them (LOG.1, LOG.2.gz, LOG-YYYYMMDD.gz, …), oldest first, and goes on where the cursor
/// file says. A last line without its newline waits for the next run.
#[derive(Debug, Parser)]
#[command(name = "mls-tail", version, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Logs to read, one after the other [default: that of --config, or the journal where its `mail_log` is that]
    #[arg(value_name = "LOG", conflicts_with = "journal")]
    pub logs: Vec<PathBuf>,

    /// Start from the position in FILE. Without --framed it is saved there once all is written (at least once: a reader that
    /// dies has lost it); with --framed the sink saves it [default with --framed: state.offset in the `state_dir` of --config]
    #[arg(long, value_name = "FILE")]
    pub cursor_file: Option<PathBuf>,

    /// Write frames, so that a sink commits its data and the position together
    #[arg(long)]
    pub framed: bool,

    /// Do not end: wait for more, through rotations
    #[arg(long, short)]
    pub follow: bool,

    /// Read only the logs themselves, not what rotation made of them
    #[arg(long)]
    pub no_rotated: bool,

    /// Read the mail entries of the systemd journal, as lines of journalctl -o json
    #[arg(long)]
    pub journal: bool,

    /// Read the journal in DIR instead of this machine's
    #[arg(long, value_name = "DIR", requires = "journal")]
    pub journal_directory: Option<PathBuf>,

    /// LOG is written by the sink whose cursor file is FILE: read only what it has committed
    #[arg(long, value_name = "FILE", conflicts_with = "journal")]
    pub committed_by: Option<PathBuf>,

    /// Read the CSV of --config, as far as it is committed, and go on where `sql_state.offset` says
    #[arg(long, requires_all = ["config", "framed"], conflicts_with_all = ["logs", "journal", "committed_by"])]
    pub csv: bool,

    /// Print for people what the cursor file says, and end
    #[arg(long, requires = "cursor_file")]
    pub show_cursor: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub common: Common,
}

const EXAMPLES: &str = "\
Examples:
  mls-tail /var/log/mail.log | mls-parse
  mls-tail --cursor-file ~/mail.cursor /var/log/mail.log | grep NOQUEUE
  mls-tail --follow --no-rotated /var/log/mail.log | mls-parse | jq -r .user
  mls-tail --framed --cursor-file S LOG | mls-parse | mls-enrich | mls-csv --append F --cursor-file S";

impl mls_cli::Args for Args {
    fn common(&self) -> &Common {
        &self.common
    }
}
