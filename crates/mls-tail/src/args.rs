//! The command line.

use std::path::PathBuf;

use clap::Parser;
use mls_cli::Common;
use mls_config::config::JournalMatch;

/// Print what is new in a log
///
/// Reads logs with their rotated files (LOG.1, LOG.2.gz, LOG-YYYYMMDD.xz, …), oldest first, and goes on where the cursor file
/// says. A last line without its newline waits for the next run.
#[derive(Debug, Parser)]
#[command(name = "mls-tail", version, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Logs to read, one after the other [default: `mail_log` of --config, a file or `journal`]
    #[arg(value_name = "LOG", conflicts_with = "journal")]
    pub logs: Vec<PathBuf>,

    /// Start from the position in FILE. With --framed the sink saves it there. Without, it is saved once all lines are written; a
    /// reader that dies then has lost them [default with --framed: state.offset in the `state_dir` of --config]
    #[arg(long, value_name = "FILE")]
    pub cursor_file: Option<PathBuf>,

    /// Write frames, so that a sink commits its data and the position together
    #[arg(long)]
    pub framed: bool,

    /// Wait for more lines, through rotations, instead of ending
    #[arg(long, short)]
    pub follow: bool,

    /// Read only the logs themselves, not their rotated files
    #[arg(long)]
    pub no_rotated: bool,

    /// Directory of the rotated files, logrotate's `olddir` [default: that of LOG]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["journal", "no_rotated"])]
    pub olddir: Option<PathBuf>,

    /// Also take files whose names match the shell pattern PATTERN as rotated, as in 'mail.old*'; leave out .gz, .xz, .bz2, .zst
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["journal", "no_rotated"])]
    pub rotated_as: Option<glob::Pattern>,

    /// Read the mail entries of the systemd journal, as lines of journalctl -o json
    #[arg(long)]
    pub journal: bool,

    /// Read the journal in DIR instead of this machine's
    #[arg(long, value_name = "DIR")]
    pub journal_directory: Option<PathBuf>,

    /// Read the journal entries with FIELD=VALUE too, such as CONTAINER_NAME=postfix-mailcow; may be repeated [default with
    /// --config: its `journal_match`]
    #[arg(long, value_name = "FIELD=VALUE", requires = "journal")]
    pub journal_match: Vec<JournalMatch>,

    /// Read only what the sink that writes LOG has committed; FILE is its cursor file
    #[arg(long, value_name = "FILE", conflicts_with = "journal")]
    pub committed_by: Option<PathBuf>,

    /// Read what is committed of the CSV of --config, and go on where `sql_state.offset` says
    #[arg(long, requires_all = ["config", "framed"], conflicts_with_all = ["logs", "journal", "committed_by"])]
    pub csv: bool,

    /// Go on where the record of successful logins ends, which logins.offset of --config says
    #[arg(long, requires_all = ["config", "framed"], conflicts_with_all = ["csv", "cursor_file"])]
    pub logins: bool,

    /// Print what the cursor file says, for people, and end
    #[arg(long)]
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
