//! The files that one log consists of: itself and what rotation made of it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use mls_cli::{Exit, OrExit, atomic};
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
        let mtime = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
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
    pub(crate) seen: Seen,
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

/// What the name of a rotated file says, in the order of age: `LOG-YYYYMMDD` in the order of dates, then `LOG.N`, the highest
/// number first (logrotate(8), `dateext` and its absence).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Age {
    Date(Vec<u8>),
    Number(std::cmp::Reverse<u32>),
    Live,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Compression {
    None,
    Gzip,
    Other,
}

/// What `name` is to the log called `log`.
fn classify(log: &[u8], name: &[u8]) -> Option<(Age, Compression)> {
    let suffix = name.strip_prefix(log)?;
    if suffix.is_empty() {
        return Some((Age::Live, Compression::None));
    }
    let unreadable = [&b".xz"[..], b".bz2", b".zst", b".lz4", b".Z"];
    let (stem, compression) = match suffix.strip_suffix(b".gz") {
        Some(stem) => (stem, Compression::Gzip),
        None => match unreadable.iter().find_map(|ending| suffix.strip_suffix(*ending)) {
            Some(stem) => (stem, Compression::Other),
            None => (suffix, Compression::None),
        },
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let age = match stem {
        [b'.', number @ ..] if digits(number) && number.len() < 9 => {
            Age::Number(std::cmp::Reverse(str::from_utf8(number).ok()?.parse().ok()?))
        }
        // `-%Y%m%d`, and with the hour or the time behind it.
        [b'-', date @ ..] if date.len() >= 8 && date.split(|b| *b == b'-').all(digits) => Age::Date(date.to_vec()),
        // The log itself may be named with its ending: mls-tail old.gz.
        [] => Age::Live,
        _ => return None,
    };
    Some((age, compression))
}

impl Siblings {
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
        Err(Exit::TempFail.error(format!("{} and its siblings are being renamed all the time", path.display())))
    }

    fn try_open(path: &Path, with_rotated: bool) -> anyhow::Result<Option<Self>> {
        let names = list(path, with_rotated)?;
        let mut siblings = Self::default();
        for (path, rotated, compression) in &names {
            let Some((file, seen)) = open(path, *rotated)? else { return Ok(None) };
            match compression {
                Compression::Other => siblings.unreadable.push((path.clone(), seen)),
                _ => siblings.files.push(Sibling {
                    path: path.clone(),
                    file,
                    seen,
                    compressed: *compression == Compression::Gzip,
                    rotated: *rotated,
                }),
            }
        }
        // Each name must still lead to the file that was opened under it.
        let still = |sibling: &Sibling| {
            fs::metadata(&sibling.path).is_ok_and(|metadata| Seen::of(&metadata).same_file(&sibling.seen))
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
    let own_compression = if log.as_bytes().ends_with(b".gz") { Compression::Gzip } else { Compression::None };
    let live = (path.to_owned(), false, own_compression);
    // The path may lead somewhere else: rotation happens where the file is.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = atomic::directory_of(&target);
    let mut names: Vec<(Age, Name)> = Vec::new();
    if with_rotated {
        let log = target.file_name().unwrap_or(log);
        let context = || format!("reading directory {}", directory.display());
        for entry in fs::read_dir(&directory).with_context(context)? {
            let name = entry.with_context(context)?.file_name();
            if let Some((age, compression)) =
                classify(log.as_bytes(), name.as_bytes()).filter(|(age, _)| *age != Age::Live)
            {
                names.push((age, (directory.join(OsStr::from_bytes(name.as_bytes())), true, compression)));
            }
        }
    }
    names.sort_by(|(a, (_, _, c)), (b, (_, _, d))| (a, c).cmp(&(b, d)));
    names.dedup_by(|(age, _), (first, _)| age == first);
    let mut names: Vec<Name> = names.into_iter().map(|(_, name)| name).collect();
    if fs::symlink_metadata(path).is_ok() {
        names.push(live);
    }
    Ok(names)
}

/// Opens a file; `None` where its name has just gone. Opening must not wait for the writer of a FIFO.
fn open(path: &Path, rotated: bool) -> anyhow::Result<Option<(File, Seen)>> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let opened = File::options().read(true).custom_flags(flags.cast_signed()).open(path);
    let file = match opened {
        Err(error) if error.kind() == io::ErrorKind::NotFound && rotated => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(error).with_context(|| format!("opening {}", path.display())).or_exit(Exit::NoPerm);
        }
        opened => opened.with_context(|| format!("opening {}", path.display())).or_exit(Exit::NoInput)?,
    };
    let metadata = file.metadata().with_context(|| format!("looking at {}", path.display()))?;
    if !metadata.is_file() {
        return Err(Exit::NoInput.error(format!("{} is not a regular file", path.display())));
    }
    Ok(Some((file, Seen::of(&metadata))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_age() {
        let mut names: Vec<&str> = vec![
            "mail.log",
            "mail.log.1",
            "mail.log.2.gz",
            "mail.log.10.gz",
            "mail.log-20260101",
            "mail.log-20251231.gz",
            "mail.log-2026010112",
        ];
        names.sort_by_key(|name| classify(b"mail.log", name.as_bytes()).unwrap());
        assert_eq!(
            names,
            [
                "mail.log-20251231.gz",
                "mail.log-20260101",
                "mail.log-2026010112",
                "mail.log.10.gz",
                "mail.log.2.gz",
                "mail.log.1",
                "mail.log",
            ]
        );
    }

    #[test]
    fn strangers_are_no_siblings() {
        for name in [
            "mail.log.old",
            "mail.logs",
            "mail.log.1.gz.tmp",
            "mail.log-x",
            "mail.log-2026",
            "mail.err",
            "mail.log.1.2",
        ] {
            assert_eq!(classify(b"mail.log", name.as_bytes()), None, "{name}");
        }
    }
}
