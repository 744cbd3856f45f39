//! Bringing F and S into step before anything is appended.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_event::{Column, Outcome};
use mls_rotation::{Chain, Layout};
use mls_state::atomic;
use mls_state::cursor_file::{CursorFile, Fingerprint};
use mls_state::lock::Lock;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::encode::Rows;
use crate::heading;
use crate::row::Style;
use crate::surplus::{self, recovered};

/// What to do with a file that does not begin with what was committed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnMismatch {
    Refuse,
    Adopt,
    Reset,
}

/// A reader that looks at the CSV less often than once in so many rotations does not see where each of them ended.
const ROTATED_REMEMBERED: usize = 16;

/// F and S, and how they are brought into step.
pub(crate) struct Settling {
    pub(crate) path: PathBuf,
    pub(crate) cursor_path: PathBuf,
    pub(crate) on_mismatch: OnMismatch,
    pub(crate) style: Style,
}

impl Settling {
    /// Brings F and S into step; returns F and what S then says.
    pub(crate) fn settle(
        &self,
        committed: Option<CursorFile>,
    ) -> anyhow::Result<(File, CursorFile)> {
        self.refuse_other_outcome(committed.as_ref())?;
        let length = length_of(&self.path)?;
        let outcome = self.style.outcome;
        let mut committed =
            committed.unwrap_or_else(|| CursorFile { outcome, ..CursorFile::start() });
        let keep = match &committed.data {
            // An F of no bytes may be missing, though nothing was committed of it: a run died before its header was.
            Some(data) if length > 0 && data.length <= length && self.begins_with(data)? => {
                surplus::move_from_live(&self.path, data.length)?;
                return Ok((open(&self.path)?, committed));
            }
            Some(data) if length == 0 => {
                surplus::move_from_rotated(&self.path, &committed)?;
                let file = self.path.display();
                log::info!(
                    "{file} was emptied or moved away with {} committed bytes; starting a new file",
                    data.length
                );
                0
            }
            None if length == 0 => {
                committed.rotated = rows_before(&self.path)?.into_iter().collect();
                0
            }
            _ if self.on_mismatch != OnMismatch::Reset && heading::is_legacy(&self.path)? => {
                return Err(heading::convert_first(&self.path));
            }
            // It was converted; the cursor is the position where the Python original has stopped.
            None if committed.legacy_offset().is_some()
                && heading::is_ours(&self.path, outcome)? =>
            {
                self.adopt(length)?
            }
            data => match self.on_mismatch {
                OnMismatch::Adopt => self.adopt(length)?,
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

    /// F and S belong to attempts of one outcome.
    fn refuse_other_outcome(&self, committed: Option<&CursorFile>) -> anyhow::Result<()> {
        let outcome = self.style.outcome;
        if let Some(committed) = committed.filter(|committed| committed.outcome != outcome) {
            return Err(Exit::DataErr.error(format!(
                "{} is the cursor file of a CSV of {}, not of {}: name another cursor file",
                self.cursor_path.display(),
                logins(committed.outcome),
                logins(outcome)
            )));
        }
        if self.path.is_file() {
            heading::refuse_other_outcome(&self.path, outcome)?;
        }
        Ok(())
    }

    /// Renames F to `target` after uncommitted rows were moved out of it. A file `target` is never replaced.
    pub(crate) fn rotate(&self, target: &Path) -> anyhow::Result<()> {
        let _lock = Lock::take(&self.path)?;
        let file = self.path.display();
        let length = length_of(&self.path)?;
        if length == 0 {
            log::info!("{file} has no rows: it was not rotated");
            return Ok(());
        }
        let committed = CursorFile::load(&self.cursor_path)?.and_then(|committed| committed.data);
        if let Some(data) = &committed {
            if data.length > length || !self.begins_with(data)? {
                return Err(self.refusal(Some(data.length), length));
            }
            surplus::move_from_live(&self.path, data.length)?;
        }
        renameat_with(CWD, &self.path, CWD, target, RenameFlags::NOREPLACE)
            .map_err(io::Error::from)
            .with_context(|| format!("renaming {file} to {}", target.display()))
            .or_exit(Exit::CantCreat)?;
        for path in [&self.path, target] {
            atomic::sync_directory(&atomic::directory_of(path))
                .with_context(|| format!("syncing the directory of {}", path.display()))
                .or_exit(Exit::IoErr)?;
        }
        log::info!("{file} is now {}", target.display());
        Ok(())
    }

    fn begins_with(&self, data: &Fingerprint) -> anyhow::Result<bool> {
        let file = File::open(&self.path)
            .with_context(|| format!("opening {}", self.path.display()))
            .or_exit(Exit::NoInput)?;
        Ok(*data == Fingerprint::describe(&file, data.length)?)
    }

    /// Stores that the first `keep` bytes of F are committed. A new F gets its header.
    fn begin(&self, mut committed: CursorFile, keep: u64) -> anyhow::Result<(File, CursorFile)> {
        let file = open(&self.path)?;
        atomic::sync_directory(&atomic::directory_of(&self.path))?;
        if keep == 0 {
            // By a header alone no file is recognized.
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
            // A commit of its own, or each run that finds nothing would leave a header after the commit.
            Rows::with_header(&file, self.style)?.flush()?;
            file.sync_data()?;
            settled.data = Some(Fingerprint::describe(&file, file.metadata()?.len())?);
            settled.store(&self.cursor_path)?;
        }
        Ok((file, settled))
    }

    fn refusal(&self, committed: Option<u64>, length: u64) -> anyhow::Error {
        let (file, cursor) = (self.path.display(), self.cursor_path.display());
        let why = match committed {
            None => format!(
                "{file} has {length} bytes, but {cursor} does not say which of them were committed"
            ),
            Some(committed) if length < committed => {
                format!(
                    "{file} has {length} bytes, but {committed} were committed: somebody has shortened it"
                )
            }
            Some(committed) => {
                format!(
                    "the first {committed} bytes of {file} are not what was committed: somebody has edited it"
                )
            }
        };
        Exit::Config.error(format!(
            "{why}; run once with --adopt to append to it as it is, or with --reset to move it to {file}.recovered-… and \
             start a new one"
        ))
    }

    fn move_aside(&self) -> anyhow::Result<()> {
        let (_, name) = recovered(&self.path)?;
        fs::rename(&self.path, &name)?;
        log::warn!("{} is now {}", self.path.display(), name.display());
        Ok(())
    }

    /// Makes sure that the next row begins on a line of its own, and returns the length.
    fn adopt(&self, length: u64) -> anyhow::Result<u64> {
        let mut file = open(&self.path)?;
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        file.sync_all()?;
        log::warn!("{} is taken as it is, with {length} bytes", self.path.display());
        Ok(file.metadata()?.len())
    }
}

fn header_length(outcome: Outcome) -> u64 {
    Column::header(outcome).len() as u64 + 1
}

fn logins(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Success { "successful logins" } else { "failed logins" }
}

/// The length of F, 0 if it is not there.
fn length_of(path: &Path) -> anyhow::Result<u64> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(metadata.len()),
        Ok(_) => Err(Exit::CantCreat.error(format!("{} is not a regular file", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// What the newest rotated file with rows is recognized by, when the first F is begun: by it the first F itself can be told
/// from older files before it has any committed rows.
fn rows_before(path: &Path) -> anyhow::Result<Option<Fingerprint>> {
    let rows = Chain::open(path, &Layout::default())
        .and_then(|chain| chain.newest_rows().or_exit(Exit::IoErr));
    rows.or_else(|error| {
        log::warn!("files that {} was rotated to were not looked at: {error:#}", path.display());
        Ok(None)
    })
}

/// Opens F for appending and reading back.
fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::options().read(true).append(true).create(true).mode(0o640).open(path);
    file.with_context(|| format!("opening {}", path.display())).or_exit(Exit::CantCreat)
}
