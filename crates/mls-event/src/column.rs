//! The columns of the CSV. Databases are filled from the same columns.

use crate::Outcome;

macro_rules! columns {
    ($first:ident $first_name:literal, $($column:ident $name:literal,)*) => {
        /// A column of the CSV. It contains the member of `auth` of the same name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each variant is the column of the same name")]
        pub enum Column {
            $first,
            $($column,)*
        }

        impl Column {
            /// Every column, in the order of the CSV.
            pub const ALL: [Self; [$first_name, $($name),*].len()] =
                [Self::$first, $(Self::$column),*];

            /// The first line of a CSV of failed logins, without its newline.
            pub const HEADER: &str = concat!($first_name, $(",", $name),*);

            /// The first line of a CSV of successful logins: the same columns in quotes. The quotes
            /// distinguish the file from a CSV of failed logins.
            pub const LOGINS_HEADER: &str =
                concat!("\"", $first_name, "\"", $(",\"", $name, "\""),*);

            /// The column's name in the header.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    Self::$first => $first_name,
                    $(Self::$column => $name,)*
                }
            }
        }
    };
}

columns! {
    Server "server",
    Date "date",
    Ip "ip",
    User "user",
    Hostname "hostname",
    ReverseDnsStatus "reverse_dns_status",
    CountryCode "country_code",
    Asn "asn",
    Aso "aso",
}

impl Column {
    /// The first line of a CSV of attempts with `outcome`.
    #[must_use]
    pub fn header(outcome: Outcome) -> &'static str {
        if outcome == Outcome::Success { Self::LOGINS_HEADER } else { Self::HEADER }
    }

    /// The outcome of the rows of a CSV that begins with `line`; `None` if it is not a header.
    #[must_use]
    pub fn outcome_of_header(line: &[u8]) -> Option<Outcome> {
        let line = line.trim_ascii_end();
        let is_of = |outcome: &Outcome| Self::header(*outcome).as_bytes() == line;
        [Outcome::Failure, Outcome::Success].into_iter().find(is_of)
    }

    /// The column that is called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }
}
