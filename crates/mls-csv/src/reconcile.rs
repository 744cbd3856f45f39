//! Makes the CSV (F) and its cursor file (S) agree before rows are appended.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::{Exit, OnFile, OrExit, count};
use mls_event::{Column, Outcome};
use mls_rotation::{Chain, Layout, newer_than};
use mls_rows::legacy;
use mls_rows::row::Style;
use mls_state::atomic;
use mls_state::cursor_file::{CursorFile, Fingerprint};
use mls_state::lock::Lock;
use mls_state::regular;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::encode::Rows;
use crate::header;
use crate::uncommitted::{self, recovered};

/// What to do with a file that does not begin with the committed bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnMismatch {
    Refuse,
    Accept,
    Reset,
}

/// Number of rotated files that the cursor file remembers. If the CSV is rotated more than this
/// number of times between two runs of a reader (mls-report, mls-sql export), the reader does not
/// know where the committed rows of the older files end.
const ROTATED_REMEMBERED: usize = 16;

pub(crate) struct Target {
    pub(crate) path: PathBuf,
    pub(crate) cursor_path: PathBuf,
    pub(crate) on_mismatch: OnMismatch,
    pub(crate) style: Style,
}

impl Target {
    /// Makes F and S agree; returns F and the new content of S.
    pub(crate) fn reconcile(
        &self,
        committed: Option<CursorFile>,
    ) -> anyhow::Result<(File, CursorFile)> {
        self.refuse_other_outcome(committed.as_ref())?;
        let length = length_of(&self.path)?;
        let outcome = self.style.outcome;
        let mut committed =
            committed.unwrap_or_else(|| CursorFile { outcome, ..CursorFile::start() });
        let keep = match &committed.data {
            // The committed length may be 0: a run died before it committed the header.
            Some(data) if length > 0 && data.length <= length && self.begins_with(data)? => {
                uncommitted::move_from_live(&self.path, data.length)?;
                return Ok((regular::append_and_read(&self.path)?, committed));
            }
            Some(data) if length == 0 => {
                uncommitted::move_from_rotated(&self.path, &committed)?;
                let file = self.path.display();
                log::info!(
                    "{file} was emptied, moved or removed (before, {} committed); starting a new \
                     file",
                    count(data.length, "byte was", "bytes were")
                );
                0
            }
            None if length == 0 => {
                committed.rotated = rows_before(&self.path)?.into_iter().collect();
                0
            }
            _ if self.on_mismatch != OnMismatch::Reset && legacy::is_legacy(&self.path)? => {
                return Err(header::legacy_refused(&self.path));
            }
            // F was converted. S is from the Python original: the offset in the log where the
            // original stopped.
            None if committed.legacy_offset().is_some()
                && header::is_ours(&self.path, outcome)? =>
            {
                self.accept(length)?
            }
            data => match self.on_mismatch {
                OnMismatch::Accept => self.accept(length)?,
                OnMismatch::Reset => {
                    self.move_aside()?;
                    0
                }
                OnMismatch::Refuse => {
                    return Err(self.refusal(data.as_ref().map(|data| data.length), length));
                }
            },
        };
        self.begin(committed, keep)
    }

    /// Refuses F or S if it belongs to the other outcome.
    fn refuse_other_outcome(&self, committed: Option<&CursorFile>) -> anyhow::Result<()> {
        let outcome = self.style.outcome;
        if let Some(committed) = committed.filter(|committed| committed.outcome != outcome) {
            return Err(Exit::DataErr.error(format!(
                "{} is the cursor file of a CSV of {} logins, not of {} logins; choose another \
                 cursor file",
                self.cursor_path.display(),
                header::adjective(committed.outcome),
                header::adjective(outcome)
            )));
        }
        if self.path.is_file() {
            header::refuse_other_outcome(&self.path, outcome)?;
        }
        Ok(())
    }

    /// Moves uncommitted rows out of F, then renames F to `name`. Never replaces a file.
    pub(crate) fn rotate(&self, name: &Path) -> anyhow::Result<()> {
        let file = self.path.display();
        // Programs read the rotated files in the order of their names. If another rotated file had
        // a newer name, programs would read F before its older rows, and could skip rows of F.
        if let Some(newer) = newer_than(&self.path, name)? {
            return Err(Exit::CantCreat.error(format!(
                "{} would not be the newest rotated file of {file}, because the name of {} is \
                 newer; rename {} first",
                name.display(),
                newer.display(),
                newer.display()
            )));
        }
        let _lock = Lock::take(&self.path)?;
        let length = length_of(&self.path)?;
        if length == 0 {
            log::info!("{file} is empty or missing; it was not rotated");
            return Ok(());
        }
        let committed = CursorFile::load(&self.cursor_path)?.and_then(|committed| committed.data);
        if let Some(data) = &committed {
            if data.length > length || !self.begins_with(data)? {
                return Err(self.refusal(Some(data.length), length));
            }
            uncommitted::move_from_live(&self.path, data.length)?;
        }
        renameat_with(CWD, &self.path, CWD, name, RenameFlags::NOREPLACE)
            .map_err(io::Error::from)
            .with_context(|| format!("renaming {file} to {}", name.display()))
            .or_exit(Exit::CantCreat)?;
        for path in [&self.path, name] {
            atomic::sync_directory(&atomic::directory_of(path))
                .on_file("syncing the directory of", path)
                .or_exit(Exit::IoErr)?;
        }
        log::info!("{file} was renamed to {}", name.display());
        Ok(())
    }

