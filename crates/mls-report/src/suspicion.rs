//! Suspicious logins: failures and logins, merged in order of time, observed by the rules of
//! [`mls_findings`].

use std::net::IpAddr;
use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use anyhow::Context;
use chrono::{DateTime, Days, FixedOffset, NaiveDateTime, TimeDelta};
use mls_attempts::{Attempt, AttemptSource, ReadSummary};
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit};
use mls_event::{Finding, Outcome};
use mls_findings::{Detector, Observation, Settings};

use crate::period::Period;
use crate::seen::Seen;

/// How many logins go to the first thread at a time, and how many such batches may wait.
const BATCH: usize = 512;
const MAX_WAITING: usize = 2;

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
    input: Option<LoginInput>,
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
            input: source.map(|source| LoginInput::start(source, zone)).transpose()?,
            found: Vec::new(),
            logins: 0,
            users: Seen::new(MAX_USERS),
            is_full: false,
        })
    }

    /// Observes an attempt of the first input, after the logins before it.
    pub(crate) fn attempt(&mut self, attempt: &Attempt<'_>) {
        let Some(at) = attempt.at.or_else(|| self.clock.read(attempt.date)) else { return };
        self.logins_before(Some(at));
        self.observe(&Observation {
            at,
            outcome: attempt.outcome,
            user: attempt.user,
            ip: attempt.ip.and_then(|ip| ip.parse().ok()),
            country_code: attempt.country_code,
            asn: attempt.asn.and_then(|asn| asn.parse().ok()),
            aso: attempt.aso,
        });
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
        while let Some(login) = input.peek().filter(|login| end.is_none_or(|end| login.at < end)) {
            self.observe(&login);
            input.next += 1;
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

/// Dates of a CSV as moments. Looking a zone up for every row would take longer than the rest.
struct Clock {
    zone: Zone,
    /// The last ten minutes: their date up to the tens of minutes, and their first moment.
    last: Option<([u8; 15], DateTime<FixedOffset>)>,
}

impl Clock {
    fn new(zone: Zone) -> Self {
        Self { zone, last: None }
    }

    fn read(&mut self, date: &str) -> Option<DateTime<FixedOffset>> {
        let bytes = date.as_bytes();
        let ten: [u8; 15] = bytes.get(..15)?.try_into().ok()?;
        let digit = |index: usize| match bytes.get(index) {
            Some(digit @ b'0'..=b'9') => Some(i64::from(digit - b'0')),
            _ => None,
        };
        let start = match self.last {
            Some((last, start)) if last == ten => start,
            _ => {
                let text = format!("{}0", str::from_utf8(&ten).ok()?);
                let naive = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M").ok()?;
                let start = self.zone.read(naive);
                self.last = Some((ten, start));
                start
            }
        };
        let seconds = digit(17).zip(digit(18)).map_or(0, |(tens, ones)| tens * 10 + ones);
        start.checked_add_signed(TimeDelta::seconds(digit(15)? * 60 + seconds))
    }
}

/// Logins that a second thread reads.
struct LoginInput {
    batches: Receiver<LoginBatch>,
    thread: JoinHandle<anyhow::Result<ReadSummary>>,
    batch: LoginBatch,
    /// Which login of the batch comes next.
    next: usize,
}

impl LoginInput {
    fn start(source: AttemptSource, zone: Zone) -> anyhow::Result<Self> {
        let (full, batches) = sync_channel(MAX_WAITING);
        let read = move || {
            let (mut batch, mut clock) = (LoginBatch::default(), Clock::new(zone));
            let summary = source.read(zone, |attempt, _| {
                batch.add(attempt, &mut clock);
                if batch.logins.len() >= BATCH {
                    // It cannot be sent if the report failed, which then says why.
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

    /// The next login; `None` at the end.
    fn peek(&mut self) -> Option<Observation<'_>> {
        while self.next >= self.batch.logins.len() {
            self.batch = self.batches.recv().ok()?;
            self.next = 0;
        }
        Some(self.batch.get(&self.batch.logins[self.next]))
    }

    fn finish(self) -> anyhow::Result<()> {
        drop(self.batches);
        match self.thread.join() {
            Ok(summary) => summary.map(drop),
            Err(_) => Err(Exit::Software.error("the thread that reads logins failed")),
        }
    }
}

/// Some logins; their text is in one string.
#[derive(Default)]
struct LoginBatch {
    text: String,
    logins: Vec<StoredLogin>,
}

struct StoredLogin {
    at: DateTime<FixedOffset>,
    ip: Option<IpAddr>,
    asn: Option<u32>,
    user: Option<Range<usize>>,
    country_code: Option<Range<usize>>,
    aso: Option<Range<usize>>,
}

impl LoginBatch {
    fn add(&mut self, attempt: &Attempt<'_>, clock: &mut Clock) {
        let Some(at) = attempt.at.or_else(|| clock.read(attempt.date)) else { return };
        if attempt.outcome != Outcome::Success {
            return;
        }
        let mut store = |text: Option<&str>| {
            let start = self.text.len();
            self.text.push_str(text?);
            Some(start..self.text.len())
        };
        let (user, country_code, aso) =
            (store(attempt.user), store(attempt.country_code), store(attempt.aso));
        self.logins.push(StoredLogin {
            at,
            ip: attempt.ip.and_then(|ip| ip.parse().ok()),
            asn: attempt.asn.and_then(|asn| asn.parse().ok()),
            user,
            country_code,
            aso,
        });
    }

    fn get(&self, login: &StoredLogin) -> Observation<'_> {
        let text = |range: &Option<Range<usize>>| range.clone().map(|range| &self.text[range]);
        Observation {
            at: login.at,
            outcome: Outcome::Success,
            user: text(&login.user),
            ip: login.ip,
            country_code: text(&login.country_code),
            asn: login.asn,
            aso: text(&login.aso),
        }
    }
}
