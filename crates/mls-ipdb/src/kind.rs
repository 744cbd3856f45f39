//! The two kinds of database, and where each is and comes from by default.

use serde::Serialize;

/// What a database tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Kind {
    #[serde(rename = "country")]
    Country,
    #[serde(rename = "AS")]
    System,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Country, Self::System];

    /// For people.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::System => "AS",
        }
    }

    /// The file name in a data directory; the Python original's.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Country => "country_aside.csv",
            Self::System => "asn.csv",
        }
    }

    /// The flag that names its files.
    pub(crate) fn flag(self) -> &'static str {
        match self {
            Self::Country => "--country-db",
            Self::System => "--asn-db",
        }
    }

    /// Where ip-location-db publishes it, for IPv4 and for IPv6.
    pub(crate) fn urls(self) -> [&'static str; 2] {
        match self {
            Self::Country => [
                "https://cdn.jsdelivr.net/npm/@ip-location-db/asn-country/asn-country-ipv4-num.csv",
                "https://cdn.jsdelivr.net/npm/@ip-location-db/asn-country/asn-country-ipv6-num.csv",
            ],
            Self::System => [
                "https://cdn.jsdelivr.net/npm/@ip-location-db/asn/asn-ipv4-num.csv",
                "https://cdn.jsdelivr.net/npm/@ip-location-db/asn/asn-ipv6-num.csv",
            ],
        }
    }
}
