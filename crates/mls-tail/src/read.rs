//! Reads the new lines of one file.

use std::io;
use std::time::Instant;

use chrono::DateTime;
use mls_diag::{Exit, OrExit, count};
use mls_event::{ContainerStream, Gap, MAX_BEFORE, MAX_LINE, Segment, Timestamp, without_nul};
use mls_rotation::{ChainFile, Piece};
use mls_state::cursor_file::WINDOW;

use crate::cursor::{Cursor, Generation};
use crate::open_log::OpenLog;
use crate::output::{CHECKPOINT_EVERY, Output};
use crate::progress::Progress;
use crate::signal::Stop;
use crate::tail::PassEnd;

/// The largest length of a segment, in bytes. If a segment is one long line, it can be longer.
const SEGMENT: u64 = 1 << 20;

/// A segment up to this length is read before its header is written. So the header never announces
/// a wrong length, even if the log is truncated meanwhile.
const SMALL: u64 = 256 * 1024;

pub(crate) struct Delivery {
    pub(crate) out: Output,
    pub(crate) progress: Progress,
    pub(crate) stop: Stop,
    last_checkpoint: Instant,
}

impl Delivery {
    pub(crate) fn new(out: Output, stop: Stop) -> Self {
        Self { out, progress: Progress::default(), stop, last_checkpoint: Instant::now() }
    }

    pub(crate) fn gap(&mut self, gap: &Gap) -> anyhow::Result<()> {
        log::warn!("{}: {}", gap.source, gap.reason);
        self.out.gap(gap)
    }

    fn after_segment(&mut self, cursor: &Cursor) -> anyhow::Result<PassEnd> {
        if self.last_checkpoint.elapsed() >= CHECKPOINT_EVERY {
            self.last_checkpoint = Instant::now();
            let mut cursor = cursor.clone();
            cursor.forget();
            self.out.checkpoint(&cursor)?;
        }
        Ok(if self.stop.is_set() { PassEnd::Stopped } else { PassEnd::Done })
    }
}

/// One file of an open log, and the generation that it holds.
struct OpenFile<'log, 'run> {
    log: &'log mut OpenLog<'run>,
    /// The index of the file in the chain.
    n: usize,
    /// The index of the generation of the file.
    k: usize,
}

impl OpenLog<'_> {
    pub(crate) fn read_file(
        &mut self,
        n: usize,
        delivery: &mut Delivery,
    ) -> anyhow::Result<PassEnd> {
        let file = &self.chain.files[n];
        let (stat, is_rotated) = (file.stat.clone(), file.is_rotated);
        let k = if let Some(k) = self.held[n] {
            if self.generations()[k].has_nothing_new_in(file) {
                self.state_mut().generations[k].is_rotated = is_rotated;
                return Ok(PassEnd::Done);
            }
            k
        } else {
            let head = file.head().or_exit(Exit::IoErr)?;
            let state = self.cursor.logs.entry(self.name.to_owned()).or_default();
            state.begin(&head, &self.chain.files[n])
        };
        self.held[n] = Some(k);
        if let Some(gap) = self.restore_last_lines().or_exit(Exit::IoErr)? {
            delivery.gap(&gap)?;
        }
        let generation = &mut self.state_mut().generations[k];
        (generation.file, generation.is_rotated) = (stat, is_rotated);
        (generation.is_read, generation.has_half_line) = (false, false);
        let path = self.chain.files[n].path.display();
        log::debug!("{path}: reading from byte {} on", self.generations()[k].offset);
        let is_compressed = self.chain.files[n].compression.is_some();
        let mut file = OpenFile { log: self, n, k };
        let outcome =
            if is_compressed { file.read_compressed(delivery) } else { file.read_plain(delivery) }?;
        if outcome == PassEnd::Done {
            file.generation_mut().is_read = true;
        }
        Ok(outcome)
    }
}

