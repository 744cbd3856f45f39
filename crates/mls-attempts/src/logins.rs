//! Successful logins, read on a thread of their own beside another input.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit};
use mls_event::Outcome;
use mls_findings::Observation;

use crate::{Attempt, AttemptSource, Clock, ReadSummary};

/// How many logins the thread hands over at a time, and how many such batches may wait.
const BATCH: usize = 512;
const MAX_WAITING: usize = 2;

/// The logins of an input, in its order. A thread reads ahead.
#[derive(Debug)]
pub struct LoginReader {
    batches: Receiver<LoginBatch>,
    thread: JoinHandle<anyhow::Result<ReadSummary>>,
    batch: LoginBatch,
    /// Which login of the batch comes next.
    next: usize,
}

/// A successful login.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The login as the rules for suspicious logins see it.
    pub observation: Observation<'a>,
    /// Reverse DNS name of the client.
    pub hostname: Option<&'a str>,
}

impl LoginReader {
    /// Starts to read `source`.
    ///
    /// # Errors
    /// Exit 75 if the system cannot start a thread.
    pub fn start(source: AttemptSource, zone: Zone) -> anyhow::Result<Self> {
        let (full, batches) = sync_channel(MAX_WAITING);
        let read = move || {
            let (mut batch, mut clock) = (LoginBatch::default(), Clock::new(zone));
            let summary = source.read(zone, |attempt, _| {
                batch.add(attempt, &mut clock);
                if batch.logins.len() >= BATCH {
                    // It cannot be sent if the reader's owner failed, which then says why.
                    let _ = full.send(std::mem::take(&mut batch));
                }
            });
            let _ = full.send(batch);
            summary
        };
        let thread = thread::Builder::new()
            .name("logins".to_owned())
            .spawn(read)
            .context("starting a thread")
            .or_exit(Exit::TempFail)?;
        Ok(Self { batches, thread, batch: LoginBatch::default(), next: 0 })
    }

    /// The next login if it was before `end`. Failures of the same time come before it. With
    /// `None`, the next login; `None` at the end.
    pub fn next_before(&mut self, end: Option<DateTime<FixedOffset>>) -> Option<Login<'_>> {
        while self.next >= self.batch.logins.len() {
            self.batch = self.batches.recv().ok()?;
            self.next = 0;
        }
        let login = &self.batch.logins[self.next];
        if end.is_some_and(|end| login.at >= end) {
            return None;
        }
        self.next += 1;
        Some(self.batch.get(login))
    }

    /// Waits for the thread.
    ///
    /// # Errors
    /// Those of [`AttemptSource::read`].
    pub fn finish(self) -> anyhow::Result<ReadSummary> {
        drop(self.batches);
        match self.thread.join() {
            Ok(summary) => summary,
            Err(_) => Err(Exit::Software.error("the thread that reads logins failed")),
        }
    }
}

/// Some logins; their text is in one string.
#[derive(Debug, Default)]
struct LoginBatch {
    text: String,
    logins: Vec<StoredLogin>,
}

#[derive(Debug)]
struct StoredLogin {
    at: DateTime<FixedOffset>,
    ip: Option<IpAddr>,
    asn: Option<u32>,
    user: Option<Range<usize>>,
    country_code: Option<Range<usize>>,
    aso: Option<Range<usize>>,
    hostname: Option<Range<usize>>,
}

impl LoginBatch {
    fn add(&mut self, attempt: &Attempt<'_>, clock: &mut Clock) {
        if attempt.outcome != Outcome::Success {
            return;
        }
        let Some(Observation { at, ip, asn, .. }) = clock.observation(attempt) else { return };
        let mut store = |text: Option<&str>| {
            let start = self.text.len();
            self.text.push_str(text?);
            Some(start..self.text.len())
        };
        let (user, country_code) = (store(attempt.user), store(attempt.country_code));
        let (aso, hostname) = (store(attempt.aso), store(attempt.hostname));
        self.logins.push(StoredLogin { at, ip, asn, user, country_code, aso, hostname });
    }

    fn get(&self, login: &StoredLogin) -> Login<'_> {
        let text = |range: &Option<Range<usize>>| range.clone().map(|range| &self.text[range]);
        let observation = Observation {
            at: login.at,
            outcome: Outcome::Success,
            user: text(&login.user),
            ip: login.ip,
            country_code: text(&login.country_code),
            asn: login.asn,
            aso: text(&login.aso),
        };
        Login { observation, hostname: text(&login.hostname) }
    }
}
