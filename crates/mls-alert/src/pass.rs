//! Reads failures and the logins of a second input together, in order of time.
//!
//! Each pass over the inputs continues the previous pass. It begins at a *checkpoint*: a position
//! in each input, and the detector as it was at these positions. The checkpoint is a short time
//! before the newest attempt, because a new attempt of one input can be older than the newest
//! attempt of the other input. So the pass observes the attempts after the checkpoint again. In
//! each input, the first attempt after the checkpoint must not be older than the time of the
//! checkpoint. If it is older, both inputs are read from their beginning. So the result is always
//! the same as the result of one pass over all attempts.

use std::cell::RefCell;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use mls_attempts::{Attempt, AttemptSource, DateReader, LoginReader, ReadOptions};
use mls_event::Outcome;
use mls_rotation::{Point, Position};

use crate::detector::AlertDetector;
use crate::output::AlertWriter;
use crate::source::{AlertInputs, after, position};

type Date = DateTime<FixedOffset>;

/// Attempts with a date this far in the future do not count. If an attempt with a date in the next
/// year counted, the rules would find all other attempts too old and forget them.
const MAX_AHEAD: TimeDelta = TimeDelta::hours(1);

/// By default, the dates of a CSV have no seconds, so attempts of one minute can be in any order.
const UNORDERED: TimeDelta = TimeDelta::minutes(1);

/// If the newest attempts of the two inputs are this far apart, the input with the older attempt
/// probably has no new attempts.
const MAX_LAG: TimeDelta = TimeDelta::hours(1);

/// Where the next pass begins.
pub(crate) struct PassCheckpoint {
    pub(crate) detector: AlertDetector,
    pub(crate) failures: Position,
    /// `None` if there is no second input.
    pub(crate) logins: Option<Position>,
    /// The time of the checkpoint. In each input, the first attempt after the checkpoint must not
    /// be older than this time.
    moment: Date,
    pub(crate) newest: Newest,
    /// The pass ignored attempts before this moment.
    pub(crate) horizon: Option<Date>,
}

/// The time of the newest attempt of each input.
#[derive(Clone, Copy, Default)]
pub(crate) struct Newest {
    failure: Option<Date>,
    login: Option<Date>,
}

impl Newest {
    /// Returns the time of the next checkpoint. New attempts in later passes should not be older
    /// than this time.
    fn checkpoint(self, has_logins: bool) -> Date {
        let newest = self.failure.max(self.login);
        let Some(newest) = newest else { return (Utc::now() - MAX_LAG).fixed_offset() };
        let oldest = if has_logins { self.failure.min(self.login) } else { self.failure };
        oldest.unwrap_or(newest).max(newest - MAX_LAG) - UNORDERED
    }
}

/// The error if the first attempt after the checkpoint is older than the checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("an attempt was recorded late")]
pub(crate) struct Late;

pub(crate) struct Pass<'a> {
    reading: ReadOptions,
    dates: DateReader,
    /// Attempts before this moment are ignored.
    horizon: Option<Date>,
    /// `horizon` in the format of the date column of a CSV, because comparing text is faster than
    /// parsing dates.
    horizon_text: String,
    /// Attempts after this moment are ignored.
    latest: Date,
    detector: AlertDetector,
    logins: Option<LoginReader>,
    /// The moment of the checkpoint at which this pass began; `None` if it began without one. In
    /// each input, the first attempt must not be older than this moment.
    begun: Option<Date>,
    has_failure: bool,
    has_login: bool,
    newest: Newest,
    /// The moment of the next checkpoint; `None` if no pass follows.
    next: Option<Date>,
    reached: Option<CheckpointState>,
    output: &'a mut AlertWriter,
}

/// The detector at a checkpoint, and a point in each input; `None` is the end of the input.
struct CheckpointState {
    detector: AlertDetector,
    failure: Option<Point>,
    login: Option<Point>,
}

impl<'a> Pass<'a> {
    /// `newest` is the time of the newest attempts of earlier passes; `None` if this is the only
    /// pass.
    pub(crate) fn new(
        reading: ReadOptions,
        horizon: Option<Date>,
        detector: AlertDetector,
        logins: Option<AttemptSource>,
        newest: Option<Newest>,
        output: &'a mut AlertWriter,
    ) -> anyhow::Result<Self> {
        let text = |at: Date| at.format("%Y-%m-%d %H:%M").to_string();
        Ok(Self {
            dates: DateReader::new(reading.zone),
            horizon,
            horizon_text: horizon.map_or_else(String::new, text),
            latest: (Utc::now() + MAX_AHEAD).fixed_offset(),
            detector,
            next: newest.map(|newest| newest.checkpoint(logins.is_some())),
            logins: (logins.map(|source| LoginReader::start(source, reading.clone())))
                .transpose()?,
            reading,
            begun: None,
            has_failure: false,
            has_login: false,
            newest: newest.unwrap_or_default(),
            reached: None,
            output,
        })
    }

