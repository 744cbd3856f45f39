//! Finds suspicious logins: merges failures and logins by time, and passes them to the rules of
//! [`mls_findings`].

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use chrono::{DateTime, Days, FixedOffset, NaiveDateTime};
use mls_attempts::{
    Attempt, AttemptBatch, AttemptSource, BatchedAttempt, DateReader, LoginReader, ReadOptions,
};
use mls_config::config::Suspicious;
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit};
use mls_event::{Finding, Outcome};
use mls_findings::Detector;
use mls_rotation::Point;

use crate::account::AccountLog;
use crate::period::Period;
use crate::reported::Reported;
use crate::seen::Seen;

/// Largest number of findings in a report. If there are more, the later findings are left out.
pub(crate) const MAX_FINDINGS: usize = 10_000;

/// Largest number of batches that wait for the other thread.
const MAX_WAITING: usize = 4;

/// Largest number of users with logins that are counted. The number of logins has no limit.
const MAX_USERS: usize = 100_000;

#[derive(Clone, Debug, Default)]
pub(crate) struct PeriodLogins {
    /// Number of logins and of users; `None` if no logins were read.
    pub(crate) counts: Option<(u64, u64)>,
    /// Whether the input can contain logins. Records can, but a CSV of failures cannot.
    pub(crate) could_be_read: bool,
    /// The findings in the order of their dates.
    pub(crate) findings: Vec<Finding<'static>>,
    /// Whether there are more than [`MAX_FINDINGS`] findings.
    pub(crate) is_full: bool,
    pub(crate) account: Option<AccountLog>,
}

/// The second input, which has logins, and the part of this input that belongs to the period.
#[derive(Debug)]
pub(crate) struct LoginInput {
    pub(crate) source: AttemptSource,
    pub(crate) window: LoginWindow,
}

/// The part of an input of logins that belongs to the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LoginWindow {
    /// All lines from this point on, with any date.
    From(Point),
    /// The logins from the first moment (included) to the second (not included). `None`: no limit.
    Between(Option<DateTime<FixedOffset>>, Option<DateTime<FixedOffset>>),
}

impl LoginWindow {
    /// Returns the window of the dates of the period.
    pub(crate) fn of(period: &Period, zone: Zone) -> Self {
        let moment = |at: Option<NaiveDateTime>| at.map(|at| zone.read(at));
        Self::Between(moment(period.from), moment(period.to))
    }

    fn contains(self, at: DateTime<FixedOffset>, point: Point) -> bool {
        match self {
            Self::From(begin) => point >= begin,
            Self::Between(from, to) => {
                from.is_none_or(|from| at >= from) && to.is_none_or(|to| at < to)
            }
        }
    }
}

/// What a [`LoginWatch`] looks for.
pub(crate) struct Sought<'a> {
    pub(crate) period: &'a Period,
    pub(crate) zone: Zone,
    pub(crate) settings: &'a Suspicious,
    /// The rules look back this number of days before the period. `None` means no limit.
    pub(crate) days: Option<u32>,
    /// The findings that earlier digests have reported.
    pub(crate) reported: Option<&'a Reported>,
    /// The account of `--account`.
    pub(crate) account: Option<AccountLog>,
}

impl Sought<'_> {
    /// Attempts before this moment are ignored.
    pub(crate) fn horizon(&self) -> Option<DateTime<FixedOffset>> {
        let from = self.period.from?.checked_sub_days(Days::new(self.days?.into()))?;
        Some(self.zone.read(from))
    }
}

/// A batch of attempts of the first input.
#[derive(Default)]
struct PeriodBatch {
    attempts: AttemptBatch,
    /// Whether each attempt belongs to the period.
    are_inside: Vec<bool>,
}

/// Sends attempts to the thread that runs the rules.
pub(crate) struct LoginWatch {
    dates: DateReader,
    batch: PeriodBatch,
    batches: SyncSender<PeriodBatch>,
    thread: JoinHandle<anyhow::Result<Observer>>,
}

