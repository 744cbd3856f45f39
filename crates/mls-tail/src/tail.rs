//! One look at the logs: what is new goes out, and the cursor moves.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Utc};
use mls_diag::{Exit, OrExit};
use mls_event::{Gap, Segment, Timestamp};
use mls_state::cursor_file::WINDOW;

use crate::Args;
use crate::committed::Committed;
use crate::known::{self, Cursor, Log};
use crate::original;
use crate::output::{CHECKPOINT_EVERY, Output};
use crate::progress::Progress;
use crate::siblings::{Seen, Sibling, Siblings};
use crate::signal::Stop;
use crate::unpack::{Piece, Unpacked};

/// A segment is at most so long, but for a line that is longer.
const SEGMENT: u64 = 1 << 20;

/// Up to so much is read before it is announced: a log that is truncated meanwhile just has less to announce.
const SMALL: u64 = 256 * 1024;

/// An incomplete gzip file that was not written to for so long will not become complete.
const GIVEN_UP: Duration = Duration::from_hours(1);

/// The logs, and what was read of them.
pub(crate) struct Tail {
    logs: Vec<PathBuf>,
    with_rotated: bool,
    may_be_missing: bool,
    committed_by: Option<PathBuf>,
    cursor: Cursor,
    pub(crate) out: Output,
    progress: Progress,
    stop: Stop,
    last_checkpoint: Instant,
    /// What kept a log from being read by the last look.
    pub(crate) failures: Vec<anyhow::Error>,
    /// The incomplete gzip file that was warned of last.
    waits_for: Option<Seen>,
}

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All there is was read.
    Done,
    /// SIGTERM or SIGINT.
    Stopped,
    /// A gzip file is not complete yet; it and what is newer were not read.
    Waiting,
}

impl Tail {
    /// Who follows waits: a log may then come later.
    pub(crate) fn new(
        args: &Args,
        logs: Vec<PathBuf>,
        cursor: Cursor,
        out: Output,
        stop: Stop,
    ) -> Self {
        Self {
            logs,
            with_rotated: !args.no_rotated,
            may_be_missing: args.follow,
            committed_by: args.committed_by.clone(),
            cursor,
            out,
            progress: Progress::default(),
            stop,
            last_checkpoint: Instant::now(),
            failures: Vec::new(),
            waits_for: None,
        }
    }

    pub(crate) fn logs(&self) -> &[PathBuf] {
        &self.logs
    }

    pub(crate) fn stop(&self) -> &Stop {
        &self.stop
    }

    /// As [`look`](Self::look), the last time: to the end, though a signal has come.
    pub(crate) fn last_look(&mut self) -> anyhow::Result<Outcome> {
        self.stop = Stop::never();
        self.look()
    }

