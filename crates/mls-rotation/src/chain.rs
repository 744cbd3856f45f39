//! Opens all files of a log at one moment.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mls_diag::denied::explained;
use mls_diag::{Exit, OnFile, OrExit};
use mls_state::atomic::directory_of;
use mls_state::cursor_file::WINDOW;
use mls_state::regular;

use crate::Compression;
use crate::file::{ChainFile, FileStat};
use crate::names::{Age, NamedCompression, age, split_compression};

/// Where the rotated files of a log are, and how they are named.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// Whether to read only the log itself.
    pub live_only: bool,
    /// The directory of the rotated files (`olddir` of logrotate), if it is not the directory of the log. A
    /// relative path starts at the directory of the log.
    pub olddir: Option<PathBuf>,
    /// A pattern for the names of other rotated files. A name is compared with and without its
    /// ending, such as `.gz`.
    pub pattern: Option<glob::Pattern>,
}

/// A log and its rotated files. All of them are open, so rotation cannot remove them from this chain.
#[derive(Debug, Default)]
pub struct Chain {
    /// The files, oldest first. If the log itself exists, it is the last file.
    pub files: Vec<ChainFile>,
    /// Rotated files that are compressed by a method that this crate does not read.
    pub unsupported: Vec<(PathBuf, FileStat)>,
    /// The directory in which rotated files were searched.
    pub directory: PathBuf,
}

/// Returns whether `path` is the name of a rotated file of `log`.
#[must_use]
pub fn is_rotated_from(log: &Path, path: &Path) -> bool {
    let (Some(log_name), Some(name)) = (log.file_name(), path.file_name()) else { return false };
    let (stem, _) = split_compression(name.as_bytes());
    log.parent() == path.parent() && age(log_name.as_bytes(), stem).is_some()
}

/// Returns a rotated file of `log` that is newer than `path` by its name; `None` if no file is.
/// `path` need not exist.
///
/// # Errors
/// If the directory cannot be read.
pub fn newer_than(log: &Path, path: &Path) -> anyhow::Result<Option<PathBuf>> {
    let name_of = |path: &Path| path.file_name().unwrap_or_default().as_bytes().to_owned();
    let layout = Layout::default();
    let directory = rotated_directory(log, &layout);
    let real = |directory: &Path| fs::canonicalize(directory).ok();
    if real(&directory_of(path)) != real(&directory) {
        // Readers do not look for rotated files in the directory of `path`.
        return Ok(None);
    }
    let (log_name, name) = (name_of(&target_of(log)), name_of(path));
    let Some(new) = age(&log_name, split_compression(&name).0) else { return Ok(None) };
    let names = list(log, &directory, &layout)?;
    let is_newer = |age: &Age| age.is_comparable(&new) && *age > new;
    Ok(names.into_iter().find(|name| name.age.as_ref().is_some_and(is_newer)).map(|name| name.path))
}

/// The largest number of tries to open the files. A try fails if two listings differ.
const TRIES: u32 = 50;

impl Chain {
    /// The context of an error: `reading FILE and its rotated files`.
    #[must_use]
    pub fn reading(&self) -> String {
        let newest = self.files.last().map_or(&*self.directory, |file| &file.path);
        format!("reading {} and its rotated files", newest.display())
    }

    /// Opens all files of the log at `path`. A listing taken during renames can be inconsistent, so
    /// this lists the files again until two listings agree. If there is no file, the chain is
    /// empty.
    ///
    /// # Errors
    /// Exit 66 or 77 if a file cannot be opened, 75 if the files are renamed all the time.
    pub fn open(path: &Path, layout: &Layout) -> anyhow::Result<Self> {
        for _ in 0..TRIES {
            if let Some(mut chain) = Self::try_open(path, layout)? {
                chain.leave_out_copies().on_file("reading", path).or_exit(Exit::IoErr)?;
                return Ok(chain);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Exit::TempFail.error(format!(
            "{} and its rotated files are being renamed all the time; try again later",
            path.display()
        )))
    }

    /// Returns whether no file has changed its size since it was opened. Only the log itself may
    /// have grown. Any other change shows that a file was copied or truncated meanwhile.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.files.iter().all(|file| {
            let size = file.file.metadata().map_or(0, |metadata| metadata.len());
            size == file.opened_size || (size > file.opened_size && !file.is_rotated)
        })
    }

    /// Returns the oldest file whose name has a date after `day`. A `day` is a number such as
    /// 20260601.
    #[must_use]
    pub fn dated_after(&self, day: u64) -> Option<&Path> {
        let log = self.files.last().filter(|file| !file.is_rotated)?.path.file_name()?;
        let is_after = |file: &&ChainFile| {
            let name = file.path.file_name().unwrap_or_default().as_bytes();
            match age(log.as_bytes(), split_compression(name).0) {
                Some(Age::Date(numbers, _)) => numbers.first().is_some_and(|first| *first > day),
                _ => false,
            }
        };
        self.files.iter().find(is_after).map(|file| file.path.as_path())
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
                NamedCompression::None => {
                    compression_of(&file).on_file("reading", &name.path).or_exit(Exit::IoErr)?
                }
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
        // Each name must still belong to the file that was opened.
        let is_still_there = |(_, file): &(_, ChainFile)| {
            fs::metadata(&file.path)
                .is_ok_and(|metadata| FileStat::of(&metadata).is_same_file(&file.stat))
        };
        if !files.iter().all(is_still_there) || list(path, &directory, layout)? != names {
            return Ok(None);
        }
        Ok(Some(Self { files: in_order(files), unsupported, directory }))
    }

    /// Leaves out rotated files that are only a copy of the beginning of the next newer file. Such
    /// a copy exists while copytruncate runs, or after it was interrupted. Also leaves out a second
    /// name of the same file.
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

