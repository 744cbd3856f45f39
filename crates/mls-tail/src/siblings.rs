//! The files that one log consists of: itself and what rotation made of it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_state::atomic;
use mls_state::rotation::{Age, Compression, classify};
use serde::{Deserialize, Serialize};

/// How a file looked. Only a hint that there is nothing new to read, never what a file is recognized by: names change, inode
/// numbers are used again, clocks jump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970.
    pub(crate) mtime: i64,
}

impl Seen {
    pub(crate) fn of(metadata: &fs::Metadata) -> Self {
        let mtime =
            metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.len(), mtime }
    }

    pub(crate) fn same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// One of the files.
#[derive(Debug)]
pub(crate) struct Sibling {
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// How it looks; its size is how much of it is to be read.
    pub(crate) seen: Seen,
    /// Its size when it was opened.
    size: u64,
    pub(crate) compressed: bool,
    /// Whether it is what rotation made of the log, and not the log itself.
    pub(crate) rotated: bool,
}

/// What the directory has of a log.
#[derive(Debug, Default)]
pub(crate) struct Siblings {
    /// Oldest first; the log itself comes last.
    pub(crate) files: Vec<Sibling>,
    /// Compressed in a way that is not read here.
    pub(crate) unreadable: Vec<(PathBuf, Seen)>,
}

/// Whether one path is what rotation makes of the other.
pub(crate) fn is_rotated_from(log: &Path, path: &Path) -> bool {
    let (Some(log_name), Some(name)) = (log.file_name(), path.file_name()) else { return false };
    let age = classify(log_name.as_bytes(), name.as_bytes()).map(|(age, _)| age);
    log.parent() == path.parent() && age.is_some_and(|age| age != Age::Live)
}

impl Siblings {
    /// Whether the files still are as they were when they were opened, but for a log that has grown. If they are not, one may
    /// have been copied or truncated in between.
    pub(crate) fn hold_still(&self) -> bool {
        self.files.iter().all(|sibling| {
            let size = sibling.file.metadata().map_or(0, |metadata| metadata.len());
            size == sibling.size || (size > sibling.size && !sibling.rotated)
        })
    }

    /// Opens all files of the log at `path`, or only the log itself. While logrotate renames them the picture would be of no
    /// moment that ever was: it is taken again until it holds still.
    pub(crate) fn open(path: &Path, with_rotated: bool) -> anyhow::Result<Self> {
        const TRIES: u32 = 50;
        for _ in 0..TRIES {
            if let Some(siblings) = Self::try_open(path, with_rotated)? {
                return Ok(siblings);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Exit::TempFail
            .error(format!("{} and its siblings are being renamed all the time", path.display())))
    }

    fn try_open(path: &Path, with_rotated: bool) -> anyhow::Result<Option<Self>> {
        let names = list(path, with_rotated)?;
        let mut siblings = Self::default();
        for (path, rotated, compression) in &names {
            let (file, seen) = match open(path)? {
                Opened::File(file, seen) => (file, seen),
                Opened::Gone => return Ok(None),
                Opened::Other if *rotated => continue,
                Opened::Other => {
                    return Err(
                        Exit::NoInput.error(format!("{} is not a regular file", path.display()))
                    );
                }
            };
            match compression {
                Compression::Other => siblings.unreadable.push((path.clone(), seen)),
                _ => siblings.files.push(Sibling {
                    path: path.clone(),
                    file,
                    size: seen.size,
                    seen,
                    compressed: *compression == Compression::Gzip,
                    rotated: *rotated,
                }),
            }
        }
        // Each name must still lead to the file that was opened under it.
        let still = |sibling: &Sibling| {
            fs::metadata(&sibling.path)
                .is_ok_and(|metadata| Seen::of(&metadata).same_file(&sibling.seen))
        };
        let stable = siblings.files.iter().all(still) && list(path, with_rotated)? == names;
        Ok(stable.then_some(siblings))
    }
}

type Name = (PathBuf, bool, Compression);

/// The names of a log's files, oldest first. Where X and X.gz are both there, gzip(1) is still at work, or was interrupted: X
/// counts.
fn list(path: &Path, with_rotated: bool) -> anyhow::Result<Vec<Name>> {
    let log = path.file_name().unwrap_or_default();
    let own_compression =
        if log.as_bytes().ends_with(b".gz") { Compression::Gzip } else { Compression::None };
    let live = (path.to_owned(), false, own_compression);
    // The path may lead somewhere else: rotation happens where the file is, even while there is none.
    let target = fs::canonicalize(path)
        .or_else(|_| fs::read_link(path).map(|link| atomic::directory_of(path).join(link)));
    let target = target.unwrap_or_else(|_| path.to_owned());
    let directory = atomic::directory_of(&target);
    let mut names: Vec<(Age, Name)> = Vec::new();
    if with_rotated {
        let log = target.file_name().unwrap_or(log);
        let context = || format!("reading directory {}", directory.display());
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(context)?,
        };
        for entry in entries {
            let name = entry.with_context(context)?.file_name();
            if let Some((age, compression)) =
                classify(log.as_bytes(), name.as_bytes()).filter(|(age, _)| *age != Age::Live)
            {
                names.push((
                    age,
                    (directory.join(OsStr::from_bytes(name.as_bytes())), true, compression),
                ));
            }
        }
    }
    names.sort_by(|(a, (_, _, c)), (b, (_, _, d))| (a, c).cmp(&(b, d)));
    names.dedup_by(|(age, _), (first, _)| age == first);
    let mut names: Vec<Name> = names.into_iter().map(|(_, name)| name).collect();
    // A link that leads to itself is there, and opening it says what is wrong with it.
    let missing = fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if !missing {
        names.push(live);
    }
    Ok(names)
}

enum Opened {
    File(File, Seen),
    /// Its name has just gone.
    Gone,
    /// A directory, a device, a FIFO.
    Other,
}

/// Opens a file. Opening must not wait for the writer of a FIFO.
fn open(path: &Path) -> anyhow::Result<Opened> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let opened = File::options().read(true).custom_flags(flags.cast_signed()).open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(error)
                .with_context(|| format!("opening {}", path.display()))
                .or_exit(Exit::NoPerm);
        }
        opened => {
            opened.with_context(|| format!("opening {}", path.display())).or_exit(Exit::NoInput)?
        }
    };
    let metadata = file.metadata().with_context(|| format!("looking at {}", path.display()))?;
    Ok(if metadata.is_file() { Opened::File(file, Seen::of(&metadata)) } else { Opened::Other })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_file_and_its_gzip_the_file_counts_and_other_spellings_of_a_number_are_files_of_their_own()
     {
        let directory = tempfile::tempdir().unwrap();
        let names = [
            "mail.log-20260101",
            "mail.log.20260101.gz",
            "mail.log.01",
            "mail.log.1",
            "mail.log.1.gz",
            "mail.log",
        ];
        for name in names {
            File::create(directory.path().join(name)).unwrap();
        }
        let listed = list(&directory.path().join("mail.log"), true).unwrap();
        let listed: Vec<_> =
            listed.iter().map(|(path, ..)| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(listed, [&names[..4], &names[5..]].concat());
    }
}
