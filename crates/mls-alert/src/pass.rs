//! Reads failures and the logins of a second input together, in order of time.
//!
//! Each pass over the inputs continues the previous pass. It begins at a *checkpoint*: the detector
//! as it was before the attempts of the last minutes, and a position in each input. The attempts
//! after the checkpoint are observed again, because each input can get an attempt between those of
//! the other. All attempts before the checkpoint must be older than the first attempt after it in
//! each input. If one of these first attempts is older, both inputs are read from their beginning.
//! So the result is always the same as the result of one pass over all attempts.

use std::cell::RefCell;

use chrono::{DateTime, FixedOffset, TimeDelta, Utc};
use mls_attempts::{Attempt, AttemptSource, DateReader, LoginReader, ReadOptions};
use mls_event::Outcome;
use mls_rotation::{Point, Position};

use crate::detector::AlertDetector;
use crate::output::AlertWriter;
use crate::source::{AlertInputs, after, position};

type Date = DateTime<FixedOffset>;

/// Attempts with a date this far in the future do not count. An attempt with a date in the next
/// year would make the rules forget all other attempts, because they would be too old.
const MAX_AHEAD: TimeDelta = TimeDelta::hours(1);

/// The dates of a CSV are minutes, so attempts of one minute can come in any order.
const UNORDERED: TimeDelta = TimeDelta::minutes(1);

/// If one input is this far behind the other, it probably has no new attempts and is not late.
const MAX_LAG: TimeDelta = TimeDelta::hours(1);

/// Where the next pass begins.
pub(crate) struct PassCheckpoint {
    pub(crate) detector: AlertDetector,
    pub(crate) failures: Position,
    /// The position in the input of logins; `None` without such an input.
    pub(crate) logins: Option<Position>,
    /// Attempts before the checkpoint are older than this time. The first attempt after the
    /// checkpoint in each input must not be older.
    moment: Date,
    pub(crate) newest: Newest,
    /// Attempts before this moment were left out.
    pub(crate) horizon: Option<Date>,
}

/// The newest attempts of both inputs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Newest {
    failure: Option<Date>,
    login: Option<Date>,
}

impl Newest {
    /// Returns the time of the next checkpoint. All attempts that are read later should be newer.
    fn checkpoint(self, has_logins: bool) -> Date {
        let newest = self.failure.max(self.login);
        let Some(newest) = newest else { return (Utc::now() - MAX_LAG).fixed_offset() };
        let oldest = if has_logins { self.failure.min(self.login) } else { self.failure };
        oldest.unwrap_or(newest).max(newest - MAX_LAG) - UNORDERED
    }
}

/// The error if an attempt is older than the checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("an attempt was recorded late")]
pub(crate) struct Late;

/// One pass over the inputs.
pub(crate) struct Pass<'a> {
    reading: ReadOptions,
    dates: DateReader,
    /// Attempts before this moment do not matter.
    horizon: Option<Date>,
    /// The same moment in the format of the date column of a CSV, because comparing text is faster.
    horizon_text: String,
    /// Attempts after this moment do not matter.
    latest: Date,
    detector: AlertDetector,
    logins: Option<LoginReader>,
    /// The moment of the checkpoint at which this pass began. The first attempt of an input must
    /// not be older.
    begun: Option<Date>,
    has_failure: bool,
    has_login: bool,
    newest: Newest,
    /// The moment of the next checkpoint, if there will be one.
    next: Option<Date>,
    reached: Option<CheckpointState>,
    output: &'a mut AlertWriter,
}

/// The detector at a checkpoint, and the point in each input; `None` is the end.
struct CheckpointState {
    detector: AlertDetector,
    failure: Option<Point>,
    login: Option<Point>,
}

impl<'a> Pass<'a> {
    /// `newest` holds the newest attempts of earlier passes; `None` if this is the only pass.
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

    /// Continues after the pass that ended with `last`. Returns the next checkpoint; `None` if an
    /// input no longer holds what was read before.
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

    /// Reads everything. Returns the next checkpoint; `None` if no pass follows, or if an input
    /// cannot be read again. Fails with [`Late`], before anything is written, if the first attempt
    /// of an input is older than the checkpoint at which this pass began.
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
        // The first attempt of an input must not be older than the checkpoint.
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

    /// Observes the logins before `end`, the time of the failure at the point `failure`.
    fn logins_before(&mut self, end: Option<Date>, failure: Option<Point>) -> anyhow::Result<()> {
        while let Some((at, _)) = self.logins.as_mut().and_then(LoginReader::peek) {
            // Skip an ignored login at once: with a date in the future, it would stop this loop.
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

    /// Keeps the detector if the attempt `at` this moment is the first one at or after the next
    /// checkpoint. `failure` is the failure that comes next.
    fn reach(&mut self, at: Date, failure: Option<Point>) {
        if self.reached.is_none() && self.next.is_some_and(|next| at >= next) {
            let login = self.logins.as_mut().and_then(LoginReader::peek).map(|(_, point)| point);
            self.reached =
                Some(CheckpointState { detector: self.detector.clone(), failure, login });
        }
    }
}
