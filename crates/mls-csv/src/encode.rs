//! Writes records as rows, to standard output or to the end of a file that has no cursor file.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Context;
use mls_diag::{Exit, OnFile, count, summary};
use mls_event::{Auth, Column, Outcome, Record};
use mls_rows::legacy;
use mls_rows::row::{self, Style};
use mls_state::lock::Lock;
use mls_state::regular;
use mls_stream::ndjson::{Reader, Writer};
use mls_stream::sink;
use mls_stream::unreadable::not_logins;

use crate::header;
use crate::reconcile::end_last_line;

/// The buffer of rows is written when it has this number of bytes.
const BUFFER: usize = 64 * 1024;

pub(crate) struct Rows<W> {
    out: W,
    buffer: Vec<u8>,
    style: Style,
    written: u64,
    /// The number of records that were skipped because they have the other outcome.
    skipped: u64,
}

impl<W: Write> Rows<W> {
    pub(crate) fn new(out: W, style: Style) -> Self {
        Self { out, buffer: Vec::with_capacity(2 * BUFFER), style, written: 0, skipped: 0 }
    }

    /// Writes the header to `out`, which must be empty.
    pub(crate) fn with_header(mut out: W, style: Style) -> anyhow::Result<Self> {
        writeln!(out, "{}", Column::header(style.outcome))?;
        Ok(Self::new(out, style))
    }

    /// Writes the rows of an event. If the event has another outcome, writes nothing.
    pub(crate) fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<()> {
        let is_other = event.outcome != self.style.outcome;
        self.skipped += u64::from(is_other && event.outcome.is_recorded());
        for _ in 0..sink::rows(event, self.style.outcome) {
            row::write(&mut self.buffer, event, self.style);
            self.written += 1;
            if self.buffer.len() >= BUFFER {
                self.write_buffer()?;
            }
        }
        Ok(())
    }

    /// Fails with exit 65 if the stream had only attempts of the other outcome.
    pub(crate) fn check_outcome(&self) -> anyhow::Result<()> {
        if self.written > 0 || self.skipped == 0 {
            return Ok(());
        }
        let why = if self.style.outcome == Outcome::Success {
            "the input has no successful login: give mls-csv the output of mls-parse --outcome \
             success"
        } else {
            "the input has no failed login: for successful logins, run mls-csv --outcome success \
             and use another file"
        };
        Err(Exit::DataErr.error(why))
    }

    /// The number of rows written, in words: `1 failed login`.
    pub(crate) fn written(&self) -> String {
        let kind = header::adjective(self.style.outcome);
        count(self.written, &format!("{kind} login"), &format!("{kind} logins"))
    }

    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        self.write_buffer()?;
        Ok(self.out.flush()?)
    }

    fn write_buffer(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.buffer);
        self.buffer.clear();
        written
    }

    pub(crate) fn inner(&self) -> &W {
        &self.out
    }
}

/// Writes CSV with a header to standard output.
pub(crate) fn print(mut reader: Reader, style: Style) -> anyhow::Result<()> {
    reader.watch_stdout()?;
    let mut rows = Rows::with_header(Writer::stdout()?, style)?;
    copy(reader, &mut rows, None)
}

/// Appends rows to `path`, after a header if the file is new or empty.
pub(crate) fn append(reader: Reader, path: &Path, style: Style) -> anyhow::Result<()> {
    let name = path.display();
    if path.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(Exit::CantCreat.error(format!("{name} is not a regular file")));
    }
    let _lock = Lock::take(path)?;
    let file = regular::append_and_read(path)?;
    let length = file.metadata().with_context(|| format!("checking {name}"))?.len();
    if length > 0 {
        refuse_all_but_ours(path, style.outcome)?;
        end_last_line(&file, length).on_file("appending to", path)?;
    }
    let rows =
        if length == 0 { Rows::with_header(&file, style) } else { Ok(Rows::new(&file, style)) };
    let mut rows = rows.with_context(|| format!("appending to {name}"))?;
    copy(reader, &mut rows, Some(path))
}

/// Fails if the file is not our CSV, for example a log: rows would damage such a file.
fn refuse_all_but_ours(path: &Path, outcome: Outcome) -> anyhow::Result<()> {
    let name = path.display();
    let reading = || format!("reading {name}");
    header::refuse_other_outcome(path, outcome)?;
    if header::is_ours(path, outcome).with_context(reading)? {
        Ok(())
    } else if legacy::is_legacy(path).with_context(reading)? {
        Err(header::legacy_refused(path))
    } else {
        let header = Column::header(outcome);
        Err(Exit::Config.error(format!(
            "{name}:1: not a CSV of mls-csv (the first line is not {header}); choose another file"
        )))
    }
}

/// Writes the rows of all events to `rows`. Even if an error occurs, flushes the rows before the
/// error. `path` is the name of the file for messages; `None` is standard output.
fn copy<W: Write>(reader: Reader, rows: &mut Rows<W>, path: Option<&Path>) -> anyhow::Result<()> {
    let copied = copy_rows(reader, rows, path);
    let flushed = named(rows.flush(), path);
    let cut_off = copied.and_then(|cut_off| flushed.map(|()| cut_off))?;
    rows.check_outcome()?;
    match path {
        Some(path) => summary(format_args!("appended {} to {}", rows.written(), path.display())),
        None => summary(format_args!("wrote {}", rows.written())),
    }
    if cut_off { Err(Exit::TempFail.error(sink::CUT_OFF)) } else { Ok(()) }
}

/// Adds the name of the file to a write error.
fn named(result: anyhow::Result<()>, path: Option<&Path>) -> anyhow::Result<()> {
    match path {
        Some(path) => result.on_file("appending to", path),
        None => result,
    }
}

/// Returns whether a framed stream ended without its `end`.
fn copy_rows<W: Write>(
    mut reader: Reader,
    rows: &mut Rows<W>,
    path: Option<&Path>,
) -> anyhow::Result<bool> {
    let mut cut_off = false;
    while let Some(line) = reader.next(|| named(rows.flush(), path))? {
        match Record::parse(line) {
            Ok(Record::Auth(event)) => named(rows.event(&event), path)?,
            Ok(Record::Begin(_)) => {
                mls_stream::signals::drain_until_end_of_input();
                cut_off = true;
                if let Some(path) = path {
                    log::warn!(
                        "{}: without --cursor-file, mls-csv does not save the position in the log, \
                         so the next run can append the same rows again; give --cursor-file to \
                         mls-csv, or run mls-tail without --framed",
                        path.display()
                    );
                }
            }
            Ok(Record::End(_)) => cut_off = false,
            Ok(Record::Alert(_)) => return Err(not_logins(reader.name())),
            Ok(_) => {}
            Err(why) => reader.bad(why),
        }
    }
    Ok(cut_off)
}