impl LoginWatch {
    /// Starts the thread. `logins` is the second input; `None` if there is only one input. Exit 75
    /// if the system cannot start a thread.
    pub(crate) fn start(
        sought: Sought<'_>,
        logins: Option<(LoginInput, ReadOptions)>,
    ) -> anyhow::Result<Self> {
        let zone = sought.zone;
        let window = logins.as_ref().map(|(logins, _)| logins.window);
        let mut input = logins
            .map(|(logins, reading)| LoginReader::start(logins.source, reading))
            .transpose()?;
        let mut observer = Observer::new(sought, window);
        let (batches, full) = sync_channel::<PeriodBatch>(MAX_WAITING);
        let observe = move || {
            for PeriodBatch { attempts, are_inside } in full {
                let attempts = (0..).map_while(|index| attempts.get(index));
                for (attempt, is_inside) in attempts.zip(are_inside) {
                    observer.logins_before(&mut input, Some(attempt.observation.at));
                    observer.observe(&attempt, is_inside);
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
        Ok(Self { dates: DateReader::new(zone), batch: PeriodBatch::default(), batches, thread })
    }

    /// Sends an attempt of the first input to the thread. The thread observes the older logins of
    /// the second input before this attempt.
    pub(crate) fn attempt(&mut self, attempt: &Attempt<'_>, is_inside: bool) {
        if self.batch.attempts.add(attempt, &mut self.dates) {
            self.batch.are_inside.push(is_inside);
        }
        if self.batch.attempts.is_full() {
            self.send();
        }
    }

    fn send(&mut self) {
        // Sending fails only if the thread has ended; `finish` reports why it ended.
        let _ = self.batches.send(std::mem::take(&mut self.batch));
    }

    /// Reads the remaining logins, and returns the findings of the period. `csv` is true if the
    /// first input was a CSV.
    pub(crate) fn finish(mut self, csv: bool) -> anyhow::Result<PeriodLogins> {
        self.send();
        drop(self.batches);
        let observer = self.thread.join();
        let why = "a bug stopped the search for suspicious logins; please report this bug";
        let observer = observer.map_err(|_| Exit::Software.error(why))??;
        Ok(observer.finish(csv))
    }
}

/// Runs the rules on attempts in the order of time.
struct Observer {
    zone: Zone,
    detector: Detector,
    horizon: Option<DateTime<FixedOffset>>,
    /// The dates of the period.
    dates: LoginWindow,
    /// The part of the second input that belongs to the period; `None` without a second input.
    window: Option<LoginWindow>,
    reported: Option<Reported>,
    found: Vec<Finding<'static>>,
    logins: u64,
    users: Seen,
    has_logins: bool,
    is_full: bool,
    account: Option<AccountLog>,
}

impl Observer {
    fn new(sought: Sought<'_>, window: Option<LoginWindow>) -> Self {
        Self {
            zone: sought.zone,
            horizon: sought.horizon(),
            dates: LoginWindow::of(sought.period, sought.zone),
            has_logins: window.is_some(),
            window,
            detector: Detector::new(sought.settings),
            reported: sought.reported.cloned(),
            found: Vec::new(),
            logins: 0,
            users: Seen::new(MAX_USERS),
            is_full: false,
            account: sought.account,
        }
    }

    fn finish(mut self, csv: bool) -> PeriodLogins {
        self.found.sort_by_key(|finding| finding.date.at());
        PeriodLogins {
            counts: self.has_logins.then(|| (self.logins, self.users.len() as u64)),
            could_be_read: self.has_logins || !csv,
            findings: self.found,
            is_full: self.is_full,
            account: self.account,
        }
    }

    /// Runs the rules on the logins before `end` (`None`: on all logins). So a failure comes before
    /// a login of the same time.
    fn logins_before(
        &mut self,
        input: &mut Option<LoginReader>,
        end: Option<DateTime<FixedOffset>>,
    ) {
        let (Some(input), Some(window)) = (input, self.window) else { return };
        let is_before = |at| end.is_none_or(|end| at < end);
        while let Some((at, point)) = input.peek().filter(|(at, _)| is_before(*at)) {
            let Some(login) = input.take() else { break };
            self.observe(&login, window.contains(at, point));
        }
    }

    fn observe(&mut self, attempt: &BatchedAttempt<'_>, is_inside: bool) {
        let observation = &attempt.observation;
        if observation.outcome == Outcome::Success {
            self.has_logins = true;
            if is_inside {
                self.logins += 1;
                self.users.insert(observation.user.unwrap_or_default());
            }
        }
        if self.horizon.is_some_and(|horizon| observation.at < horizon) {
            return;
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
        let is_due = match &self.reported {
            Some(reported) => !reported.contains(finding),
            None => self.dates.contains(finding.date.at(), Point::default()),
        };
        is_due && self.account.as_ref().is_none_or(|account| account.is(&finding.user))
    }
}
