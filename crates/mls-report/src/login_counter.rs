//! Counts users and logins on a second thread while the first one reads.
//!
//! Users and the addresses that tried them are most of the data of a report. Counting them takes as
//! long as reading the rows, so two threads need half the time of one.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use mls_diag::{Exit, OrExit};

use crate::counter::Counter;
use crate::tally::{JOINT, join};
use mls_attempts::Attempt;

/// Number of bytes of keys in a batch for the other thread.
const BATCH_SIZE: usize = 64 * 1024;

/// Largest number of batches that wait for the other thread.
const MAX_WAITING: usize = 2;

/// Sends keys to the thread that counts them.
pub(crate) struct LoginCounter {
    batch: KeyBatch,
    full: SyncSender<KeyBatch>,
    thread: JoinHandle<Names>,
}

/// The counts of the thread.
#[derive(Debug)]
pub(crate) struct Names {
    /// Attempts by user, address, host name and country together, as joined keys.
    pub(crate) logins: Counter,
    pub(crate) users: Counter,
}

/// Joined keys in one string, with the end of each key and its number of attempts.
#[derive(Default)]
struct KeyBatch {
    keys: String,
    ends: Vec<(usize, u64)>,
}

impl LoginCounter {
    /// # Errors
    /// Exit 75 if the system cannot start a thread.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut names =
            Names { logins: Counter::new(100_000, 8 << 20), users: Counter::new(100_000, 4 << 20) };
        let (full, batches) = sync_channel::<KeyBatch>(MAX_WAITING);
        let count = move || {
            for KeyBatch { keys, ends } in batches {
                let mut start = 0;
                for (end, n) in ends {
                    let key = &keys[start..end];
                    names.logins.add(key, n);
                    names.users.add(user_of(key), n);
                    start = end;
                }
            }
            names
        };
        let thread = thread::Builder::new().name("count".into()).spawn(count);
        let thread = thread.context("starting a thread").or_exit(Exit::TempFail)?;
        Ok(Self { batch: KeyBatch::default(), full, thread })
    }

    pub(crate) fn add(&mut self, attempt: &Attempt<'_>) {
        let KeyBatch { keys, ends } = &mut self.batch;
        join(keys, [attempt.user, attempt.ip, attempt.hostname, attempt.country_code]);
        ends.push((keys.len(), attempt.attempts));
        if keys.len() >= BATCH_SIZE {
            self.send();
        }
    }

    fn send(&mut self) {
        // This fails only if the thread has died; `finish` reports that.
        let _ = self.full.send(std::mem::take(&mut self.batch));
    }

    /// Waits for the other thread, and returns its counts.
    ///
    /// # Errors
    /// Exit 70 if the thread has died.
    pub(crate) fn finish(mut self) -> anyhow::Result<Names> {
        self.send();
        drop(self.full);
        self.thread.join().map_err(|_| Exit::Software.error("counting has failed"))
    }
}

/// Returns the first part of a joined key.
fn user_of(key: &str) -> &str {
    &key[..memchr::memchr(JOINT, key.as_bytes()).unwrap_or(key.len())]
}
