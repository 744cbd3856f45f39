//! Successful logins of a second input, which a separate thread reads.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use mls_diag::{Exit, OrExit};
use mls_event::Outcome;

use mls_rotation::Point;

use crate::{AttemptBatch, AttemptSource, BatchedAttempt, DateReader, ReadOptions};

/// The largest number of batches in the queue between the two threads.
const MAX_WAITING: usize = 2;

/// Returns the logins of an input, in the order of the input. A separate thread reads ahead.
#[derive(Debug)]
pub struct LoginReader {
    name: String,
    batches: Receiver<LoginBatch>,
    thread: JoinHandle<anyhow::Result<InputSummary>>,
    part: LoginBatch,
    /// The index of the next login in the batch.
    next: usize,
}

/// Some logins, and the position of the line of each login.
#[derive(Debug, Default)]
struct LoginBatch {
    batch: AttemptBatch,
    points: Vec<Point>,
}

/// The input after it was read, with the numbers of attempts.
#[derive(Debug)]
struct InputSummary {
    source: AttemptSource,
    logins: u64,
    failures: u64,
}

impl LoginReader {
    /// Starts to read `source`.
    ///
    /// # Errors
    /// Exit 75 if the system cannot start a thread.
    pub fn start(source: AttemptSource, reading: ReadOptions) -> anyhow::Result<Self> {
        let (full, batches) = sync_channel(MAX_WAITING);
        let path = source.newest_file().map(|path| path.display().to_string());
        let name = path.unwrap_or_else(|| "stdin".to_owned());
        let read = move || {
            let (mut part, mut dates) = (LoginBatch::default(), DateReader::new(reading.zone));
            let (mut logins, mut failures) = (0, 0);
            source.read(&reading, |attempt, point| {
                if attempt.outcome != Outcome::Success {
                    failures += 1;
                    return;
                }
                logins += 1;
                if part.batch.add(attempt, &mut dates) {
                    part.points.push(point);
                }
                if part.batch.is_full() {
                    // Sending fails only after the receiver has stopped. It reports its own error.
                    let _ = full.send(std::mem::take(&mut part));
                }
            })?;
            let _ = full.send(part);
            Ok(InputSummary { source, logins, failures })
        };
        let thread = thread::Builder::new()
            .name("logins".to_owned())
            .spawn(read)
            .context("starting a thread")
            .or_exit(Exit::TempFail)?;
        Ok(Self { name, batches, thread, part: LoginBatch::default(), next: 0 })
    }

    /// The next login; `None` at the end.
    pub fn take(&mut self) -> Option<BatchedAttempt<'_>> {
        self.peek()?;
        self.next += 1;
        self.part.batch.get(self.next - 1)
    }

    /// The time of the next login, and the position of its line; `None` at the end.
    pub fn peek(&mut self) -> Option<(DateTime<FixedOffset>, Point)> {
        loop {
            if let Some(at) = self.part.batch.at(self.next) {
                return Some((at, self.part.points[self.next]));
            }
            self.part = self.batches.recv().ok()?;
            self.next = 0;
        }
    }

    /// Waits for the thread, and returns the source that it has read.
    ///
    /// # Errors
    /// Those of [`AttemptSource::read`]. Exit 65 if the input has failures but no login.
    pub fn finish(self) -> anyhow::Result<AttemptSource> {
        drop(self.batches);
        let name = self.name;
        let Ok(content) = self.thread.join() else {
            let why = "a bug stopped the reading of logins; please report this bug";
            return Err(Exit::Software.error(why));
        };
        let content = content?;
        if content.failures > 0 && content.logins == 0 && !content.source.is_continued() {
            return Err(Exit::DataErr.error(format!(
                "{name}: there are failed logins ({}) and no successful logins; give the file that \
                `mls-csv --outcome success` writes (its header is in quotes)",
                content.failures
            )));
        }
        if content.failures > 0 {
            log::warn!(
                "{name}: ignored the failed logins ({}) among the successful logins",
                content.failures
            );
        }
        Ok(content.source)
    }
}
