//! Opening all files of a log at one moment.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use mls_diag::denied::explained;
use mls_diag::{Exit, OrExit};
use mls_state::atomic::directory_of;
use mls_state::cursor_file::WINDOW;
use mls_state::regular;

use crate::Compression;
use crate::file::{ChainFile, FileStat};
use crate::names::{Age, NamedCompression, age, split_compression};

/// Where the rotated files of a log are, and how they are named.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Whether only the log itself is read.
    pub live_only: bool,
    /// The directory of the rotated files, if it is not the log's own: logrotate's `olddir`. A relative one is found from the
    /// log's directory.
    pub olddir: Option<PathBuf>,
    /// Also takes files whose names, without the ending of their compression, match this pattern.
    pub pattern: Option<glob::Pattern>,
}

/// A log and its rotated files, all of them open. Rotation cannot remove them from this chain.
#[derive(Debug, Default)]
pub struct Chain {
    /// Oldest first; the log itself is the last, if it is there.
    pub files: Vec<ChainFile>,
    /// Rotated files that are compressed by a method that is not read here.
    pub unsupported: Vec<(PathBuf, FileStat)>,
    /// The directory in which rotated files were looked for.
    pub directory: PathBuf,
}

/// Whether rotation makes `path` of `log`.
#[must_use]
pub fn is_rotated_from(log: &Path, path: &Path) -> bool {
    let (Some(log_name), Some(name)) = (log.file_name(), path.file_name()) else { return false };
    let (stem, _) = split_compression(name.as_bytes());
    log.parent() == path.parent() && age(log_name.as_bytes(), stem).is_some()
}

/// How often a listing is taken again that was not of one moment.
const TRIES: u32 = 50;

impl Chain {
    /// Opens all files of the log at `path`. A listing taken during renames can be inconsistent; it is taken again until two
    /// agree. No file is not an error: the chain is then empty.
    ///
    /// # Errors
    /// Exit 66 or 77 for a file that cannot be opened, 75 if its files are renamed all the time.
    pub fn open(path: &Path, layout: &Layout) -> anyhow::Result<Self> {
        for _ in 0..TRIES {
            if let Some(mut chain) = Self::try_open(path, layout)? {
                chain
                    .leave_out_copies()
                    .with_context(|| format!("reading {}", path.display()))
                    .or_exit(Exit::IoErr)?;
                return Ok(chain);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Exit::TempFail.error(format!(
            "{} and its rotated files are being renamed all the time; try again later",
            path.display()
        )))
    }

    /// Whether the files still are as they were when they were opened, except that the log may have grown. If they are not,
    /// one may have been copied or truncated in between.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.files.iter().all(|file| {
            let size = file.file.metadata().map_or(0, |metadata| metadata.len());
            size == file.opened_size || (size > file.opened_size && !file.is_rotated)
        })
    }

    fn try_open(path: &Path, layout: &Layout) -> anyhow::Result<Option<Self>> {
        let directory = rotated_directory(path, layout);
        let names = list(path, &directory, layout)?;
        let mut files = Vec::new();
        let mut unsupported = Vec::new();
        for name in &names {
            let (file, stat) = match open(&name.path)? {
                Opened::File(file, stat) => (file, stat),
                Opened::Gone => return Ok(None),
                Opened::Other if name.age.is_some() => continue,
                Opened::Other => {
                    return Err(Exit::NoInput
                        .error(format!("{} is not a regular file", name.path.display())));
                }
            };
            let compression = match name.compression {
                NamedCompression::Unsupported => {
                    unsupported.push((name.path.clone(), stat));
                    continue;
                }
                NamedCompression::Known(method) => Some(method),
                NamedCompression::None => compression_of(&file)
                    .with_context(|| format!("reading {}", name.path.display()))
                    .or_exit(Exit::IoErr)?,
            };
            files.push((
                name.age.clone(),
                ChainFile {
                    path: name.path.clone(),
                    file,
                    opened_size: stat.size,
                    stat,
                    compression,
                    is_rotated: name.age.is_some(),
                    limit: u64::MAX,
                },
            ));
        }
        // Each name must still lead to the file that was opened under it.
        let is_still_there = |(_, file): &(_, ChainFile)| {
            fs::metadata(&file.path)
                .is_ok_and(|metadata| FileStat::of(&metadata).is_same_file(&file.stat))
        };
        if !files.iter().all(is_still_there) || list(path, &directory, layout)? != names {
            return Ok(None);
        }
        Ok(Some(Self { files: in_order(files), unsupported, directory }))
    }

    /// Leaves out rotated files that are only a copy of the beginning of the next newer one: copytruncate is at work, or was
    /// interrupted.
    fn leave_out_copies(&mut self) -> io::Result<()> {
        let mut kept: Vec<ChainFile> = Vec::with_capacity(self.files.len());
        while let Some(file) = self.files.pop() {
            let is_copy = match kept.last() {
                _ if kept.iter().any(|newer| newer.stat.is_same_file(&file.stat)) => true,
                Some(newer) => is_prefix(&file, newer)?,
                None => false,
            };
            if !is_copy {
                kept.push(file);
            }
        }
        kept.reverse();
        self.files = kept;
        Ok(())
    }
}

/// The name of a file of a chain.
#[derive(Debug, PartialEq, Eq)]
struct Name {
    path: PathBuf,
    /// What rotation calls it; `None` for the log itself.
    age: Option<Age>,
    compression: NamedCompression,
}

/// Where rotation puts the files. A symbolic link is followed: rotation happens where the file is, even while there is none.
fn rotated_directory(path: &Path, layout: &Layout) -> PathBuf {
    let directory = directory_of(&target_of(path));
    match &layout.olddir {
        Some(olddir) => directory.join(olddir),
        None => directory,
    }
}

