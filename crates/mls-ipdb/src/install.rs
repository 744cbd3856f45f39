//! Checks a new database and replaces the installed database.

use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;
use mls_diag::denied::explained;
use mls_diag::{Exit, OrExit};
use mls_location::{DatabaseKind, FileFormat, MAX_ROW, MAX_SIZE, Survey, Unusable, open, sort};

/// A database that was read to its end and is valid.
pub(crate) struct Candidate {
    pub(crate) file: File,
    pub(crate) survey: Survey,
}

/// Opens a temporary file without a name in the directory of `target`. The disk of this directory
/// must have space for the database in any case.
///
/// Exit 73 or 77 if the file cannot be created.
pub(crate) fn scratch(target: &Path) -> anyhow::Result<File> {
    let directory = mls_state::atomic::directory_of(target);
    let file = fs::create_dir_all(&directory).and_then(|()| tempfile::tempfile_in(&directory));
    file.or_else(|error| not_written(error, target))
}

fn not_written<T>(error: io::Error, target: &Path) -> anyhow::Result<T> {
    let denied = error.kind() == ErrorKind::PermissionDenied;
    Err(explained(error, target))
        .with_context(|| {
            format!("writing {} (to use another directory, give --data-dir)", target.display())
        })
        .or_exit(if denied { Exit::NoPerm } else { Exit::CantCreat })
}

/// Copies a file to `out`, up to the largest size of a database. Decompresses gzip.
///
/// The caller must give a file `out` that nobody else can change, because the content is used after
/// its check. The inner error says that the content is wrong. Exit 74 if reading or writing fails.
pub(crate) fn unpack(
    mut file: &File,
    form: FileFormat,
    mut out: File,
) -> anyhow::Result<io::Result<File>> {
    let mut copy = || {
        file.rewind()?;
        let content: &mut dyn Read =
            if form.gzip { &mut MultiGzDecoder::new(BufReader::new(file)) } else { &mut file };
        if io::copy(&mut content.take(MAX_SIZE + 1), &mut out)? > MAX_SIZE {
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("the file unpacks to more than {MAX_SIZE} bytes"),
            ));
        }
        Ok(())
    };
    match copy() {
        // An error of the system, such as a full disk, has a number. Every other error means that
        // the content is wrong.
        Err(error) if error.raw_os_error().is_some() => {
            Err(error).context("copying the file").or_exit(Exit::IoErr)
        }
        copied => Ok(copied.map(|()| out)),
    }
}

/// Whether a download was cut off: the last line has no newline, but all rows before are valid.
pub(crate) fn is_cut_off(file: &File) -> anyhow::Result<bool> {
    let size = file.metadata()?.len();
    let tail = size.min(MAX_ROW);
    let mut bytes = vec![0; usize::try_from(tail)?];
    file.read_exact_at(&mut bytes, size - tail)?;
    let Some(newline) = memchr::memrchr(b'\n', &bytes) else { return Ok(false) };
    let end = size - tail + newline as u64;
    Ok(end + 1 < size && Survey::of_csv(file, end).is_ok())
}

impl Candidate {
    /// Reads and checks the whole database. An unsorted CSV is sorted into a file from `scratch`.
    ///
    /// Exit 65 if the database is not valid.
    pub(crate) fn new(
        file: File,
        form: FileFormat,
        scratch: impl FnOnce() -> anyhow::Result<File>,
    ) -> anyhow::Result<Self> {
        let survey = Survey::of(&file, form)?;
        if survey.sorted {
            return Ok(Self { file, survey });
        }
        let sorted = scratch()?;
        sort(&file, &sorted)?;
        let survey = Survey::of(&sorted, form)?;
        Ok(Self { file: sorted, survey })
    }

    pub(crate) fn kind(&self) -> Option<DatabaseKind> {
        DatabaseKind::ALL.into_iter().find(|kind| self.survey.is(*kind))
    }

    /// Replaces the file `target` by this candidate. The candidate must be of the kind `kind`. If
    /// there is a valid old database, the candidate must also be for the same address families and
    /// have at least half as many rows.
    ///
    /// Exit 65 if the candidate is refused, 73 or 77 if `target` cannot be written.
    pub(crate) fn install(&mut self, kind: DatabaseKind, target: &Path) -> anyhow::Result<()> {
        let shown = target.display();
        if !self.survey.is(kind) {
            return Err(Exit::DataErr.error(kind.wrong()));
        }
        if let Ok(old) = survey(target) {
            if !old.same_families(&self.survey) {
                return Err(Exit::DataErr.error(format!(
                    "{shown} and the new file differ in address families (IPv4, IPv6); to use the \
                     new file, first remove the old file"
                )));
            }
            if self.survey.rows < old.rows.div_ceil(2) {
                let [new, old] =
                    [self.survey.rows, old.rows].map(|rows| mls_diag::count(rows, "row", "rows"));
                return Err(Exit::DataErr.error(format!(
                    "the new file has {new}, less than half of the {old} of {shown}; to use the \
                     new file, first remove the old file"
                )));
            }
        }
        let (file, mode) = (&mut self.file, 0o644);
        let directory = mls_state::atomic::directory_of(target);
        let written = fs::create_dir_all(&directory).and_then(|()| {
            mls_state::atomic::write_with(target, mode, |installed| {
                file.rewind()?;
                io::copy(file, installed).map(drop)
            })
        });
        written.or_else(|error| not_written(error, target))
    }
}

/// Reads and checks an installed database.
///
/// Exit 65 if the database is not valid.
pub(crate) fn survey(path: &Path) -> anyhow::Result<Survey> {
    let survey = Survey::of(&open(path).map_err(Unusable::fatal)?, FileFormat::of(path));
    let sorted = |survey: Survey| {
        if survey.sorted { Ok(survey) } else { Err(Exit::DataErr.error("the rows are not sorted")) }
    };
    survey.and_then(sorted).with_context(|| format!("IP database {}", path.display()))
}
