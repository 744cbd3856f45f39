//! The command line.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use mls_cli::{Common, Strict};
use mls_config::zone::Zone;
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
    #[arg(long, value_name = "OUTCOME", value_parser = outcomes(), conflicts_with = "legacy")]
    pub outcome: Option<Outcome>,

    /// Append to FILE (created with mode 0640) instead of writing to standard output. Without FILE,
    /// the file is `csv_filename` of the configuration (for successful logins: `logins_filename`), and
    /// the cursor file is state.offset (logins.offset) in `state_dir`
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub append: Option<Option<PathBuf>>,

    /// Commit the rows together with the position in the log, so that each line is counted exactly
    /// once; the input must come from mls-tail --framed with the same cursor file
    #[arg(long, value_name = "FILE", requires = "append")]
    pub cursor_file: Option<PathBuf>,

    /// Accept a FILE that was changed since the last commit, and append to it
    #[arg(long, requires = "append", conflicts_with = "reset")]
    pub adopt: bool,

    /// Rename a FILE that was changed since the last commit to FILE.recovered-…, and start a new one
    #[arg(long, requires = "append")]
    pub reset: bool,

    /// Move uncommitted rows out of FILE, rename it to NAME, and exit; reads no input and never
    /// replaces an existing file
    #[arg(long, value_name = "NAME", requires = "append", conflicts_with_all = ["adopt", "reset"])]
    pub rotate_to: Option<PathBuf>,

    /// Read CSV (plain, or from mls-tail --framed) and write NDJSON
    #[arg(long, conflicts_with = "append")]
    pub decode: bool,

    /// Read the CSV of the Python original: semicolons, dates as dd/mm/yyyy, its own names for
    /// the status of reverse DNS
    #[arg(long, requires = "decode")]
    pub legacy: bool,

    /// Time zone of the date column: local, an IANA name such as Europe/Paris, or an offset such as
    /// +02:00
    #[arg(long, value_name = "ZONE", default_value = "local", allow_hyphen_values = true)]
    pub timezone: Zone,

    /// Write seconds in the date column
    #[arg(long)]
    pub seconds: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub strict: Strict,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub common: Common,
}

const EXAMPLES: &str = "\
Examples:
  mls-parse < /var/log/mail.log | mls-csv > failures.csv
  mls-tail --framed --cursor-file S LOG | mls-parse | mls-enrich | mls-csv --append F --cursor-file S
  mls-parse --outcome success < /var/log/mail.log | mls-csv --outcome success --append logins.csv
  mls-csv --decode --legacy < old.csv | mls-csv --append maillogsentinel.csv
  mls-csv --decode < maillogsentinel.csv | jq -r .ip | sort | uniq -c | sort -rn | head";

/// The outcomes that a CSV can hold.
fn outcomes() -> impl TypedValueParser<Value = Outcome> {
    let names = [
        PossibleValue::new(Outcome::Failure.name()).help("Logins that failed"),
        PossibleValue::new(Outcome::Success.name()).help("Logins that succeeded"),
    ];
    PossibleValuesParser::new(names)
        .try_map(|name| Outcome::from_name(&name).ok_or("unknown outcome"))
}

impl mls_cli::Args for Args {
    fn common(&self) -> &Common {
        &self.common
    }

    fn strict(&self) -> bool {
        self.strict.strict
    }
}