fn target_of(path: &Path) -> PathBuf {
    fs::canonicalize(path)
        .or_else(|_| fs::read_link(path).map(|link| directory_of(path).join(link)))
        .unwrap_or_else(|_| path.to_owned())
}

/// The names of a log's files. If X and X.gz are both there, gzip(1) is still at work or was interrupted: X counts.
fn list(path: &Path, directory: &Path, layout: &Layout) -> anyhow::Result<Vec<Name>> {
    let mut names: Vec<Name> = Vec::new();
    if !layout.live_only {
        let target = target_of(path);
        let log = target.file_name().or(path.file_name()).unwrap_or_default();
        let reading = || format!("reading directory {}", directory.display());
        let entries = match fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            entries => Some(entries.with_context(reading).or_exit(Exit::IoErr)?),
        };
        for entry in entries.into_iter().flatten() {
            let name = entry.with_context(reading).or_exit(Exit::IoErr)?.file_name();
            let (stem, compression) = split_compression(name.as_bytes());
            if let Some(age) = age_of(log, stem, name.as_bytes(), layout) {
                names.push(Name { path: directory.join(&name), age: Some(age), compression });
            }
        }
    }
    let stem = |name: &Name| {
        let path = name.path.as_os_str().as_bytes();
        split_compression(path).0.to_owned()
    };
    names.sort_by_cached_key(|name| (stem(name), name.compression));
    names.dedup_by(|name, first| stem(name) == stem(first));
    // A link that leads to itself is there, and opening it says what is wrong with it.
    let missing = fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if !missing {
        let (_, compression) = split_compression(path.as_os_str().as_bytes());
        names.push(Name { path: path.to_owned(), age: None, compression });
    }
    Ok(names)
}

/// The age of the file `name`, which is `stem` without the ending of its compression.
fn age_of(log: &OsStr, stem: &[u8], name: &[u8], layout: &Layout) -> Option<Age> {
    age(log.as_bytes(), stem).or_else(|| {
        let pattern = layout.pattern.as_ref().filter(|_| stem != log.as_bytes())?;
        let is_match = |name| str::from_utf8(name).is_ok_and(|name| pattern.matches(name));
        (is_match(stem) || is_match(name)).then_some(Age::Unknown)
    })
}

/// Oldest first. Names of one kind say which file is older, whatever the clock did. Between names of different kinds, and of
/// files that only match a pattern, the times of the last change decide, which neither renaming nor gzip(1) changes.
fn in_order(files: Vec<(Option<Age>, ChainFile)>) -> Vec<ChainFile> {
    let mut groups: Vec<Vec<(Age, ChainFile)>> = Vec::new();
    let mut live = None;
    for (age, file) in files {
        match age {
            None => live = Some(file),
            Some(age) => match groups.iter_mut().find(|group| group[0].0.is_comparable(&age)) {
                Some(group) => group.push((age, file)),
                None => groups.push(vec![(age, file)]),
            },
        }
    }
    for group in &mut groups {
        group.sort_by(|(age, file), (other, next)| match age.cmp(other) {
            Ordering::Equal => file.path.cmp(&next.path),
            order => order,
        });
        group.reverse();
    }
    // The last of each group is its oldest: of these the oldest is next.
    let mut ordered = Vec::new();
    let next = |groups: &[Vec<(Age, ChainFile)>]| {
        let oldest = |group: &Vec<(Age, ChainFile)>| {
            group.last().map(|(_, file)| (file.stat.mtime, file.path.clone()))
        };
        (0..groups.len()).filter(|n| !groups[*n].is_empty()).min_by_key(|n| oldest(&groups[*n]))
    };
    while let Some(n) = next(&groups) {
        ordered.extend(groups[n].pop().map(|(_, file)| file));
    }
    ordered.extend(live);
    ordered
}

enum Opened {
    File(File, FileStat),
    /// Its name has just gone.
    Gone,
    /// A directory, a device, a FIFO.
    Other,
}

/// Opens a file.
fn open(path: &Path) -> anyhow::Result<Opened> {
    let file = match regular::open(path) {
        Err(error) if regular::is_other(&error) => return Ok(Opened::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(explained(error, path))
                .with_context(|| format!("opening {}", path.display()))
                .or_exit(Exit::NoPerm);
        }
        opened => {
            opened.with_context(|| format!("opening {}", path.display())).or_exit(Exit::NoInput)?
        }
    };
    let metadata = file.metadata().with_context(|| format!("looking at {}", path.display()))?;
    Ok(if metadata.is_file() { Opened::File(file, FileStat::of(&metadata)) } else { Opened::Other })
}

fn compression_of(file: &File) -> io::Result<Option<Compression>> {
    let mut first = [0; 8];
    let n = std::os::unix::fs::FileExt::read_at(file, &mut first, 0)?;
    Ok(Compression::of_content(&first[..n]))
}

fn is_prefix(part: &ChainFile, whole: &ChainFile) -> io::Result<bool> {
    const STEP: u64 = 256 * 1024;
    if part.compression.is_some()
        || whole.compression.is_some()
        || part.stat.size == 0
        || part.stat.size > whole.stat.size
    {
        return Ok(false);
    }
    let (mut offset, mut step) = (0, WINDOW);
    while offset < part.stat.size {
        let length = step.min(part.stat.size - offset);
        if part.read_at(offset, length)? != whole.read_at(offset, length)? {
            return Ok(false);
        }
        (offset, step) = (offset + length, STEP);
    }
    Ok(true)
}
