//! Writes events as SQL, to standard output or to a file in a directory.
//!
//! With a cursor file S, `export` does three steps:
//!
//! 1. It writes the rows to a hidden temporary file. Its name contains a hash of the path of S.
//! 2. It commits S, which contains the temporary name and the final name.
//! 3. It renames the temporary file.
//!
//! If a run died, the next run looks for the temporary file:
//!
//! - If there is no temporary file, nothing needs to be finished.
//! - If S contains its length and hash, its rows are committed. The next run renames the file.
//! - If S does not contain them, no row was committed. The next run writes the file again.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use mls_diag::denied::explained;
use mls_diag::{Exit, OnFile, OrExit, summary};
use mls_event::Auth;
use mls_state::atomic;
use mls_state::cursor_file::{CursorFile, Fingerprint, sha256};
use mls_state::lock::Lock;
use mls_state::regular;
use mls_stream::ndjson::{Reader, Writer};
use mls_stream::sink::{self, Sink};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde_json::Value;

use crate::outcome_filter::OutcomeFilter;
use crate::source;
use crate::sql_file::{SqlFile, SqlFormat};

pub(crate) fn run(
    mut reader: Reader,
    format: &SqlFormat,
    filter: OutcomeFilter,
    dir: Option<PathBuf>,
    cursor_file: Option<PathBuf>,
) -> anyhow::Result<()> {
    let Some(dir) = dir else {
        if cursor_file.is_some() {
            return Err(
                Exit::Usage.error("--cursor-file needs --dir DIR, or --config with sql_export_dir")
            );
        }
        reader.watch_stdout()?;
        let mut print = Print { file: SqlFile::new(Writer::stdout()?, format), filter };
        sink::drain(reader, &mut print)?;
        return print.filter.check();
    };
    fs::create_dir_all(&dir)
        .map_err(|error| explained(error, &dir))
        .on_file("creating", &dir)
        .or_exit(Exit::CantCreat)?;
    let dir = dir.canonicalize().on_file("finding", &dir)?;
    let part = part(cursor_file.as_deref())?;
    let _lock = cursor_file.as_deref().map(Lock::take).transpose()?;
    let mut export = Export {
        part: dir.join(part),
        dir,
        cursor_file,
        committed: CursorFile::start(),
        open: None,
        begun: false,
        format,
        filter,
        written: None,
    };
    let result = sink::drain(reader, &mut export);
    if result.is_err() && export.begun {
        // The file was not committed, so remove it. The next run reads the same records again.
        let _ = fs::remove_file(&export.part);
    }
    result?;
    if export.cursor_file.is_none() {
        export.filter.check()?;
    }
    summary(match &export.written {
        Some(file) => {
            format!("exported {} to {file}{}", export.filter.written(), export.filter.skipped())
        }
        None => format!("exported nothing: no new row{}", export.filter.skipped()),
    });
    Ok(())
}

/// Returns the temporary name. It contains this machine and a hash of the path of the cursor file
/// (or the process ID), so no other export into the directory uses it.
fn part(cursor_file: Option<&Path>) -> anyhow::Result<String> {
    let Some(path) = cursor_file else {
        return Ok(format!(".{}-{}.part", machine(), std::process::id()));
    };
    let directory = atomic::directory_of(path);
    let directory = directory.canonicalize().on_file("finding", &directory)?;
    let whole = directory.join(path.file_name().unwrap_or_default());
    let hash = sha256(whole.as_os_str().as_encoded_bytes());
    Ok(format!(".{}-{}.part", machine(), &hash[..16]))
}

/// Whether the name of a file says that another machine has exported it.
pub(crate) fn is_of_another_machine(name: &str) -> bool {
    has_another_id(name, &machine())
}

/// Whether the name of a file contains the ID of another machine. `this` is the result of
/// [`machine()`]: `mx1-5e2f00c1`.
fn has_another_id(name: &str, this: &str) -> bool {
    id(name).is_some_and(|id| this.rsplit_once('-').is_none_or(|(_, ours)| ours != id))
}

/// Returns the ID of the machine (`5e2f00c1`) in a file name that [`Export::name`] has made.
fn id(name: &str) -> Option<&str> {
    let (machine, number) = name.strip_suffix(END)?.rsplit_once('_')?;
    let (_, id) = machine.rsplit_once('-')?;
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_number = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && id.len() == ID_LENGTH && id.bytes().all(is_hex)).then_some(id)
}

/// The number of digits of a machine's ID in a file name.
const ID_LENGTH: usize = 8;