    fn begins_with(&self, data: &Fingerprint) -> anyhow::Result<bool> {
        let file =
            regular::open(&self.path).on_file("opening", &self.path).or_exit(Exit::NoInput)?;
        Ok(*data == Fingerprint::describe(&file, data.length)?)
    }

    /// Records in S that the first `keep` bytes of F are committed. If `keep` is 0, F must be
    /// empty: writes and commits the header.
    fn begin(&self, mut committed: CursorFile, keep: u64) -> anyhow::Result<(File, CursorFile)> {
        let file = regular::append_and_read(&self.path)?;
        atomic::sync_directory(&atomic::directory_of(&self.path))?;
        if keep == 0 {
            // A header alone does not identify a file, so a file without rows is not remembered.
            let rows = committed
                .data
                .take()
                .filter(|data| data.length > header_length(self.style.outcome));
            committed.rotated.splice(0..0, rows);
            committed.rotated.truncate(ROTATED_REMEMBERED);
        }
        let data = Some(Fingerprint::describe(&file, keep)?);
        let mut settled = CursorFile { data, ..committed };
        settled.store(&self.cursor_path)?;
        if keep == 0 {
            // Commit the header at once. Otherwise each run without new rows would leave an
            // uncommitted header.
            Rows::with_header(&file, self.style)?.flush()?;
            file.sync_data()?;
            settled.data = Some(Fingerprint::describe(&file, file.metadata()?.len())?);
            settled.store(&self.cursor_path)?;
        }
        Ok((file, settled))
    }

    fn refusal(&self, committed: Option<u64>, length: u64) -> anyhow::Error {
        let has = count(length, "byte", "bytes");
        let (file, cursor) = (self.path.display(), self.cursor_path.display());
        let why = match committed {
            None => {
                format!(
                    "{file} has {has}, but {cursor} is missing or does not say how many bytes are \
                     committed"
                )
            }
            Some(committed) if length < committed => {
                format!(
                    "{file} has {has}, but {} committed: somebody has shortened it",
                    count(committed, "byte was", "bytes were")
                )
            }
            Some(committed) => {
                format!(
                    "the first {committed} bytes of {file} have changed since the last commit: \
                    somebody has edited it"
                )
            }
        };
        Exit::Config.error(format!(
            "{why}; to accept the CSV as it is, run maillogsentinel --accept-changes (in your own \
             pipeline: mls-csv --accept-changes); to rename the CSV to {file}.recovered-… and \
             start a new CSV, run mls-csv --reset"
        ))
    }

    fn move_aside(&self) -> anyhow::Result<()> {
        let (_, name) = recovered(&self.path)?;
        fs::rename(&self.path, &name)?;
        log::warn!("{} was renamed to {}", self.path.display(), name.display());
        Ok(())
    }

    /// Accepts F as it is, but adds a newline if the last line has none. Returns the new length.
    fn accept(&self, length: u64) -> anyhow::Result<u64> {
        let file = regular::append_and_read(&self.path)?;
        end_last_line(&file, length)?;
        file.sync_all()?;
        let length = count(length, "byte", "bytes");
        log::warn!("{}: accepted as it is ({length})", self.path.display());
        Ok(file.metadata()?.len())
    }
}

fn header_length(outcome: Outcome) -> u64 {
    Column::header(outcome).len() as u64 + 1
}

/// The length of F; 0 if it does not exist.
fn length_of(path: &Path) -> anyhow::Result<u64> {
    match regular::if_there(fs::metadata(path))? {
        Some(metadata) if metadata.is_file() => Ok(metadata.len()),
        Some(_) => Err(Exit::CantCreat.error(format!("{} is not a regular file", path.display()))),
        None => Ok(0),
    }
}

/// Returns the fingerprint of the newest rotated file that has rows. The first run records this
/// fingerprint in S. So readers can distinguish F from older files before F has committed rows.
fn rows_before(path: &Path) -> anyhow::Result<Option<Fingerprint>> {
    let rows = Chain::open(path, &Layout::default())
        .and_then(|chain| chain.newest_rows().or_exit(Exit::IoErr));
    rows.or_else(|error| {
        log::warn!("{}: its rotated files could not be read: {error:#}", path.display());
        Ok(None)
    })
}

/// If the last line has no newline, adds a newline, because a row must begin on a new line.
pub(crate) fn end_last_line(mut file: &File, length: u64) -> io::Result<()> {
    let mut last = [b'\n'];
    if length > 0 {
        file.read_exact_at(&mut last, length - 1)?;
    }
    if last == [b'\n'] { Ok(()) } else { file.write_all(b"\n") }
}
