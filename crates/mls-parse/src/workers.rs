//! Two threads take turns. Each thread reads a batch and scans it, while the other thread reads or
//! scans. The records are written in the order of the batches. If an earlier batch is not written
//! yet, a thread leaves its records to the other thread, which writes them later. To wait would be
//! slow: to wake a thread takes as long as to scan a batch.
//!
//! To read a pipe, the kernel copies the bytes, which takes as long as the search. After the copy,
//! the cache of the core has the bytes. So the thread that reads a batch also scans it.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use mls_diag::Exit;
use mls_stream::blocks::{Batch, Block, BlockPosition, Blocks};
use mls_stream::ndjson::Writer;

use crate::unreadable::{Unread, UnreadableLine};
use crate::year::{AssumedYear, AssumedYears};
use crate::{Scanner, Stats};

/// The number of threads. More threads would only wait for each other.
const THREADS: usize = 2;

/// The largest number of batches whose records a thread leaves to the other thread.
const MAX_LEFT: usize = 4;

struct Shared {
    reading: Mutex<Reading>,
    writing: Mutex<Writing>,
    /// Wakes a thread that waits, after a batch was written.
    written: Condvar,
}

struct Reading {
    blocks: Blocks,
    has_ended: bool,
    /// Number of batches that were read.
    batches: u64,
    /// Whether an input without frames is journal entries. Its first line decides.
    is_journal: Option<bool>,
    /// Whether the input has no frames, and its lines that wait for their last part at the end are
    /// not counted yet.
    is_plain: bool,
}

struct Writing {
    out: Writer,
    unread: Unread,
    years: AssumedYears,
    /// Number of batches that were written.
    batches: u64,
    /// The results that a thread has left to the other thread, in the order of their batches.
    left: VecDeque<Results>,
    stats: Stats,
}

#[derive(Default)]
struct Results {
    records: Vec<u8>,
    unreadable: Vec<UnreadableLine>,
    years: Vec<AssumedYear>,
}

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
    let every = lock(&shared.writing).unread.every;
    let (sender, results) = mpsc::channel();
    for _ in 0..THREADS {
        let (shared, scanner, sender) = (Arc::clone(&shared), scanner.clone(), sender.clone());
        std::thread::Builder::new().name("scan".into()).spawn(move || {
            let result = catch_unwind(AssertUnwindSafe(|| shared.work(scanner)));
            let result = result.unwrap_or_else(|_| {
                Err(Exit::Software.error("a bug stopped mls-parse; please report this bug"))
            });
            // After the first error, there is no receiver.
            let _ = sender.send(result);
        })?;
    }
    drop(sender);
    // The first error ends the run, even if the other thread waits.
    let result = loop {
        match results.recv_timeout(every) {
            Ok(Ok(())) => {}
            Ok(error) => break error,
            Err(RecvTimeoutError::Disconnected) => break Ok(()),
            // While no new lines arrive, nothing else warns about unreadable lines.
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
            // After an error, first wait until all earlier batches are written.
            results = self.write(number, results, read.is_err())?;
            batch = read?;
        }
        let mut reading = lock(&self.reading);
        if std::mem::take(&mut reading.is_plain) {
            let (last_lines, offset) = reading.blocks.last_lines();
            scanner.end(BlockPosition { segment: None, offset, before: last_lines });
        }
        drop(reading);
        let mut writing = lock(&self.writing);
        writing.unread.add(scanner.take_unreadable());
        writing.stats.add(scanner.stats());
        Ok(())
    }

    /// Reads the next batch. Returns its number, and the batch or an error; `None` after the end.
    fn read(&self, spent: Batch, scanner: &mut Scanner) -> Option<(u64, anyhow::Result<Batch>)> {
        let mut reading = lock(&self.reading);
        // `Blocks::next` gets an empty `pause`, because `Writing::write` flushes after each batch.
        if reading.has_ended {
            return None;
        }
        let read = reading.blocks.next(spent, || Ok(())).transpose();
        reading.has_ended = !matches!(read, Some(Ok(_)));
        let read = read?;
        if reading.is_journal.is_none()
            && let Ok(batch) = &read
            && let Some(Block::Lines(lines, place)) = batch.blocks().find(is_not_skipped)
        {
            reading.is_journal = Some(lines.starts_with(b"{"));
            reading.is_plain = place.segment.is_none();
        }
        scanner.is_journal = reading.is_journal;
        reading.batches += 1;
        Some((reading.batches - 1, read))
    }

    /// Writes the results of batch `number` after all earlier batches. If these are not written
    /// yet, leaves the results to the other thread. If `waits` is true, or if too many results were
    /// left, waits instead. Returns memory to use again.
    fn write(&self, number: u64, mut results: Results, waits: bool) -> anyhow::Result<Results> {
        let mut writing = lock(&self.writing);
        while writing.batches != number {
            // There are only two threads, so the other thread has the next batch. It writes these
            // results after the results of that batch.
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

/// Whether a block has lines. A block without lines means that a line was skipped, because it is
/// too long.
fn is_not_skipped(block: &Block<'_>) -> bool {
    !matches!(block, Block::Lines(b"", _))
}

/// Locks `mutex`, even after a panic: a panic ends the run, so nothing uses the data.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};
    use std::sync::mpsc::{Receiver, Sender};
    use std::time::Duration;

    use clap::Parser;
    use mls_config::config::Filter;

    use super::*;
    use crate::Args;

    /// Sends each warning to the test.
    struct Log(Mutex<Sender<String>>);

    impl log::Log for Log {
        fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
            metadata.level() <= log::Level::Warn
        }

        fn log(&self, record: &log::Record<'_>) {
            let _ = lock(&self.0).send(record.args().to_string());
        }

        fn flush(&self) {}
    }

    /// A log that has one line, and ends after a warning.
    struct WaitingLog(Option<&'static [u8]>, Receiver<String>);

    impl Read for WaitingLog {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            if let Some(line) = self.0.take() {
                buffer[..line.len()].copy_from_slice(line);
                return Ok(line.len());
            }
            let warning = self.1.recv_timeout(Duration::from_mins(1)).map_err(io::Error::other)?;
            assert!(warning.contains("1 line looks like a login attempt"), "{warning}");
            Ok(0)
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_reported_while_the_log_is_silent() {
        let (sender, warnings) = mpsc::channel();
        log::set_logger(Box::leak(Box::new(Log(Mutex::new(sender))))).unwrap();
        log::set_max_level(log::LevelFilter::Warn);
        let line = b"~ warning: x[192.0.2.1]: SASL LOGIN authentication failed: x\n";
        let blocks = Blocks::new(Box::new(WaitingLog(Some(line), warnings)), "log");
        let args = Args::parse_from(["mls-parse", "--timezone=UTC"]);
        let scanner = Scanner::new(&args, &Filter::default()).unwrap();
        let mut unread = Unread::open(None).unwrap();
        unread.every = Duration::from_millis(300);
        let (out, years) = (Writer::stdout().unwrap(), AssumedYears::new(false));
        let stats = run(blocks, &scanner, out, unread, years).unwrap();
        assert_eq!(stats.unparsable, 1);
    }
}