    /// Reads everything new in all logs. What keeps one of them from being read keeps none of the others, and is in
    /// `failures`.
    pub(crate) fn look(&mut self) -> anyhow::Result<Outcome> {
        let mut outcome = Outcome::Done;
        self.failures.clear();
        for log in self.logs.clone() {
            match self.read_log(&log) {
                Ok(Outcome::Done) => {}
                Ok(Outcome::Waiting) => outcome = Outcome::Waiting,
                Ok(Outcome::Stopped) => {
                    outcome = Outcome::Stopped;
                    break;
                }
                Err(error) if matches!(Exit::of(&error), Exit::NoInput | Exit::NoPerm) => {
                    self.failures.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        self.progress.finish();
        self.cursor.logs.values_mut().for_each(Log::forget);
        self.out.done(&self.cursor)?;
        Ok(outcome)
    }

    fn log(&mut self, source: &str) -> &mut Log {
        self.cursor.logs.entry(source.to_owned()).or_default()
    }

    fn read_log(&mut self, path: &Path) -> anyhow::Result<Outcome> {
        let source = path.to_str().map(str::to_owned).ok_or_else(|| {
            Exit::Usage
                .error(format!("{} is not UTF-8, and the name of a log has to be", path.display()))
        })?;
        let context = || format!("reading {source}");
        let (mut siblings, mut held) = self.recognize(&source, path).with_context(context)?;
        if let Some(offset) = self.cursor.original.filter(|_| !siblings.files.is_empty()) {
            held = original::adopt(self.log(&source), &siblings.files, offset)
                .with_context(context)?;
            self.cursor.original = None;
        }
        let unheard_of = siblings.files.is_empty()
            && siblings.unreadable.is_empty()
            && self.log(&source).generations.is_empty();
        if unheard_of && !self.may_be_missing {
            return Err(Exit::NoInput.error(format!("{source} does not exist")));
        }
        let incomplete = self
            .first_incomplete(&source, &siblings.files, &held)
            .with_context(context)
            .or_exit(Exit::IoErr)?;
        match incomplete {
            // What is in it, and in what is newer, is not known yet: no time to miss anything.
            Some(i) => siblings.files.truncate(i),
            None => self.report_gaps(&source, &held, &siblings)?,
        }
        let known = self.cursor.logs.get(&source).map_or(&[][..], |log| &log.generations);
        self.progress.start(&siblings.files, &held, known);
        for (sibling, held) in siblings.files.iter().zip(held) {
            let outcome = self.read_sibling(&source, sibling, held).with_context(context)?;
            if outcome != Outcome::Done {
                return Ok(outcome);
            }
        }
        Ok(if incomplete.is_some() { Outcome::Waiting } else { Outcome::Done })
    }

    /// Opens the log's files and knows them again. The picture is taken until nothing has changed meanwhile.
    fn recognize(
        &mut self,
        source: &str,
        path: &Path,
    ) -> anyhow::Result<(Siblings, Vec<Option<usize>>)> {
        const TRIES: u32 = 50;
        for _ in 0..TRIES {
            // The sink may commit at any time: what it had committed before the files are opened is in them.
            let committed = Committed::load(self.committed_by.as_deref())?;
            let mut siblings = Siblings::open(path, self.with_rotated)?;
            if let Some(committed) = committed {
                committed.limit(&mut siblings.files)?;
            }
            let known = &self.log(source).generations;
            let held = known::recognize(&mut siblings.files, known).or_exit(Exit::IoErr)?;
            if siblings.hold_still() {
                return Ok((siblings, held));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Exit::TempFail.error("its files are being changed all the time"))
    }

    /// The oldest gzip file that may still be being written.
    fn first_incomplete(
        &mut self,
        source: &str,
        files: &[Sibling],
        held: &[Option<usize>],
    ) -> io::Result<Option<usize>> {
        for (i, (file, held)) in files.iter().zip(held).enumerate() {
            let read = held.is_some_and(|k| self.log(source).generations[k].nothing_new(file));
            if !file.compressed || read || age(&file.seen) >= GIVEN_UP {
                continue;
            }
            if self.waits_for.as_ref() == Some(&file.seen) {
                return Ok(Some(i));
            }
            let mut unpacked = Unpacked::open(&file.file)?;
            unpacked.skip_to(u64::MAX)?;
            if unpacked.damage().is_some() {
                self.waits_for = Some(file.seen.clone());
                log::warn!(
                    "{} is an incomplete gzip file: it is read once it is complete, or was not changed for an hour",
                    file.path.display()
                );
                return Ok(Some(i));
            }
        }
        Ok(None)
    }

    /// Tells of what should have been read and is not there.
    fn report_gaps(
        &mut self,
        source: &str,
        held: &[Option<usize>],
        siblings: &Siblings,
    ) -> anyhow::Result<()> {
        let mut gaps = Vec::new();
        let with_rotated = self.with_rotated;
        let log = self.log(source);
        for (k, known) in log.generations.iter_mut().enumerate() {
            let gone = !held.contains(&Some(k));
            // Without the rotated files, one that was read to its end is not missed either.
            let whole = known.read && !known.half && (known.rotated || !with_rotated);
            let lost = gone && !known.gone && !whole;
            known.gone = gone;
            if lost {
                gaps.push(Gap {
                    source: source.to_owned(),
                    generation: Some(known.generation.clone()),
                    offset: Some(known.offset),
                    reason: format!(
                        "the file that was read up to byte {} is not there any more (removed, truncated, or edited); lines \
                         that were written to it after that are lost",
                        known.offset
                    ),
                });
            }
        }
        for (path, seen) in &siblings.unreadable {
            // Compression keeps the time of the last change: this tells a file that was read before it was compressed.
            let was_read = log
                .generations
                .iter()
                .any(|known| known.read && known.rotated && known.file.mtime == seen.mtime);
            if !was_read && !log.unreadable.contains(seen) {
                log.unreadable.push(seen.clone());
                gaps.push(Gap {
                    source: source.to_owned(),
                    generation: None,
                    offset: None,
                    reason: format!(
                        "{} is compressed in a way that is not read here (only gzip is)",
                        path.display()
                    ),
                });
            }
        }
        log.unreadable.retain(|seen| siblings.unreadable.iter().any(|(_, there)| there == seen));
        gaps.iter().try_for_each(|gap| self.gap(gap))
    }

    fn gap(&mut self, gap: &Gap) -> anyhow::Result<()> {
        log::warn!("{}: {}", gap.source, gap.reason);
        self.out.gap(gap)
    }

    fn read_sibling(
        &mut self,
        source: &str,
        sibling: &Sibling,
        held: Option<usize>,
    ) -> anyhow::Result<Outcome> {
        let k = if let Some(k) = held {
            let known = &mut self.log(source).generations[k];
            known.rotated = sibling.rotated;
            if known.nothing_new(sibling) {
                return Ok(Outcome::Done);
            }
            (known.file, known.read, known.half) = (sibling.seen.clone(), false, false);
            k
        } else {
            self.log(source).begin(&known::head(sibling).or_exit(Exit::IoErr)?, sibling)
        };
        let outcome = if sibling.compressed {
            self.read_gzip(source, sibling, k)
        } else {
            self.read_plain(source, sibling, k)
        }?;
        if outcome == Outcome::Done {
            self.log(source).generations[k].read = true;
        }
        Ok(outcome)
    }

    /// Called after each segment.
    fn after_segment(&mut self) -> anyhow::Result<Outcome> {
        if self.last_checkpoint.elapsed() >= CHECKPOINT_EVERY {
            self.last_checkpoint = Instant::now();
            let mut cursor = self.cursor.clone();
            cursor.logs.values_mut().for_each(Log::forget);
            self.out.checkpoint(&cursor)?;
        }
        Ok(if self.stop.is_set() { Outcome::Stopped } else { Outcome::Done })
    }

    fn read_plain(&mut self, source: &str, sibling: &Sibling, k: usize) -> anyhow::Result<Outcome> {
        let generation = self.log(source).generations[k].generation.clone();
        let mut offset = self.log(source).generations[k].offset;
        let segment = |offset, length| segment(source, &generation, offset, length, &sibling.seen);
        loop {
            let target = (offset + SEGMENT).min(sibling.seen.size);
            let small = target.saturating_sub(offset) <= SMALL;
            let mut bytes = Vec::new();
            let end = if small {
                bytes = known::read_at(sibling, offset, target.saturating_sub(offset))
                    .or_exit(Exit::IoErr)?;
                bytes.truncate(memchr::memrchr(b'\n', &bytes).map_or(0, |newline| newline + 1));
                offset + bytes.len() as u64
            } else {
                last_line_end(sibling, offset, target).or_exit(Exit::IoErr)?
            };
            if end == offset {
                break;
            }
            // By these the file is known again, so they are read while it still holds what is about to be sent.
            let window = end.min(WINDOW);
            let head = known::read_at(sibling, 0, window).or_exit(Exit::IoErr)?;
            let tail = known::read_at(sibling, end - window, window).or_exit(Exit::IoErr)?;
            let whole = head.len() as u64 == window && tail.len() as u64 == window;
            if small {
                // Truncated meanwhile, and grown again: what was read is not what follows the position. The next look sees.
                let overlap = bytes.len().min(tail.len());
                let same = whole
                    && tail.ends_with(&bytes[bytes.len() - overlap..])
                    && (offset > 0 || bytes.starts_with(&head))
                    && (offset == 0
                        || self.log(source).generations[k].is_in(sibling).or_exit(Exit::IoErr)?);
                if !same {
                    return Ok(Outcome::Waiting);
                }
                self.out.bytes(&segment(offset, end - offset), &[&bytes])?;
            } else {
                self.out.range(&segment(offset, end - offset), &sibling.file)?;
                // Sending waits for the reader: meanwhile it may have been truncated, and have grown again.
                let same = known::read_at(sibling, 0, window).or_exit(Exit::IoErr)? == head
                    && known::read_at(sibling, end - window, window).or_exit(Exit::IoErr)? == tail
                    && (offset == 0
                        || self.log(source).generations[k].is_in(sibling).or_exit(Exit::IoErr)?);
                if !whole || !same {
                    return Err(Exit::TempFail.error(
                        "it was truncated while it was read; the next run reads what is there then",
                    ));
                }
            }
            self.progress.advance(end - offset);
            offset = end;
            self.log(source).generations[k].advance(offset, &head, &tail);
            if self.after_segment()? == Outcome::Stopped {
                return Ok(Outcome::Stopped);
            }
        }
        let known = &mut self.log(source).generations[k];
        known.half = offset < sibling.seen.size;
        if !sibling.rotated {
            known.mark(sibling).or_exit(Exit::IoErr)?;
        }
        Ok(Outcome::Done)
    }

    /// Like `read_plain`, but the last line need not have a newline: a compressed file does not grow any more.
    fn read_gzip(&mut self, source: &str, sibling: &Sibling, k: usize) -> anyhow::Result<Outcome> {
        let name = sibling.path.display();
        let generation = self.log(source).generations[k].generation.clone();
        let gap = |offset, reason| Gap {
            source: source.to_owned(),
            generation: Some(generation.clone()),
            offset: Some(offset),
            reason,
        };
        let head = known::head(sibling).or_exit(Exit::IoErr)?;
        let mut unpacked = Unpacked::open(&sibling.file).or_exit(Exit::IoErr)?;
        unpacked.skip_to(self.log(source).generations[k].offset).or_exit(Exit::IoErr)?;
        loop {
            let offset = unpacked.position();
            match unpacked.next().or_exit(Exit::IoErr)? {
                None => break,
                Some(Piece::TooLong(length)) => {
                    self.gap(&gap(
                        offset,
                        format!("{name}: a line of {length} bytes at byte {offset} was skipped"),
                    ))?;
                }
                Some(Piece::Lines(lines)) => {
                    // A record is a line: the last one gets the newline that the file lacks.
                    let newline: &[u8] = if lines.ends_with(b"\n") { b"" } else { b"\n" };
                    let length = (lines.len() + newline.len()) as u64;
                    let segment = segment(source, &generation, offset, length, &sibling.seen);
                    self.out.bytes(&segment, &[lines, newline])?;
                }
            }
            let end = unpacked.position();
            self.progress.advance(end - offset);
            let head = &head[..usize::try_from(end).unwrap_or(usize::MAX).min(head.len())];
            self.log(source).generations[k].advance(end, head, unpacked.window());
            if self.after_segment()? == Outcome::Stopped {
                return Ok(Outcome::Stopped);
            }
        }
        if let Some(damage) = unpacked.damage() {
            let offset = unpacked.position();
            self.gap(&gap(
                offset,
                format!(
                    "{name} is damaged at byte {offset} ({damage}); the lines before it were read"
                ),
            ))?;
        }
        Ok(Outcome::Done)
    }
}

fn segment<'a>(
    source: &str,
    generation: &str,
    offset: u64,
    length: u64,
    seen: &Seen,
) -> Segment<'a> {
    let mtime = DateTime::from_timestamp_nanos(seen.mtime).fixed_offset();
    Segment {
        source: source.to_owned(),
        generation: generation.to_owned(),
        offset,
        length,
        mtime: Timestamp::from(mtime),
    }
}

/// How long ago a file was last written to. A clock that was set back makes it neither old nor new: the distance counts.
fn age(seen: &Seen) -> Duration {
    let nanoseconds = Utc::now().timestamp_nanos_opt().unwrap_or(0).abs_diff(seen.mtime);
    Duration::from_nanos(nanoseconds)
}

/// The end of the last whole line that begins in `offset..target`, or `offset` where there is none in the file. A line that
/// is longer than that is taken whole.
fn last_line_end(sibling: &Sibling, offset: u64, target: u64) -> io::Result<u64> {
    const STEP: u64 = 64 * 1024;
    let mut high = target;
    while high > offset {
        let low = high.saturating_sub(STEP).max(offset);
        if let Some(newline) = memchr::memrchr(b'\n', &known::read_at(sibling, low, high - low)?) {
            return Ok(low + newline as u64 + 1);
        }
        high = low;
    }
    let mut low = target;
    while low < sibling.seen.size {
        let bytes = known::read_at(sibling, low, STEP.min(sibling.seen.size - low))?;
        if let Some(newline) = memchr::memchr(b'\n', &bytes) {
            return Ok(low + newline as u64 + 1);
        }
        if bytes.is_empty() {
            break;
        }
        low += bytes.len() as u64;
    }
    Ok(offset)
}
