//! Reads raw lines in blocks, from a plain or a framed stream, for tools that turn lines into
//! records.

use std::io::{self, Read};
use std::ops::Range;

use anyhow::Context;
use mls_event::{MAX_LINE, Record, Segment, last_lines};

use crate::input::{GZIP, Input, compressed};
use crate::signals;
use mls_diag::{Exit, OrExit, diag};

/// What comes next in the input.
#[derive(Debug)]
pub enum Block<'a> {
    /// Whole lines with their newlines. Only the last line of a plain stream may lack its newline.
    Lines(&'a [u8], Place<'a>),
    /// A record to pass on unchanged, without its newline.
    Record(&'a [u8]),
}

/// Where a block begins.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The segment that the block is part of; none in a plain stream.
    pub segment: Option<&'a Segment<'static>>,
    /// Offset of the block's first byte in the segment's file, or in the plain stream.
    pub offset: u64,
    /// The last lines before it, as in [`Segment`].
    pub before: &'a [u8],
}

/// Blocks that were read together. The caller gives the batch back for the next read, so that its
/// memory is reused.
#[derive(Debug, Default)]
pub struct Batch {
    /// It keeps its length: clearing bytes that the next read overwrites would cost a pass.
    buffer: Vec<u8>,
    segments: Vec<Segment<'static>>,
    parts: Vec<Part>,
    /// The last lines of the batch before.
    before: Vec<u8>,
}

#[derive(Debug)]
enum Part {
    /// Lines, the offset at which they begin, and the index of their segment.
    Lines(Range<usize>, u64, Option<usize>),
    Record(Range<usize>),
}

impl Batch {
    /// The blocks, in the order of the input.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let mut last = self.before.as_slice();
        self.parts.iter().map(move |part| match part {
            Part::Lines(range, offset, segment) => {
                let segment = segment.map(|segment| &self.segments[segment]);
                let begins = segment.filter(|segment| segment.offset == *offset);
                let before = begins.map_or(last, |segment| segment.before.as_bytes());
                let lines = &self.buffer[range.clone()];
                last = last_lines(lines);
                Block::Lines(lines, Place { segment, offset: *offset, before })
            }
            Part::Record(range) => Block::Record(&self.buffer[range.clone()]),
        })
    }
}

/// Reads blocks. The first line decides whether the input is plain or framed. A line that is longer
/// than [`MAX_LINE`], including its newline, is reported and skipped.
pub struct Blocks {
    input: Input,
    /// Bytes that were read and do not make a whole line yet.
    rest: Vec<u8>,
    /// Whether the input has ended after `rest`.
    last: bool,
    /// How many bytes of the buffer are in blocks already.
    start: usize,
    framing: Framing,
    /// Offset of the next byte in the log file, or in the plain stream.
    offset: u64,
    /// Whether the beginning of a line that is too long was skipped and its end is still to come.
    skipping: bool,
    /// Those of the last batch.
    last_lines: Vec<u8>,
    /// The error that the next read returns.
    broken: Option<anyhow::Error>,
}

#[derive(Debug)]
enum Framing {
    /// Before the first line.
    Undecided,
    Plain,
    /// Between segments.
    Control,
    /// Inside a segment, with the number of bytes that are left of it.
    Segment(Segment<'static>, u64),
    /// After the `end` record, or at the end of the input.
    Ended,
}

/// The next step that the bytes in the buffer allow.
enum Step {
    Lines(Range<usize>, u64),
    Record(Range<usize>),
    /// Something was consumed or decided: take the next step.
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

    /// Reads a source that never makes its reader wait, such as a file or memory. Messages call it
    /// `name`.
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

    /// As [`Reader::watch_stdout`](crate::ndjson::Reader::watch_stdout).
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn watch_stdout(&mut self) -> io::Result<()> {
        self.input.watch_stdout()
    }

