//! Attempts that one thread hands over to another.

use std::net::IpAddr;

use chrono::{DateTime, FixedOffset};
use mls_event::Outcome;
use mls_findings::Observation;

use crate::{Attempt, DateReader};

/// Some attempts; their text is in one string. A failure has only the members that the rules for
/// suspicious logins use.
#[derive(Debug)]
pub struct AttemptBatch {
    text: String,
    attempts: Vec<StoredAttempt>,
}

/// An attempt of an [`AttemptBatch`]. A [`LoginReader`](crate::LoginReader) gives only successful
/// logins.
#[derive(Clone, Copy, Debug)]
pub struct BatchedAttempt<'a> {
    /// The attempt in the form that the rules for suspicious logins use.
    pub observation: Observation<'a>,
    /// Reverse DNS name of the client.
    pub hostname: Option<&'a str>,
    /// The service that logged it.
    pub service: Option<&'a str>,
    /// Postfix's queue ID of the message that the login sent.
    pub queue_id: Option<&'a str>,
}

#[derive(Debug)]
struct StoredAttempt {
    at: DateTime<FixedOffset>,
    outcome: Outcome,
    ip: Option<IpAddr>,
    asn: Option<u32>,
    /// The offset of its first text in the text of the batch.
    start: usize,
    /// Lengths of user, country code, organisation, host name, service and queue ID. A text has at
    /// most [`MAX_NAME`](crate::MAX_NAME) bytes.
    lengths: [Option<u16>; 6],
}

/// An empty batch with room for its attempts.
impl Default for AttemptBatch {
    fn default() -> Self {
        Self {
            text: String::with_capacity(Self::SIZE * 64),
            attempts: Vec::with_capacity(Self::SIZE),
        }
    }
}

impl AttemptBatch {
    /// The number of attempts that are handed over together.
    pub const SIZE: usize = 512;

    /// Adds a failure or a success, if its date is in the calendar. Returns whether it was added.
    pub fn add(&mut self, attempt: &Attempt<'_>, dates: &mut DateReader) -> bool {
        let Some(observation) = dates.observation(attempt) else { return false };
        let Observation { at, outcome, ip, asn, .. } = observation;
        let start = self.text.len();
        let mut texts = [attempt.user, attempt.country_code, None, None, None, None];
        if outcome == Outcome::Success {
            let Attempt { aso, hostname, service, queue_id, .. } = *attempt;
            texts[2..].copy_from_slice(&[aso, hostname, service, queue_id]);
        }
        let lengths = texts.map(|text| {
            let length = u16::try_from(text?.len()).ok()?;
            self.text.push_str(text?);
            Some(length)
        });
        let stored = StoredAttempt { at, outcome, ip, asn, start, lengths };
        self.attempts.push(stored);
        true
    }

    /// Whether the batch has [`SIZE`](Self::SIZE) attempts.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.attempts.len() >= Self::SIZE
    }

    /// The time of the attempt with this number; `None` after the last one.
    pub(crate) fn at(&self, index: usize) -> Option<DateTime<FixedOffset>> {
        self.attempts.get(index).map(|stored| stored.at)
    }

    /// The attempt with this number; `None` after the last one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<BatchedAttempt<'_>> {
        let stored = self.attempts.get(index)?;
        let mut end = stored.start;
        let [user, country_code, aso, hostname, service, queue_id] = stored.lengths.map(|length| {
            let start = end;
            end += usize::from(length?);
            self.text.get(start..end)
        });
        let StoredAttempt { at, outcome, ip, asn, .. } = *stored;
        let observation = Observation { at, outcome, user, ip, country_code, asn, aso };
        Some(BatchedAttempt { observation, hostname, service, queue_id })
    }
}
