//! Counts failed logins by user and address on a second thread, while the first thread reads.
//!
//! Pairs of user and address are most of the data of a report. Counting the pairs takes as long as
//! reading the rows, so a report with two threads takes half the time.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use mls_diag::{Exit, OrExit};

use crate::counter::Counter;
use crate::tally::join;
use mls_attempts::Attempt;

/// A batch goes to the other thread as soon as its keys have this number of bytes.
const BATCH_SIZE: usize = 64 * 1024;

/// Largest number of batches that wait for the other thread.
const MAX_WAITING: usize = 2;

/// Sends keys to the thread that counts them.
pub(crate) struct LoginCounter {
    batch: KeyBatch,
    full: SyncSender<KeyBatch>,
    thread: JoinHandle<Counter>,
    has_users: bool,
}

/// What the other thread has counted.
#[derive(Debug)]
pub(crate) struct LoginCounts {
    /// Attempts by user, address, host name and country. [`join`] makes a key of these four values.
    /// In the order of keys, all keys of a user follow each other.
    pub(crate) counter: Counter,
    /// Whether any attempt has a user.
    pub(crate) has_users: bool,
}

/// Keys in one string, one after the other. `ends` has the end and the attempts of each key.
#[derive(Default)]
struct KeyBatch {
    keys: String,
    ends: Vec<(usize, u64)>,
}

impl LoginCounter {
    /// Starts the other thread. Exit 75 if the system cannot start it.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut counter = Counter::new(100_000, 8 << 20);
        let (full, batches) = sync_channel::<KeyBatch>(MAX_WAITING);
        let count = move || {
            for KeyBatch { keys, ends } in batches {
                let mut start = 0;
                for (end, n) in ends {
                    counter.add(&keys[start..end], n);
                    start = end;
                }
            }
            counter
        };
        let thread = thread::Builder::new().name("count".into()).spawn(count);
        let thread = thread.context("starting a thread").or_exit(Exit::TempFail)?;
        Ok(Self { batch: KeyBatch::default(), full, thread, has_users: false })
    }

    pub(crate) fn add(&mut self, attempt: &Attempt<'_>) {
        self.has_users |= attempt.user.is_some_and(|user| !user.is_empty());
        let KeyBatch { keys, ends } = &mut self.batch;
        join(keys, [attempt.user, attempt.ip, attempt.hostname, attempt.country_code]);
        ends.push((keys.len(), attempt.attempts));
        if keys.len() >= BATCH_SIZE {
            self.send();
        }
    }

    fn send(&mut self) {
        // Sending fails only if the thread has panicked; `finish` reports the panic.
        let _ = self.full.send(std::mem::take(&mut self.batch));
    }

    /// Waits for the other thread, and returns its counts. Exit 70 if the thread has panicked.
    pub(crate) fn finish(mut self) -> anyhow::Result<LoginCounts> {
        self.send();
        drop(self.full);
        let counter = self.thread.join();
        let counter = counter.map_err(|_| {
            Exit::Software.error("a bug stopped the count of logins; please report this bug")
        })?;
        Ok(LoginCounts { counter, has_users: self.has_users })
    }
}
