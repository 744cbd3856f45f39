//! Reads attempts and returns alerts.

use chrono::{DateTime, FixedOffset};
use mls_attempts::Attempt;
use mls_config::zone::Zone;
use mls_event::{Alert, Outcome, clean_str};
use mls_findings::Observation;
use mls_state::alerted::Alerted;

use crate::suspicious::Suspicious;
use crate::thresholds::{ReachedThreshold, Thresholds};

/// Applies the rules to attempts. A checkpoint stores a clone of the detector.
#[derive(Clone)]
pub(crate) struct AlertDetector {
    pub(crate) zone: Zone,
    pub(crate) thresholds: Thresholds,
    pub(crate) suspicious: Option<Suspicious>,
    /// An attempt before this time raises no alert about a threshold. `None` (without a cursor
    /// file): every attempt can raise an alert.
    pub(crate) since: Option<i64>,
}

impl AlertDetector {
    /// Attempts before this time do not count for thresholds; `None` if all attempts count.
    pub(crate) fn first_counted(&self) -> Option<i64> {
        Some(self.since? - self.thresholds.longest()?)
    }

    /// Observes an attempt from the input of failures. If this input is standard input, the attempt
    /// may be a successful login.
    pub(crate) fn attempt(
        &mut self,
        attempt: &Attempt<'_>,
        observation: &Observation<'_>,
        alerted: &mut Alerted,
    ) -> Vec<Alert<'static>> {
        let mut alerts = self.suspicious_logins(observation, attempt.hostname, alerted);
        if attempt.outcome == Outcome::Failure {
            alerts.extend(self.thresholds_reached(attempt, observation, alerted));
        }
        alerts
    }

    /// Observes an attempt. Returns new alerts about the logins that it makes suspicious.
    pub(crate) fn suspicious_logins(
        &mut self,
        observation: &Observation<'_>,
        hostname: Option<&str>,
        alerted: &mut Alerted,
    ) -> Vec<Alert<'static>> {
        let Some(suspicious) = &mut self.suspicious else { return Vec::new() };
        let mut alerts = suspicious.observe(observation, hostname);
        alerts.retain(|alert| alerted.enter_login(alert));
        alerts
    }

    fn thresholds_reached(
        &mut self,
        attempt: &Attempt<'_>,
        observation: &Observation<'_>,
        alerted: &mut Alerted,
    ) -> Vec<Alert<'static>> {
        let at = observation.at.timestamp();
        if self.first_counted().is_some_and(|first| at < first) {
            return Vec::new();
        }
        let Self { thresholds, since, zone, .. } = self;
        let reached = thresholds.add(attempt, at).into_iter().filter(|reached| {
            let seconds = reached.threshold.seconds.into();
            since.is_none_or(|since| at >= since)
                && alerted.enter(reached.kind.name(), &reached.counted, at, seconds)
        });
        let date = zone.show(&observation.at);
        reached.map(|reached| alert(&reached, attempt, observation, date)).collect()
    }
}

/// Makes the alert about a threshold. Except for the total, the alert describes the attempt that
/// reached the threshold.
fn alert(
    reached: &ReachedThreshold<'_>,
    attempt: &Attempt<'_>,
    observation: &Observation<'_>,
    date: DateTime<FixedOffset>,
) -> Alert<'static> {
    let text = |text: &str| clean_str(text).into_owned().into();
    let base = Alert {
        key: (!reached.key.is_empty()).then(|| text(reached.key)),
        attempts: Some(reached.attempts),
        threshold: Some(reached.threshold.to_string().into()),
        server: reached.server.map(text),
        ..Alert::new(date.into(), reached.kind)
    };
    if reached.key.is_empty() {
        return base;
    }
    Alert {
        ip: observation.ip,
        user: attempt.user.map(text),
        country_code: attempt.country_code.map(text),
        asn: observation.asn,
        aso: attempt.aso.map(text),
        hostname: attempt.hostname.map(text),
        ..base
    }
}
