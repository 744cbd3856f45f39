//! Alerts: events that an administrator must know about at once.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::table::members;
use crate::value::words;
use crate::{Finding, Rule, Timestamp};

members! {
    /// An `alert` record. The crate's documentation describes the members.
    pub struct Alert<'a> is "alert" {
        always date: Timestamp<'a>,
        always kind: AlertKind,
        always key: Option<Cow<'a, str>>,
        always attempts: Option<u64>,
        always threshold: Option<Cow<'a, str>>,
        optional server: Option<Cow<'a, str>>,
        optional ip: Option<IpAddr>,
        optional user: Option<Cow<'a, str>>,
        optional country_code: Option<Cow<'a, str>>,
        optional asn: Option<u32>,
        optional aso: Option<Cow<'a, str>>,
        optional hostname: Option<Cow<'a, str>>,
        optional evidence: Option<Cow<'a, str>>,
    }
}

words! {
    /// The reason for an alert.
    pub enum AlertKind {
        /// Too many failures from one address.
        Ip "ip",
        /// Too many failures on one user.
        User "user",
        /// Too many failures in total.
        Total "total",
        /// A suspicious login: [`Rule::Guessed`].
        Guessed "guessed",
        /// A suspicious login: [`Rule::Spread`].
        Spread "spread",
        /// A suspicious login: [`Rule::Targeted`].
        Targeted "targeted",
    }
}

impl AlertKind {
    /// Whether the alert is about a login, and not about failures.
    #[must_use]
    pub const fn is_suspicious_login(self) -> bool {
        matches!(self, Self::Guessed | Self::Spread | Self::Targeted)
    }
}

impl<'a> Alert<'a> {
    /// An alert that has none of the optional members.
    #[must_use]
    pub fn new(date: Timestamp<'a>, kind: AlertKind) -> Self {
        Self {
            date,
            kind,
            key: None,
            attempts: None,
            threshold: None,
            server: None,
            ip: None,
            user: None,
            country_code: None,
            asn: None,
            aso: None,
            hostname: None,
            evidence: None,
        }
    }
}

impl From<Rule> for AlertKind {
    fn from(rule: Rule) -> Self {
        match rule {
            Rule::Guessed => Self::Guessed,
            Rule::Spread => Self::Spread,
            Rule::Targeted => Self::Targeted,
        }
    }
}

/// The alert about a suspicious login; its `key` is the user.
impl<'a> From<Finding<'a>> for Alert<'a> {
    fn from(finding: Finding<'a>) -> Self {
        Self {
            key: Some(finding.user.clone()),
            ip: Some(finding.ip),
            user: Some(finding.user),
            country_code: finding.country_code,
            asn: finding.asn,
            aso: finding.aso,
            evidence: Some(finding.evidence),
            ..Self::new(finding.date, finding.rule.into())
        }
    }
}
