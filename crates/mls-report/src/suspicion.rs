//! Suspicious logins: failures and logins, merged in order of time, observed by the rules of
//! [`mls_findings`].

use chrono::{DateTime, Days, FixedOffset, NaiveDateTime};
use mls_attempts::{Attempt, AttemptSource, Clock, LoginReader};
use mls_config::zone::Zone;
use mls_event::{Finding, Outcome};
use mls_findings::{Detector, Observation, Settings};

use crate::period::Period;
use crate::seen::Seen;

/// Number of findings that a report holds at most. The earliest are kept.
const MAX_FINDINGS: usize = 10_000;

/// Number of users whose logins are counted exactly.
const MAX_USERS: usize = 100_000;

/// What is known about the logins of the period.
#[derive(Clone, Debug, Default)]
pub(crate) struct Logins {
    /// Number of logins and of users; `None` if no logins were read.
    pub(crate) counts: Option<(u64, u64)>,
    /// Ordered by date.
    pub(crate) findings: Vec<Finding<'static>>,
    /// Whether there are more findings than a report holds.
    pub(crate) is_full: bool,
}

/// Observes failures as they are read, and between them the logins of a second input.
pub(crate) struct Watch<'a> {
    period: &'a Period,
    zone: Zone,
    clock: Clock,
    detector: Detector,
    /// Attempts from before this date are too old to matter.
    horizon: Option<NaiveDateTime>,
    input: Option<LoginReader>,
    found: Vec<Finding<'static>>,
    logins: u64,
    users: Seen,
    has_logins: bool,
    is_full: bool,
}

impl<'a> Watch<'a> {
    /// Reads `source` on a second thread, if there is one.
    ///
    /// # Errors
    /// Exit 75 if the system cannot start a thread.
    pub(crate) fn start(
        period: &'a Period,
        zone: Zone,
        settings: Settings,
        days: Option<u32>,
        source: Option<AttemptSource>,
    ) -> anyhow::Result<Self> {
        let days = days.map(|days| Days::new(days.into()));
        let horizon = period.from.zip(days).and_then(|(from, days)| from.checked_sub_days(days));
        Ok(Self {
            period,
            zone,
            clock: Clock::new(zone),
            detector: Detector::new(settings),
            horizon,
            has_logins: source.is_some(),
            input: source.map(|source| LoginReader::start(source, zone)).transpose()?,
            found: Vec::new(),
            logins: 0,
            users: Seen::new(MAX_USERS),
            is_full: false,
        })
    }

    /// Observes an attempt of the first input, after the logins before it.
    pub(crate) fn attempt(&mut self, attempt: &Attempt<'_>) {
        let Some(observation) = self.clock.observation(attempt) else { return };
        self.logins_before(Some(observation.at));
        self.observe(&observation);
    }

    /// The logins that are left, and the findings of the period.
    pub(crate) fn finish(mut self) -> anyhow::Result<Logins> {
        self.logins_before(None);
        if let Some(input) = self.input.take() {
            input.finish()?;
        }
        self.found.sort_by_key(|finding| finding.date.at());
        Ok(Logins {
            counts: self.has_logins.then(|| (self.logins, self.users.len() as u64)),
            findings: self.found,
            is_full: self.is_full,
        })
    }

    /// Observes logins up to `end`. Failures come before the logins of the same time.
    fn logins_before(&mut self, end: Option<DateTime<FixedOffset>>) {
        let Some(mut input) = self.input.take() else { return };
        while let Some(login) = input.next_before(end) {
            self.observe(&login.observation);
        }
        self.input = Some(input);
    }

    fn observe(&mut self, observation: &Observation<'_>) {
        let date = self.zone.show(&observation.at).naive_local();
        if self.horizon.is_some_and(|horizon| date < horizon) {
            return;
        }
        if observation.outcome == Outcome::Success {
            self.has_logins = true;
            if self.is_inside(date) {
                self.logins += 1;
                self.users.insert(observation.user.unwrap_or_default());
            }
        }
        let known = self.found.len();
        self.detector.observe(observation, &mut self.found);
        if self.found.len() > known {
            let new = self.found.split_off(known);
            for finding in new {
                if !self.is_inside(self.zone.show(&finding.date.at()).naive_local()) {
                    continue;
                }
                if known < MAX_FINDINGS {
                    self.found.push(finding);
                } else {
                    self.is_full = true;
                }
            }
        }
    }

    fn is_inside(&self, date: NaiveDateTime) -> bool {
        self.period.from.is_none_or(|from| date >= from)
            && self.period.to.is_none_or(|to| date < to)
    }
}
