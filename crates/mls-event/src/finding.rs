//! A suspicious login.

use std::borrow::Cow;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::value::words;

/// A login that somebody other than the user may have made. It is an entry of `suspicious_logins` in
/// the JSON of mls-report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding<'a> {
    /// The rule that the login matches.
    pub rule: Rule,
    /// The user name of the login.
    #[serde(borrow)]
    pub user: Cow<'a, str>,
    /// The address of the client, in canonical form.
    pub ip: IpAddr,
    /// The time of the login.
    #[serde(borrow)]
    pub date: Timestamp<'a>,
    /// ISO 3166-1 alpha-2 code of the address's country; `None` if unknown.
    #[serde(borrow)]
    pub country_code: Option<Cow<'a, str>>,
    /// Number of the address's autonomous system; `None` if unknown.
    pub asn: Option<u32>,
    /// Name of the autonomous system's organisation; `None` if unknown.
    #[serde(borrow)]
    pub aso: Option<Cow<'a, str>>,
    /// A sentence that explains why the login is suspicious.
    #[serde(borrow)]
    pub evidence: Cow<'a, str>,
}

words! {
    /// The rule that makes a login suspicious.
    pub enum Rule {
        /// Other names failed from the same network, at most a day before or an hour after.
        Guessed "guessed",
        /// The user logged in from unusually many countries or autonomous systems within hours.
        Spread "spread",
        /// Many addresses attacked the user, and the login came from a country or autonomous system
        /// that is new for the user.
        Targeted "targeted",
    }
}
