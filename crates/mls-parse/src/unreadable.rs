//! Warns about lines that look like an attempt but cannot be parsed, and saves them in a file.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use mls_diag::diag;
use mls_event::Segment;
use mls_state::regular;

/// The largest size of the file: an attacker must not fill the disk with lines that cannot be
/// parsed.
const MAX_SIZE: u64 = 10 << 20;

/// The time between two warnings of a run.
const WARN_EVERY: Duration = Duration::from_mins(5);

/// The largest number of bytes of a line to show in a warning.
const SHOWN: usize = 300;

/// The name of a source in messages.
pub(crate) fn source_of<'a>(segment: Option<&'a Segment<'_>>) -> &'a str {
    segment.map_or("stdin", |segment| &segment.source)
}

#[derive(Clone, Debug)]
pub(crate) struct UnreadableLine {
    pub(crate) source: String,
    pub(crate) offset: u64,
    pub(crate) why: &'static str,
    pub(crate) line: Vec<u8>,
}

/// Counts unreadable lines, warns of them, and saves them in the file of `--rejects`.
pub(crate) struct Unread {
    file: Option<RejectsFile>,
    /// The number of lines since the last warning, and the first of these lines.
    count: u64,
    first: Option<UnreadableLine>,
    warned: Instant,
    pub(crate) every: Duration,
}

impl Unread {
    /// If `path` is given, opens this file for the unreadable lines.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let file = path.map(RejectsFile::open).transpose()?;
        Ok(Self { file, count: 0, first: None, warned: Instant::now(), every: WARN_EVERY })
    }

    pub(crate) fn add(&mut self, lines: Vec<UnreadableLine>) {
        for line in lines {
            diag::count_bad_record();
            if let Some(file) = &mut self.file {
                file.keep(&line.line);
            }
            self.count += 1;
            self.first.get_or_insert(line);
        }
        if self.first.is_some() && self.warned.elapsed() >= self.every {
            self.warn();
        }
    }

    /// Logs one warning for all unreadable lines since the last warning.
    pub(crate) fn warn(&mut self) {
        let Some(first) = self.first.take() else { return };
        let UnreadableLine { source, offset, why, line } = &first;
        let shown = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
        let lines = mls_diag::count(self.count, "line looks", "lines look");
        let keep = match &self.file {
            Some(file) => format!("see {}", file.path.display()),
            None => "--rejects FILE saves such lines".to_owned(),
        };
        log::warn!(
            "{source}, byte {offset}: {lines} like a login attempt but cannot be parsed ({why}); {keep}; \
             the first line: {shown}"
        );
        (self.count, self.warned) = (0, Instant::now());
    }
}

/// The file of `--rejects`.
struct RejectsFile {
    file: File,
    path: PathBuf,
    room: u64,
}

impl RejectsFile {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let file = regular::append(path)?;
        let size = file.metadata().with_context(|| format!("reading {}", path.display()))?.len();
        Ok(Self { file, path: path.to_owned(), room: MAX_SIZE.saturating_sub(size) })
    }

    /// Writes a line if the file is not full.
    fn keep(&mut self, line: &[u8]) {
        let length = line.len() as u64 + 1;
        if self.room == 0 {
            return;
        }
        if length > self.room {
            log::warn!(
                "{} has the maximum size (10 MiB); further lines that cannot be parsed are only \
                 counted",
                self.path.display()
            );
            self.room = 0;
            return;
        }
        self.room -= length;
        if let Err(error) = self.file.write_all(&[line, b"\n"].concat()) {
            log::warn!(
                "writing {}: {error}; further lines that cannot be parsed are only counted",
                self.path.display()
            );
            self.room = 0;
        }
    }
}
