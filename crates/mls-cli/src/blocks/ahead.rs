//! Reading on one core what is searched on the other.
//!
//! A thread reads and cuts at line ends; the buffers go round. A pipe is read with one copy in the kernel, which costs as much as
//! the search: side by side, the two take the time of one.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use anyhow::Context;
use mls_event::MAX_LINE;

use crate::{Exit, OrExit};

/// So many buffers are filled before the reader waits for one to be emptied.
const AHEAD: usize = 2;

/// Two of them fit the second-level cache.
const BUFFER: usize = 256 * 1024;

/// What was read last. The buffer keeps its length: clearing what the kernel is about to overwrite would cost a pass.
#[derive(Default)]
pub(super) struct Chunk {
    buffer: Vec<u8>,
    /// `..end` is whole lines; or [`MAX_LINE`] bytes without a newline; or the input's last line, which may lack its newline.
    end: usize,
    /// Nothing follows.
    pub(super) last: bool,
}

impl Chunk {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[..self.end]
    }
}

/// The other end of the thread that reads.
pub(super) struct ReadAhead {
    full: Receiver<io::Result<Chunk>>,
    empty: SyncSender<Vec<u8>>,
}

impl ReadAhead {
    pub(super) fn start(input: Box<dyn Read + Send>) -> io::Result<Self> {
        let (full_sender, full) = sync_channel(AHEAD);
        let (empty, empty_receiver) = sync_channel(AHEAD + 2);
        // It ends with its input, or when nobody takes what it reads.
        std::thread::Builder::new().name("read".into()).spawn(move || read(input, &full_sender, &empty_receiver))?;
        Ok(Self { full, empty })
    }

    /// The next chunk; `spent` is the one before, to be filled again. `pause` is called if it has to be waited for.
    pub(super) fn next(
        &mut self,
        spent: Chunk,
        pause: &mut impl FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Chunk> {
        // A reader that has ended needs none.
        let _ = self.empty.try_send(spent.buffer);
        let chunk = match self.full.try_recv() {
            Err(TryRecvError::Empty) => {
                pause()?;
                self.full.recv().ok()
            }
            chunk => chunk.ok(),
        };
        let end = || Ok(Chunk { last: true, ..Chunk::default() });
        chunk.unwrap_or_else(end).context("reading stdin").or_exit(Exit::IoErr)
    }
}

fn read(mut input: Box<dyn Read + Send>, full: &SyncSender<io::Result<Chunk>>, empty: &Receiver<Vec<u8>>) {
    let mut rest = Vec::new();
    loop {
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.resize(buffer.len().max(BUFFER).max(rest.len()), 0);
        buffer[..rest.len()].copy_from_slice(&rest);
        let mut chunk = Chunk { buffer, end: rest.len(), last: false };
        rest.clear();
        let filled = fill(&mut *input, &mut chunk).map(|()| {
            if !chunk.last && chunk.end < MAX_LINE {
                let end = memchr::memrchr(b'\n', chunk.bytes()).map_or(0, |newline| newline + 1);
                rest.extend_from_slice(&chunk.bytes()[end..]);
                chunk.end = end;
            }
            chunk
        });
        let last = filled.as_ref().map_or(true, |chunk| chunk.last);
        if full.send(filled).is_err() || last {
            return;
        }
    }
}

/// Reads until there is a whole line in `chunk`, or [`MAX_LINE`] bytes, or the end of the input.
fn fill(input: &mut dyn Read, chunk: &mut Chunk) -> io::Result<()> {
    loop {
        if chunk.end == chunk.buffer.len() {
            chunk.buffer.resize(MAX_LINE, 0);
        }
        match input.read(&mut chunk.buffer[chunk.end..]) {
            Ok(0) => {
                chunk.last = true;
                return Ok(());
            }
            Ok(n) => {
                let newline = memchr::memchr(b'\n', &chunk.buffer[chunk.end..chunk.end + n]);
                chunk.end += n;
                if newline.is_some() || chunk.end == MAX_LINE {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