/// The suffix of each file name.
const END: &str = "_maillogsentinel_export.sql";

/// Returns the name of this machine and a part of its ID: `mx1-5e2f00c1`. Replaces characters that
/// are not safe in a file name. The ID is needed because several machines can have the same name.
fn machine() -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' };
    let id = source::machine().unwrap_or_default();
    let parts = [source::host(), id.chars().take(ID_LENGTH).collect()];
    parts.join("-").trim_end_matches('-').chars().map(plain).collect()
}

/// Writes to standard output.
struct Print<W: Write> {
    file: SqlFile<W>,
    filter: OutcomeFilter,
}

impl<W: Write> Sink for Print<W> {
    const COMMIT_EVERY: Option<Duration> = None;

    fn takes_plain(&self) -> bool {
        true
    }

    fn begin(&mut self, _base: u64) -> anyhow::Result<()> {
        Ok(())
    }

    fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<Result<(), String>> {
        let rows = self.filter.rows(event);
        Ok(self.file.event(event, rows)?)
    }

    fn commit(&mut self, _cursor: Value) -> anyhow::Result<()> {
        Ok(self.file.finish()?)
    }
}

/// Writes to a file in a directory.
struct Export<'a> {
    dir: PathBuf,
    part: PathBuf,
    cursor_file: Option<PathBuf>,
    committed: CursorFile,
    /// Whether the temporary file exists and no committed cursor names it yet.
    begun: bool,
    open: Option<SqlFile<BufWriter<File>>>,
    format: &'a SqlFormat<'a>,
    filter: OutcomeFilter,
    /// The name of the file that this run has written.
    written: Option<String>,
}

impl Sink for Export<'_> {
    const COMMIT_EVERY: Option<Duration> = None;

    fn takes_plain(&self) -> bool {
        self.cursor_file.is_none()
    }

    fn begin(&mut self, base: u64) -> anyhow::Result<()> {
        let Some(path) = &self.cursor_file else { return Ok(()) };
        self.committed = CursorFile::load(path)?.unwrap_or_else(CursorFile::start);
        sink::check_base(base, self.committed.sequence, path.display())?;
        self.finish_interrupted()
    }

    fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<Result<(), String>> {
        let rows = self.filter.rows(event);
        if rows == 0 {
            return Ok(Ok(()));
        }
        if self.open.is_none() {
            let mut options = File::options();
            options.write(true).read(true).create(true).truncate(true).mode(0o640);
            let file = regular::open_with(&options, &self.part);
            let file = file.on_file("writing", &self.part).or_exit(Exit::CantCreat)?;
            self.begun = true;
            let out = BufWriter::with_capacity(256 * 1024, file);
            self.open = Some(SqlFile::new(out, self.format));
        }
        let Some(open) = &mut self.open else { return Ok(Ok(())) };
        open.event(event, rows).on_file("writing", &self.part).or_exit(Exit::IoErr)
    }

    fn commit(&mut self, cursor: Value) -> anyhow::Result<()> {
        let mut written = None;
        if let Some(mut open) = self.open.take_if(|open| !open.is_empty()) {
            open.finish().on_file("writing", &self.part).or_exit(Exit::IoErr)?;
            let file = open.get_mut().get_ref();
            file.sync_all().on_file("writing", &self.part).or_exit(Exit::IoErr)?;
            let length = file.metadata().on_file("writing", &self.part)?.len();
            written = Some(
                Fingerprint::describe(file, length)
                    .on_file("writing", &self.part)
                    .or_exit(Exit::IoErr)?,
            );
            atomic::sync_directory(&self.dir)
                .on_file("writing", &self.part)
                .or_exit(Exit::IoErr)?;
        } else if self.open.take().is_some() {
            let _ = fs::remove_file(&self.part);
        }
        let name = written.is_some().then(|| self.name()).transpose()?;
        if let Some(path) = self.cursor_file.as_deref() {
            if name.is_none() && cursor == self.committed.cursor {
                return Ok(());
            }
            let mut next = CursorFile::next(self.committed.sequence, cursor, written);
            next.part = name.is_some().then(|| self.part_name());
            next.file.clone_from(&name);
            self.begun = false;
            next.store(path)?;
            self.committed = next;
        }
        if let Some(name) = name {
            publish(&self.part, Path::new(&name))?;
            self.written = Some(name);
        }
        self.begun = false;
        Ok(())
    }
}

