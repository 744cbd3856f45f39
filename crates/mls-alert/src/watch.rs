//! Failures, and between them the logins of a second input, in order of time.

use std::cell::RefCell;

use chrono::{DateTime, FixedOffset};
use mls_attempts::{Attempt, AttemptSource, Clock, LoginReader, Reading};
use mls_event::Outcome;

use crate::detector::Detector;
use crate::output::Output;

/// One look at the inputs.
pub(crate) struct Watch<'a> {
    reading: Reading,
    clock: Clock,
    /// Attempts from before this moment do not matter.
    horizon: Option<DateTime<FixedOffset>>,
    /// The same as a CSV writes dates: comparing text is faster.
    horizon_text: String,
    detector: Detector,
    logins: Option<LoginReader>,
    output: &'a mut Output,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        reading: Reading,
        horizon: Option<DateTime<FixedOffset>>,
        detector: Detector,
        logins: Option<AttemptSource>,
        output: &'a mut Output,
    ) -> anyhow::Result<Self> {
        let text = |at: DateTime<FixedOffset>| at.format("%Y-%m-%d %H:%M").to_string();
        Ok(Self {
            clock: Clock::new(reading.zone),
            horizon,
            horizon_text: horizon.map_or_else(String::new, text),
            detector,
            logins: (logins.map(|source| LoginReader::start(source, reading.clone())))
                .transpose()?,
            reading,
            output,
        })
    }

    pub(crate) fn read(self, failures: &AttemptSource) -> anyhow::Result<()> {
        let reading = self.reading.clone();
        let watch = RefCell::new(self);
        let read = failures.follow(
            &reading,
            |attempt, _| watch.borrow_mut().attempt(attempt),
            || watch.borrow_mut().output.commit(),
        );
        let mut watch = watch.into_inner();
        watch.logins_before(None)?;
        watch.output.commit()?;
        let logins = watch.logins.map_or(Ok(()), |logins| logins.finish().map(drop));
        read.map(drop).and(logins)
    }

    fn attempt(&mut self, attempt: &Attempt<'_>) -> anyhow::Result<()> {
        self.output.counts.add(attempt.outcome, attempt.attempts);
        if attempt.date < self.horizon_text.as_str() {
            return Ok(());
        }
        let Some(observation) = self.clock.observation(attempt) else { return Ok(()) };
        self.logins_before(Some(observation.at))?;
        let alerts = self.detector.attempt(attempt, &observation, &mut self.output.alerted);
        self.output.write(&alerts)
    }

    fn logins_before(&mut self, end: Option<DateTime<FixedOffset>>) -> anyhow::Result<()> {
        let Self { logins: Some(logins), detector, output, horizon, .. } = self else {
            return Ok(());
        };
        while let Some(login) = logins.next_before(end) {
            output.counts.add(Outcome::Success, 1);
            if horizon.is_none_or(|horizon| login.observation.at >= horizon) {
                let alerts = detector.login(&login, &mut output.alerted);
                output.write(&alerts)?;
            }
        }
        Ok(())
    }
}
