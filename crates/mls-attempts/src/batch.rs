//! Attempts that one thread passes to another thread.

use std::net::IpAddr;

use chrono::{DateTime, FixedOffset};
use mls_event::Outcome;
use mls_findings::Observation;

use crate::{Attempt, DateReader};

/// Some attempts, with all their texts in one string. A failure has only the fields that the rules
/// for suspicious logins use.
#[derive(Debug)]
pub struct AttemptBatch {
    text: String,
    attempts: Vec<StoredAttempt>,
}

/// An attempt of an [`AttemptBatch`]. If a [`LoginReader`](crate::LoginReader) returns it, it is a
/// successful login.
#[derive(Clone, Copy, Debug)]
pub struct BatchedAttempt<'a> {
    /// The attempt in the form that the rules for suspicious logins use.
    pub observation: Observation<'a>,
    /// Reverse DNS name of the client.
    pub hostname: Option<&'a str>,
    /// The service that logged the attempt.
    pub service: Option<&'a str>,
    /// Postfix's queue ID of the message that was sent after this login.
    pub queue_id: Option<&'a str>,
}

#[derive(Debug)]
struct StoredAttempt {
    at: DateTime<FixedOffset>,
    outcome: Outcome,
    ip: Option<IpAddr>,
    asn: Option<u32>,
    /// The offset in [`AttemptBatch::text`] at which the texts of this attempt begin.
    start: usize,
    /// Lengths in bytes of user, country code, organisation, host name, service and queue ID;
    /// `None` if the attempt has no such text.
    lengths: [Option<u16>; 6],
}

/// An empty batch with memory for [`SIZE`](AttemptBatch::SIZE) attempts.
impl Default for AttemptBatch {
    fn default() -> Self {
        Self {
            text: String::with_capacity(Self::SIZE * 64),
            attempts: Vec::with_capacity(Self::SIZE),
        }
    }
}

impl AttemptBatch {
    /// The number of attempts in a full batch.
    pub const SIZE: usize = 512;

    /// Adds a failure or a success that has a valid date. Returns whether the attempt was added.
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

    /// The time of the attempt with the number `index`; `None` after the last attempt.
    pub(crate) fn at(&self, index: usize) -> Option<DateTime<FixedOffset>> {
        self.attempts.get(index).map(|stored| stored.at)
    }

    /// The attempt with the number `index` (from 0); `None` after the last attempt.
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