    /// Continues from the checkpoint `last`. Returns the next checkpoint; `None` if an input no
    /// longer has its position of `last`.
    pub(crate) fn resume(
        reading: ReadOptions,
        last: PassCheckpoint,
        sources: AlertInputs,
        output: &mut AlertWriter,
    ) -> anyhow::Result<Option<PassCheckpoint>> {
        let Some(failures) = after(sources.failures, &last.failures)? else { return Ok(None) };
        let logins = match (sources.logins, &last.logins) {
            (None, None) => None,
            (Some(logins), Some(position)) => match after(logins, position)? {
                None => return Ok(None),
                rest => rest,
            },
            _ => return Ok(None),
        };
        let PassCheckpoint { detector, moment, newest, horizon, .. } = last;
        let pass = Pass::new(reading, horizon, detector, logins, Some(newest), output)?;
        let next = pass.next.max(Some(moment));
        Pass { begun: Some(moment), next, ..pass }.read(&failures)
    }

    /// Reads the inputs to their ends. Returns the next checkpoint; `None` if no pass follows, or
    /// if an input cannot be read again. If the first attempt of an input is older than the
    /// checkpoint at which this pass began, fails with [`Late`] and writes nothing.
    pub(crate) fn read(self, failures: &AttemptSource) -> anyhow::Result<Option<PassCheckpoint>> {
        let reading = self.reading.clone();
        let pass = RefCell::new(self);
        let read = failures.follow(
            &reading,
            |attempt, point| pass.borrow_mut().attempt(attempt, point),
            || pass.borrow_mut().output.commit(),
        );
        let mut pass = pass.into_inner();
        if !read.as_ref().is_err_and(anyhow::Error::is::<Late>) {
            pass.logins_before(None, None)?;
        }
        pass.output.commit()?;
        let Self { logins, detector, newest, next, horizon, reached, .. } = pass;
        let logins = logins.map(LoginReader::finish).transpose();
        read?;
        let logins = logins?;
        let Some(moment) = next else { return Ok(None) };
        let CheckpointState { detector, failure, login } =
            reached.unwrap_or(CheckpointState { detector, failure: None, login: None });
        let Some(failures) = position(failures, failure)? else { return Ok(None) };
        let logins = match &logins {
            Some(source) => match position(source, login)? {
                None => return Ok(None),
                position => position,
            },
            None => None,
        };
        Ok(Some(PassCheckpoint { detector, failures, logins, moment, newest, horizon }))
    }

    fn attempt(&mut self, attempt: &Attempt<'_>, point: Point) -> anyhow::Result<()> {
        self.output.counts.add(attempt.outcome, attempt.attempts);
        if attempt.date < self.horizon_text.as_str() {
            return Ok(());
        }
        let Some(observation) = self.dates.observation(attempt) else { return Ok(()) };
        if observation.at > self.latest {
            return Ok(());
        }
        let begun = self.begun.filter(|_| !self.has_failure);
        self.has_failure = true;
        if begun.is_some_and(|begun| observation.at < begun) {
            return Err(Late.into());
        }
        self.logins_before(Some(observation.at), Some(point))?;
        self.newest.failure = self.newest.failure.max(Some(observation.at));
        self.reach(observation.at, Some(point));
        let alerts = self.detector.attempt(attempt, &observation, &mut self.output.alerted);
        self.output.write(&alerts)
    }

    /// Observes the logins before the next failure, with the time `end` and the point `failure`.
    fn logins_before(&mut self, end: Option<Date>, failure: Option<Point>) -> anyhow::Result<()> {
        while let Some((at, _)) = self.logins.as_mut().and_then(LoginReader::peek) {
            // Take ignored logins here: a login with a date in the future would stop this loop.
            let is_wanted = at <= self.latest && self.horizon.is_none_or(|horizon| at >= horizon);
            if is_wanted && end.is_some_and(|end| at >= end) {
                break;
            }
            if is_wanted {
                self.reach(at, failure);
            }
            let begun = self.begun.filter(|_| is_wanted && !self.has_login);
            self.has_login |= is_wanted;
            if begun.is_some_and(|begun| at < begun) {
                return Err(Late.into());
            }
            let Self { logins: Some(logins), detector, output, newest, .. } = self else { break };
            let Some(login) = logins.take() else { break };
            output.counts.add(Outcome::Success, 1);
            if is_wanted {
                newest.login = newest.login.max(Some(at));
                let (observation, hostname) = (&login.observation, login.hostname);
                let alerts = detector.suspicious_logins(observation, hostname, &mut output.alerted);
                output.write(&alerts)?;
            }
        }
        Ok(())
    }

    /// Stores the checkpoint if the attempt at the time `at` is the first attempt that is not older
    /// than `next`. `failure` is the point of the next failure.
    fn reach(&mut self, at: Date, failure: Option<Point>) {
        if self.reached.is_none() && self.next.is_some_and(|next| at >= next) {
            let login = self.logins.as_mut().and_then(LoginReader::peek).map(|(_, point)| point);
            self.reached =
                Some(CheckpointState { detector: self.detector.clone(), failure, login });
        }
    }
}
