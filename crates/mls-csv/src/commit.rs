//! The sink: rows and cursor committed together.
//!
//! The cursor file S always describes a whole prefix of F, and does so before the first byte is written after that prefix. So
//! bytes found after the prefix were never committed, and bytes that differ within it were changed by somebody else.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_event::Auth;
use mls_state::cursor_file::{CursorFile, Fingerprint};
use mls_state::lock::Lock;
use mls_stream::ndjson::Reader;
use mls_stream::sink::{self, Sink};
use serde_json::Value;

use crate::encode::Rows;
use crate::settle::Settling;

/// Appends the events of a framed stream to F, committing them together with the cursor in S.
pub(crate) fn run(reader: Reader, settling: Settling) -> anyhow::Result<()> {
    let _lock = Lock::take(&settling.path)?;
    // If the source finds it damaged, it ends without a record, and "empty input" would be the exit code of the whole
    // pipeline. `begin` loads it again: what it says then counts.
    CursorFile::load(&settling.cursor_path)?;
    let mut appender = Appender { settling, open: None };
    let result = sink::drain(reader, &mut appender);
    if result.is_err() {
        appender.roll_back();
    }
    result
}

struct Appender {
    settling: Settling,
    open: Option<Open>,
}

/// F, written to at its end only. Refuses to write if somebody else has changed its length.
struct AppendedFile {
    file: File,
    length: u64,
    /// Nothing more is written: the CSV writer's destructor flushes its buffer, and these rows are not committed.
    is_closed: Cell<bool>,
}

impl Write for AppendedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.is_closed.get() {
            return Ok(bytes.len());
        }
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

/// Somebody has moved, removed or changed F while rows were appended to it.
#[derive(Debug, thiserror::Error)]
#[error(
    "somebody has changed, moved or removed it meanwhile; the next run goes on from the last commit"
)]
struct Changed;

/// The file, from `begin` on.
struct Open {
    rows: Rows<AppendedFile>,
    /// What the cursor file says.
    committed: CursorFile,
    /// A commit has begun and not succeeded: it is unknown which of F and S reached the disk, and a second sync would report
    /// success (fsync(2), and the PostgreSQL project's findings of 2018). Nothing more is written; the next run looks.
    is_in_doubt: bool,
}

impl Appender {
    fn path(&self) -> &Path {
        &self.settling.path
    }
}

impl Sink for Appender {
    fn begin(&mut self, base: u64) -> anyhow::Result<()> {
        let committed = CursorFile::load(&self.settling.cursor_path)?;
        let sequence = committed.as_ref().map_or(0, |cursor| cursor.sequence);
        if base != sequence {
            return Err(Exit::TempFail.error(format!(
                "the log was read from commit {base}, but {} is at commit {sequence}: another pipeline has committed \
                 since; nothing was written, the next run goes on from there",
                self.settling.cursor_path.display()
            )));
        }
        let (file, committed) = self
            .settling
            .settle(committed)
            .with_context(|| format!("preparing {}", self.path().display()))?;
        let length = committed.data.as_ref().map_or(0, |data| data.length);
        let file = AppendedFile { file, length, is_closed: Cell::new(false) };
        let rows = Rows::new(file, self.settling.style);
        self.open = Some(Open { rows, committed, is_in_doubt: false });
        Ok(())
    }

    fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let result = open
            .rows
            .event(event)
            .with_context(|| format!("appending to {}", self.settling.path.display()));
        let exit = exit_of(&result);
        result.or_exit(exit)
    }

    fn commit(&mut self, cursor: Value) -> anyhow::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let name = self.settling.path.display();
        let result = open.rows.flush().with_context(|| format!("appending to {name}"));
        let exit = exit_of(&result);
        result.or_exit(exit)?;
        let AppendedFile { file, length, .. } = open.rows.inner();
        let length = *length;
        if !is_at(file, &self.settling.path, length)
            .with_context(|| format!("looking at {name}"))
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
            outcome: self.settling.style.outcome,
            ..CursorFile::next(open.committed.sequence, cursor, Some(data))
        };
        next.store(&self.settling.cursor_path)?;
        log::info!("{name}: committed {length} bytes as commit {}", next.sequence);
        (open.committed, open.is_in_doubt) = (next, false);
        Ok(())
    }
}

impl Appender {
    /// Takes back what this run has written after its last commit, so that only a run that was killed leaves such rows.
    fn roll_back(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.is_in_doubt {
            return;
        }
        let committed = open.committed.data.as_ref().map_or(0, |data| data.length);
        let AppendedFile { file, length, is_closed } = open.rows.inner();
        is_closed.set(true);
        // A file that somebody else has changed is left alone; one that was moved is cut where it is now.
        let cut = match file.metadata() {
            Ok(metadata) if metadata.len() == *length => file.set_len(committed),
            Ok(_) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = cut {
            log::warn!(
                "{}: uncommitted rows could not be taken back: {error}",
                self.settling.path.display()
            );
        }
    }
}

/// Whether `path` still leads to `file`, which still has the length that was written.
fn is_at(file: &File, path: &Path, length: u64) -> io::Result<bool> {
    let (here, there) = (file.metadata()?, fs::metadata(path));
    let there = match there {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    Ok(here.len() == length && (here.dev(), here.ino()) == (there.dev(), there.ino()))
}

/// The exit code of an error of the file: [`Changed`] is over with the next run.
fn exit_of(result: &anyhow::Result<()>) -> Exit {
    let is_changed = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Changed>)
    };
    match result {
        Err(error) if error.chain().any(is_changed) => Exit::TempFail,
        _ => Exit::IoErr,
    }
}
