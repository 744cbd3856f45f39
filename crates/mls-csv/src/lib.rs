//! `mls-csv` turns records into CSV, and CSV into records.
//!
//! ```text
//! mls-tail --framed --cursor-file S LOG | mls-parse | mls-enrich | mls-csv --append F --cursor-file S
//! ```
//!
//! # Reads and writes
//! mls-csv reads NDJSON (see [`mls_event`]) from stdin. It writes one CSV row for each failed
//! attempt, to stdout or to the end of the file F of `--append F`. A record with `attempts` above 1
//! becomes that many rows, at most [1000](mls_event::MAX_ROWS). With `--outcome success`,
//! successful logins become rows instead. `--decode` reads CSV and writes NDJSON.
//! `--decode --legacy` reads the CSV of the Python original.
//!
//! The first row names the columns: `server`, `date` (`YYYY-MM-DD HH:MM` in the zone of
//! `--timezone`), `ip`, `user`, `hostname`, `reverse_dns_status`, `country_code`, `asn` and `aso`.
//! Commas separate the cells, and cells are quoted as in RFC 4180.
//!
//! A file contains attempts of one outcome. In a file of successful logins, the column names in the
//! first row are quoted; in a file of failures they are not. If the file or the cursor file belongs
//! to the other outcome, mls-csv exits with 65.
//!
//! # Cells
//! A spreadsheet shows the text of a cell and does not run it as a formula:
//!
//! | value | cell |
//! |---|---|
//! | unknown | `N/A`, in the hostname column `null` |
//! | the text `N/A` or `null` | `'`, then the text |
//! | other text | the text, with one `'` before each part that a spreadsheet could take as a formula |
//!
//! Each `,` and `;` ends a part, because a spreadsheet may split the text there. A spreadsheet
//! whose separator is `;` splits even a quoted cell. A part could be a formula if it begins with
//! `=`, `+`, `-`, `@`, or one of these characters in full width (`＝`). Blanks and quotation marks
//! before the character do not count. If a part begins with `'`, the cell has one more `'` there,
//! so that `--decode` returns the exact text.
//!
//! A cell has no control characters, so one row is one line. A tab becomes the symbol `␉`, a
//! carriage return `␍`, and any other control character `?`. If the text itself contains `␉`, `␍`
//! or `␛`, the cell has a `␛` before this symbol. The characters that can begin a formula are from
//! OWASP's "CSV Injection", which also lists tab and carriage return.
//!
//! # Exactly once
//! With `--cursor-file S`, mls-csv commits F and S together (`commit.rs`): it writes and syncs the
//! rows, then it replaces S. Even after a crash, S contains the number of committed bytes of F and
//! the position in the log where the next run continues. Before the first row of a run, mls-csv
//! makes F and S agree (`reconcile.rs`):
//!
//! | F | S | what happens |
//! |---|---|---|
//! | as committed | exists | mls-csv appends rows |
//! | has uncommitted bytes at its end | exists | usually, a run died: mls-csv moves these bytes to `F.recovered-…`, and their lines are read from the log again |
//! | missing or empty (rotated, removed) | exists | mls-csv starts a new F and continues with the log; it also moves uncommitted rows out of the rotated file |
//! | written by `--append` without `--cursor-file` | a number, written by the Python original | mls-csv accepts F as it is; mls-tail reads the log from this byte |
//! | anything else (edited, shortened) | exists | exit 78; `--accept-changes` accepts F as it is, `--reset` renames it |
//! | not empty | missing | exit 78; `--accept-changes` and `--reset` as above; the log is read from its beginning |
//! | missing or empty | missing | first run |
//!
//! For each hour, S also counts the logins that the server could not check (outcome `error`). These
//! logins do not become rows. mls-report writes their number in the digest.
//!
//! `--rotate-to NAME` moves uncommitted rows out of F, then renames F to NAME. mls-csv exits with
//! 73 if NAME exists, or if another rotated file has a newer name than NAME. Programs read rotated
//! files in the order of their names, so they would read the rows of F too early.
//!
//! Without `--cursor-file`, F must be empty or begin with our header; otherwise mls-csv exits with 78.
//!
//! While mls-csv writes to F, it locks `F.lock`. A second mls-csv for F exits with 75 and writes
//! nothing.

mod args;
mod commit;
mod decode;
mod encode;
mod header;
mod reconcile;
mod uncommitted;

pub use args::Args;

use mls_config::Config;
use mls_diag::Exit;
use mls_event::Outcome;
use mls_rows::row;
use mls_stream::ndjson::Reader;
use mls_stream::unreadable::Expected;

use reconcile::{OnMismatch, Target};

/// Runs the tool.
///
/// # Errors
/// The error that ends the run early, with its exit code.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let outcome = args.outcome.unwrap_or(Outcome::Failure);
    let style = row::Style { outcome, zone: args.zone.timezone, seconds: args.seconds };
    let (append, cursor_file) = match args.append {
        Some(None) => {
            let none =
                || Exit::Usage.error("--append without FILE needs a configuration file (--config)");
            let paths = config.paths;
            let (file, cursor) = if outcome == Outcome::Success {
                (paths.logins_filename.clone(), paths.logins_cursor())
            } else {
                (paths.csv_filename.clone(), paths.csv_cursor())
            };
            (Some(file.ok_or_else(none)?), args.cursor_file.or(cursor))
        }
        append => (append.flatten(), args.cursor_file),
    };
    match (append, cursor_file) {
        _ if args.legacy => decode::run(row::Decoder::legacy(style.zone), Expected::LegacyCsv),
        _ if args.decode => {
            decode::run(row::Decoder::new(style.zone).with_outcome(outcome), Expected::Csv)
        }
        (Some(file), Some(cursor_file))
            if std::path::absolute(&file)? == std::path::absolute(&cursor_file)? =>
        {
            Err(Exit::Usage
                .error(format!("{} cannot be both the CSV and its cursor file", file.display())))
        }
        (Some(file), Some(cursor_file)) => {
            let on_mismatch = match (args.accept_changes, args.reset) {
                (true, _) => OnMismatch::Accept,
                (_, true) => OnMismatch::Reset,
                _ => OnMismatch::Refuse,
            };
            let target = Target { path: file, cursor_path: cursor_file, on_mismatch, style };
            match args.rotate_to {
                Some(name) => target.rotate(&name),
                None => commit::run(Reader::stdin()?, target),
            }
        }
        (Some(_), None) if args.accept_changes || args.reset || args.rotate_to.is_some() => Err(Exit::Usage
            .error(
                "--accept-changes, --reset and --rotate-to need --cursor-file FILE (or --append without \
                 FILE, and --config)",
            )),
        (Some(file), None) => encode::append(Reader::stdin()?, &file, style),
        (None, _) => encode::print(Reader::stdin()?, style),
    }
}
