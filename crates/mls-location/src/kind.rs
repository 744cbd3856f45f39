//! The two kinds of database, with their default names and sources.

/// The kind of data in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// Country of an address.
    Country,
    /// Autonomous system of an address.
    System,
}

impl DatabaseKind {
    /// Both kinds.
    pub const ALL: [Self; 2] = [Self::Country, Self::System];

    /// The name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::System => "AS",
        }
    }

    /// The file name in a data directory; the Python original used the same names.
    #[must_use]
    pub fn file(self) -> &'static str {
        match self {
            Self::Country => "country_aside.csv",
            Self::System => "asn.csv",
        }
    }

    /// The flag that names files of this kind.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::Country => "--country-db",
            Self::System => "--asn-db",
        }
    }

    /// Whether rows belong to the other kind of database. `country` says whether at least one row
    /// has a country; `system`, whether at least one row has an AS number.
    pub(crate) fn is_other(self, country: bool, system: bool) -> bool {
        match self {
            Self::Country => system && !country,
            Self::System => country && !system,
        }
    }

    /// The error message for a database that is not of this kind.
    #[must_use]
    pub fn wrong(self) -> String {
        match self {
            Self::Country => "the file is not a country database: few or no rows have a country",
            Self::System => "the file is not an AS database: few or no rows have an AS number",
        }
        .to_owned()
    }

    /// The URLs of this database at ip-location-db: the file for IPv4, and the file for IPv6.
    #[must_use]
    pub fn urls(self) -> [&'static str; 2] {
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
