//! Counting on one core what is read on the other.
//!
//! Users, and who was tried from where, are most of what a report remembers, and finding them in memory takes as long as
//! reading the rows: side by side, the two take the time of one.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use mls_diag::{Exit, OrExit};

use crate::counter::Counter;
use crate::rows::Row;
use crate::tally::{JOINT, join};

/// So many bytes of keys go over at a time.
const BATCH: usize = 64 * 1024;

/// So many batches wait to be counted before the reader waits.
const AHEAD: usize = 2;

/// Counters of logins and of their users, and the thread that has them.
pub(crate) struct Aside {
    batch: Batch,
    full: SyncSender<Batch>,
    thread: JoinHandle<Names>,
}

/// What is counted.
#[derive(Debug)]
pub(crate) struct Names {
    /// By user, address, host name and country, joined.
    pub(crate) logins: Counter,
    pub(crate) users: Counter,
}

/// Joined keys, one behind the other: where each ends, and how often it occurred.
#[derive(Default)]
struct Batch {
    keys: String,
    ends: Vec<(usize, u64)>,
}

impl Aside {
    /// # Errors
    /// Exit 75 where the system has no thread to spare.
    pub(crate) fn start() -> anyhow::Result<Self> {
        let mut names =
            Names { logins: Counter::new(100_000, 8 << 20), users: Counter::new(100_000, 4 << 20) };
        let (full, batches) = sync_channel::<Batch>(AHEAD);
        let count = move || {
            for Batch { keys, ends } in batches {
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
        Ok(Self { batch: Batch::default(), full, thread })
    }

    /// Counts a row.
    pub(crate) fn add(&mut self, row: &Row<'_>) {
        let Batch { keys, ends } = &mut self.batch;
        join(keys, [row.user, row.ip, row.hostname, row.country_code]);
        ends.push((keys.len(), row.attempts));
        if keys.len() >= BATCH {
            self.send();
        }
    }

    fn send(&mut self) {
        // Nobody takes it where the thread has died, which joining it tells.
        let _ = self.full.send(std::mem::take(&mut self.batch));
    }

    /// Everything, once it is counted.
    ///
    /// # Errors
    /// Exit 70 where the thread has died.
    pub(crate) fn finish(mut self) -> anyhow::Result<Names> {
        self.send();
        drop(self.full);
        self.thread.join().map_err(|_| Exit::Software.error("counting has failed"))
    }
}

/// The first part of a joined key.
fn user_of(key: &str) -> &str {
    &key[..memchr::memchr(JOINT, key.as_bytes()).unwrap_or(key.len())]
}
