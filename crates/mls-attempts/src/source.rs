//! Where attempts come from: a file or standard input, CSV or NDJSON, plain or gzip.

use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use flate2::bufread::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressStyle};
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit};
use mls_event::Record;
use mls_stream::input::GZIP;
use mls_stream::ndjson::Reader;
use mls_stream::sink::CUT_OFF;

use crate::attempt::{Attempt, LineParser};

/// The buffer before the decompressor. Reads that are larger than this bypass it.
const BUFFER: usize = 16 * 1024;

/// Larger files show a progress bar.
const LARGE: u64 = 64 << 20;

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptSource {
    /// Standard input.
    Stdin,
    /// A file, after the files that were rotated away from it.
    File {
        /// Files to read before `path`, and how many bytes of each.
        rotated: Vec<(PathBuf, Option<u64>)>,
        /// The file.
        path: PathBuf,
        /// How many bytes of it are read; `None` for all.
        length: Option<u64>,
    },
}

/// How much was read, and in which form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadSummary {
    /// Rows or events, without header lines.
    pub rows: u64,
    /// Bytes, decompressed.
    pub bytes: u64,
    /// Whether the input was CSV. An empty input counts as CSV.
    pub csv: bool,
}

impl AttemptSource {
    /// Calls `each` for every failed attempt, with the offset of its line. Offsets continue from one file to the next.
    /// Bad rows are reported and skipped.
    ///
    /// # Errors
    /// If a file cannot be opened or read, or a framed stream stops before its `end`.
    pub fn read(
        &self,
        zone: Zone,
        mut each: impl FnMut(&Attempt<'_>, u64),
    ) -> anyhow::Result<ReadSummary> {
        let mut begin = 0;
        let mut from = |reader| {
            let mut each = |row: &Attempt<'_>, offset| {
                each(row, begin + offset);
                Ok(())
            };
            let summary = read(reader, zone, &mut each, || Ok(()))?;
            begin += summary.bytes;
            Ok(summary)
        };
        if let Self::File { rotated, .. } = self {
            for (path, length) in rotated {
                from(open_file(path, *length)?)?;
            }
        }
        from(self.open()?)
    }

    /// The same for attempts that are acted on while more are to come. `pause` is called before a read that would wait.
    /// Standard input must not be compressed.
    ///
    /// # Errors
    /// As [`read`](Self::read), and those of `each` and `pause`.
    pub fn follow(
        &self,
        zone: Zone,
        mut each: impl FnMut(&Attempt<'_>, u64) -> anyhow::Result<()>,
        pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<ReadSummary> {
        let reader = if *self == Self::Stdin { Reader::stdin()? } else { self.open()? };
        read(reader, zone, &mut each, pause)
    }

    fn open(&self) -> anyhow::Result<Reader> {
        match self {
            Self::File { path, length, .. } => open_file(path, *length),
            Self::Stdin => unpacked(Box::new(std::io::stdin()), "stdin".to_owned()),
        }
    }

    /// The file's name without its directory; `None` for standard input.
    #[must_use]
    pub fn file_name(&self) -> Option<String> {
        match self {
            Self::Stdin => None,
            Self::File { path, .. } => {
                path.file_name().map(|name| name.to_string_lossy().into_owned())
            }
        }
    }
}

fn open_file(path: &Path, length: Option<u64>) -> anyhow::Result<Reader> {
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("opening {name}"))?;
    let size = file.metadata().with_context(|| format!("looking at {name}"))?.len();
    let length = length.unwrap_or(u64::MAX);
    unpacked(Box::new(progress(size.min(length)).wrap_read(file.take(length))), name)
}

/// Decompresses the input if its first two bytes say that it is gzip (RFC 1952).
fn unpacked(input: Box<dyn Read + Send>, name: String) -> anyhow::Result<Reader> {
    let mut input = BufReader::with_capacity(BUFFER, input);
    let head = input.fill_buf().with_context(|| format!("reading {name}")).or_exit(Exit::IoErr)?;
    let input: Box<dyn Read + Send> = if head.starts_with(&GZIP) {
        Box::new(MultiGzDecoder::new(input))
    } else {
        Box::new(input)
    };
    Ok(Reader::new(input, name))
}

/// Reads all lines.
fn read(
    mut reader: Reader,
    zone: Zone,
    each: &mut impl FnMut(&Attempt<'_>, u64) -> anyhow::Result<()>,
    mut pause: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<ReadSummary> {
    let mut parser = LineParser::new(zone);
    let mut summary = ReadSummary { csv: true, ..ReadSummary::default() };
    let (mut first, mut cut_off) = (true, false);
    while let Some((offset, line)) = reader.next_at(&mut pause)? {
        if first {
            // The first line decides: the name of a server does not begin with a brace.
            summary.csv = !line.starts_with(b"{");
            first = false;
        }
        let mut auth = None;
        let row = if summary.csv {
            parser.csv(line)
        } else {
            match Record::parse(line) {
                Ok(Record::Auth(event)) => Ok(parser.auth(auth.insert(event))),
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
                each(&row, offset)?;
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

/// A progress bar if the file is large and stderr is a terminal.
fn progress(size: u64) -> ProgressBar {
    if size < LARGE || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(size);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes}, {eta} left")
    {
        bar.set_style(style);
    }
    bar
}
