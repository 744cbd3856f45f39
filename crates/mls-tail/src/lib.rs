//! `mls-tail` prints the lines of a log and its rotated files, or only the new ones.
//!
//! ```text
//! mls-tail --framed --cursor-file S LOG | mls-parse | mls-enrich | mls-csv --append F --cursor-file S
//! ```
//!
//! # Reads and writes
//! mls-tail reads logs with their rotated files, also compressed ones, oldest first; or the systemd
//! journal (`journal.rs`). It writes their lines unchanged. If the last line has no newline yet,
//! the next run reads it. At the end of a compressed file, mls-tail adds a missing newline, because
//! nobody writes to a compressed file.
//!
//! # Where it continues
//! The cursor remembers every file by its content (`cursor.rs`). If a log was half read, and is
//! then renamed, compressed or moved to another directory, mls-tail reads the rest. It also reads
//! lines that a writer adds to a rotated file. A file that was truncated, replaced or edited is a
//! new file. If lines can no longer be read, mls-tail prints a warning and writes a `gap` record.
//!
//! If somebody replaces a log by an older copy of it, the copy is a new file too. mls-tail prints a
//! warning and reads the copy from its beginning, so the failures are recorded twice. The cursor
//! has hashes at only some offsets of the log. So mls-tail cannot find out where the copy ends and
//! new lines begin, and a wrong guess would lose lines. Before you restore such a copy, remove the
//! lines that mls-tail has already read.
//!
//! If `mail_log` of the configuration changes from a file to the journal or back, mls-tail
//! continues after the last message that it read (`switch.rs`).
//!
//! mls-tail also reads the cursor file of the Python original, which holds only a number
//! (`legacy.rs`).
//!
//! # Exactly once
//! With `--framed` the output is the framed stream of [`mls_event`]. The last tool of the pipeline,
//! such as mls-csv, commits the cursor together with its data, and mls-tail starts from that
//! commit. Without `--framed`, mls-tail saves `--cursor-file` itself when all lines are written. If
//! a run ends earlier, the next run writes its lines again. Without frames, mls-parse cannot see
//! where a log ends: it joins the parts of a line of a container across logs and runs.
//!
//! # Exit codes
//! 75 if a later run can read more: a compressed file is still being written, or a file was
//! truncated while it was read.

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod args;
mod cursor;
mod follow;
mod journal;
mod last_lines;
mod legacy;
mod open_log;
mod output;
mod progress;
mod read;
mod recognize;
mod show;
mod signal;
mod switch;
mod tail;

pub use args::Args;

use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_config::Config;
use mls_config::config::Paths;
use mls_diag::{Exit, OnFile};
use mls_rotation::{FileStat, Layout, is_rotated_from};
use mls_state::atomic::directory_of;
use mls_state::cursor_file::{CursorFile, warn_if_missing};
use mls_state::lock::Lock;

use rustix::process::{Resource, Rlimit};

use cursor::Cursor;
use output::Output;
use signal::Stop;
use tail::{PassEnd, Tail};

