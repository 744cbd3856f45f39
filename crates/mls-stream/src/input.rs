//! The source of bytes that a tool reads.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::ndjson::OutputClosed;
use mls_diag::{Exit, OrExit};

/// Warns if standard input is a terminal. Without the warning, a new user would not know that the
/// tool waits for input.
pub fn warn_if_terminal() {
    if io::stdin().is_terminal() {
        log::warn!(
            "reading from the terminal until Ctrl-D; give the input with < FILE or a pipe, as in the \
             examples of --help"
        );
    }
}

/// A source of bytes that reports when a read would wait.
pub(crate) struct Input {
    source: Box<dyn Read + Send>,
    /// The descriptor to poll before a read; `None` for sources that never wait.
    pollable: Option<File>,
    /// Standard output: its reader may exit while this tool waits for input.
    output: Option<File>,
    name: String,
}

impl Input {
    /// Standard input, which messages call `stdin`.
    pub(crate) fn stdin() -> io::Result<Self> {
        warn_if_terminal();
        Self::pipe(io::stdin().as_fd().try_clone_to_owned()?, "stdin")
    }

    pub(crate) fn pipe(pipe: OwnedFd, name: &str) -> io::Result<Self> {
        let source = File::from(pipe);
        let pollable = Some(source.try_clone()?);
        Ok(Self { pollable, ..Self::new(Box::new(source), name) })
    }

    /// A source that never makes its reader wait, such as a file or memory.
    pub(crate) fn new(source: Box<dyn Read + Send>, name: impl Into<String>) -> Self {
        Self { source, pollable: None, output: None, name: name.into() }
    }

    /// From now on, waiting ends with [`OutputClosed`] when the reader of standard output exits.
    /// Without this call, tools of a pipeline would wait for input for ever.
    pub(crate) fn watch_stdout(&mut self) -> io::Result<()> {
        self.output = Some(File::from(io::stdout().as_fd().try_clone_to_owned()?));
        Ok(())
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Reads the available bytes, at least one. At the end of the input, reads none. Calls `pause`
    /// before a read that would wait, and `silent` if nothing comes for some seconds.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        pause: impl FnOnce() -> anyhow::Result<()>,
        silent: impl FnOnce(),
    ) -> anyhow::Result<usize> {
        if let Some(pollable) = self.pollable.as_ref().filter(|input| would_wait(input)) {
            pause()?;
            if !wait_for(pollable, self.output.as_ref(), Some(&SILENT))? {
                silent();
                wait_for(pollable, self.output.as_ref(), None)?;
            }
        }
        loop {
            match self.source.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    return read
                        .with_context(|| format!("reading {}", self.name))
                        .or_exit(Exit::IoErr);
                }
            }
        }
    }
}

/// Whether reading from `input` now would wait for somebody to write.
pub fn would_wait(input: impl AsFd) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(input.as_fd(), PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(0))
}

/// The time after which an input without new bytes is silent. Bad lines are then reported, because
/// the next good line may come much later.
const SILENT: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Waits for input, at most for `timeout`. Returns whether a read would return at once. Fails if
/// the reader of the output exits first.
fn wait_for(
    input: &File,
    output: Option<&File>,
    timeout: Option<&Timespec>,
) -> anyhow::Result<bool> {
    let input = PollFd::new(input, PollFlags::IN);
    let output = output.map(|output| PollFd::new(output, PollFlags::empty()));
    let mut fds: Vec<_> = [input].into_iter().chain(output).collect();
    // If a signal interrupts the poll, the read waits instead.
    let is_silent = matches!(poll(&mut fds, timeout), Ok(0));
    let is_closed = fds.get(1).is_some_and(|output| output.revents().contains(PollFlags::ERR));
    if is_closed { Err(OutputClosed.into()) } else { Ok(!is_silent) }
}
