//! Reads lines from a terminal.

use std::io::{self, Write};
use std::os::fd::AsFd;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, poll};

use crate::signals::Signals;

/// If a line is longer than this number of bytes, reading ends.
const LONGEST_LINE: usize = 64 * 1024;

/// Standard input. Reading stops when a signal arrives.
pub(crate) struct Terminal<'a> {
    signals: &'a Signals,
    pending: Vec<u8>,
}

impl<'a> Terminal<'a> {
    pub(crate) fn new(signals: &'a Signals) -> Self {
        Self { signals, pending: Vec::new() }
    }

    /// Shows a prompt and returns the line that follows, trimmed; `None` at the end of the input.
    pub(crate) fn read_line(&mut self, prompt: &str) -> anyhow::Result<Option<String>> {
        say(prompt)?;
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=end).collect();
                return Ok(Some(String::from_utf8_lossy(&line).trim().to_owned()));
            }
            if self.pending.len() > LONGEST_LINE || !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Reads the available bytes. Returns false at the end of the input.
    fn fill(&mut self) -> anyhow::Result<bool> {
        let stdin = io::stdin();
        let descriptors = &mut [
            PollFd::new(&stdin, PollFlags::IN),
            PollFd::from_borrowed_fd(self.signals.arrival.as_fd(), PollFlags::IN),
        ];
        match poll(descriptors, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let has_input = !descriptors[0].revents().is_empty();
        if let Err(interrupted) = self.signals.check() {
            say("\n")?;
            return Err(interrupted.into());
        }
        if !has_input {
            return Ok(true);
        }
        let mut buffer = [0; 4096];
        // Read without a buffer, because `poll` does not see bytes in the buffer of `Stdin`.
        let length = rustix::io::read(&stdin, &mut buffer)?;
        self.pending.extend_from_slice(&buffer[..length]);
        Ok(length > 0)
    }

    /// Asks a question. An answer that begins with `y` or `Y` means yes.
    pub(crate) fn confirm(&mut self, question: &str) -> anyhow::Result<bool> {
        let line = self.read_line(&format!("{question} [y/N] "))?;
        Ok(line.is_some_and(|line| line.starts_with(['y', 'Y'])))
    }
}

pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing standard output")
}
