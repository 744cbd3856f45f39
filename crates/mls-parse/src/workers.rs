//! Two threads take turns. Each reads a batch and scans it while the other one reads or scans. The
//! records of a batch are written after those of earlier batches: a thread that is early leaves them
//! to the other one, because to wait for it and to be woken takes as long as to scan a batch.
//!
//! A pipe is read with one copy in the kernel, which costs as much as the search. The thread that
//! has copied a batch has it in its core's cache; a thread on another core would have to fetch it
//! again.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use mls_diag::Exit;
use mls_stream::blocks::{Batch, Block, Blocks};
use mls_stream::ndjson::Writer;

use crate::unreadable::{Unread, UnreadableLine, WARN_EVERY};
use crate::year::{AssumedYear, AssumedYears};
use crate::{Scanner, Stats};

/// The number of threads. More threads would only wait for each other.
const THREADS: usize = 2;

/// The largest number of batches whose records are left to the other thread.
const MAX_LEFT: usize = 4;

struct Shared {
    reading: Mutex<Reading>,
    writing: Mutex<Writing>,
    /// The number of the next batch to write has changed.
    written: Condvar,
}

struct Reading {
    blocks: Blocks,
    has_ended: bool,
    /// Number of batches that were read.
    batches: u64,
    /// Whether a plain stream is journal entries; its first line decides.
    is_journal: Option<bool>,
    /// Whether the stream is plain, and the lines that wait at its end are not counted yet.
    is_plain: bool,
}

struct Writing {
    out: Writer,
    unread: Unread,
    years: AssumedYears,
    /// Number of batches that were written.
    batches: u64,
    /// What the batches after the next one have given, in order.
    left: VecDeque<Results>,
    stats: Stats,
}

/// What a batch has given.
#[derive(Default)]
struct Results {
    records: Vec<u8>,
    unreadable: Vec<UnreadableLine>,
    years: Vec<AssumedYear>,
}

/// Scans `blocks` to their end.
pub(crate) fn run(
    blocks: Blocks,
    scanner: &Scanner,
    out: Writer,
    unread: Unread,
    years: AssumedYears,
) -> anyhow::Result<Stats> {
    let shared = Arc::new(Shared {
        reading: Mutex::new(Reading {
            blocks,
            has_ended: false,
            batches: 0,
            is_journal: None,
            is_plain: false,
        }),
        writing: Mutex::new(Writing {
            out,
            unread,
            years,
            batches: 0,
            left: VecDeque::new(),
            stats: Stats::default(),
        }),
        written: Condvar::new(),
    });
    let (sender, results) = mpsc::channel();
    for _ in 0..THREADS {
        let (shared, scanner, sender) = (Arc::clone(&shared), scanner.clone(), sender.clone());
        std::thread::Builder::new().name("scan".into()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| shared.work(scanner)));
            let result = result
                .unwrap_or_else(|_| Err(Exit::Software.error("a bug: a thread has panicked")));
            // After the first error, there is no receiver.
            let _ = sender.send(result);
        })?;
    }
    drop(sender);
    // The first error ends the run, even if the other thread waits.
    let result = loop {
        match results.recv_timeout(WARN_EVERY) {
            Ok(Ok(())) => {}
            Ok(error) => break error,
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
            // Without new lines, nothing else would warn.
            Err(RecvTimeoutError::Timeout) => lock(&shared.writing).unread.warn(),
        }
    };
    let mut writing = lock(&shared.writing);
    writing.unread.warn();
    result.map(|()| writing.stats.clone())
}

impl Shared {
    fn work(&self, mut scanner: Scanner) -> anyhow::Result<()> {
        let (mut batch, mut results) = (Batch::default(), Results::default());
        while let Some((number, read)) = self.read(batch, &mut scanner) {
            let out = &mut results.records;
            out.clear();
            if let Ok(batch) = &read {
                for block in batch.blocks() {
                    match block {
                        Block::Record(line) => {
                            out.extend_from_slice(line);
                            out.push(b'\n');
                        }
                        Block::Lines(lines, place) => scanner.block(lines, place, out),
                    }
                }
            }
            results.unreadable = scanner.take_unreadable();
            results.years = scanner.take_assumed_years();
            // An error waits until all earlier batches are written.
            results = self.write(number, results, read.is_err())?;
            batch = read?;
        }
        let mut reading = lock(&self.reading);
        if std::mem::take(&mut reading.is_plain) {
            let (last_lines, offset) = reading.blocks.last_lines();
            scanner.end(last_lines, offset);
        }
        drop(reading);
        let mut writing = lock(&self.writing);
        writing.unread.add(scanner.take_unreadable());
        writing.stats.add(scanner.stats());
        Ok(())
    }

    /// The next batch or the error instead of it, and its number.
    fn read(&self, spent: Batch, scanner: &mut Scanner) -> Option<(u64, anyhow::Result<Batch>)> {
        let mut reading = lock(&self.reading);
        // Records are written at once: there is nothing to flush.
        if reading.has_ended {
            return None;
        }
        let read = reading.blocks.next(spent, || Ok(())).transpose();
        reading.has_ended = !matches!(read, Some(Ok(_)));
        let read = read?;
        if reading.is_journal.is_none()
            && let Ok(batch) = &read
            && let Some(Block::Lines(lines, place)) = batch.blocks().next()
        {
            reading.is_journal = Some(lines.starts_with(b"{"));
            reading.is_plain = place.segment.is_none();
        }
        scanner.is_journal = reading.is_journal;
        reading.batches += 1;
        Some((reading.batches - 1, read))
    }

    /// Writes what a batch has given, or leaves it to the other thread unless `waits`. Returns memory
    /// to use again.
    fn write(&self, number: u64, mut results: Results, waits: bool) -> anyhow::Result<Results> {
        let mut writing = lock(&self.writing);
        while writing.batches != number {
            // There are two threads: the other one has the next batch, and then come these.
            if !waits && writing.left.len() < MAX_LEFT {
                writing.left.push_back(results);
                return Ok(Results::default());
            }
            writing = self.written.wait(writing).unwrap_or_else(PoisonError::into_inner);
        }
        writing.write(&mut results)?;
        while let Some(mut left) = writing.left.pop_front() {
            writing.write(&mut left)?;
        }
        drop(writing);
        self.written.notify_all();
        Ok(results)
    }
}

impl Writing {
    fn write(&mut self, results: &mut Results) -> anyhow::Result<()> {
        self.unread.add(std::mem::take(&mut results.unreadable));
        // The writer's buffer is empty between batches.
        self.out.with(|buffer| std::mem::swap(buffer, &mut results.records))?;
        self.out.flush()?;
        self.years.add(&results.years)?;
        self.batches += 1;
        Ok(())
    }
}

/// After a panic the run ends, so the data is not used.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
