//! Finds suspicious logins: merges failures and logins by time, and passes them to the rules of
//! [`mls_findings`].

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use chrono::{DateTime, Days, FixedOffset, NaiveDateTime};
use mls_attempts::{Attempt, AttemptBatch, AttemptSource, Clock, Login, LoginReader, ReadOptions};
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit};
use mls_event::{Finding, Outcome};
use mls_findings::{Detector, Settings};

use crate::account::AccountLog;
use crate::period::Period;
use crate::reported::Reported;
use crate::seen::Seen;

/// Largest number of findings in a report. The earliest are kept.
pub(crate) const MAX_FINDINGS: usize = 10_000;

/// Largest number of batches that wait for the other thread.
const MAX_WAITING: usize = 4;

/// Largest number of users whose logins are counted exactly.
const MAX_USERS: usize = 100_000;

/// The logins of the period.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logins {
    /// Number of logins and of users; `None` if no logins were read.
    pub(crate) counts: Option<(u64, u64)>,
    /// Whether the input can hold logins: records can, a CSV of failures cannot.
    pub(crate) could_be_read: bool,
    /// The findings in the order of their dates.
    pub(crate) findings: Vec<Finding<'static>>,
    /// Whether there are more findings than a report holds.
    pub(crate) is_full: bool,
    pub(crate) account: Option<AccountLog>,
}

/// The task of a [`Watch`].
pub(crate) struct Sought<'a> {
    pub(crate) period: &'a Period,
    pub(crate) zone: Zone,
    pub(crate) settings: Settings,
    /// Number of days before the period that the rules look back; `None` for all.
    pub(crate) days: Option<u32>,
    /// The findings that earlier digests have reported.
    pub(crate) reported: Option<&'a Reported>,
    /// The account to report, if only one is reported.
    pub(crate) account: Option<AccountLog>,
}

impl Sought<'_> {
    /// Attempts before this moment are ignored.
    pub(crate) fn horizon(&self) -> Option<DateTime<FixedOffset>> {
        let from = self.period.from?.checked_sub_days(Days::new(self.days?.into()))?;
        Some(self.zone.read(from))
    }
}

/// Sends attempts to the thread that runs the rules.
pub(crate) struct Watch {
    clock: Clock,
    batch: AttemptBatch,
    batches: SyncSender<AttemptBatch>,
    thread: JoinHandle<anyhow::Result<Observer>>,
}

impl Watch {
    /// Starts the thread. Logins come from `source`, if there is one.
    ///
    /// # Errors
    /// Exit 75 if the system cannot start a thread.
    pub(crate) fn start(
        sought: Sought<'_>,
        source: Option<(AttemptSource, ReadOptions)>,
    ) -> anyhow::Result<Self> {
        let zone = sought.zone;
        let mut input =
            source.map(|(source, reading)| LoginReader::start(source, reading)).transpose()?;
        let mut observer = Observer::new(sought, input.is_some());
        let (batches, full) = sync_channel::<AttemptBatch>(MAX_WAITING);
        let observe = move || {
            for batch in full {
                for attempt in (0..).map_while(|index| batch.get(index)) {
                    observer.logins_before(&mut input, Some(attempt.observation.at));
                    observer.observe(&attempt);
                }
            }
            observer.logins_before(&mut input, None);
            if let Some(input) = input {
                input.finish()?;
            }
            Ok(observer)
        };
        let thread = thread::Builder::new().name("observe".to_owned()).spawn(observe);
        let thread = thread.context("starting a thread").or_exit(Exit::TempFail)?;
        Ok(Self { clock: Clock::new(zone), batch: AttemptBatch::default(), batches, thread })
    }

    /// Passes on an attempt of the first input, after the logins before it.
    pub(crate) fn attempt(&mut self, attempt: &Attempt<'_>) {
        self.batch.add(attempt, &mut self.clock);
        if self.batch.is_full() {
            self.send();
        }
    }

