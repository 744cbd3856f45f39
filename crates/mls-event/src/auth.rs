//! One authentication attempt.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::Timestamp;
use crate::table::members;
use crate::value::words;

members! {
    /// An `auth` record. The crate's documentation describes the members.
    pub struct Auth<'a> is "auth" {
        always date: Timestamp<'a>,
        always server: Option<Cow<'a, str>>,
        always service: Option<Cow<'a, str>>,
        always pid: Option<u32>,
        always outcome: Outcome,
        always attempts: u32,
        always mechanism: Option<Cow<'a, str>>,
        always ip: Option<IpAddr>,
        optional port: Option<u16>,
        always client: Option<Cow<'a, str>>,
        always user: Option<Cow<'a, str>>,
        always reason: Option<Cow<'a, str>>,
        optional queue_id: Option<Cow<'a, str>>,
        optional pos: Option<Cow<'a, str>>,
    }
    /// The members that mls-enrich added; `None` if it has not run.
    with enrichment: Enrichment,
}

members! {
    /// The members that mls-enrich adds to an `auth` record.
    #[derive(Default)]
    pub struct Enrichment<'a> {
        always hostname: Option<Cow<'a, str>>,
        always reverse_dns_status: Option<Cow<'a, str>>,
        always country_code: Option<Cow<'a, str>>,
        always asn: Option<u32>,
        always aso: Option<Cow<'a, str>>,
    }
}

words! {
    /// How an attempt ended.
    pub enum Outcome {
        /// The server refused the credentials.
        Failure "failure",
        /// The client logged in.
        Success "success",
        /// The client gave up before it sent a password.
        Aborted "aborted",
        /// Because of a temporary failure, the server could not check the credentials.
        Error "error",
    }
}

impl Outcome {
    /// Whether sinks record attempts with this outcome. Aborted attempts and errors of the server
    /// do not become rows or alerts.
    #[must_use]
    pub fn is_recorded(self) -> bool {
        matches!(self, Self::Failure | Self::Success)
    }
}

/// A record with more `attempts` becomes only this number of rows.
pub const MAX_ROWS: u32 = 1000;

impl<'a> Auth<'a> {
    /// Returns the number of rows of this record in a file or table of `outcome`: one for each
    /// attempt, at most [`MAX_ROWS`]. If the record has another outcome, returns 0.
    #[must_use]
    pub fn rows(&self, outcome: Outcome) -> u32 {
        if self.outcome == outcome { self.attempts.min(MAX_ROWS) } else { 0 }
    }

    /// An attempt with only a date and an outcome.
    #[must_use]
    pub fn new(date: Timestamp<'a>, outcome: Outcome) -> Self {
        Self {
            date,
            server: None,
            service: None,
            pid: None,
            outcome,
            attempts: 1,
            mechanism: None,
            ip: None,
            port: None,
            client: None,
            user: None,
            reason: None,
            queue_id: None,
            pos: None,
            enrichment: None,
        }
    }
}
