//! An attempt as the rules see it.

use std::hash::{BuildHasher, Hasher};
use std::net::IpAddr;

use chrono::{DateTime, FixedOffset, Offset, Utc};
use foldhash::quality::FixedState;
use mls_event::{Auth, Outcome};

/// An attempt to log in.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Time of the attempt.
    pub at: DateTime<FixedOffset>,
    /// Result of the attempt.
    pub outcome: Outcome,
    /// The user name.
    pub user: Option<&'a str>,
    /// The client's address.
    pub ip: Option<IpAddr>,
    /// The country of the address, for example `PL`.
    pub country_code: Option<&'a str>,
    /// Number of the autonomous system of the address.
    pub asn: Option<u32>,
    /// Organisation of the autonomous system.
    pub aso: Option<&'a str>,
}

impl<'a> From<&'a Auth<'_>> for Observation<'a> {
    fn from(auth: &'a Auth<'_>) -> Self {
        let added = auth.enrichment.as_ref();
        Self {
            at: auth.date.at(),
            outcome: auth.outcome,
            user: auth.user.as_deref(),
            ip: auth.ip,
            country_code: added.and_then(|added| added.country_code.as_deref()),
            asn: added.and_then(|added| added.asn),
            aso: added.and_then(|added| added.aso.as_deref()),
        }
    }
}

/// Seconds since 1970.
pub(crate) type Seconds = u32;

/// The time of an attempt, with the recorded UTC offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) at: Seconds,
    /// The UTC offset in minutes.
    offset: i16,
}

impl Moment {
    /// `None` for a time before 1970 or after 2106.
    pub(crate) fn of(date: DateTime<FixedOffset>) -> Option<Self> {
        let at = Seconds::try_from(date.timestamp()).ok()?;
        let offset = i16::try_from(date.offset().local_minus_utc() / 60).ok()?;
        Some(Self { at, offset })
    }

    /// The date in the recorded UTC offset.
    pub(crate) fn date(self) -> DateTime<FixedOffset> {
        let zone = FixedOffset::east_opt(i32::from(self.offset) * 60).unwrap_or_else(|| Utc.fix());
        DateTime::from_timestamp(self.at.into(), 0).unwrap_or_default().with_timezone(&zone)
    }

    /// The number of days from 1970 to the recorded date.
    pub(crate) fn day(self) -> u32 {
        let local = i64::from(self.at) + i64::from(self.offset) * 60;
        u32::try_from(local / 86_400).unwrap_or_default()
    }
}

/// A two-letter country code.
pub(crate) type Country = [u8; 2];

/// An autonomous system in a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) country: Option<Country>,
    pub(crate) asn: Option<u32>,
}

impl Place {
    pub(crate) fn is_known(self) -> bool {
        self.country.is_some() || self.asn.is_some()
    }
}

/// A user name as a number: 32 bits are a hash of the part before the `@`, and 32 bits are a hash
/// of the whole name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name(u64);

impl Name {
    pub(crate) fn new(user: &str) -> Self {
        let local = user.split_once('@').map_or(user, |(local, _)| local);
        Self(hash(local) << 32 | hash(user) >> 32)
    }

    /// Returns whether both names have the same part before the `@`.
    pub(crate) fn has_local_part_of(self, other: Self) -> bool {
        self.0 >> 32 == other.0 >> 32
    }
}

/// Returns a hash that is the same in every run. Letter case does not matter.
fn hash(text: &str) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    let mut lower = [0; 64];
    for chunk in text.as_bytes().chunks(lower.len()) {
        let lower = &mut lower[..chunk.len()];
        lower.copy_from_slice(chunk);
        lower.make_ascii_lowercase();
        hasher.write(lower);
    }
    hasher.finish()
}

/// An IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Network(u64);

impl Network {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self(ip.to_bits().into()),
            // An IPv6 network never has the number of an IPv4 address, because no IPv6 network in
            // use begins with 32 zero bits.
            IpAddr::V6(ip) => Self(u64::try_from(ip.to_bits() >> 64).unwrap_or_default()),
        }
    }
}

/// Returns whether `ip` belongs to a local network. Databases have no country for such addresses.
#[must_use]
pub fn is_internal(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
