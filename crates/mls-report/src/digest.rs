//! The numbers of a report.

use crate::counter::Counter;
use crate::period::Period;
use crate::rows::{Field, Row};

/// How a counter's keys write what is unknown; text holds no NUL.
pub(crate) const UNKNOWN: &[u8] = b"\0";

/// What joins the parts of a key; a row is one line.
pub(crate) const JOINT: u8 = b'\n';

/// What is counted while rows stream by.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    pub(crate) total: u64,
    /// By user, address, host name and country, joined by [`JOINT`].
    pub(crate) logins: Counter,
    pub(crate) users: Counter,
    pub(crate) countries: Counter,
    pub(crate) organisations: Counter,
    pub(crate) systems: Counter,
    /// By status, those that are failures.
    pub(crate) reverse_dns_failures: Counter,
    key: Vec<u8>,
}

impl Digest {
    /// Counts a row if it belongs to `period`.
    pub(crate) fn add(&mut self, row: &Row<'_>, period: &Period) {
        if !period.contains(&row.date) {
            return;
        }
        let n = row.attempts;
        self.total += n;
        self.key.clear();
        for field in [&row.user, &row.ip, &row.hostname, &row.country_code] {
            self.key.extend_from_slice(known(field));
            self.key.push(JOINT);
        }
        self.logins.add(&self.key, n);
        self.users.add(known(&row.user), n);
        self.countries.add(known(&row.country_code), n);
        self.organisations.add(known(&row.aso), n);
        self.systems.add(known(&row.asn), n);
        if let Some(status) = row.reverse_dns_status.as_deref().filter(|status| *status != b"OK") {
            self.reverse_dns_failures.add(status, n);
        }
    }
}

fn known<'a>(field: &'a Field<'_>) -> &'a [u8] {
    field.as_deref().unwrap_or(UNKNOWN)
}
