//! Finds the thresholds that an attempt reaches.

use std::borrow::Cow;

use mls_attempts::Attempt;
use mls_config::config::{Alert as Settings, Threshold};
use mls_event::AlertKind;
use mls_state::alerted::key_of_server;

use crate::window::Windows;

#[derive(Clone)]
pub(crate) struct Thresholds {
    windows: Vec<(AlertKind, Windows)>,
    by_server: bool,
}

pub(crate) struct ReachedThreshold<'a> {
    pub(crate) kind: AlertKind,
    /// The address or the user; empty for the threshold of the total number.
    pub(crate) key: &'a str,
    /// The server of the attempts, if each server is counted separately.
    pub(crate) server: Option<&'a str>,
    pub(crate) attempts: u64,
    pub(crate) threshold: Threshold,
    /// The name of the counter: the key, with the server if each server is counted separately.
    pub(crate) counted: Cow<'a, str>,
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
        let windows = watches.into_iter().flatten().collect();
        Self { windows, by_server: settings.by_server }
    }

    /// The longest time of a threshold in seconds; `None` if there is no threshold.
    pub(crate) fn longest(&self) -> Option<i64> {
        self.windows.iter().map(|(_, windows)| i64::from(windows.threshold.seconds)).max()
    }

    /// Counts an attempt at `at`. Returns the reached thresholds.
    pub(crate) fn add<'a>(&mut self, attempt: &Attempt<'a>, at: i64) -> Vec<ReachedThreshold<'a>> {
        let server = attempt.server.filter(|_| self.by_server);
        let reached = self.windows.iter_mut().filter_map(|(kind, windows)| {
            let key = match kind {
                AlertKind::Ip => attempt.ip?,
                AlertKind::User => attempt.user?,
                _ => "",
            };
            let counted = key_of_server(key, server);
            let attempts = windows.add(&counted, at, attempt.attempts);
            let (kind, threshold) = (*kind, windows.threshold);
            let is_reached = attempts >= threshold.count.into();
            is_reached.then_some(ReachedThreshold {
                kind,
                key,
                server,
                attempts,
                threshold,
                counted,
            })
        });
        reached.collect()
    }
}