impl OpenFile<'_, '_> {
    fn file(&self) -> &ChainFile {
        &self.log.chain.files[self.n]
    }

    fn generation(&self) -> &Generation {
        &self.log.generations()[self.k]
    }

    fn generation_mut(&mut self) -> &mut Generation {
        &mut self.log.state_mut().generations[self.k]
    }

    /// `mtime` is the earlier of two times, because each can be too late: the last change of the
    /// file, if somebody copied the file; and `compressed_at`, the time in a gzip header, if a
    /// program compressed an old log and then gave the file its old time.
    fn segment(&self, offset: u64, length: u64, compressed_at: Option<i64>) -> Segment<'static> {
        let changed = self.file().stat.mtime;
        let written = compressed_at.map_or(changed, |compressed| compressed.min(changed));
        let mtime = DateTime::from_timestamp_nanos(written).fixed_offset();
        Segment {
            source: self.log.name.to_owned(),
            generation: self.generation().name.clone(),
            offset,
            length,
            mtime: Timestamp::from(mtime),
            before: self.log.last_lines().to_owned(),
        }
    }

    fn remember(&mut self, lines: &[u8]) {
        self.log.state_mut().last_lines.add(lines);
    }

    /// Remembers the last lines between `offset` and the end of `window`. Reads no more bytes than
    /// needed.
    fn remember_window(&mut self, offset: u64, window: &EndBytes) -> io::Result<()> {
        let length = window.end - offset;
        let text = window.tail.strip_suffix(b"\n").unwrap_or(&window.tail);
        let line = if let Some(newline) = memchr::memrchr(b'\n', text) {
            ContainerStream::of_line(&text[newline + 1..])
        } else {
            // The beginning and the end of a line are enough to find the stream of its container.
            let begin = self.file().line_begin(offset, window.end - 1)?.unwrap_or(offset);
            let front = (window.end - begin).min(MAX_BEFORE as u64);
            ContainerStream::of_line(&[&self.file().read_at(begin, front)?[..], text].concat())
        };
        if length > MAX_LINE as u64 {
            // The segment is one line. Without the NUL bytes before its text, the line may be short
            // enough.
            let start = after_nuls(self.file(), offset, window.end)?;
            if window.end - start > MAX_LINE as u64 {
                self.log.state_mut().last_lines.skip(line);
                return Ok(());
            }
            let line = self.file().read_at(start, window.end - start)?;
            self.remember(&line);
            return Ok(());
        }
        // Read one byte more: if it is a newline, a line begins after it.
        let start = window.end.saturating_sub(MAX_BEFORE as u64 + 1).max(offset);
        let mut lines = self.file().read_at(start, window.end - start)?;
        // If there is a line of a container, all lines of the segment may be needed. If the first
        // byte is NUL, its line may begin earlier. In both cases, read the whole segment.
        let mut last = lines.split(|byte| *byte == b'\n').skip(usize::from(start > offset));
        let is_after_nul = lines.starts_with(b"\0");
        if is_after_nul
            || line.is_some()
            || last.any(|line| ContainerStream::of_line(line).is_some())
        {
            lines = self.file().read_at(offset, length)?;
        }
        self.remember(&lines);
        Ok(())
    }

    fn gap(&self, offset: u64, reason: String) -> Gap {
        Gap {
            source: self.log.name.to_owned(),
            generation: Some(self.generation().name.clone()),
            offset: Some(offset),
            reason,
        }
    }

    fn read_plain(&mut self, delivery: &mut Delivery) -> anyhow::Result<PassEnd> {
        loop {
            let (offset, size) = (self.generation().offset, self.file().stat.size);
            let target = (offset + SEGMENT).min(size);
            let sent = if target.saturating_sub(offset) <= SMALL {
                self.send_small(offset, target, delivery)
            } else {
                self.send_range(offset, target, delivery)
            }?;
            match sent {
                Sent::Nothing => break,
                Sent::Changed => return Ok(PassEnd::Waiting),
                Sent::UpTo(window) => {
                    delivery.progress.advance(window.end - offset);
                    self.remember_window(offset, &window).or_exit(Exit::IoErr)?;
                    self.generation_mut().advance(window.end, &window.head, &window.tail);
                }
            }
            if delivery.after_segment(self.log.cursor)? == PassEnd::Stopped {
                return Ok(PassEnd::Stopped);
            }
        }
        self.finish_plain().or_exit(Exit::IoErr)?;
        Ok(PassEnd::Done)
    }

    fn finish_plain(&mut self) -> io::Result<()> {
        let size = self.file().stat.size;
        let file = &self.log.chain.files[self.n];
        let is_rotated = file.is_rotated;
        let state = self.log.cursor.logs.entry(self.log.name.to_owned()).or_default();
        let generation = &mut state.generations[self.k];
        generation.has_half_line = generation.offset < size;
        if is_rotated { Ok(()) } else { generation.mark(file) }
    }

    /// If the file was not truncated, sends the whole lines of `offset..target` from memory.
    fn send_small(
        &self,
        offset: u64,
        target: u64,
        delivery: &mut Delivery,
    ) -> anyhow::Result<Sent> {
        let length = target.saturating_sub(offset);
        let mut bytes = self.file().read_at(offset, length).or_exit(Exit::IoErr)?;
        bytes.truncate(memchr::memrchr(b'\n', &bytes).map_or(0, |newline| newline + 1));
        if bytes.is_empty() {
            return Ok(Sent::Nothing);
        }
        let window =
            EndBytes::read(self.file(), offset + bytes.len() as u64).or_exit(Exit::IoErr)?;
        let overlap = bytes.len().min(window.tail.len());
        let is_same = window.tail.ends_with(&bytes[bytes.len() - overlap..])
            && (offset > 0 || bytes.starts_with(&window.head))
            && self.is_after_position(&window).or_exit(Exit::IoErr)?;
        if !is_same {
            return Ok(Sent::Changed);
        }
        delivery.out.bytes(&self.segment(offset, bytes.len() as u64, None), &[&bytes])?;
        Ok(Sent::UpTo(window))
    }

    /// Sends the whole lines of `offset..target` directly from the file.
    fn send_range(
        &self,
        offset: u64,
        target: u64,
        delivery: &mut Delivery,
    ) -> anyhow::Result<Sent> {
        let end = last_line_end(self.file(), offset, target).or_exit(Exit::IoErr)?;
        if end == offset {
            return Ok(Sent::Nothing);
        }
        let window = EndBytes::read(self.file(), end).or_exit(Exit::IoErr)?;
        delivery.out.range(&self.segment(offset, end - offset, None), self.file())?;
        // `range` can wait until the next program reads. Meanwhile, the file may have been
        // truncated and may have grown again.
        if EndBytes::read(self.file(), end).or_exit(Exit::IoErr)? == window
            && self.is_after_position(&window).or_exit(Exit::IoErr)?
        {
            return Ok(Sent::UpTo(window));
        }
        Err(Exit::TempFail
            .error("the file was truncated during the run; the next run reads the new content"))
    }

    /// Whether the file was not truncated meanwhile: the file still contains the lines before the
    /// position, and all of `window`.
    fn is_after_position(&self, window: &EndBytes) -> io::Result<bool> {
        let generation = self.generation();
        Ok(window.is_whole() && (generation.offset == 0 || generation.is_in(self.file())?))
    }

    /// Reads the new lines of a compressed file. Unlike `read_plain`, also reads a last line
    /// without a newline, because a compressed file does not grow.
    fn read_compressed(&mut self, delivery: &mut Delivery) -> anyhow::Result<PassEnd> {
        let name = self.file().path.display().to_string();
        let head = self.file().head().or_exit(Exit::IoErr)?;
        let mut lines = self.file().lines().or_exit(Exit::IoErr)?;
        lines.skip_to(self.generation().offset).or_exit(Exit::IoErr)?;
        let compressed_at = lines.compressed_at();
        loop {
            let offset = lines.position();
            match lines.next().or_exit(Exit::IoErr)? {
                None => break,
                Some(Piece::Nul(_)) => {}
                Some(Piece::TooLong { length, container }) => {
                    delivery.gap(&self.gap(
                        offset,
                        format!(
                            "{name}: a line of {} at byte {offset} is too long and was skipped",
                            count(length, "byte", "bytes")
                        ),
                    ))?;
                    self.log.state_mut().last_lines.skip(container);
                }
                Some(Piece::Lines(lines)) => {
                    // If the last line of the file has no newline, add it.
                    let newline: &[u8] = if lines.ends_with(b"\n") { b"" } else { b"\n" };
                    let length = (lines.len() + newline.len()) as u64;
                    let segment = self.segment(offset, length, compressed_at.nanoseconds());
                    delivery.out.bytes(&segment, &[lines, newline])?;
                    if newline.is_empty() {
                        self.remember(lines);
                    } else {
                        self.remember(&[lines, newline].concat());
                    }
                }
            }
            let end = lines.position();
            delivery.progress.advance(end - offset);
            let head = &head[..usize::try_from(end).unwrap_or(usize::MAX).min(head.len())];
            self.generation_mut().advance(end, head, lines.window());
            if delivery.after_segment(self.log.cursor)? == PassEnd::Stopped {
                return Ok(PassEnd::Stopped);
            }
        }
        if let Some(damage) = lines.damage() {
            let offset = lines.position();
            delivery.gap(&self.gap(
                offset,
                format!(
                    "{name} is damaged at byte {offset} ({damage}); the lines before this byte were read"
                ),
            ))?;
            self.log.state_mut().last_lines.lose();
        }
        Ok(PassEnd::Done)
    }
}

