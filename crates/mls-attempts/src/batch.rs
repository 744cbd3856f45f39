//! Attempts on their way from one thread to another.

use std::net::IpAddr;
use std::ops::Range;

use chrono::{DateTime, FixedOffset};
use mls_event::Outcome;
use mls_findings::Observation;

use crate::{Attempt, Clock};

/// Some attempts; their text is in one string.
#[derive(Debug, Default)]
pub struct Batch {
    text: String,
    attempts: Vec<Stored>,
}

/// An attempt of a [`Batch`]. A [`LoginReader`](crate::LoginReader) gives successful logins only.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The attempt as the rules for suspicious logins see it.
    pub observation: Observation<'a>,
    /// Reverse DNS name of the client.
    pub hostname: Option<&'a str>,
    /// The service that logged it.
    pub service: Option<&'a str>,
    /// Postfix's queue ID of the message that the login sent.
    pub queue_id: Option<&'a str>,
}

#[derive(Debug)]
struct Stored {
    at: DateTime<FixedOffset>,
    outcome: Outcome,
    ip: Option<IpAddr>,
    asn: Option<u32>,
    user: Option<Range<usize>>,
    country_code: Option<Range<usize>>,
    aso: Option<Range<usize>>,
    hostname: Option<Range<usize>>,
    service: Option<Range<usize>>,
    queue_id: Option<Range<usize>>,
}

impl Batch {
    /// So many attempts are worth handing over.
    pub const SIZE: usize = 512;

    /// Adds an attempt, unless no calendar has its date.
    pub fn add(&mut self, attempt: &Attempt<'_>, clock: &mut Clock) {
        let Some(observation) = clock.observation(attempt) else { return };
        let Observation { at, outcome, ip, asn, .. } = observation;
        let mut store = |text: Option<&str>| {
            let start = self.text.len();
            self.text.push_str(text?);
            Some(start..self.text.len())
        };
        let stored = Stored {
            at,
            outcome,
            ip,
            asn,
            user: store(attempt.user),
            country_code: store(attempt.country_code),
            aso: store(attempt.aso),
            hostname: store(attempt.hostname),
            service: store(attempt.service),
            queue_id: store(attempt.queue_id),
        };
        self.attempts.push(stored);
    }

    /// Whether the batch has its [`SIZE`](Self::SIZE).
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.attempts.len() >= Self::SIZE
    }

    /// The attempt with this number; `None` after the last one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Login<'_>> {
        let stored = self.attempts.get(index)?;
        let text = |range: &Option<Range<usize>>| range.clone().map(|range| &self.text[range]);
        let observation = Observation {
            at: stored.at,
            outcome: stored.outcome,
            user: text(&stored.user),
            ip: stored.ip,
            country_code: text(&stored.country_code),
            asn: stored.asn,
            aso: text(&stored.aso),
        };
        Some(Login {
            observation,
            hostname: text(&stored.hostname),
            service: text(&stored.service),
            queue_id: text(&stored.queue_id),
        })
    }
}
