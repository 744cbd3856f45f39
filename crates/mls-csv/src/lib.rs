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
//! Commas separate them, and they are quoted as in RFC 4180.
//!
//! A file holds attempts of one outcome. In a file of successful logins, the column names in the
//! first row are quoted; in a file of failures they are not. mls-csv refuses to append the other
//! outcome, or to use the cursor file of the other outcome, with exit 65.
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
//! A part begins at the beginning of the text and after each `,` and `;`, because a spreadsheet may
//! split the text at any of these. A spreadsheet with another separator splits even a quoted cell.
//! A part could be a formula if it begins with `=`, `+`, `-`, `@` or one of these in full width;
//! blanks and quotation marks before them do not count. A part that begins with `'` gets one more,
//! so that `--decode` is exact.
//!
//! A cell has no control characters, so one row is one line. A tab becomes the symbol `␉`, a carriage
//! return `␍`, and any other control character `?`. If the text itself contains one of these symbols,
//! or `␛`, the cell has a `␛` before it. The list of leading characters comes from OWASP's "CSV
//! Injection", which also lists tab and carriage return.
//!
//! # Exactly once
//! With `--cursor-file S`, mls-csv commits F and S together (`commit.rs`): it writes and syncs the
//! rows, then it replaces S. After a crash at any time, S holds the number of committed bytes of F
//! and the position in the log from which to continue. Before the first row of a run, mls-csv makes
//! F and S agree (`reconcile.rs`):
//!
//! | F | S | what happens |
//! |---|---|---|
//! | as committed | exists | mls-csv appends rows |
//! | has bytes after the committed ones | exists | a run died: mls-csv moves them to `F.recovered-…`, and their lines are read from the log again |
//! | missing or empty (rotated, removed) | exists | mls-csv starts a new F and continues with the log; it also moves uncommitted rows out of the rotated file |
//! | written by `--append` alone | a number, written by the Python original | mls-csv accepts F as it is; the log is read from that byte |
//! | anything else (edited, shortened) | exists | exit 78; `--accept-changes` accepts F as it is, `--reset` renames it |
//! | not empty | missing | exit 78; `--accept-changes` and `--reset` as above; the log is read from its beginning |
//! | missing or empty | missing | first run |
//!
//! S also counts logins that the server could not check (outcome `error`), by the hour. They do not
//! become rows. mls-report writes their number in the digest.
//!
//! `--rotate-to NAME` moves uncommitted rows out of F, then renames F. It ends with 73 if NAME
//! exists, or if another rotated file has a newer name than NAME. In the second case, readers would
//! read F before that file, although F has the newer rows.
//!
//! Without `--cursor-file`, F must be empty or begin with our header; otherwise mls-csv exits with 78.
//!
//! mls-csv holds `F.lock` while it runs. A second `mls-csv` exits with 75 and writes nothing.

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
