//! Where rows come from: a file or standard input, CSV or NDJSON, plain or gzip.

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

use crate::rows::{Row, Rows};

/// What gzip is read by. The reader of lines asks for more at a time, and gets it without this buffer in between.
const BUFFER: usize = 16 * 1024;

/// A file that takes long enough to read for somebody to wait.
const LARGE: u64 = 64 << 20;

/// What is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Stdin,
    File {
        /// Files that were rotated away from `path`, and how much of each is read, before it.
        rotated: Vec<(PathBuf, Option<u64>)>,
        path: PathBuf,
        /// How much of it is read; all where none is given.
        length: Option<u64>,
    },
}

/// What was read beside the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Rows, without header lines.
    pub(crate) rows: u64,
    /// Bytes, decompressed.
    pub(crate) bytes: u64,
    /// Whether it was CSV, as far as there was anything.
    pub(crate) csv: bool,
}

impl Source {
    /// Gives every failed attempt of the input to `each`, with the offset of its line; where there are rotated files, the
    /// offsets go on from their ends. Bad rows are reported and skipped.
    pub(crate) fn read(
        &self,
        zone: Zone,
        mut each: impl FnMut(&Row<'_>, u64),
    ) -> anyhow::Result<Extent> {
        let mut begin = 0;
        let mut from = |reader| {
            let mut each = |row: &Row<'_>, offset| {
                each(row, begin + offset);
                Ok(())
            };
            let extent = read(reader, zone, &mut each, || Ok(()))?;
            begin += extent.bytes;
            Ok(extent)
        };
        if let Self::File { rotated, .. } = self {
            for (path, length) in rotated {
                from(open_file(path, *length)?)?;
            }
        }
        from(self.open()?)
    }

    /// As [`read`](Self::read), for rows that are acted upon while others are still to come: `pause` is called when they
    /// keep the reader waiting. On standard input gzip is not known.
    pub(crate) fn follow(
        &self,
        zone: Zone,
        mut each: impl FnMut(&Row<'_>, u64) -> anyhow::Result<()>,
        pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Extent> {
        let reader = if *self == Self::Stdin { Reader::stdin()? } else { self.open()? };
        read(reader, zone, &mut each, pause)
    }

    fn open(&self) -> anyhow::Result<Reader> {
        match self {
            Self::File { path, length, .. } => open_file(path, *length),
            Self::Stdin => unpacked(Box::new(std::io::stdin()), "stdin".to_owned()),
        }
    }

    /// The name that people know the input by.
    pub(crate) fn file_name(&self) -> Option<String> {
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

/// Takes gzip off the input, which its first two bytes tell (RFC 1952).
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

/// The loop over lines.
fn read(
    mut reader: Reader,
    zone: Zone,
    each: &mut impl FnMut(&Row<'_>, u64) -> anyhow::Result<()>,
    mut pause: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Extent> {
    let mut rows = Rows::new(zone);
    let mut extent = Extent { csv: true, ..Extent::default() };
    let (mut first, mut cut_off) = (true, false);
    while let Some((offset, line)) = reader.next_at(&mut pause)? {
        if first {
            // What the input is, is decided once: a server's name does not begin with a brace.
            extent.csv = !line.starts_with(b"{");
            first = false;
        }
        let mut auth = None;
        let row = if extent.csv {
            rows.csv(line)
        } else {
            match Record::parse(line) {
                Ok(Record::Auth(event)) => Ok(rows.auth(auth.insert(event))),
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
                extent.rows += 1;
                each(&row, offset)?;
            }
            Err(why) => reader.bad(why),
        }
    }
    if cut_off {
        return Err(Exit::TempFail.error(CUT_OFF));
    }
    extent.bytes = reader.consumed();
    Ok(extent)
}

/// A bar on the terminal while a large file is read; where stderr is no terminal, nothing.
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
