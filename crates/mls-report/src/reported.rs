//! Remembers the findings (suspicious logins) that digests have reported.
//!
//! A login can be recorded, or become suspicious, after the digest of its day. So `--since-last`
//! ignores the dates of findings. It reports the findings of the last 30 days that no earlier
//! digest has reported. mls-mail commits the keys of the findings together with each digest. The
//! keys are in a header field of the mail, so they are shorter and fewer than the keys in the
//! ledger of mls-alert ([`mls_state::alerted`]).

use chrono::{DateTime, Days, FixedOffset, NaiveDate};
use data_encoding::BASE64;
use mls_event::Finding;
use mls_state::cursor_file::sha256;
use serde::{Deserialize, Serialize};

/// Older findings are not reported.
const DAYS: Days = Days::new(30);

/// Largest number of findings that are remembered. If there are more, the oldest are forgotten. The
/// digests then report no finding of the forgotten days, because no finding may be reported twice.
const MAX_KEYS: usize = 4096;

/// The findings that digests have reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "StoredReported", into = "StoredReported")]
pub(crate) struct Reported {
    /// Findings before this moment are no longer reported.
    since: Option<DateTime<FixedOffset>>,
    /// The keys in ascending order.
    keys: Vec<FindingKey>,
}

/// The key of a finding: the number of its day since 1970, and a hash of rule, user and day.
/// Findings with the same rule, user and day have the same key.
type FindingKey = (u16, [u8; 6]);

impl Reported {
    /// Returns a value in which all findings before `last` count as reported.
    pub(crate) fn until(last: DateTime<FixedOffset>) -> Self {
        Self { since: Some(last), keys: Vec::new() }
    }

    /// Returns whether a digest has reported the finding, or the finding is too old to be reported.
    pub(crate) fn contains(&self, finding: &Finding<'_>) -> bool {
        self.since.is_some_and(|since| finding.date.at() < since)
            || self.keys.binary_search(&key(finding)).is_ok()
    }

    /// Returns a copy with the findings of a digest that ends at `until`. Forgets old findings.
    pub(crate) fn with(&self, findings: &[Finding<'_>], until: DateTime<FixedOffset>) -> Self {
        let since = self.since.max(until.checked_sub_days(DAYS));
        let mut keys: Vec<FindingKey> =
            self.keys.iter().copied().chain(findings.iter().map(key)).collect();
        keys.retain(|(number, _)| since.is_none_or(|since| *number >= day(since.date_naive())));
        keys.sort_unstable();
        keys.dedup();
        let surplus = keys.len().saturating_sub(MAX_KEYS);
        let dropped = keys.drain(..surplus).next_back();
        let since = since.max(dropped.and_then(|(number, _)| end_of(number)));
        Self { since, keys }
    }
}

fn key(finding: &Finding<'_>) -> FindingKey {
    let date = finding.date.at().date_naive();
    // Letter case does not distinguish accounts.
    let user = finding.user.to_ascii_lowercase();
    let text = format!("{} {date} {user}", finding.rule.name());
    let hash = u64::from_str_radix(&sha256(text.as_bytes())[..12], 16).unwrap_or_default();
    let [_, _, bytes @ ..] = hash.to_be_bytes();
    (day(date), bytes)
}

fn day(date: NaiveDate) -> u16 {
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    u16::try_from(days.max(0)).unwrap_or(u16::MAX)
}

/// Returns a moment after the end of the day in every time zone.
fn end_of(day: u16) -> Option<DateTime<FixedOffset>> {
    let date = NaiveDate::default().checked_add_days(Days::new(u64::from(day) + 2))?;
    Some(date.and_hms_opt(0, 0, 0)?.and_utc().fixed_offset())
}

/// [`Reported`] in the ledger: eight bytes for each key, in base64.
#[derive(Clone, Serialize, Deserialize)]
struct StoredReported {
    since: Option<DateTime<FixedOffset>>,
    keys: String,
}

impl From<Reported> for StoredReported {
    fn from(reported: Reported) -> Self {
        let bytes: Vec<u8> = reported
            .keys
            .iter()
            .flat_map(|(day, hash)| day.to_be_bytes().into_iter().chain(*hash))
            .collect();
        Self { since: reported.since, keys: BASE64.encode(&bytes) }
    }
}

impl TryFrom<StoredReported> for Reported {
    type Error = data_encoding::DecodeError;

    fn try_from(stored: StoredReported) -> Result<Self, Self::Error> {
        let bytes = BASE64.decode(stored.keys.as_bytes())?;
        let (keys, _) = bytes.as_chunks::<8>();
        let mut keys: Vec<FindingKey> =
            keys.iter().map(|&[a, b, ref hash @ ..]| (u16::from_be_bytes([a, b]), *hash)).collect();
        keys.sort_unstable();
        Ok(Self { since: stored.since, keys })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mls_event::{Rule, Timestamp};
    use std::borrow::Cow;

    fn at(text: &str) -> DateTime<FixedOffset> {
        DateTime::parse_from_rfc3339(text).unwrap()
    }

    fn finding(user: &str, date: &str) -> Finding<'static> {
        Finding {
            rule: Rule::Guessed,
            user: Cow::Owned(user.to_owned()),
            ip: "192.0.2.1".parse().unwrap(),
            date: Timestamp::from(at(date)),
            country_code: None,
            asn: None,
            aso: None,
            evidence: Cow::Borrowed(""),
        }
    }

    #[test]
    fn a_finding_counts_as_reported_after_it_was_named_or_after_thirty_days() {
        let first = Reported::default();
        let (anna, bert) = (
            finding("anna@example.org", "2026-06-01T10:00:00Z"),
            finding("bert@example.org", "2026-06-01T11:00:00Z"),
        );
        assert!(!first.contains(&anna));
        let second = first.with(std::slice::from_ref(&anna), at("2026-06-02T00:00:00Z"));
        assert!(second.contains(&anna) && !second.contains(&bert));
        assert!(second.contains(&finding("Anna@example.org", "2026-06-01T23:00:00Z")));
        assert!(!second.contains(&finding("anna@example.org", "2026-06-02T00:00:00Z")));
        let stored = serde_json::to_string(&second).unwrap();
        assert_eq!(serde_json::from_str::<Reported>(&stored).unwrap(), second);
        let third = second.with(&[], at("2026-07-15T00:00:00Z"));
        assert!(third.keys.is_empty() && third.contains(&anna) && third.contains(&bert));
        assert!(Reported::until(at("2026-06-01T10:30:00Z")).contains(&anna));
        assert!(!Reported::until(at("2026-06-01T10:30:00Z")).contains(&bert));
    }

    #[test]
    fn findings_of_forgotten_days_are_not_reported_again() {
        let many: Vec<_> = (0..MAX_KEYS)
            .map(|n| finding(&n.to_string(), "2026-06-02T10:00:00Z"))
            .chain([finding("first", "2026-06-01T10:00:00Z")])
            .collect();
        let full = Reported::default().with(&many, at("2026-06-03T00:00:00Z"));
        assert_eq!(full.keys.len(), MAX_KEYS);
        assert!(many.iter().all(|finding| full.contains(finding)));
    }
}
