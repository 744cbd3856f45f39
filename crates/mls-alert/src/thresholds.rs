//! Which thresholds an attempt reaches.

use mls_attempts::Attempt;
use mls_config::config::{Alert as Settings, Threshold};
use mls_event::AlertKind;

use crate::window::Windows;

/// The windows of all thresholds.
pub(crate) struct Thresholds(Vec<(AlertKind, Windows)>);

/// A threshold that an attempt reached.
pub(crate) struct Reached<'a> {
    pub(crate) kind: AlertKind,
    /// The address or the user; empty for all attempts.
    pub(crate) key: &'a str,
    pub(crate) attempts: u64,
    pub(crate) threshold: Threshold,
}

impl Thresholds {
    pub(crate) fn new(settings: &Settings) -> Self {
        let watch =
            |kind, threshold: Option<Threshold>| threshold.map(|it| (kind, Windows::new(it)));
        let watches = [
            watch(AlertKind::Ip, settings.ip),
            watch(AlertKind::User, settings.user),
            watch(AlertKind::Total, settings.total),
        ];
        Self(watches.into_iter().flatten().collect())
    }

    /// The longest time of a threshold in seconds; `None` if there is no threshold.
    pub(crate) fn longest(&self) -> Option<i64> {
        self.0.iter().map(|(_, windows)| i64::from(windows.threshold.seconds)).max()
    }

    /// Counts an attempt of the second `at`.
    pub(crate) fn add<'a>(&mut self, attempt: &Attempt<'a>, at: i64) -> Vec<Reached<'a>> {
        let reached = self.0.iter_mut().filter_map(|(kind, windows)| {
            let key = match kind {
                AlertKind::Ip => attempt.ip?,
                AlertKind::User => attempt.user?,
                _ => "",
            };
            let attempts = windows.add(key, at, attempt.attempts);
            let threshold = windows.threshold;
            let is_reached = attempts >= threshold.count.into();
            is_reached.then_some(Reached { kind: *kind, key, attempts, threshold })
        });
        reached.collect()
    }
}
