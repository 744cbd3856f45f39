//! The command line.

use std::path::PathBuf;

use clap::Parser;
use mls_event::Outcome;

/// Turn records into CSV, and CSV into records
///
/// Reads NDJSON from standard input and writes one CSV row for each failed login to standard output
/// or to the end of a file. A record with several attempts becomes several rows, at most 1000.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(name = "mls-csv", version, after_help = EXAMPLES)]
pub struct Args {
    /// Write rows for logins with this outcome. With --decode: the outcome of rows that have no
    /// header row before them [default: failure]
    #[arg(
        long,
        value_name = "OUTCOME",
        value_parser = mls_cli::outcomes([Outcome::Failure, Outcome::Success]),
        conflicts_with = "legacy"
    )]
    pub(crate) outcome: Option<Outcome>,

    /// Append to FILE (created with mode 0640) instead of writing to standard output. Without FILE,
    /// the file is `csv_filename` of the configuration (for successful logins: `logins_filename`), and
    /// the cursor file is state.offset (logins.offset) in `state_dir`
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "the flag may have no value")]
    pub(crate) append: Option<Option<PathBuf>>,

    /// Commit the rows together with the position in the log, so that each line is counted exactly
    /// once; the input must come from mls-tail --framed with the same cursor file
    #[arg(long, value_name = "FILE", requires = "append")]
    pub(crate) cursor_file: Option<PathBuf>,

    /// Accept a FILE that was changed since the last commit, and append to it
    #[arg(long, requires = "append", conflicts_with = "reset")]
    pub(crate) accept_changes: bool,

    /// Rename a FILE that was changed since the last commit to FILE.recovered-…, and start a new one
    #[arg(long, requires = "append")]
    pub(crate) reset: bool,

    /// Rename FILE to NAME and exit, without reading input. Before that, move uncommitted rows to
    /// another file. Never replaces an existing file
    #[arg(long, value_name = "NAME", requires = "append", conflicts_with_all = ["accept_changes", "reset"])]
    pub(crate) rotate_to: Option<PathBuf>,

    /// Read CSV (plain, or from mls-tail --framed) and write NDJSON
    #[arg(long, conflicts_with = "append")]
    pub(crate) decode: bool,

    /// Read the CSV of the Python original: semicolons, dates as dd/mm/yyyy, other values for the
    /// status of reverse DNS
    #[arg(long, requires = "decode")]
    pub(crate) legacy: bool,

    #[command(flatten)]
    pub(crate) zone: mls_cli::ZoneFlag,

    /// Write seconds in the date column
    #[arg(long)]
    pub(crate) seconds: bool,
}

const EXAMPLES: &str = "\
Examples:
  mls-parse < /var/log/mail.log | mls-csv > failures.csv
  mls-tail --framed --cursor-file S LOG | mls-parse | mls-enrich | mls-csv --append F --cursor-file S
  mls-parse --outcome success < /var/log/mail.log | mls-csv --outcome success --append logins.csv
  mls-csv --decode --legacy < old.csv | mls-csv --append maillogsentinel.csv
  mls-csv --decode < maillogsentinel.csv | jq -r .ip | sort | uniq -c | sort -rn | head";

impl mls_cli::Args for Args {
    const STRICT: bool = true;
}