    fn send(&mut self) {
        // This fails only if the thread has ended; `finish` reports the reason.
        let _ = self.batches.send(std::mem::take(&mut self.batch));
    }

    /// Reads the remaining logins, and returns the findings of the period. `csv` is true if the
    /// first input was a CSV.
    ///
    /// # Errors
    /// Those of reading logins.
    pub(crate) fn finish(mut self, csv: bool) -> anyhow::Result<Logins> {
        self.send();
        drop(self.batches);
        let observer = self.thread.join();
        let observer = observer
            .map_err(|_| Exit::Software.error("looking for suspicious logins failed"))??;
        Ok(observer.finish(csv))
    }
}

/// Runs the rules on attempts in the order of time.
struct Observer {
    zone: Zone,
    detector: Detector,
    horizon: Option<DateTime<FixedOffset>>,
    /// The first moment of the period, and the first moment after it.
    from: Option<DateTime<FixedOffset>>,
    to: Option<DateTime<FixedOffset>>,
    reported: Option<Reported>,
    found: Vec<Finding<'static>>,
    logins: u64,
    users: Seen,
    has_logins: bool,
    is_full: bool,
    account: Option<AccountLog>,
}

impl Observer {
    fn new(sought: Sought<'_>, has_logins: bool) -> Self {
        let moment = |at: Option<NaiveDateTime>| at.map(|at| sought.zone.read(at));
        Self {
            zone: sought.zone,
            horizon: sought.horizon(),
            from: moment(sought.period.from),
            to: moment(sought.period.to),
            detector: Detector::new(sought.settings),
            reported: sought.reported.cloned(),
            found: Vec::new(),
            logins: 0,
            users: Seen::new(MAX_USERS),
            has_logins,
            is_full: false,
            account: sought.account,
        }
    }

    fn finish(mut self, csv: bool) -> Logins {
        self.found.sort_by_key(|finding| finding.date.at());
        Logins {
            counts: self.has_logins.then(|| (self.logins, self.users.len() as u64)),
            could_be_read: self.has_logins || !csv,
            findings: self.found,
            is_full: self.is_full,
            account: self.account,
        }
    }

    /// Runs the rules on the logins before `end`. Failures come before logins of the same time.
    fn logins_before(
        &mut self,
        input: &mut Option<LoginReader>,
        end: Option<DateTime<FixedOffset>>,
    ) {
        while let Some(login) = input.as_mut().and_then(|input| input.next_before(end)) {
            self.observe(&login);
        }
    }

    fn observe(&mut self, attempt: &Login<'_>) {
        let observation = &attempt.observation;
        if self.horizon.is_some_and(|horizon| observation.at < horizon) {
            return;
        }
        let is_inside = self.is_inside(observation.at);
        if observation.outcome == Outcome::Success {
            self.has_logins = true;
            if is_inside {
                self.logins += 1;
                self.users.insert(observation.user.unwrap_or_default());
            }
        }
        if let Some(account) = &mut self.account {
            account.observe(attempt, is_inside, self.zone);
        }
        let known = self.found.len();
        self.detector.observe(observation, &mut self.found);
        if self.found.len() == known {
            return;
        }
        for finding in self.found.split_off(known) {
            if !self.is_wanted(&finding) {
                continue;
            }
            if self.found.len() < MAX_FINDINGS {
                self.found.push(finding);
            } else {
                self.is_full = true;
            }
        }
    }

    fn is_wanted(&self, finding: &Finding<'_>) -> bool {
        let at = finding.date.at();
        let is_due = match &self.reported {
            Some(reported) => self.to.is_none_or(|to| at < to) && !reported.contains(finding),
            None => self.is_inside(at),
        };
        is_due && self.account.as_ref().is_none_or(|account| account.is(&finding.user))
    }

    fn is_inside(&self, at: DateTime<FixedOffset>) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }
}
