//! The sink: commits rows and cursor together.
//!
//! F is the CSV, and S is its cursor file. S has a fingerprint of the first bytes of F, which are
//! committed and on disk. A commit syncs F, then replaces S. So the bytes after them were never
//! committed. If the committed bytes do not match the fingerprint, somebody else has changed F.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use mls_diag::{Exit, OnFile, OrExit, summary};
use mls_event::{Auth, Outcome};
use mls_rows::row;
use mls_state::cursor_file::{CursorFile, Fingerprint};
use mls_state::lock::Lock;
use mls_state::regular;
use mls_state::unchecked::UncheckedLogins;
use mls_stream::ndjson::Reader;
use mls_stream::sink::{self, Sink};
use serde_json::Value;

use crate::encode::Rows;
use crate::reconcile::Target;

/// Appends the events of a framed stream to F, and commits the rows and the cursor together.
pub(crate) fn run(reader: Reader, target: Target) -> anyhow::Result<()> {
    let _lock = Lock::take(&target.path)?;
    // If the cursor file is damaged, mls-tail fails and this input is empty. Check the file first,
    // so that the exit code says "damaged" and not "empty input". `begin` loads the file again.
    CursorFile::load(&target.cursor_path)?;
    let mut appender = Appender { target, open: None };
    let result = sink::drain(reader, &mut appender);
    if result.is_err() {
        appender.roll_back();
    } else if let Some(open) = &appender.open {
        // A run may read only attempts that F does not record, such as failures for `logins.csv`.
        // Such a run must not stop the service, so only warn.
        if let Err(why) = open.rows.check_outcome() {
            log::warn!("{why}");
        }
        let unchecked = match open.unchecked.after(open.begun_unchecked) {
            0 => String::new(),
            n => format!(" (the server could not check {})", mls_diag::count(n, "login", "logins")),
        };
        summary(format_args!(
            "recorded {}{unchecked} in {}",
            open.rows.written(),
            appender.target.path.display()
        ));
    }
    result
}

struct Appender {
    target: Target,
    open: Option<OpenCsv>,
}

/// F, open for appending. A write fails if somebody else has changed the length of F.
struct AppendedFile {
    file: File,
    length: u64,
}

impl Write for AppendedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.metadata()?.len() != self.length {
            return Err(io::Error::other(Changed));
        }
        let n = self.file.write(bytes)?;
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "somebody changed, moved or removed the file during this run; the next run continues after the \
     last commit"
)]
struct Changed;

/// The open F, from `begin` until the end of the run.
struct OpenCsv {
    rows: Rows<AppendedFile>,
    committed: CursorFile,
    /// The logins that the server could not check, in earlier runs and in this run.
    unchecked: UncheckedLogins,
    /// The total in `unchecked` before this run.
    begun_unchecked: u64,
    /// A commit began and did not succeed, so it is unknown whether F or S reached the disk. A second
    /// sync could report success although data is lost (fsync(2); PostgreSQL's "fsyncgate" of 2018).
    /// Nothing more is written; the next run reads both files again.
    is_in_doubt: bool,
}

impl Sink for Appender {
    fn begin(&mut self, base: u64) -> anyhow::Result<()> {
        let committed = CursorFile::load(&self.target.cursor_path)?;
        let sequence = committed.as_ref().map_or(0, |cursor| cursor.sequence);
        sink::check_base(base, sequence, self.target.cursor_path.display())?;
        let (file, committed) =
            self.target.reconcile(committed).on_file("preparing", &self.target.path)?;
        let length = committed.data.as_ref().map_or(0, |data| data.length);
        let file = AppendedFile { file, length };
        let rows = Rows::new(file, self.target.style);
        let unchecked = committed.unchecked.clone();
        let begun_unchecked = unchecked.total;
        let is_in_doubt = false;
        self.open = Some(OpenCsv { rows, committed, unchecked, begun_unchecked, is_in_doubt });
        Ok(())
    }

    fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<Result<(), String>> {
        let Some(open) = &mut self.open else { return Ok(Ok(())) };
        let unchecked = event.rows(Outcome::Error);
        if unchecked > 0 {
            let hour = row::date(&event.date.at(), self.target.style);
            open.unchecked.add(&hour, unchecked.into());
        }
        with_exit(open.rows.event(event).on_file("appending to", &self.target.path)).map(Ok)
    }

    fn commit(&mut self, cursor: Value) -> anyhow::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let name = self.target.path.display();
        with_exit(open.rows.flush().on_file("appending to", &self.target.path))?;
        let AppendedFile { file, length } = open.rows.inner();
        let length = *length;
        if !is_at(file, &self.target.path, length)
            .with_context(|| format!("checking {name}"))
            .or_exit(Exit::IoErr)?
        {
            return Err(Changed)
                .with_context(|| format!("committing {name}"))
                .or_exit(Exit::TempFail);
        }
        let unchanged = open.committed.data.as_ref().is_some_and(|data| data.length == length);
        if unchanged && open.committed.cursor == cursor {
            return Ok(());
        }
        open.is_in_doubt = true;
        if !unchanged {
            file.sync_data().with_context(|| format!("syncing {name}")).or_exit(Exit::IoErr)?;
        }
        let data = Fingerprint::describe(file, length)
            .with_context(|| format!("reading {name} back"))
            .or_exit(Exit::IoErr)?;
        let rotated = open.committed.rotated.clone();
        let next = CursorFile {
            rotated,
            outcome: self.target.style.outcome,
            unchecked: open.unchecked.clone(),
            ..CursorFile::next(open.committed.sequence, cursor, Some(data))
        };
        next.store(&self.target.cursor_path)?;
        log::debug!("{name}: committed {length} bytes as commit {}", next.sequence);
        (open.committed, open.is_in_doubt) = (next, false);
        Ok(())
    }
}

impl Appender {
    /// Removes the rows that this run wrote after its last commit. So uncommitted rows remain only
    /// after a kill, after a commit that failed, or if somebody else changed F.
    fn roll_back(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.is_in_doubt {
            return;
        }
        let committed = open.committed.data.as_ref().map_or(0, |data| data.length);
        let AppendedFile { file, length } = open.rows.inner();
        // Do not shorten a file that somebody else has changed. If F was renamed, this shortens the
        // renamed file.
        let cut = match file.metadata() {
            Ok(metadata) if metadata.len() == *length => file.set_len(committed),
            Ok(_) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = cut {
            log::warn!(
                "{}: uncommitted rows could not be removed: {error}; the next run moves them to \
                 another file",
                self.target.path.display()
            );
        }
    }
}

/// Whether `path` is the name of `file`, and `length` is the length of `file`.
fn is_at(file: &File, path: &Path, length: u64) -> io::Result<bool> {
    let here = file.metadata()?;
    let Some(there) = regular::if_there(fs::metadata(path))? else { return Ok(false) };
    Ok(here.len() == length && (here.dev(), here.ino()) == (there.dev(), there.ino()))
}

/// Adds the exit code to an error of F. [`Changed`] is temporary, because the next run can succeed.
fn with_exit(result: anyhow::Result<()>) -> anyhow::Result<()> {
    let is_changed = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Changed>)
    };
    let exit = match &result {
        Err(error) if error.chain().any(is_changed) => Exit::TempFail,
        _ => Exit::IoErr,
    };
    result.or_exit(exit)
}