    /// The next batch, in the memory of an earlier one; `None` at the end. Calls `pause` before a
    /// read that would wait.
    ///
    /// # Errors
    /// Exit 65 if the input is compressed by gzip or a frame is broken, 75 if a framed stream stops
    /// before its end record, and the errors of reading and of `pause`.
    pub fn next(
        &mut self,
        mut batch: Batch,
        mut pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<Batch>> {
        batch.segments.clear();
        batch.parts.clear();
        if batch.buffer.is_empty() {
            // The kernel provides zeroed pages when they are first written: most runs read far
            // less.
            batch.buffer = vec![0; MAX_LINE];
        }
        while batch.parts.is_empty() {
            if let Some(error) = self.broken.take() {
                return Err(error);
            }
            if matches!(self.framing, Framing::Ended) {
                return Ok(None);
            }
            let end = self.fill(&mut batch.buffer, &mut pause)?;
            self.take_apart(&mut batch, end);
            self.keep_last_lines(&mut batch);
            self.rest.clear();
            self.rest.extend_from_slice(&batch.buffer[self.start..end]);
        }
        Ok(Some(batch))
    }

    /// Gives the batch what the one before has kept, and keeps its own last lines.
    fn keep_last_lines(&mut self, batch: &mut Batch) {
        let lines = batch.parts.iter().rev().find_map(|part| match part {
            Part::Lines(range, ..) => Some(range.clone()),
            Part::Record(_) => None,
        });
        if let Some(range) = lines {
            batch.before.clear();
            std::mem::swap(&mut batch.before, &mut self.last_lines);
            self.last_lines.extend_from_slice(last_lines(&batch.buffer[range]));
        }
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
            let n = self.input.read(&mut buffer[end..], &mut *pause)?;
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
        // Whether the last segment in the batch is the current one.
        let mut known = false;
        loop {
            known &= matches!(self.framing, Framing::Segment(..));
            match self.step(&batch.buffer[..end]) {
                Ok(Step::Lines(range, offset)) => {
                    let segment = match &self.framing {
                        Framing::Segment(segment, _) => Some(segment),
                        _ => None,
                    };
                    batch.segments.extend(segment.filter(|_| !known).cloned());
                    known = segment.is_some();
                    batch.parts.push(Part::Lines(
                        range,
                        offset,
                        segment.map(|_| batch.segments.len() - 1),
                    ));
                }
                Ok(Step::Record(range)) => batch.parts.push(Part::Record(range)),
                Ok(Step::Again) => {}
                Ok(Step::More) => return,
                Ok(Step::End) => self.framing = Framing::Ended,
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

    fn step(&mut self, bytes: &[u8]) -> anyhow::Result<Step> {
        let available = bytes.len() - self.start;
        match self.framing {
            Framing::Undecided => self.decide(bytes),
            Framing::Plain if available == 0 && self.last => Ok(Step::End),
            Framing::Plain => Ok(self.lines(bytes, available)),
            Framing::Ended => Ok(Step::End),
            Framing::Segment(_, 0) => {
                self.framing = Framing::Control;
                Ok(Step::Again)
            }
            Framing::Segment(_, left) => {
                let limit = usize::try_from(left).map_or(available, |left| left.min(available));
                let step = self.lines(bytes, limit);
                if limit as u64 == left && matches!(step, Step::More) {
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

    /// A framed stream that ends in the middle was cut off.
    fn or_cut_off(&self, step: Step) -> anyhow::Result<Step> {
        if self.last && matches!(step, Step::More) {
            let name = self.input.name();
            return Err(Exit::TempFail.error(format!("{name} stopped before its end record")));
        }
        Ok(step)
    }

    fn decide(&mut self, bytes: &[u8]) -> anyhow::Result<Step> {
        let available = &bytes[self.start..];
        if available.starts_with(&GZIP) {
            return Err(compressed(self.input.name()));
        }
        let first = memchr::memchr(b'\n', available).map(|newline| &available[..newline]);
        self.framing = match first {
            Some(line) if matches!(Record::parse(line), Ok(Record::Begin(_))) => {
                signals::drain_until_end_of_input();
                Framing::Control
            }
            None if !self.last && available.len() < MAX_LINE => return Ok(Step::More),
            _ => Framing::Plain,
        };
        Ok(Step::Again)
    }

    /// Whole lines among the next `limit` bytes.
    fn lines(&mut self, bytes: &[u8], limit: usize) -> Step {
        let window = &bytes[self.start..self.start + limit];
        if self.skipping {
            let newline = memchr::memchr(b'\n', window);
            self.skipping = newline.is_none() && !self.last;
            self.take(newline.map_or(limit, |newline| newline + 1));
            return if self.start == bytes.len() && self.skipping {
                Step::More
            } else {
                Step::Again
            };
        }
        let offset = self.offset;
        match memchr::memrchr(b'\n', window) {
            Some(newline) => Step::Lines(self.take(newline + 1), offset),
            // A writer that kept its offset after copytruncate leaves NUL bytes in front of its next line.
            None if limit >= MAX_LINE && window.contains(&0) => {
                let nul = memchr::memrchr(0, window).unwrap_or_default();
                self.take(nul + 1);
                Step::Again
            }
            None if limit >= MAX_LINE => {
                let source = match &self.framing {
                    Framing::Segment(segment, _) => &segment.source,
                    _ => self.input.name(),
                };
                diag::bad_record(
                    format_args!("{source}, byte {offset}"),
                    "a line longer than 1 MiB, skipped",
                );
                self.take(limit);
                self.skipping = true;
                Step::Again
            }
            None if self.last && matches!(self.framing, Framing::Plain) => {
                Step::Lines(self.take(limit), offset)
            }
            None => Step::More,
        }
    }

    fn control(&mut self, bytes: &[u8]) -> anyhow::Result<Step> {
        let available = &bytes[self.start..];
        let Some(length) = memchr::memchr(b'\n', available) else {
            return if available.len() < MAX_LINE {
                Ok(Step::More)
            } else {
                Err(self.broken_frame("a control record longer than 1 MiB"))
            };
        };
        match Record::parse(&available[..length])
            .with_context(|| format!("{}: a broken control record", self.input.name()))
            .or_exit(Exit::DataErr)?
        {
            Record::Segment(segment) if segment.offset.checked_add(segment.length).is_none() => {
                let Segment { source, offset, length, .. } = segment;
                return Err(self.broken_frame(format_args!(
                    "a segment of {length} bytes at offset {offset} of {source}, which no file can hold"
                )));
            }
            Record::Segment(segment) => {
                let mtime = segment.mtime.into_owned();
                let segment = Segment { mtime, ..segment };
                self.take(length + 1);
                self.offset = segment.offset;
                let length = segment.length;
                self.framing = Framing::Segment(segment, length);
                return Ok(Step::Again);
            }
            Record::End(_) => self.framing = Framing::Ended,
            _ => {}
        }
        let mut range = self.take(length + 1);
        range.end -= 1;
        Ok(Step::Record(range))
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
mod tests {
    use mls_event::{Begin, Body, Checkpoint, End, Timestamp};

    use super::*;

    /// Returns its bytes in pieces, as a pipe does.
    struct Pieces(Vec<u8>, usize);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len()).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0.drain(..n);
            Ok(n)
        }
    }

    fn read(input: &[u8], piece: usize) -> anyhow::Result<Vec<String>> {
        let mut blocks = Blocks::new(Box::new(Pieces(input.to_vec(), piece)), "old.log");
        let (mut seen, mut batch) = (Vec::new(), Batch::default());
        while let Some(next) = blocks.next(batch, || Ok(()))? {
            for block in next.blocks() {
                match block {
                    Block::Record(line) => seen.push(mls_event::kind(line).unwrap().into_owned()),
                    Block::Lines(bytes, place) => {
                        let mut offset = place.offset;
                        for line in bytes.split_inclusive(|b| *b == b'\n') {
                            seen.push(format!("{offset} {}", String::from_utf8_lossy(line)));
                            offset += line.len() as u64;
                        }
                    }
                }
            }
            batch = next;
        }
        Ok(seen)
    }

    fn segment(offset: u64, content: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mtime = Timestamp::parse("2026-11-21T07:00:00Z").unwrap();
        let (source, generation, length) = ("/log".into(), "g".into(), content.len() as u64);
        Segment { source, generation, offset, length, mtime, before: String::new() }
            .write_line(&mut out);
        out.extend_from_slice(content.as_bytes());
        out
    }

    fn framed(parts: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        Begin { base: 1 }.write_line(&mut out);
        out.extend(parts.concat());
        Checkpoint { cursor: serde_json::json!(1) }.write_line(&mut out);
        out
    }

    #[test]
    fn plain_lines_are_whole_however_reads_cut_them() {
        for piece in [1, 2, 3, 7, 100] {
            assert_eq!(
                read(b"one\ntwo\n\nthree", piece).unwrap(),
                ["0 one\n", "4 two\n", "8 \n", "9 three"]
            );
            assert!(read(b"", piece).unwrap().is_empty());
        }
    }

    #[test]
    fn gzip_is_refused_however_reads_cut_it() {
        for piece in [1, 2, 100] {
            let error = read(b"\x1f\x8b\x08\0no newline", piece).unwrap_err();
            assert_eq!(
                (Exit::of(&error), error.to_string().contains("gzip")),
                (Exit::DataErr, true),
                "{error}"
            );
            for plain in [&b"\x1f"[..], b"\x1f\n\x8b\n", b"a\n\x1f\x8b\n"] {
                assert_eq!(
                    read(plain, piece).unwrap().len(),
                    plain.split_inclusive(|b| *b == b'\n').count()
                );
            }
        }
    }

    #[test]
    fn lines_of_segments_have_offsets_and_are_never_records() {
        let mut input =
            framed(&[segment(10, "a\n{\"v\":1,\"type\":\"end\"}\n"), segment(90, "b\n")]);
        End {}.write_line(&mut input);
        input.extend_from_slice(b"after the end\n");
        for piece in [1, 5, 64, 1000] {
            let seen = read(&input, piece).unwrap();
            assert_eq!(
                seen,
                [
                    "begin",
                    "10 a\n",
                    "12 {\"v\":1,\"type\":\"end\"}\n",
                    "90 b\n",
                    "checkpoint",
                    "end"
                ]
            );
        }
    }

    #[test]
    fn frames_that_stop_early_or_are_broken_are_errors() {
        let whole = framed(&[segment(0, "a\nb\n")]);
        for cut in [whole.len(), whole.len() - 5, whole.len() - 40] {
            assert_eq!(Exit::of(&read(&whole[..cut], 9).unwrap_err()), Exit::TempFail, "{cut}");
        }
        for broken in [b"no record\n".to_vec(), segment(0, "no newline"), segment(u64::MAX, "a\n")]
            .map(|part| framed(&[part]))
        {
            let error = read(&broken, 9).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::DataErr);
            assert!(error.to_string().starts_with("old.log: "), "{error}");
        }
    }

    #[test]
    fn whether_a_line_is_too_long_does_not_depend_on_the_size_of_reads() {
        for (length, kept) in [(MAX_LINE - 1, true), (MAX_LINE, false), (3 * MAX_LINE + 5, false)] {
            let mut input = b"first\n".to_vec();
            input.extend(std::iter::repeat_n(b'x', length));
            input.extend_from_slice(b"\nlast\n");
            for piece in [4096, 1 << 30] {
                let seen = read(&input, piece).unwrap();
                assert_eq!(seen.len(), if kept { 3 } else { 2 }, "{length}, {piece}");
                assert_eq!(*seen.last().unwrap(), format!("{} last\n", length + 7));
            }
        }
    }
}
