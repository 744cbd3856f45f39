//! Places in a file that is appended to and rotated, and where they are later.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_event::Column;
use mls_event::MAX_LINE;
use mls_state::atomic;
use mls_state::cursor_file::Data;
use mls_state::rotation::{Age, Compression, classify};
use mls_stream::input::GZIP;
use serde::{Deserialize, Serialize};

/// A place in a file. It is known by what stands before it, whatever the file is called by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    #[serde(flatten)]
    data: Data,
    /// Where that is no row, by which nothing is known: the newest rotated file that had any; length 0 where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    behind: Option<Data>,
}

impl Place {
    /// The place after the last whole line of the first `length` bytes of the last of `chain`. None for gzip: its bytes are not
    /// those of its lines.
    pub(crate) fn of_end(chain: &[PathBuf], length: Option<u64>) -> anyhow::Result<Option<Self>> {
        let Some((path, rotated)) = chain.split_last() else { return Ok(None) };
        let file = open(path)?;
        let Some(data) = end(&file, length).with_context(|| reading(path)).or_exit(Exit::IoErr)?
        else {
            return Ok(None);
        };
        let mut behind = None;
        if !has_rows(&file, data.length).with_context(|| reading(path)).or_exit(Exit::IoErr)? {
            behind = Some(Data::describe(&file, 0).with_context(|| reading(path))?);
            for path in rotated.iter().rev() {
                let file = open(path)?;
                let length = file.metadata().with_context(|| reading(path))?.len();
                if is_gzip(&file) || has_rows(&file, length).with_context(|| reading(path))? {
                    behind = Some(Data::describe(&file, length).with_context(|| reading(path))?);
                    break;
                }
            }
        }
        Ok(Some(Self { data, behind }))
    }

    /// How many bytes of the file are before it.
    pub(crate) fn length(&self) -> u64 {
        self.data.length
    }

    /// Which of `chain` it is in, and at what byte.
    pub(crate) fn find(&self, chain: &[PathBuf]) -> anyhow::Result<Option<(usize, u64)>> {
        let what = match &self.behind {
            Some(behind) if behind.length == 0 => return Ok(Some((0, 0))),
            Some(behind) => behind,
            None => &self.data,
        };
        for (i, path) in chain.iter().enumerate().rev() {
            if is_known(path, what)? {
                let at = if self.behind.is_some() { (i + 1, 0) } else { (i, self.data.length) };
                return Ok(Some(at).filter(|(i, _)| *i < chain.len()));
            }
        }
        Ok(None)
    }
}

/// The files that `path` was rotated to, in the order in which they were last written to, which neither renaming nor gzip(1)
/// changes, and `path` itself; without it where it is missing and they are not. Where one is there compressed too, it is what
/// counts.
pub(crate) fn chain(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let directory = atomic::directory_of(path);
    let name = path.file_name().unwrap_or_default();
    let mut found = Vec::new();
    for entry in
        std::fs::read_dir(&directory).with_context(|| reading(&directory)).or_exit(Exit::IoErr)?
    {
        let entry = entry.with_context(|| reading(&directory)).or_exit(Exit::IoErr)?;
        let class = classify(name.as_bytes(), entry.file_name().as_bytes());
        if let Some((age, compression)) = class.filter(|(age, _)| *age != Age::Live)
            && compression != Compression::Other
            && entry.file_type().is_ok_and(|kind| kind.is_file())
        {
            let path = entry.path();
            match File::open(&path).and_then(|file| file.metadata()?.modified()) {
                Ok(written) => found.push((age, compression, written, path)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => log::warn!("{} is left out: {error}", path.display()),
            }
        }
    }
    found.sort();
    found.dedup_by(|(age, ..), (first, ..)| age == first);
    // Where a name has a date and another a number, names do not tell which is older.
    found.sort_by_key(|(_, _, written, _)| *written);
    let missing = !found.is_empty() && !path.exists();
    let rotated = found.into_iter().map(|(.., path)| path);
    Ok(rotated.chain((!missing).then(|| path.to_owned())).collect())
}

/// How much of a rotated file counts, if one of `committed` is of it; else all of it.
pub(crate) fn committed_length<'a>(
    path: &Path,
    committed: impl Iterator<Item = &'a Data>,
) -> anyhow::Result<Option<u64>> {
    let file = open(path)?;
    let mut length = None;
    for data in committed {
        if is_known(path, data)? && has_rows(&file, data.length).with_context(|| reading(path))? {
            length = length.max(Some(data.length));
        }
    }
    Ok(length)
}

fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("opening {}", path.display()))
}

fn reading(path: &Path) -> String {
    format!("reading {}", path.display())
}

fn is_gzip(file: &File) -> bool {
    let mut magic = [0; 2];
    file.read_exact_at(&mut magic, 0).is_ok() && magic == GZIP
}

fn end(file: &File, length: Option<u64>) -> io::Result<Option<Data>> {
    let metadata = file.metadata()?;
    if !metadata.is_file() || is_gzip(file) {
        return Ok(None);
    }
    let length = metadata.len().min(length.unwrap_or(u64::MAX));
    let size = length.min(MAX_LINE as u64);
    let mut tail = vec![0; MAX_LINE.min(usize::try_from(length).unwrap_or(MAX_LINE))];
    file.read_exact_at(&mut tail, length - size)?;
    let whole = memchr::memrchr(b'\n', &tail).map_or(0, |newline| newline + 1);
    Data::describe(file, length - size + whole as u64).map(Some)
}

/// Whether the first `length` bytes hold more than the header of a CSV, which is the same in all of them.
fn has_rows(file: &File, length: u64) -> io::Result<bool> {
    let mut first = [0; 256];
    let read = file.read_at(&mut first, 0)?;
    let first = &first[..read.min(usize::try_from(length).unwrap_or(read))];
    let header =
        memchr::memchr(b'\n', first).filter(|_| first.starts_with(Column::HEADER.as_bytes()));
    Ok(length > header.map_or(0, |newline| newline as u64 + 1))
}

/// Whether the file begins with what `data` describes.
fn is_known(path: &Path, data: &Data) -> anyhow::Result<bool> {
    match Data::describe(&open(path)?, data.length) {
        Ok(found) => Ok(found == *data),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error).with_context(|| reading(path)).or_exit(Exit::IoErr),
    }
}