impl Export<'_> {
    fn part_name(&self) -> String {
        self.part.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// If the last run died after its commit and before the rename, renames its file now. Looks for
    /// the file in the directory that S names. Then looks in the directory of this run, because an
    /// administrator may have moved the file.
    fn finish_interrupted(&self) -> anyhow::Result<()> {
        let CursorFile { file: Some(name), data: Some(data), part, .. } = &self.committed else {
            return Ok(());
        };
        let path = Path::new(name);
        // Use the temporary name in S: a new name would differ if this machine or S has been
        // renamed since the commit. If an older version wrote S, S contains no temporary name.
        let part = part.clone().unwrap_or_else(|| self.part_name());
        for directory in [&atomic::directory_of(path), &self.dir] {
            let part = directory.join(&part);
            let file = regular::if_there(regular::open(&part)).on_file("looking at", &part)?;
            let Some(file) = file else { continue };
            let length = file.metadata().on_file("looking at", &part)?.len();
            if length == data.length
                && Fingerprint::describe(&file, length).on_file("looking at", &part)? == *data
            {
                return publish(&part, &directory.join(path.file_name().unwrap_or_default()));
            }
        }
        Ok(())
    }

    /// Returns the final path. The name sorts by time and contains the machine and the commit:
    /// `20261125_023000_mx1-5e2f00c1_000012_maillogsentinel_export.sql`.
    fn name(&self) -> anyhow::Result<String> {
        let (time, machine) = (chrono::Utc::now().format("%Y%m%d_%H%M%S"), machine());
        let first = self.committed.sequence + 1;
        (first..first + 1000)
            .map(|n| self.dir.join(format!("{time}_{machine}_{n:06}{END}")))
            .find(|path| !path.exists())
            .map(|path| path.to_string_lossy().into_owned())
            .with_context(|| {
                format!("{} has no free name for an SQL file; try again", self.dir.display())
            })
            .or_exit(Exit::CantCreat)
    }
}

/// Renames a complete file to its final name. If this name exists already, fails.
fn publish(part: &Path, path: &Path) -> anyhow::Result<()> {
    let context = || format!("renaming {} to {}", part.display(), path.display());
    match renameat_with(CWD, part, CWD, path, RenameFlags::NOREPLACE) {
        // An earlier run created the hard link (see below) and died before `remove_file`.
        Err(_) if is_same(part, path) => {
            fs::remove_file(part).with_context(context).or_exit(Exit::CantCreat)?;
        }
        // Some network file systems do not support RENAME_NOREPLACE. So use a hard link.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(part, path)
                .and_then(|()| fs::remove_file(part))
                .with_context(context)
                .or_exit(Exit::CantCreat)?;
        }
        result => result.with_context(context).or_exit(Exit::CantCreat)?,
    }
    atomic::sync_directory(&atomic::directory_of(path))
        .with_context(context)
        .or_exit(Exit::IoErr)?;
    Ok(())
}

fn is_same(a: &Path, b: &Path) -> bool {
    let file = |path: &Path| {
        fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok()
    };
    file(a).is_some() && file(a) == file(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_belongs_to_another_machine_only_if_its_name_has_another_id() {
        let (own, other) = (
            "20261125_023000_mx1-5e2f00c1_000012_maillogsentinel_export.sql",
            "20261125_023000_mx1-00c15e2f_1000000_maillogsentinel_export.sql",
        );
        for (this, own_is_another) in
            [("mx1-5e2f00c1", false), ("renamed-5e2f00c1", false), ("mx1", true), ("", true)]
        {
            assert_eq!(has_another_id(own, this), own_is_another, "{this}");
            assert!(has_another_id(other, this), "{this}");
            for without_id in [
                "20261125_023000_mx1_000012_maillogsentinel_export.sql",
                "20261125_023000_mail-server_000012_maillogsentinel_export.sql",
                "20261125_023000_mx1-5E2F00C1_000012_maillogsentinel_export.sql",
                "20261125_023000_mx1-5e2f00c10_000012_maillogsentinel_export.sql",
                // The Python original wrote this name.
                "20261128_1400_maillogsentinel_export.sql",
                "mx9-00c15e2f_1400_maillogsentinel_export.sql",
                "mx9-00c15e2f_000012.sql",
                "1.sql",
            ] {
                assert!(!has_another_id(without_id, this), "{this}: {without_id}");
            }
        }
    }

    #[test]
    fn name_of_an_export_has_the_id_of_its_machine() {
        let name = format!("20261125_023000_{}_000012{END}", machine());
        assert_eq!(id(&name).map(str::to_owned), source::machine().map(|id| id[..8].to_owned()));
        assert!(!is_of_another_machine(&name), "{name}");
    }
}
