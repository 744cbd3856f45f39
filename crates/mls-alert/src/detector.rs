//! Attempts in, alerts out: which thresholds an attempt reaches.

use chrono::{DateTime, FixedOffset, NaiveDateTime};
use mls_attempts::Attempt;
use mls_config::config::{Alert as Settings, Threshold};
use mls_config::zone::Zone;
use mls_event::{Alert, AlertKind};
use mls_state::alerted::Alerted;

use crate::window::Windows;

/// Attempts that are older than this many seconds do not alert.
pub(crate) const MAX_AGE: i64 = 86400;

/// Attempts that are this many seconds ahead of the clock do not count: one of next year would expire all others.
const MAX_AHEAD: i64 = 3600;

/// The windows of all thresholds, and what has alerted.
pub(crate) struct Detector {
    zone: Zone,
    watches: Vec<(AlertKind, Windows)>,
    alerted: Alerted,
    /// Attempts from before this second do not alert; none alerts at any age without a cursor file.
    since: Option<i64>,
    /// Earlier dates cannot be in the window of an alert. It compares with dates as text.
    horizon: String,
}

impl Detector {
    /// `None` without any threshold.
    pub(crate) fn new(thresholds: &Settings, zone: Zone, alerted: Option<Alerted>) -> Option<Self> {
        let watch =
            |kind, threshold: Option<Threshold>| threshold.map(|it| (kind, Windows::new(it)));
        let watches: Vec<_> = [
            watch(AlertKind::Ip, thresholds.ip),
            watch(AlertKind::User, thresholds.user),
            watch(AlertKind::Total, thresholds.total),
        ]
        .into_iter()
        .flatten()
        .collect();
        let longest =
            watches.iter().map(|(_, windows)| i64::from(windows.threshold.seconds)).max()?;
        let since = alerted.as_ref().map(|_| zone.now().timestamp() - MAX_AGE);
        let horizon = since.and_then(|since| DateTime::from_timestamp(since - longest, 0));
        Some(Self {
            zone,
            watches,
            alerted: alerted.unwrap_or_default(),
            since,
            horizon: horizon
                .map_or_else(String::new, |at| zone.show(&at).format("%Y-%m-%d %H:%M").to_string()),
        })
    }

    /// Counts an attempt and returns the alerts that it raises.
    pub(crate) fn add(&mut self, attempt: &Attempt<'_>) -> Vec<Alert<'static>> {
        let Some(date) = self.date(attempt) else { return Vec::new() };
        let at = date.timestamp();
        if at > chrono::Utc::now().timestamp() + MAX_AHEAD {
            return Vec::new();
        }
        let Self { watches, alerted, since, .. } = self;
        let alerts = watches.iter_mut().filter_map(|(kind, windows)| {
            let key = match kind {
                AlertKind::Ip => attempt.ip?,
                AlertKind::User => attempt.user?,
                _ => "",
            };
            let attempts = windows.add(key, at, attempt.attempts);
            let Threshold { count, seconds } = windows.threshold;
            let raised = attempts >= count.into()
                && since.is_none_or(|since| at >= since)
                && alerted.enter(kind.name(), key, at, seconds.into(), MAX_AGE);
            raised.then(|| Alert {
                key: (!key.is_empty()).then(|| mls_event::clean_str(key).into_owned().into()),
                attempts: Some(attempts),
                threshold: Some(windows.threshold.to_string().into()),
                ..Alert::new(date.into(), *kind)
            })
        });
        alerts.collect()
    }

    /// `None` if the attempt cannot be in the window of an alert, or if no calendar has its date.
    fn date(&self, attempt: &Attempt<'_>) -> Option<DateTime<FixedOffset>> {
        if attempt.date < self.horizon.as_str() {
            return None;
        }
        if let Some(at) = attempt.at {
            return Some(self.zone.show(&at));
        }
        let format = if attempt.date.len() > 16 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" };
        Some(self.zone.read(NaiveDateTime::parse_from_str(attempt.date, format).ok()?))
    }

    /// What has alerted and may still matter.
    pub(crate) fn alerted(&mut self) -> &Alerted {
        let oldest = MAX_AGE.max(Threshold::MAX_SECONDS.into());
        self.alerted.forget_before(chrono::Utc::now().timestamp() - oldest);
        &self.alerted
    }
}
