//! Reads raw lines in blocks, from a plain or a framed stream, for tools that turn lines into
//! records.

use std::io::{self, Read};
use std::ops::Range;

use anyhow::Context;
use mls_event::{ContainerStream, MAX_LINE, Record, Segment, add_skipped, without_nul};

pub use crate::batch::{Batch, Block, BlockPosition};
use crate::content;
use crate::input::Input;
use crate::signals;
use mls_diag::{Exit, OrExit, count, diag};

/// Reads blocks. The first line decides whether the input is plain or framed. A line that is longer
/// than [`MAX_LINE`], including its newline, is reported and skipped.
pub struct Blocks {
    input: Input,
    /// The bytes after the last whole line.
    rest: Vec<u8>,
    /// Whether the input has ended after `rest`.
    last: bool,
    /// How many bytes of the buffer are in blocks already.
    start: usize,
    framing: Framing,
    /// Offset of the next byte in the log file, or in the plain stream.
    offset: u64,
    /// Whether the rest of a line that is too long must be skipped.
    skipping: bool,
    /// The last lines that were read. They do not depend on the size of the reads.
    last_lines: Vec<u8>,
    /// An error that was found after some blocks. The next call of [`next`](Self::next) returns it.
    broken: Option<anyhow::Error>,
}

/// The largest read in bytes. After a read, the writer of the pipe can write again while the caller
/// works. (`mls-tail | mls-parse` takes an eighth longer with reads of 1 MiB.)
const READ: usize = 256 * 1024;

#[derive(Debug)]
enum Framing {
    /// Before the first line.
    Undecided,
    Plain,
    /// Between segments.
    Control,
    /// Inside a segment, with the number of its bytes that were not read yet.
    Segment(Segment<'static>, u64),
    /// After the `end` record, or at the end of the input.
    Ended,
}

/// The next step that the bytes in the buffer allow.
enum ReadStep {
    Lines(Range<usize>, u64),
    /// The beginning of a line that is too long.
    TooLong(Range<usize>, u64),
    Record(Range<usize>),
    /// Bytes were skipped, or `framing` has changed: take the next step.
    Again,
    More,
    End,
}

impl Blocks {
    /// Reads standard input.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn stdin() -> io::Result<Self> {
        Input::stdin().map(Self::of)
    }

    /// Reads a source that never makes its reader wait, such as a file or memory. In messages, the
    /// source is called `name`.
    #[must_use]
    pub fn new(input: Box<dyn Read + Send>, name: impl Into<String>) -> Self {
        Self::of(Input::new(input, name))
    }

    fn of(input: Input) -> Self {
        Self {
            input,
            rest: Vec::new(),
            last: false,
            start: 0,
            framing: Framing::Undecided,
            offset: 0,
            skipping: false,
            last_lines: Vec::new(),
            broken: None,
        }
    }

    /// The [last lines](mls_event::last_lines) that were read, and the offset of their end.
    #[must_use]
    pub fn last_lines(&self) -> (&[u8], u64) {
        (&self.last_lines, self.offset)
    }

    /// Does the same as [`Reader::watch_stdout`](crate::ndjson::Reader::watch_stdout).
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn watch_stdout(&mut self) -> io::Result<()> {
        self.input.watch_stdout()
    }

