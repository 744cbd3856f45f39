//! The bounded reader of lines, which reports when its input pauses, and the buffered writer.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use mls_event::{Body, MAX_LINE};

use crate::content;
use crate::input::Input;
use crate::unreadable::BadLineCounter;
use mls_diag::{Exit, OrExit};

/// The initial size of the reader's buffer, and the size at which the writer flushes, in bytes.
const BUFFER: usize = 256 * 1024;

/// The size in bytes to which every process may enlarge a pipe, if `/proc/sys/fs/pipe-max-size` has
/// its default value. A larger size needs a privilege.
pub const PIPE_SIZE: usize = 1 << 20;

/// Reads lines of at most [`MAX_LINE`] bytes. Longer lines are reported as bad records and skipped.
pub struct Reader {
    input: Input,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    line: u64,
    /// Number of bytes of the input that have left the buffer.
    gone: u64,
    unreadable: BadLineCounter,
}

impl Reader {
    /// Reads standard input, which messages call `stdin`.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn stdin() -> io::Result<Self> {
        Input::stdin().map(Self::of)
    }

    /// Reads a pipe, which messages call `name`.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn pipe(pipe: OwnedFd, name: &str) -> io::Result<Self> {
        Input::pipe(pipe, name).map(Self::of)
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
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            line: 0,
            gone: 0,
            unreadable: BadLineCounter::default(),
        }
    }

    /// Call this if an earlier reader has read lines of this input. Then [`next`](Self::next) does
    /// not fail if all lines of this reader are bad.
    #[must_use]
    pub fn continued(mut self) -> Self {
        self.unreadable.continues();
        self
    }

    /// From now on, waiting for input ends with [`OutputClosed`] when the reader of standard output
    /// exits. Without this call, tools of a pipeline would wait for input for ever.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn watch_stdout(&mut self) -> io::Result<()> {
        self.input.watch_stdout()
    }

    /// The name of the input in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        self.input.name()
    }

    /// The number of the line that [`next`](Self::next) returned last, from 1.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The number of bytes of the input up to the end of the line that [`next`](Self::next)
    /// returned last.
    #[must_use]
    pub fn consumed(&self) -> u64 {
        self.gone + self.start as u64
    }

    /// Reports the line that `next` returned last as a bad record.
    pub fn bad(&mut self, why: impl std::fmt::Display) {
        let location = format_args!("{}, line {}", self.input.name(), self.line);
        self.unreadable.bad(location, why);
    }

    /// The next line that is not blank, without its newline. The last line may lack a newline.
    /// Calls `pause` before a read that would wait.
    ///
    /// # Errors
    /// Exit 65 if the input is not text, or has raw lines of `mls-tail --framed`; at the end also
    /// if [`bad`](Self::bad) was called for each line. Also the errors of reading and of `pause`.
    pub fn next(
        &mut self,
        pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<&[u8]>> {
        Ok(self.next_at(pause)?.map(|(_, line)| line))
    }

    /// Does the same as [`next`](Self::next), and also returns the offset in the input at which the
    /// line begins.
    ///
    /// # Errors
    /// Those of [`next`](Self::next).
    pub fn next_at(
        &mut self,
        mut pause: impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<(u64, &[u8])>> {
        let (start, end) = loop {
            let Some((start, end)) = self.next_line(&mut pause)? else {
                self.unreadable.check(self.input.name())?;
                return Ok(None);
            };
            self.line += 1;
            self.unreadable.line(&self.buffer[start..end]);
            if end - start >= MAX_LINE {
                self.bad("a line longer than 1 MiB was skipped");
            } else if !self.buffer[start..end].trim_ascii().is_empty() {
                break (start, end);
            }
        };
        if self.line == 1 {
            content::check(self.name(), &self.buffer[start..end])?;
        }
        // Without this check, each raw line would be skipped as a bad record. A later checkpoint
        // would be committed, and no run would read these lines again.
        if self.buffer[start..end].starts_with(br#"{"v":1,"type":"segment""#) {
            return Err(Exit::DataErr.error(format!(
                "{}, line {}: the input has raw lines instead of records; put mls-parse or mls-csv \
                 --decode between mls-tail --framed and this tool",
                self.name(),
                self.line
            )));
        }
        Ok(Some((self.gone + start as u64, &self.buffer[start..end])))
    }

    /// The start and end of the next line in the buffer. A line that is too long is read to its end
    /// and returned as `MAX_LINE` bytes.
    fn next_line(
        &mut self,
        pause: &mut impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<(usize, usize)>> {
        let mut searched = 0;
        let mut too_long = false;
        loop {
            let newline = memchr::memchr(b'\n', &self.buffer[self.start + searched..self.end]);
            if let Some(newline) = newline {
                let line = (self.start, self.start + searched + newline);
                self.start = line.1 + 1;
                return Ok(Some(if too_long { (0, MAX_LINE) } else { line }));
            }
            searched = self.end - self.start;
            if searched >= MAX_LINE {
                too_long = true;
                self.gone += self.end as u64;
                (self.start, self.end, searched) = (0, 0, 0);
            }
            if self.fill(pause)? == 0 {
                let line = (self.start, self.end);
                self.start = self.end;
                return Ok(if too_long {
                    Some((0, MAX_LINE))
                } else {
                    (line.0 < line.1).then_some(line)
                });
            }
        }
    }

    fn fill(&mut self, pause: &mut impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.gone += self.start as u64;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize((self.end * 2).min(MAX_LINE.max(self.end + 1)), 0);
        }
        let unreadable = &mut self.unreadable;
        let n = self.input.read(&mut self.buffer[self.end..], pause, || unreadable.report())?;
        self.end += n;
        Ok(n)
    }
}

/// The reader of standard output has exited (EPIPE). That is not an error, but the end of the run.
#[derive(Debug, thiserror::Error)]
#[error("the reader of standard output has exited")]
pub struct OutputClosed;

/// Whether [`OutputClosed`] is a cause of `error`.
#[must_use]
pub fn output_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.is::<OutputClosed>()
            || cause
                .downcast_ref::<io::Error>()
                .and_then(io::Error::get_ref)
                .is_some_and(<dyn std::error::Error + Send + Sync>::is::<OutputClosed>)
    })
}

