//! The output of mls-tail: unchanged lines, or frames.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use mls_diag::{Exit, OrExit, count};
use mls_event::{Begin, Body, Checkpoint, End, Gap, MAX_LINE, Segment};
use mls_rotation::ChainFile;
use mls_state::cursor_file::CursorFile;
use mls_stream::ndjson::{OutputClosed, PIPE_SIZE, Writer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{SpliceFlags, splice};

use crate::cursor::Cursor;
use crate::signal::Stop;

const COPY: u64 = 256 * 1024;

/// The longest time between two checkpoints while data flows.
pub(crate) const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

pub(crate) struct Output {
    writer: Writer,
    framed: bool,
    splices: bool,
    /// Without `--framed`: the cursor file that mls-tail saves.
    saved_to: Option<PathBuf>,
    sequence: u64,
    /// The last cursor that was written to the sink or to the cursor file.
    last_cursor: Cursor,
    /// The number of bytes of lines that were written.
    written: u64,
}

impl Output {
    /// Begins to write to standard output. `sequence` is the sequence number of the commit that
    /// holds `cursor`.
    pub(crate) fn stdout(
        framed: bool,
        cursor_file: Option<PathBuf>,
        sequence: u64,
        cursor: Cursor,
    ) -> anyhow::Result<Self> {
        let writer = Writer::stdout()?;
        let splices = rustix::pipe::fcntl_getpipe_size(writer.as_fd()).is_ok();
        let saved_to = cursor_file.filter(|_| !framed);
        let mut out =
            Self { writer, framed, splices, saved_to, sequence, last_cursor: cursor, written: 0 };
        // Write this record at once: it makes the later tools of the pipeline ignore signals.
        out.control(&Begin { base: sequence })?;
        out.writer.flush()?;
        Ok(out)
    }

    /// Waits for `input`, a signal or `timeout`. Fails if the reader of the output has exited.
    pub(crate) fn wait(
        &self,
        stop: &Stop,
        input: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
    ) -> anyhow::Result<()> {
        let mut fds = vec![PollFd::from_borrowed_fd(self.writer.as_fd(), PollFlags::empty())];
        let inputs = stop.as_fd().into_iter().chain(input);
        fds.extend(inputs.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        // If the wait fails or ends early, this only causes one more pass.
        let _ = poll(&mut fds, timeout.as_ref());
        if fds[0].revents().contains(PollFlags::ERR) { Err(OutputClosed.into()) } else { Ok(()) }
    }

    pub(crate) fn gap(&mut self, gap: &Gap) -> anyhow::Result<()> {
        self.control(gap)
    }

    /// Writes a checkpoint after all data up to `cursor`, and flushes the output.
    pub(crate) fn checkpoint(&mut self, cursor: &Cursor) -> anyhow::Result<()> {
        if self.framed && self.last_cursor != *cursor {
            let mut line = Vec::new();
            Checkpoint { cursor: serde_json::to_value(cursor).or_exit(Exit::Software)? }
                .write_line(&mut line);
            if line.len() > MAX_LINE {
                let logs = cursor.logs.len();
                let files: usize = cursor.logs.values().map(|log| log.generations.len()).sum();
                return Err(Exit::Config.error(format!(
                    "one cursor file (at most {MAX_LINE} bytes) cannot hold {} with {}; remove \
                     the oldest rotated files, use --no-rotated, or read some of the logs in \
                     another pipeline with its own cursor file",
                    count(logs as u64, "log", "logs"),
                    count(files as u64, "file", "files")
                )));
            }
            self.writer.with(|buffer| buffer.extend_from_slice(&line))?;
            self.last_cursor = cursor.clone();
        }
        self.writer.flush()
    }

    /// Must be called when there is nothing more to read for now. Writes a checkpoint. Without
    /// `--framed`, saves the cursor.
    pub(crate) fn done(&mut self, cursor: &Cursor) -> anyhow::Result<()> {
        self.checkpoint(cursor)?;
        if let Some(path) = self.saved_to.as_ref().filter(|_| self.last_cursor != *cursor) {
            let value = serde_json::to_value(cursor).or_exit(Exit::Software)?;
            let saved = CursorFile::next(self.sequence, value, None);
            saved.store(path)?;
            (self.sequence, self.last_cursor) = (saved.sequence, cursor.clone());
        }
        Ok(())
    }

    pub(crate) fn end(&mut self) -> anyhow::Result<()> {
        self.control(&End {})?;
        self.writer.flush()
    }

    pub(crate) fn summarize(&self, log: &str) {
        mls_diag::summary(format_args!(
            "read {} of new lines of {log}",
            count(self.written, "byte", "bytes")
        ));
    }

    fn control(&mut self, record: &impl Body) -> anyhow::Result<()> {
        if self.framed { self.writer.record(record) } else { Ok(()) }
    }

    /// Writes whole lines from memory.
    pub(crate) fn bytes(&mut self, segment: &Segment<'_>, parts: &[&[u8]]) -> anyhow::Result<()> {
        self.control(segment)?;
        self.written += segment.length;
        self.writer.with(|buffer| parts.iter().for_each(|part| buffer.extend_from_slice(part)))
    }

    /// Writes whole lines of a file. If the output is a pipe, the kernel moves them from the page
    /// cache without a copy.
    pub(crate) fn range(&mut self, segment: &Segment<'_>, file: &ChainFile) -> anyhow::Result<()> {
        self.control(segment)?;
        self.writer.flush()?;
        let end = segment.offset + segment.length;
        let mut offset = segment.offset;
        while offset < end {
            let sent = if self.splices {
                self.splice(&file.file, offset, end - offset)
            } else {
                self.copy(file, offset, end - offset)
            }?;
            if sent == 0 {
                return Err(Exit::TempFail.error(format!(
                    "{} was truncated while it was read; the next run reads its new content",
                    segment.source
                )));
            }
            offset += sent;
        }
        self.written += segment.length;
        Ok(())
    }

    fn splice(&self, file: &File, mut offset: u64, length: u64) -> anyhow::Result<u64> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(PIPE_SIZE);
        loop {
            return match splice(
                file,
                Some(&mut offset),
                self.writer.as_fd(),
                None,
                length,
                SpliceFlags::empty(),
            ) {
                Ok(sent) => Ok(sent as u64),
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::PIPE) => Err(OutputClosed.into()),
                Err(errno) => Err(io::Error::from(errno))
                    .context("writing standard output")
                    .or_exit(Exit::IoErr),
            };
        }
    }

    fn copy(&mut self, file: &ChainFile, offset: u64, length: u64) -> anyhow::Result<u64> {
        let bytes = file.read_at(offset, length.min(COPY));
        let bytes = bytes.context("reading the log").or_exit(Exit::IoErr)?;
        self.writer.with(|out| out.extend_from_slice(&bytes))?;
        Ok(bytes.len() as u64)
    }
}
