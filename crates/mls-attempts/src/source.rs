//! The source of attempts: a file or standard input, CSV or NDJSON, plain or gzip.

use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use indicatif::{ProgressBar, ProgressStyle};
use mls_config::zone::Zone;
use mls_diag::denied::explained;
use mls_diag::{Exit, OrExit};
use mls_event::{Column, Record};
use mls_rotation::{Chain, ChainFile, Committed, Compression, Layout, Point};
use mls_state::cursor_file::CursorFile;
use mls_state::regular;
use mls_stream::ndjson::Reader;
use mls_stream::sink::CUT_OFF;
use mls_stream::unreadable::not_logins;

use crate::attempt::{Attempt, LineParser};

/// Size in bytes of the buffer before the decompressor. Larger reads bypass the buffer.
const BUFFER: usize = 16 * 1024;

/// If a file has at least this number of bytes, a progress bar is shown.
const LARGE: u64 = 64 << 20;

/// The input to read.
#[derive(Debug)]
pub enum AttemptSource {
    /// Standard input.
    Stdin,
    /// One file.
    File {
        /// The path of the file.
        path: PathBuf,
        /// The number of bytes to read; `None` for all.
        length: Option<u64>,
    },
    /// A file with its rotated files, the oldest first. `chain` limits how far each file is read.
    Rotated {
        /// The open files.
        chain: Chain,
        /// The position at which reading begins.
        begin: Point,
    },
}

/// How lines are read, and which attempts count.
#[derive(Clone, Debug)]
pub struct ReadOptions {
    /// The time zone of the dates in a CSV, and of [`Attempt::date`].
    pub zone: Zone,
    /// Only attempts of these servers count. If the list is empty, all attempts count.
    pub servers: Vec<String>,
}

impl ReadOptions {
    fn includes(&self, attempt: &Attempt<'_>) -> bool {
        self.servers.is_empty()
            || attempt.server.is_some_and(|name| self.servers.iter().any(|server| server == name))
    }
}

/// The amount of input, and its format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// Number of attempts (rows of CSV or records).
    pub rows: u64,
    /// Number of bytes after decompression.
    pub bytes: u64,
    /// Whether the input was CSV. An empty input counts as CSV.
    pub csv: bool,
}

impl AttemptSource {
    /// Opens a CSV and its rotated files. If the cursor file of the sink is given, the input ends
    /// at the last commit. If not, all of the input is read. Returns `None` if there is no file.
    ///
    /// # Errors
    /// Those of [`Chain::open_committed`].
    pub fn recorded(path: &Path, cursor: Option<&CursorFile>) -> anyhow::Result<Option<Self>> {
        let layout = Layout::default();
        let chain = match cursor {
            Some(cursor) => Chain::open_committed(path, &layout, &Committed::of(cursor))?,
            None => Chain::open(path, &layout)?,
        };
        Ok((!chain.files.is_empty()).then_some(Self::Rotated { chain, begin: Point::default() }))
    }

    /// Skips the rotated files that were last written before `moment`.
    #[must_use]
    pub fn since(self, moment: DateTime<FixedOffset>) -> Self {
        let Self::Rotated { chain, begin } = self else { return self };
        let moment = moment.timestamp_nanos_opt().unwrap_or(i64::MIN);
        let is_new = |file: &ChainFile| !file.is_rotated || file.stat.mtime >= moment;
        let newer = chain.files.iter().position(is_new).unwrap_or(chain.files.len());
        Self::Rotated { chain, begin: begin.max(Point { file: newer, offset: 0 }) }
    }

    /// Calls `each` for every failure, every login and every error of the server, with the position
    /// of its line. Bad rows are reported and skipped. The summary describes the last file.
    ///
    /// # Errors
    /// If a file cannot be opened or read, or if a framed stream stops before its record `end`.
    /// Exit 65 if an input has lines but no line can be read, 75 if a file is rotated or truncated
    /// during reading.
    pub fn read(
        &self,
        reading: &ReadOptions,
        mut each: impl FnMut(&Attempt<'_>, Point),
    ) -> anyhow::Result<ReadSummary> {
        let stdin = || {
            mls_stream::input::warn_if_terminal();
            decompressed(Box::new(io::stdin()), "stdin".to_owned())
        };
        let each = |attempt: &Attempt<'_>, point| {
            each(attempt, point);
            Ok(())
        };
        self.read_from(stdin, reading, each, || Ok(()))
    }