    /// Returns the next batch; `None` at the end. Reuses the memory of `batch`. Calls `pause`
    /// before a read that would wait.
    ///
    /// # Errors
    /// Exit 65 if the input is not text or a frame is broken, 75 if a framed stream stops
    /// before its end record, and the errors of reading and of `pause`.
    pub fn next(
        &mut self,
        mut batch: Batch,
        mut pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Batch>> {
        batch.clear();
        if batch.buffer.is_empty() {
            // For a short input, this costs little: the kernel provides a page only when it is
            // written.
            batch.buffer = vec![0; MAX_LINE];
        }
        while batch.is_empty() {
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            if matches!(self.framing, Framing::Ended) {
                return Ok(None);
            }
            let end = self.fill(&mut batch.buffer, &mut pause)?;
            self.take_apart(&mut batch, end);
            self.rest.clear();
            self.rest.extend_from_slice(&batch.buffer[self.start..end]);
        }
        Ok(Some(batch))
    }

    /// Reads until there is a whole line, or [`MAX_LINE`] bytes, or the end of the input. Returns
    /// the number of bytes.
    fn fill(
        &mut self,
        buffer: &mut [u8],
        pause: &mut impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let mut end = self.rest.len();
        buffer[..end].copy_from_slice(&self.rest);
        while !self.last && end < buffer.len() {
            let most = buffer.len().min(end + READ);
            let n = self.input.read(&mut buffer[end..most], &mut *pause, || ())?;
            let newline = memchr::memchr(b'\n', &buffer[end..end + n]);
            (end, self.last) = (end + n, n == 0);
            if newline.is_some() {
                break;
            }
        }
        Ok(end)
    }

    /// Adds the whole blocks among the buffer's first `end` bytes to `batch`.
    fn take_apart(&mut self, batch: &mut Batch, end: usize) {
        self.start = 0;
        // Whether `batch` already has the current segment.
        let mut known = false;
        loop {
            known &= matches!(self.framing, Framing::Segment(..));
            match self.step(&batch.buffer[..end]) {
                Ok(ReadStep::Lines(range, offset)) => {
                    known = self.add_lines(batch, range, offset, known);
                }
                Ok(ReadStep::TooLong(line, offset)) => {
                    known = self.add_lines(batch, line.start..line.start, offset, known);
                    let line = ContainerStream::of_line(&batch.buffer[line]);
                    add_skipped(&mut self.last_lines, line);
                }
                Ok(ReadStep::Record(range)) => batch.add_record(range),
                Ok(ReadStep::Again) => {}
                Ok(ReadStep::More) => return,
                Ok(ReadStep::End) => self.framing = Framing::Ended,
                Err(error) => {
                    self.broken = Some(error);
                    return;
                }
            }
            if matches!(self.framing, Framing::Ended) {
                return;
            }
        }
    }

    /// Adds lines to `batch`. `known` says whether `batch` already has the current segment. Returns
    /// the value of `known` for the next lines.
    fn add_lines(
        &mut self,
        batch: &mut Batch,
        range: Range<usize>,
        offset: u64,
        known: bool,
    ) -> bool {
        let segment = match &self.framing {
            Framing::Segment(segment, _) => Some(segment),
            _ => None,
        };
        let in_segment = segment.is_some();
        if let Some(segment) = segment.filter(|_| !known) {
            batch.add_segment(segment.clone());
        }
        batch.add_lines(range, offset, in_segment, &mut self.last_lines);
        in_segment
    }

    fn step(&mut self, bytes: &[u8]) -> anyhow::Result<ReadStep> {
        let available = bytes.len() - self.start;
        match self.framing {
            Framing::Undecided => self.decide(bytes),
            Framing::Plain if available == 0 && self.last => Ok(ReadStep::End),
            Framing::Plain => Ok(self.lines(bytes, available)),
            Framing::Ended => Ok(ReadStep::End),
            Framing::Segment(_, 0) => {
                self.framing = Framing::Control;
                Ok(ReadStep::Again)
            }
            Framing::Segment(_, left) => {
                let limit = usize::try_from(left).map_or(available, |left| left.min(available));
                let step = self.lines(bytes, limit);
                if limit as u64 == left && matches!(step, ReadStep::More) {
                    return Err(self.broken_frame("a segment does not end in a newline"));
                }
                self.or_cut_off(step)
            }
            Framing::Control => {
                let step = self.control(bytes)?;
                self.or_cut_off(step)
            }
        }
    }

    /// Returns `step`. Fails if a framed stream ends in the middle.
    fn or_cut_off(&self, step: ReadStep) -> anyhow::Result<ReadStep> {
        if self.last && matches!(step, ReadStep::More) {
            let name = self.input.name();
            return Err(Exit::TempFail.error(format!(
                "{name} stopped before its end record: the tool that wrote it has failed or was \
                 killed"
            )));
        }
        Ok(step)
    }

    fn decide(&mut self, bytes: &[u8]) -> anyhow::Result<ReadStep> {
        let available = &bytes[self.start..];
        content::check(self.input.name(), available)?;
        let first = memchr::memchr(b'\n', available).map(|newline| &available[..newline]);
        self.framing = match first {
            Some(line) if matches!(Record::parse(line), Ok(Record::Begin(_))) => {
                signals::drain_until_end_of_input();
                Framing::Control
            }
            None if !self.last && available.len() < MAX_LINE => return Ok(ReadStep::More),
            _ => Framing::Plain,
        };
        Ok(ReadStep::Again)
    }

    /// Takes the whole lines among the next `limit` bytes, and skips a line that is too long.
    fn lines(&mut self, bytes: &[u8], limit: usize) -> ReadStep {
        let window = &bytes[self.start..self.start + limit];
        if self.skipping {
            let newline = memchr::memchr(b'\n', window);
            self.skipping = newline.is_none() && !self.last;
            self.take(newline.map_or(limit, |newline| newline + 1));
            return if self.start == bytes.len() && self.skipping {
                ReadStep::More
            } else {
                ReadStep::Again
            };
        }
        let offset = self.offset;
        match memchr::memrchr(b'\n', window) {
            Some(newline) => ReadStep::Lines(self.take(newline + 1), offset),
            // After copytruncate, a writer that keeps its offset leaves NUL bytes before its next
            // line.
            None if limit >= MAX_LINE && window.starts_with(b"\0") => {
                self.take(limit - without_nul(window).len());
                ReadStep::Again
            }
            None if limit >= MAX_LINE => {
                let source = match &self.framing {
                    Framing::Segment(segment, _) => &segment.source,
                    _ => self.input.name(),
                };
                diag::bad_record(
                    format_args!("{source}, byte {offset}"),
                    "a line longer than 1 MiB was skipped",
                );
                self.skipping = true;
                ReadStep::TooLong(self.take(limit), offset)
            }
            None if self.last && matches!(self.framing, Framing::Plain) => {
                ReadStep::Lines(self.take(limit), offset)
            }
            None => ReadStep::More,
        }
    }

    fn control(&mut self, bytes: &[u8]) -> anyhow::Result<ReadStep> {
        let available = &bytes[self.start..];
        let Some(length) = memchr::memchr(b'\n', available) else {
            return if available.len() < MAX_LINE {
                Ok(ReadStep::More)
            } else {
                Err(self.broken_frame("a control record is longer than 1 MiB"))
            };
        };
        match Record::parse(&available[..length])
            .with_context(|| format!("{}: a control record is broken", self.input.name()))
            .or_exit(Exit::DataErr)?
        {
            Record::Segment(segment) if segment.offset.checked_add(segment.length).is_none() => {
                let Segment { source, offset, length, .. } = segment;
                return Err(self.broken_frame(format_args!(
                    "a segment of {} at offset {offset} of {source} ends after the largest \
                     possible offset",
                    count(length, "byte", "bytes")
                )));
            }
            Record::Segment(segment) => {
                let mtime = segment.mtime.into_owned();
                let segment = Segment { mtime, ..segment };
                self.take(length + 1);
                self.offset = segment.offset;
                segment.before.as_bytes().clone_into(&mut self.last_lines);
                let length = segment.length;
                self.framing = Framing::Segment(segment, length);
                return Ok(ReadStep::Again);
            }
            Record::End(_) => self.framing = Framing::Ended,
            _ => {}
        }
        let mut range = self.take(length + 1);
        range.end -= 1;
        Ok(ReadStep::Record(range))
    }

    fn broken_frame(&self, why: impl std::fmt::Display) -> anyhow::Error {
        Exit::DataErr.error(format!("{}: {why}", self.input.name()))
    }

    fn take(&mut self, length: usize) -> Range<usize> {
        let range = self.start..self.start + length;
        self.start = range.end;
        self.offset += length as u64;
        if let Framing::Segment(_, left) = &mut self.framing {
            *left -= length as u64;
        }
        range
    }
}

#[cfg(test)]
mod tests;