#[derive(Debug, PartialEq, Eq)]
struct NamedFile {
    path: PathBuf,
    /// The age according to the file name; `None` for the log itself.
    age: Option<Age>,
    compression: NamedCompression,
}

/// Returns the directory of the rotated files. If `path` is a symbolic link, this is the directory
/// of the target, because rotation happens there. The target need not exist.
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

/// Returns the names of the files of a log. If both X and X.gz exist, gzip(1) is running or was
/// interrupted. So only X is in the result.
fn list(path: &Path, directory: &Path, layout: &Layout) -> anyhow::Result<Vec<NamedFile>> {
    let mut names: Vec<NamedFile> = Vec::new();
    if !layout.live_only {
        let target = target_of(path);
        let log = target.file_name().or(path.file_name()).unwrap_or_default();
        let entries = regular::if_there(fs::read_dir(directory))
            .map_err(|error| explained(error, directory))
            .on_file("reading directory", directory)?;
        for entry in entries.into_iter().flatten() {
            let name =
                entry.on_file("reading directory", directory).or_exit(Exit::IoErr)?.file_name();
            let (stem, compression) = split_compression(name.as_bytes());
            if let Some(age) = age_of(log, stem, name.as_bytes(), layout) {
                names.push(NamedFile { path: directory.join(&name), age: Some(age), compression });
            }
        }
    }
    let stem = |name: &NamedFile| {
        let path = name.path.as_os_str().as_bytes();
        split_compression(path).0.to_owned()
    };
    names.sort_by_cached_key(|name| (stem(name), name.compression));
    names.dedup_by(|name, first| stem(name) == stem(first));
    // A link to itself gives another error, so it stays in the list: opening it says what is wrong.
    let missing = fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    if !missing {
        let (_, compression) = split_compression(path.as_os_str().as_bytes());
        names.push(NamedFile { path: path.to_owned(), age: None, compression });
    }
    Ok(names)
}

/// Returns the age of the file `name`. `stem` is the name without the ending of the compression.
fn age_of(log: &OsStr, stem: &[u8], name: &[u8], layout: &Layout) -> Option<Age> {
    age(log.as_bytes(), stem).or_else(|| {
        let pattern = layout.pattern.as_ref().filter(|_| stem != log.as_bytes())?;
        let is_match = |name| str::from_utf8(name).is_ok_and(|name| pattern.matches(name));
        (is_match(stem) || is_match(name)).then_some(Age::Unknown)
    })
}

/// Sorts the files, oldest first. Names of one kind (dates or numbers) say which file is older,
/// even if the clock was wrong. For names of different kinds, and for names that only match a
/// pattern, the times of the last change decide. Renaming and gzip(1) do not change these times.
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
    // The last file of each group is its oldest file. The oldest of these last files comes next.
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
    /// The file was renamed or removed a moment ago.
    Gone,
    /// A directory, a device, a FIFO.
    Other,
}

fn open(path: &Path) -> anyhow::Result<Opened> {
    let file = match regular::open(path) {
        Err(error) if regular::is_other(&error) => return Ok(Opened::Other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Opened::Gone),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(explained(error, path)).on_file("opening", path).or_exit(Exit::NoPerm);
        }
        opened => opened.on_file("opening", path).or_exit(Exit::NoInput)?,
    };
    let metadata = file.metadata().on_file("looking at", path)?;
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