/// Runs the tool.
///
/// # Errors
/// Returns the error that ends the run early, with its exit code.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    if let Some(path) = &args.committed_by {
        warn_if_missing(path);
    }
    let is_configured = args.logs.is_empty() && !args.journal && !args.csv;
    let args = with_defaults(args, &config.paths);
    // With --framed, the sink locks the file. Otherwise mls-tail must, because it saves the cursor.
    let saves = !args.framed && !args.show_cursor;
    let _lock = args.cursor_file.as_deref().filter(|_| saves).map(Lock::take).transpose()?;
    let committed = args.cursor_file.as_deref().map(CursorFile::load).transpose()?.flatten();
    if args.show_cursor {
        if args.cursor_file.is_none() {
            return Err(Exit::Usage.error("--show-cursor needs --cursor-file or --config"));
        }
        return show::print(committed.as_ref());
    }
    let base = committed.as_ref().map_or(0, |cursor| cursor.sequence);
    let name = args.cursor_file.as_deref().unwrap_or(Path::new(""));
    let cursor = Cursor::committed(committed.as_ref()).on_file("reading cursor file", name)?;
    // Raise the limit of open files: a log that is rotated every hour has many rotated files.
    let files = rustix::process::getrlimit(Resource::Nofile);
    let _ =
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let stop = if args.framed || args.follow { Stop::on_signal()? } else { Stop::never() };
    let mut out = Output::stdout(args.framed, args.cursor_file.clone(), base, cursor.clone())?;
    let selection = journal::Selection {
        directory: args.journal_directory.clone(),
        matches: args.journal_match.clone(),
        may_switch: is_configured,
    };
    let outcome = if args.journal {
        let outcome = journal::read(cursor, &mut out, &stop, args.follow, &selection)?;
        out.end()?;
        out.summarize("the journal");
        outcome
    } else {
        let logs = absolute(&args.logs, !args.no_rotated)?;
        let layout = Layout {
            live_only: args.no_rotated,
            olddir: args.olddir.clone(),
            pattern: args.rotated_as.clone(),
        };
        let mut tail = Tail::new(&args, logs, layout, cursor, out, stop);
        tail.journal = is_configured.then_some(selection);
        let outcome = if args.follow { follow::run(&mut tail) } else { tail.pass() }?;
        tail.delivery.out.end()?;
        let names: Vec<_> = tail.logs.iter().map(|log| log.display().to_string()).collect();
        tail.delivery.out.summarize(&names.join(", "));
        if let Some(last) = tail.failures.pop() {
            tail.failures.iter().for_each(|failure| log::error!("{failure:#}"));
            return Err(last);
        }
        outcome
    };
    match outcome {
        PassEnd::Done | PassEnd::Stopped => Ok(()),
        PassEnd::Waiting => {
            Err(Exit::TempFail
                .error("mls-tail could not read all files yet; run mls-tail again later"))
        }
    }
}

/// Takes values from the configuration if the command line does not give them.
fn with_defaults(mut args: Args, paths: &Paths) -> Args {
    let (log, cursor) = if args.csv {
        (&paths.csv_filename, paths.sql_cursor())
    } else if args.logins {
        (&paths.mail_log, paths.logins_cursor())
    } else {
        (&paths.mail_log, paths.csv_cursor())
    };
    if args.csv {
        args.committed_by = paths.csv_cursor();
    }
    if (args.framed || args.show_cursor) && args.cursor_file.is_none() {
        args.cursor_file = cursor;
    }
    if args.logs.is_empty() && !args.journal {
        args.journal = log.as_deref() == Some(Path::new("journal"));
        args.logs.extend(log.clone().filter(|_| !args.journal));
        if !args.csv && !args.no_rotated && args.olddir.is_none() {
            args.olddir.clone_from(&paths.mail_log_olddir);
        }
    }
    if args.journal && args.journal_match.is_empty() {
        args.journal_match.clone_from(&paths.journal_match);
    }
    args
}

/// Returns the absolute paths of the logs. The cursor contains these paths, so they must not depend
/// on the working directory or on the spelling.
fn absolute(logs: &[PathBuf], with_rotated: bool) -> anyhow::Result<Vec<PathBuf>> {
    if logs.is_empty() {
        return Err(Exit::Usage
            .error("no log to read: give LOG, or --config with a file that has mail_log"));
    }
    let mut absolute: Vec<PathBuf> = Vec::new();
    for log in logs {
        let context = || format!("finding {}", log.display());
        let directory = directory_of(log);
        // The directory may be missing: with --follow, it can be created later.
        let directory = directory
            .canonicalize()
            .or_else(|_| std::path::absolute(&directory))
            .with_context(context)?;
        let name = log.file_name().ok_or_else(|| {
            Exit::Usage.error(format!("{} is not the name of a file", log.display()))
        })?;
        let log = directory.join(name);
        // Two names of one file (for example by a bind mount) are one log.
        let is_known = absolute.iter().any(|known| *known == log || is_same_file(known, &log));
        if !is_known {
            absolute.push(log);
        }
    }
    if with_rotated {
        // In a shell, `mail.log*` also names the rotated files. Keep only the log.
        let all = absolute.clone();
        absolute.retain(|path| !all.iter().any(|log| is_rotated_from(log, path)));
    }
    Ok(absolute)
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let stat = |path| std::fs::metadata(path).map(|metadata| FileStat::of(&metadata));
    stat(one).is_ok_and(|one| stat(other).is_ok_and(|other| one.is_same_file(&other)))
}
