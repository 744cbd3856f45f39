//! Threads that take turns: each reads a batch, scans it while the others read and scan, and writes what it found when those
//! before it have been written.
//!
//! A pipe is read with one copy in the kernel, which costs as much as the search. Who has copied a batch has it in its core's
//! cache; handed to a thread on another core it would be fetched once more.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};

use mls_diag::Exit;
use mls_stream::blocks::{Batch, Block, Blocks};
use mls_stream::ndjson::Writer;

use crate::rejects::{Reject, Rejects};
use crate::{Scanner, Stats};

/// More would only wait for each other to read.
const THREADS: usize = 2;

struct Shared {
    source: Mutex<Source>,
    sink: Mutex<Sink>,
    /// The sink's turn has changed.
    turned: Condvar,
}

struct Source {
    /// None after the end.
    blocks: Option<Blocks>,
    /// How many batches were read.
    batches: u64,
    /// Whether a plain stream is journal entries; its first line decides.
    journal: Option<bool>,
}

struct Sink {
    out: Writer,
    rejects: Option<Rejects>,
    /// How many batches were written.
    turn: u64,
    stats: Stats,
}

/// Scans `blocks` to their end.
pub(crate) fn run(
    blocks: Blocks,
    scanner: &Scanner,
    out: Writer,
    rejects: Option<Rejects>,
) -> anyhow::Result<Stats> {
    let shared = Arc::new(Shared {
        source: Mutex::new(Source { blocks: Some(blocks), batches: 0, journal: None }),
        sink: Mutex::new(Sink { out, rejects, turn: 0, stats: Stats::default() }),
        turned: Condvar::new(),
    });
    let (sender, results) = mpsc::channel();
    for _ in 0..THREADS {
        let (shared, scanner, sender) = (Arc::clone(&shared), scanner.clone(), sender.clone());
        std::thread::Builder::new().name("scan".into()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| shared.work(scanner)));
            // Nobody listens after the first error.
            let _ =
                sender
                    .send(result.unwrap_or_else(|_| {
                        Err(Exit::Software.error("a bug: a thread has ended"))
                    }));
        })?;
    }
    drop(sender);
    // At the first error all is over, whatever the others wait for.
    results.iter().collect::<anyhow::Result<()>>()?;
    let stats = lock(&shared.sink).stats.clone();
    Ok(stats)
}

impl Shared {
    fn work(&self, mut scanner: Scanner) -> anyhow::Result<()> {
        let (mut batch, mut out) = (Batch::default(), Vec::new());
        while let Some((turn, read)) = self.read(batch, &mut scanner) {
            out.clear();
            if let Ok(batch) = &read {
                for block in batch.blocks() {
                    match block {
                        Block::Record(line) => {
                            out.extend_from_slice(line);
                            out.push(b'\n');
                        }
                        Block::Lines(lines, place) => scanner.block(lines, place, &mut out),
                    }
                }
            }
            // An error, too, waits until all before it has been written.
            self.write(turn, &mut out, scanner.take_rejected())?;
            batch = read?;
        }
        lock(&self.sink).stats.add(scanner.stats());
        Ok(())
    }

    /// The next batch, or why there is none, and its turn.
    fn read(&self, spent: Batch, scanner: &mut Scanner) -> Option<(u64, anyhow::Result<Batch>)> {
        let mut source = lock(&self.source);
        // What is found is written at once: there is nothing to flush.
        let read = source.blocks.as_mut()?.next(spent, || Ok(())).transpose();
        if !matches!(read, Some(Ok(_))) {
            source.blocks = None;
        }
        let read = read?;
        if source.journal.is_none()
            && let Ok(batch) = &read
            && let Some(Block::Lines(lines, _)) = batch.blocks().next()
        {
            source.journal = Some(lines.starts_with(b"{"));
        }
        scanner.journal = source.journal;
        source.batches += 1;
        Some((source.batches - 1, read))
    }

    fn write(&self, turn: u64, found: &mut Vec<u8>, rejected: Vec<Reject>) -> anyhow::Result<()> {
        let mut sink = lock(&self.sink);
        while sink.turn != turn {
            sink = self.turned.wait(sink).unwrap_or_else(PoisonError::into_inner);
        }
        for reject in rejected {
            reject.tell();
            if let Some(rejects) = &mut sink.rejects {
                rejects.keep(&reject.line);
            }
        }
        // Its buffer is empty but for now.
        sink.out.with(|buffer| std::mem::swap(buffer, found))?;
        sink.out.flush()?;
        sink.turn += 1;
        drop(sink);
        self.turned.notify_all();
        Ok(())
    }
}

/// What a thread that panicked leaves is not used: the run ends.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
