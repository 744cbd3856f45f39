//! `mls-parse`: finds the logins in a mail log and writes them as records.
//!
//! ```text
//! zcat old.gz | mls-parse | jq -r .ip | sort | uniq -c
//! ```
//!
//! # Reads and writes
//! mls-parse reads log lines on standard input: plain ones, the frames of `mls-tail --framed`, or
//! entries of `journalctl -o json --all`. The first line decides which. mls-parse writes an `auth`
//! record (see [`mls_event`]) for each attempt that `--outcome` selects. It copies the control
//! records of a framed stream to its output, in order.
//!
//! # Which lines
//! mls-parse reads the lines of [Postfix's SMTP servers](grammar) and of Dovecot's login processes;
//! `--daemon` selects one of the two servers. [`envelope`] lists the formats of logs. A line may
//! have the words of an attempt and the program of a mail server, but no known form. mls-parse
//! counts such a line and warns; `--rejects` saves the line. It does the same with a line of an
//! unknown program that looks like an attempt.
//!
//! If a Dovecot proxy and its backend write into the same log, mls-parse writes two records for
//! each login. `grep -v '"server":"NAME"'` after mls-parse leaves out the records of one server.
//!
//! # Years
//! A time stamp without a year gets the latest possible year: the time must not be after the latest
//! possible time of a line. This latest time is the first known time in the list below. (Time zones
//! differ by at most 26 hours.)
//!
//! 1. `--reference-time`;
//! 2. 26 hours after the `mtime` of the segment. `mls-tail --framed` takes the earlier one of two
//!    times: the time in the gzip header, and the last change of the file;
//! 3. 26 hours after the last change of the file, if standard input is a file.
//!
//! If none of these times is known, for example after `zcat`, mls-parse assumes that the log was
//! written now. It warns of each year that it assumes. With `--require-year`, it exits with 65.
//!
//! # Guarantees
//! A line about one or more attempts becomes one record. `attempts` of the record is their number.
//! Text that a client chooses (user name, mechanism, reverse DNS name) cannot shift a field or
//! forge a record, with three exceptions:
//!
//! - If `auth_username_chars` of a Dovecot proxy is empty, and a relay cuts its lines after fewer
//!   than 800 bytes, a user name can look like a login of that proxy.
//! - Up to Postfix 3.9, a client that does not close a quote in a mechanism can move text between
//!   mechanism, reason and user (`mechanism.rs`).
//! - Any other program that begins its messages with text from the network can be used to forge a
//!   line of a mail server (see "What can be forged" in [`envelope`]).
//!
//! Lines longer than 1 MiB are reported and skipped. Memory use does not grow with the log.

pub mod clock;
pub mod docker;
pub mod envelope;
pub mod grammar;
pub mod stamp;

mod args;
mod daemon;
mod dovecot;
mod input;
mod journal;
mod mechanism;
mod month;
mod partial;
mod pieces;
mod repetition;
mod scan;
mod search;
mod session;
mod stats;
mod unreadable;
mod workers;
mod year;

pub use args::Args;
pub use daemon::{Daemon, pieces};
pub use scan::Scanner;
pub use stats::Stats;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use chrono::{DateTime, FixedOffset, Utc};
use clap::ValueEnum;
use mls_config::Config;
use mls_diag::Exit;
use mls_event::Column;
use mls_stream::blocks::Blocks;
use mls_stream::ndjson::Writer;

use unreadable::Unread;
use year::AssumedYears;

/// Runs the tool.
///
/// # Errors
/// Returns the error that ends the run early, with its exit code.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(mut args: Args, config: Config) -> anyhow::Result<()> {
    if let Some(file) = args.files.first() {
        let file = file.display();
        return Err(Exit::Usage.error(format!(
            "mls-parse reads standard input: run mls-parse < {file}, or mls-tail {file} | mls-parse, \
             which reads the rotated files of the log too"
        )));
    }
    let (mut blocks, out) = (Blocks::stdin()?, Writer::stdout()?);
    blocks.watch_stdout()?;
    if args.daemon.is_empty() {
        let named = |name: &String| Daemon::from_str(name, false).ok();
        args.daemon = config.parse.daemons.iter().filter_map(named).collect();
    }
    args.outcome.resolve(&config.logins);
    if args.server_zone.is_empty() {
        args.server_zone.clone_from(&config.parse.server_zones);
    }
    let scanner = Scanner::new(&args, &config.filter)?.written_at(stdin_written_at());
    let years = AssumedYears::new(args.require_year);
    let unread = Unread::open(args.rejects.as_deref())?;
    let stats = workers::run(blocks, &scanner, out, unread, years)?;
    if let Some(line) = stats.unrecognized() {
        let cure = cure(line.trim_ascii());
        let line = String::from_utf8_lossy(&line[..line.len().min(MAX_SHOWN)]);
        let why =
            format!("stdin: no line has a known log format; {cure}; the first line is: {line}");
        if stats.is_plain {
            return Err(Exit::DataErr.error(why));
        }
        // A framed log can get lines of a known format later, so this is only a warning.
        log::warn!("{why}");
    }
    mls_diag::summary(stats.summary(&args.outcome.outcomes(&config.logins)));
    if args.stats {
        // If this fails, the error cannot be reported anywhere.
        let _ = write!(std::io::stderr(), "{stats}");
    }
    Ok(())
}

/// The largest number of bytes of a line that a message shows. The input may be a file without
/// lines, such as a picture or a program.
const MAX_SHOWN: usize = 120;

/// Text that says what the user can do with an input that begins with this line.
fn cure(line: &[u8]) -> &'static str {
    if line.starts_with(br#"{"v":"#) {
        "these are records already: give them to mls-enrich, mls-csv or mls-report"
    } else if Column::outcome_of_header(line).is_some() {
        "this is a CSV of mls-csv: read it with mls-csv --decode < FILE"
    } else {
        "give lines of syslog, of journalctl -o json, of Docker or Kubernetes, or of log files that \
         Postfix or Dovecot write themselves"
    }
}

/// When the file on standard input was last changed; `None` for a pipe or a terminal.
fn stdin_written_at() -> Option<DateTime<FixedOffset>> {
    let stdin = File::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
    let file = stdin.metadata().ok().filter(std::fs::Metadata::is_file)?;
    Some(DateTime::<Utc>::from(file.modified().ok()?).fixed_offset())
}