enum Sent {
    Nothing,
    /// The file was truncated meanwhile, and nothing was sent. The next pass reads its new content.
    Changed,
    UpTo(EndBytes),
}

/// The bytes that identify a file that was read up to `end`.
#[derive(PartialEq, Eq)]
pub(crate) struct EndBytes {
    pub(crate) end: u64,
    pub(crate) head: Vec<u8>,
    pub(crate) tail: Vec<u8>,
}

impl EndBytes {
    pub(crate) fn read(file: &ChainFile, end: u64) -> io::Result<Self> {
        let length = end.min(WINDOW);
        let (head, tail) = (file.read_at(0, length)?, file.read_at(end - length, length)?);
        Ok(Self { end, head, tail })
    }

    fn is_whole(&self) -> bool {
        let length = self.end.min(WINDOW);
        self.head.len() as u64 == length && self.tail.len() as u64 == length
    }
}

/// The end of the last line that ends in `offset..target`. If no line ends in this range, the end
/// of the line at `offset`. If the line at `offset` has no newline, `offset`.
fn last_line_end(file: &ChainFile, offset: u64, target: u64) -> io::Result<u64> {
    if let Some(end) = file.line_begin(offset, target)? {
        return Ok(end);
    }
    let mut low = target;
    while low < file.stat.size {
        let bytes = file.read_at(low, STEP.min(file.stat.size - low))?;
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

/// The number of bytes that one step of a search reads.
const STEP: u64 = 64 * 1024;

/// The offset after the NUL bytes at the beginning of `offset..target`.
fn after_nuls(file: &ChainFile, mut offset: u64, target: u64) -> io::Result<u64> {
    while offset < target {
        let bytes = file.read_at(offset, (target - offset).min(STEP))?;
        let text = without_nul(&bytes);
        offset += (bytes.len() - text.len()) as u64;
        if !text.is_empty() || bytes.is_empty() {
            break;
        }
    }
    Ok(offset)
}
