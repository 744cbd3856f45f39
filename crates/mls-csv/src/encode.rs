//! Rows on standard output, or at the end of a file without a cursor.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use anyhow::Context;
use mls_cli::lock::Lock;
use mls_cli::ndjson::{OutputClosed, Reader};
use mls_cli::{Exit, OrExit, sink};
use mls_event::{Auth, Record};

use crate::heading;
use crate::row::{self, COLUMNS, Style};

/// Rows on their way to a file.
pub(crate) struct Rows<W: Write> {
    csv: csv::Writer<W>,
    style: Style,
}

impl<W: Write> Rows<W> {
    pub(crate) fn new(out: W, style: Style) -> Self {
        let csv = csv::WriterBuilder::new().buffer_capacity(64 * 1024).from_writer(out);
        Self { csv, style }
    }

    pub(crate) fn header(&mut self) -> anyhow::Result<()> {
        Ok(self.csv.write_record(COLUMNS).map_err(io_error)?)
    }

    /// Writes an event's rows, none if it is not a failure.
    pub(crate) fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<()> {
        for _ in 0..sink::rows(event) {
            row::write(&mut self.csv, event, self.style).map_err(io_error)?;
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.csv.flush()?)
    }

    pub(crate) fn inner(&self) -> &W {
        self.csv.get_ref()
    }
}

/// The I/O error that a CSV error keeps to itself: it does not name its source.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}

/// CSV on standard output, with a header.
pub(crate) fn print(mut reader: Reader, style: Style) -> anyhow::Result<()> {
    reader.watch_stdout()?;
    let out = io::stdout();
    let mut rows = Rows::new(Stdout(out.lock()), style);
    rows.header()?;
    copy(reader, &mut rows).context("writing standard output")
}

/// Rows at the end of `path`, with a header where it is new or empty.
pub(crate) fn append(reader: Reader, path: &Path, style: Style) -> anyhow::Result<()> {
    let _lock = Lock::take(path)?;
    let name = path.display();
    let file = File::options().read(true).append(true).create(true).mode(0o640).open(path);
    let file = file.with_context(|| format!("opening {name}")).or_exit(Exit::CantCreat)?;
    let length = file.metadata().with_context(|| format!("looking at {name}"))?.len();
    let mut rows = Rows::new(&file, style);
    if length == 0 {
        rows.header()?;
    } else {
        refuse_all_but_ours(path)?;
        // A row begins on a line of its own.
        let mut last = [0];
        file.read_exact_at(&mut last, length - 1).with_context(|| format!("reading {name}"))?;
        if last != [b'\n'] {
            (&file).write_all(b"\n").with_context(|| format!("appending to {name}"))?;
        }
    }
    copy(reader, &mut rows).with_context(|| format!("appending to {name}"))
}

/// Rows would damage any other file, a log or a compressed one.
fn refuse_all_but_ours(path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let reading = || format!("reading {name}");
    if heading::is_ours(path).with_context(reading)? {
        Ok(())
    } else if heading::is_originals(path).with_context(reading)? {
        Err(heading::convert_first(path))
    } else {
        let header = heading::ours();
        Err(Exit::Config
            .error(format!("{name} is not a CSV of ours, its first line is not {header}: name another file")))
    }
}

fn copy<W: Write>(mut reader: Reader, rows: &mut Rows<W>) -> anyhow::Result<()> {
    while let Some(line) = reader.next(|| rows.flush())? {
        match Record::parse(line) {
            Ok(Record::Auth(event)) => rows.event(&event)?,
            Ok(Record::Begin(_)) => mls_cli::signals::drain_until_end_of_input(),
            Ok(_) => {}
            Err(why) => reader.bad(why),
        }
    }
    rows.flush()
}

/// Standard output whose reader may leave.
struct Stdout<W>(W);

impl<W: Write> Write for Stdout<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(closed)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(closed)
    }
}

fn closed(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::BrokenPipe { io::Error::other(OutputClosed) } else { error }
}
