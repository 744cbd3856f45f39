//! The command line.

use std::path::PathBuf;

use clap::Parser;
use mls_config::config::JournalMatch;

/// Print the lines of a log and its rotated files; with --cursor-file, only the new ones
///
/// Reads logs with their rotated files (LOG.1, LOG.2.gz, LOG-YYYYMMDD.xz, …), oldest first, and
/// continues at the position in the cursor file. If the last line has no newline yet, the next run
/// reads it.
#[derive(Debug, Parser)]
#[command(name = "mls-tail", version, after_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct Args {
    /// Logs to read, one after the other [default: `mail_log` of --config, a file or `journal`]
    #[arg(value_name = "LOG", conflicts_with = "journal")]
    pub(crate) logs: Vec<PathBuf>,

    /// Start from the position in FILE. With --framed, the last tool of the pipeline (such as
    /// mls-csv) saves the new position. Otherwise mls-tail saves it when all lines are written;
    /// then lines can be lost if the next program fails [default with --framed: state.offset in the
    /// `state_dir` of --config]
    #[arg(long, value_name = "FILE")]
    pub(crate) cursor_file: Option<PathBuf>,

    /// Write a framed stream, so that mls-csv or mls-sql can commit data and position together
    ///
    /// Without frames, the next tool cannot see where a log ends: mls-parse joins the parts of a line
    /// of a container across logs.
    #[arg(long)]
    pub(crate) framed: bool,

    /// Keep running and wait for more lines, also after a rotation
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Read only the logs themselves, not their rotated files
    #[arg(long)]
    pub(crate) no_rotated: bool,

    /// Directory of the rotated files, logrotate's `olddir` [default: the directory of LOG]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["journal", "no_rotated"])]
    pub(crate) olddir: Option<PathBuf>,

    /// Also read files whose names match the shell pattern PATTERN as rotated files, such as
    /// 'mail.old*'; PATTERN needs no .gz, .xz, .bz2 or .zst
    #[arg(long, value_name = "PATTERN", conflicts_with_all = ["journal", "no_rotated"])]
    pub(crate) rotated_as: Option<glob::Pattern>,

    /// Read the mail entries of the systemd journal, as lines of journalctl -o json
    #[arg(long)]
    pub(crate) journal: bool,

    /// Read the journal in DIR instead of this machine's
    #[arg(long, value_name = "DIR")]
    pub(crate) journal_directory: Option<PathBuf>,

    /// Also read journal entries with FIELD=VALUE, such as CONTAINER_NAME=postfix-mailcow; can be
    /// repeated [default with --config: its `journal_match`]
    #[arg(long, value_name = "FIELD=VALUE", requires = "journal")]
    pub(crate) journal_match: Vec<JournalMatch>,

    /// Read only the committed part of LOG; FILE is the cursor file of the tool that writes LOG
    #[arg(long, value_name = "FILE", conflicts_with = "journal")]
    pub(crate) committed_by: Option<PathBuf>,

    /// Read the committed part of the CSV of --config, and continue at the position in `sql_state.offset`
    #[arg(long, requires_all = ["config", "framed"], conflicts_with_all = ["logs", "journal", "committed_by"])]
    pub(crate) csv: bool,

    /// Continue at the position for successful logins: logins.offset in the `state_dir` of --config
    #[arg(long, requires_all = ["config", "framed"], conflicts_with_all = ["csv", "cursor_file"])]
    pub(crate) logins: bool,

    /// Print the content of the cursor file in readable form, and exit
    #[arg(long)]
    pub(crate) show_cursor: bool,
}

const EXAMPLES: &str = "\
Examples:
  mls-tail /var/log/mail.log | mls-parse
  mls-tail --cursor-file ~/mail.cursor /var/log/mail.log | grep NOQUEUE
  mls-tail --follow --no-rotated /var/log/mail.log | mls-parse | jq -r .user
  mls-tail --framed --cursor-file S LOG | mls-parse | mls-enrich | mls-csv --append F --cursor-file S";

impl mls_cli::Args for Args {}
