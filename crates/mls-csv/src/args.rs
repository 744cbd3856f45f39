//! The command line.

use std::path::PathBuf;

use clap::Parser;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use mls_cli::{Common, Strict};
use mls_config::zone::Zone;
use mls_event::Outcome;

/// Turn events into CSV, and CSV into events
///
/// Reads NDJSON on standard input and writes one CSV row for each failed login (as many as its `attempts` say, at most
/// 1000) to standard output, or at the end of a file.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
#[command(name = "mls-csv", version, after_help = EXAMPLES)]
pub struct Args {
    /// Which logins become rows. With --decode it is the outcome of rows that no header precedes
    /// [default: failure]
    #[arg(long, value_name = "OUTCOME", value_parser = outcomes(), conflicts_with = "legacy")]
    pub outcome: Option<Outcome>,

    /// Append to FILE (created with mode 0640) instead of writing to standard output. Without FILE it is the CSV of --config, with
    /// state.offset in its `state_dir` as cursor file; for successful logins `logins_filename` and logins.offset
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    pub append: Option<Option<PathBuf>>,

    /// Commit the rows together with the position in the log, exactly once; needs mls-tail --framed with the same file
    #[arg(long, value_name = "FILE", requires = "append")]
    pub cursor_file: Option<PathBuf>,

    /// Take FILE as it is and append to it, though it is not what was committed last
    #[arg(long, requires = "append", conflicts_with = "reset")]
    pub adopt: bool,

    /// Move a FILE that is not what was committed last to FILE.recovered-…, and start a new one
    #[arg(long, requires = "append")]
    pub reset: bool,

    /// Rename FILE to NAME, without rows that were not committed, and end; reads nothing, and never replaces a file
    #[arg(long, value_name = "NAME", requires = "append", conflicts_with_all = ["adopt", "reset"])]
    pub rotate_to: Option<PathBuf>,

    /// Read CSV (plain, or from mls-tail --framed) and write NDJSON
    #[arg(long, conflicts_with = "append")]
    pub decode: bool,

    /// The CSV is that of the Python original: semicolons, dates as dd/mm/yyyy, its own words for the state of the DNS
    #[arg(long, requires = "decode")]
    pub legacy: bool,

    /// Zone of the date column: local, an IANA name such as Europe/Paris, or an offset such as +02:00
    #[arg(long, value_name = "ZONE", default_value = "local", allow_hyphen_values = true)]
    pub timezone: Zone,

    /// Write the date column to the second, not to the minute
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
    PossibleValuesParser::new(names).try_map(|name| Outcome::from_name(&name).ok_or("no outcome"))
}

impl mls_cli::Args for Args {
    fn common(&self) -> &Common {
        &self.common
    }

    fn strict(&self) -> bool {
        self.strict.strict
    }
}
