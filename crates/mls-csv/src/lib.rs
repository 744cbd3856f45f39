//! `mls-csv`: events to CSV, and back.
//!
//! ```text
//! mls-tail --framed --cursor-file S LOG | mls-parse | mls-enrich | mls-csv --append F --cursor-file S
//! ```
//!
//! # Reads and writes
//! NDJSON on stdin (see [`mls_event`]); one CSV row for each failure on stdout or at the end of `--append F`, `attempts` of them
//! but at most [1000](mls_event::MAX_ROWS). With `--outcome success`, one row for each successful login. `--decode` goes the other way. `--decode --legacy` reads the CSV of the Python
//! original (`legacy.rs`).
//!
//! The [columns](row), which the first row names, are `server`, `date` (`YYYY-MM-DD HH:MM` in the zone of `--timezone`), `ip`,
//! `user`, `hostname`, `reverse_dns_status`, `country_code`, `asn` and `aso`, separated by commas and quoted as in RFC 4180; for
//! what a cell holds see [`cell`].
//!
//! A file holds attempts of one outcome. The column names in the first row of a file of successful
//! logins are quoted, which tells it from a file of failed ones. `--append` of the other outcome is
//! refused with exit 65, and so is the cursor file of the other.
//!
//! # Exactly once
//! With `--cursor-file S`, F and S are committed together (`commit.rs`): rows are written and synced, then S is replaced.
//! Whatever dies when, S says how many bytes of F are whole and where the log is read on. Before the first row of a run,
//! F and S are brought into step (`settle.rs`):
//!
//! | F | S | what happens |
//! |---|---|---|
//! | as committed | there | rows are appended |
//! | has bytes after what was committed | there | they are moved to `F.recovered-…` (a run died; their lines are read from the log again) |
//! | missing or empty (rotated, removed) | there | a new F is begun, and the log is read on; uncommitted rows in the rotated file are moved too |
//! | written by `--append` alone | a number, of the Python original | F is taken as it is, and the log is read from that byte |
//! | anything else (edited, cut) | there | exit 78; `--adopt` takes it as it is, `--reset` moves it aside |
//! | not empty | missing | exit 78; the same two ways out, and the log is read from its beginning |
//! | missing or empty | missing | a first run |
//!
//! `--rotate-to NAME` renames F, after the uncommitted rows were moved out of it.
//!
//! Without `--cursor-file`, F must be empty or begin with our header; otherwise exit 78.
//!
//! `F.lock` is held while it runs: a second `mls-csv` exits 75 and writes nothing.

pub mod cell;
pub mod row;

mod args;
mod commit;
mod decode;
mod encode;
mod heading;
mod legacy;
mod settle;
mod surplus;

pub use args::Args;

use mls_config::Config;
use mls_diag::Exit;
use mls_event::Outcome;
use mls_stream::ndjson::Reader;

use settle::{OnMismatch, Settling};

/// Runs the tool.
///
/// # Errors
/// Whatever ends the run early, with its exit code.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let outcome = args.outcome.unwrap_or(Outcome::Failure);
    let style = row::Style { outcome, zone: args.timezone, seconds: args.seconds };
    let (append, cursor_file) = match args.append {
        Some(None) => {
            let none = || Exit::Usage.error("--append needs a FILE, or a --config that names one");
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
        _ if args.legacy => decode::run(row::Decoder::legacy(style.zone)),
        _ if args.decode => decode::run(row::Decoder::new(style.zone).with_outcome(outcome)),
        (Some(file), Some(cursor_file))
            if std::path::absolute(&file)? == std::path::absolute(&cursor_file)? =>
        {
            Err(Exit::Usage
                .error(format!("{} cannot be both the CSV and its cursor file", file.display())))
        }
        (Some(file), Some(cursor_file)) => {
            let on_mismatch = match (args.adopt, args.reset) {
                (true, _) => OnMismatch::Adopt,
                (_, true) => OnMismatch::Reset,
                _ => OnMismatch::Refuse,
            };
            let settling = Settling { path: file, cursor_path: cursor_file, on_mismatch, style };
            match args.rotate_to {
                Some(target) => settling.rotate(&target),
                None => commit::run(Reader::stdin()?, settling),
            }
        }
        (Some(_), None) if args.adopt || args.reset || args.rotate_to.is_some() => {
            Err(Exit::Usage.error(
                "--adopt, --reset and --rotate-to need a --cursor-file, or --append without FILE and a --config",
            ))
        }
        (Some(file), None) => encode::append(Reader::stdin()?, &file, style),
        (None, _) => encode::print(Reader::stdin()?, style),
    }
}