    /// Does the same as [`read`](Self::read), for a caller that acts on attempts before the input
    /// ends. If a read would wait, calls `pause` first. Standard input must not be compressed.
    ///
    /// # Errors
    /// Those of [`read`](Self::read), `each` and `pause`.
    pub fn follow(
        &self,
        reading: &ReadOptions,
        each: impl FnMut(&Attempt<'_>, Point) -> anyhow::Result<()>,
        pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadSummary> {
        self.read_from(|| Ok(Reader::stdin()?), reading, each, pause)
    }

    fn read_from(
        &self,
        stdin: impl FnOnce() -> anyhow::Result<Reader>,
        reading: &ReadOptions,
        mut each: impl FnMut(&Attempt<'_>, Point) -> anyhow::Result<()>,
        mut pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadSummary> {
        match self {
            Self::Stdin => read(stdin()?, reading, Point::default(), &mut each, pause),
            Self::File { path, length } => {
                read(open_file(path, *length)?, reading, Point::default(), &mut each, pause)
            }
            Self::Rotated { chain, begin } => {
                let mut summary = ReadSummary::default();
                for (n, file) in chain.files.iter().enumerate().skip(begin.file) {
                    let offset = if n == begin.file { begin.offset } else { 0 };
                    let (reader, offset) = open_rotated(file, offset)?;
                    let point = Point { file: n, offset };
                    summary = read(reader, reading, point, &mut each, &mut pause)?;
                }
                if chain.is_unchanged() {
                    return Ok(summary);
                }
                Err(Exit::TempFail.error(format!(
                    "{} was rotated or truncated while it was read; try again",
                    self.newest_file().unwrap_or(Path::new("")).display()
                )))
            }
        }
    }

    /// Whether reading begins in the middle, after lines that an earlier run has read.
    pub(crate) fn is_continued(&self) -> bool {
        matches!(self, Self::Rotated { begin, .. } if *begin > Point::default())
    }

    /// The name of the file that was written last; `None` for standard input.
    #[must_use]
    pub fn newest_file(&self) -> Option<&Path> {
        match self {
            Self::Stdin => None,
            Self::File { path, .. } => Some(path),
            Self::Rotated { chain, .. } => chain.files.last().map(|file| file.path.as_path()),
        }
    }

    /// Opens the [newest file](Self::newest_file) to read its bytes as they are on disk (perhaps
    /// compressed), up to its limit. Also returns the number of bytes. If a file of a chain was
    /// renamed, the renamed file is read. Returns `None` for standard input.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn stored(&self) -> io::Result<Option<(Box<dyn Read + Send>, u64)>> {
        match self {
            Self::Stdin => Ok(None),
            Self::File { path, length } => {
                let file = regular::open(path)?;
                let size = file.metadata()?.len().min(length.unwrap_or(u64::MAX));
                Ok(Some((Box::new(file.take(size)), size)))
            }
            Self::Rotated { chain, .. } => chain.files.last().map(ChainFile::stored).transpose(),
        }
    }

    /// The name of the [newest file](Self::newest_file) without its directory.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        self.newest_file()?.file_name().map(|name| name.to_string_lossy().into_owned())
    }
}

/// Calls `each` for every attempt in one file of a chain.
///
/// # Errors
/// Those of [`AttemptSource::read`].
pub fn read_rotated(
    file: &ChainFile,
    reading: &ReadOptions,
    mut each: impl FnMut(&Attempt<'_>),
) -> anyhow::Result<()> {
    let mut each = |attempt: &Attempt<'_>, _| {
        each(attempt);
        Ok(())
    };
    let (reader, _) = open_rotated(file, 0)?;
    read(reader, reading, Point::default(), &mut each, || Ok(())).map(drop)
}

fn open_file(path: &Path, length: Option<u64>) -> anyhow::Result<Reader> {
    let name = path.display().to_string();
    let file = regular::open(path)
        .map_err(|error| explained(error, path))
        .with_context(|| format!("opening {name}"))?;
    let size = file.metadata().with_context(|| format!("checking {name}"))?.len();
    let length = length.unwrap_or(u64::MAX);
    decompressed(Box::new(progress(size.min(length)).wrap_read(file.take(length))), name)
}

/// Returns a reader for the lines from the offset `begin`; a header of a CSV comes first. Also
/// returns the position in the file minus the position in the reader.
fn open_rotated(file: &ChainFile, begin: u64) -> anyhow::Result<(Reader, u64)> {
    let name = file.path.display().to_string();
    let content = || -> io::Result<_> {
        let mut header = if begin > 0 { file.head()? } else { Vec::new() };
        header.truncate(memchr::memchr(b'\n', &header).map_or(0, |newline| newline + 1));
        if Column::outcome_of_header(&header).is_none() {
            header.clear();
        }
        let skipped = begin.saturating_sub(header.len() as u64);
        Ok((io::Cursor::new(header).chain(file.reader(begin, u64::MAX)?), skipped))
    };
    let content = content().with_context(|| format!("reading {name}"));
    let (content, skipped) = content.or_exit(Exit::IoErr)?;
    // If the file is compressed, the number of decompressed bytes is not known.
    let size = if file.compression.is_none() { file.stat.size.saturating_sub(begin) } else { 0 };
    let reader = Reader::new(Box::new(progress(size).wrap_read(content)), name);
    Ok((if skipped > 0 { reader.continued() } else { reader }, skipped))
}

/// If the first bytes of the input say that it is compressed, decompresses the input.
fn decompressed(input: Box<dyn Read + Send>, name: String) -> anyhow::Result<Reader> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let head = input.fill_buf().with_context(|| format!("reading {name}")).or_exit(Exit::IoErr)?;
    let input: Box<dyn Read + Send> = match Compression::of_content(head) {
        Some(method) => method.decoder(input),
        None => Box::new(input),
    };
    Ok(Reader::new(input, name))
}

/// Reads all lines. The first line has the position `begin`.
fn read(
    mut reader: Reader,
    reading: &ReadOptions,
    begin: Point,
    each: &mut impl FnMut(&Attempt<'_>, Point) -> anyhow::Result<()>,
    mut pause: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<ReadSummary> {
    let mut parser = LineParser::new(reading.zone);
    let mut summary = ReadSummary { csv: true, ..ReadSummary::default() };
    let (mut first, mut cut_off) = (true, false);
    while let Some((offset, line)) = reader.next_at(&mut pause)? {
        if first {
            // The first line shows the format: a record begins with a brace. A row of the CSV
            // begins with the name of a server, which does not begin with a brace.
            summary.csv = !line.starts_with(b"{");
            first = false;
        }
        let mut auth = None;
        let row = if summary.csv {
            parser.csv(line)
        } else {
            match Record::parse(line) {
                Ok(Record::Auth(event)) => Ok(parser.auth(auth.insert(event))),
                Ok(Record::Alert(_)) => return Err(not_logins(reader.name())),
                Ok(record) => {
                    cut_off = matches!(record, Record::Begin(_))
                        || (cut_off && !matches!(record, Record::End(_)));
                    Ok(None)
                }
                Err(why) => Err(why.to_string()),
            }
        };
        match row {
            Ok(None) => {}
            Ok(Some(row)) => {
                summary.rows += 1;
                if reading.includes(&row) {
                    each(&row, Point { offset: begin.offset + offset, ..begin })?;
                }
            }
            Err(why) => reader.bad(why),
        }
    }
    if cut_off {
        return Err(Exit::TempFail.error(CUT_OFF));
    }
    summary.bytes = reader.consumed();
    Ok(summary)
}

/// Returns a progress bar. If the file is small, or stderr is not a terminal, the bar is hidden.
fn progress(size: u64) -> ProgressBar {
    if size < LARGE || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}, {eta} left")
    {
        bar.set_style(style);
    }
    bar
}