/// Buffered standard output without the line buffering of `std::io::Stdout`.
pub struct Writer {
    out: File,
    buffer: Vec<u8>,
}

impl Writer {
    /// Writes to standard output.
    ///
    /// # Errors
    /// If the descriptor cannot be duplicated.
    pub fn stdout() -> io::Result<Self> {
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        // With a larger pipe, the kernel switches less often between writer and reader. Ignore an
        // error: standard output may not be a pipe, or the pipes of the user have reached their
        // limit.
        let _ = rustix::pipe::fcntl_setpipe_size(&out, PIPE_SIZE);
        Ok(Self { out, buffer: Vec::with_capacity(2 * BUFFER) })
    }

    /// Appends a record and its newline.
    ///
    /// # Errors
    /// See [`flush`](Self::flush).
    pub fn record(&mut self, record: &impl Body) -> anyhow::Result<()> {
        self.with(|buffer| record.write_line(buffer))
    }

    /// Appends `line` and a newline.
    ///
    /// # Errors
    /// See [`flush`](Self::flush).
    pub fn line(&mut self, line: &[u8]) -> anyhow::Result<()> {
        self.with(|buffer| {
            buffer.extend_from_slice(line);
            buffer.push(b'\n');
        })
    }

    /// Lets `append` write whole lines at the end of the buffer.
    ///
    /// # Errors
    /// See [`flush`](Self::flush).
    pub fn with<T>(&mut self, append: impl FnOnce(&mut Vec<u8>) -> T) -> anyhow::Result<T> {
        let result = append(&mut self.buffer);
        if self.buffer.len() >= BUFFER {
            self.flush()?;
        }
        Ok(result)
    }

    /// Writes the buffer out.
    ///
    /// # Errors
    /// [`OutputClosed`] if the reader has exited, else exit 74.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        let result = write_all(&mut self.out, &self.buffer);
        self.buffer.clear();
        result
    }

    /// The descriptor, for `splice`. The caller must flush the buffer first.
    #[must_use]
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.out.as_fd()
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|buffer| buffer.extend_from_slice(bytes)).map_err(io_error)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Self::flush(self).map_err(io_error)
    }
}

/// Converts `error` so that [`output_closed`] recognizes the result too.
fn io_error(error: anyhow::Error) -> io::Error {
    if output_closed(&error) { io::Error::other(OutputClosed) } else { io::Error::other(error) }
}

fn write_all(out: &mut File, bytes: &[u8]) -> anyhow::Result<()> {
    match out.write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        result => result.context("writing standard output").or_exit(Exit::IoErr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: &'static [u8]) -> Vec<String> {
        let mut reader = Reader::new(Box::new(input), "memory");
        let mut lines = Vec::new();
        while let Some(line) = reader.next(|| Ok(())).unwrap() {
            let line = String::from_utf8(line.to_vec()).unwrap();
            lines.push(format!("{}:{line}", reader.line()));
        }
        lines
    }

    #[test]
    fn blank_lines_count_and_a_last_line_may_lack_its_newline() {
        assert_eq!(lines(b"a\n\n \nb\nc"), ["1:a", "4:b", "5:c"]);
        assert_eq!(lines(b""), [""; 0]);
    }

    #[test]
    fn each_line_has_the_offset_at_which_it_begins() {
        let long = vec![b'x'; 3 * MAX_LINE];
        let input =
            Box::leak([b"a\n\n \nbb\n", &long[..], b"\nccc\nd"].concat().into_boxed_slice());
        let mut reader = Reader::new(Box::new(&*input), "memory");
        for line in [&b"a"[..], b"bb", b"ccc", b"d"] {
            let (offset, found) = reader.next_at(|| Ok(())).unwrap().unwrap();
            assert_eq!(found, line);
            assert!(input[usize::try_from(offset).unwrap()..].starts_with(line));
        }
        assert!(reader.next(|| Ok(())).unwrap().is_none());
        assert_eq!(reader.consumed(), input.len() as u64);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped_in_bounded_memory_and_the_next_one_is_read() {
        let long = Box::leak(
            [vec![b'x'; 5 * MAX_LINE], b"\nnext\n".to_vec(), vec![b'y'; MAX_LINE]]
                .concat()
                .into_boxed_slice(),
        );
        assert_eq!(lines(long), ["2:next"]);
        let fits =
            Box::leak([vec![b'x'; MAX_LINE - 1], b"\nnext".to_vec()].concat().into_boxed_slice());
        assert_eq!(lines(fits).len(), 2);
    }
}
