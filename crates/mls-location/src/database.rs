//! A database in the CSV or the MMDB format. The ending of its file name decides the format.

use std::net::IpAddr;
use std::path::Path;

use crate::kind::DatabaseKind;
use crate::mmdb::Mmdb;
use crate::row::{Family, number};
use crate::search::{Csv, Unusable};

#[derive(Debug)]
pub(crate) enum IpDatabase {
    Csv(Csv),
    Mmdb(Mmdb),
}

/// The format of a file. Its name decides: `asn.mmdb.gz` is an MMDB database, compressed by gzip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFormat {
    /// Whether the content is compressed by gzip.
    pub gzip: bool,
    /// Whether the content is an MMDB database. If not, the content is a CSV.
    pub mmdb: bool,
}

impl FileFormat {
    /// Returns the format of the file `path`.
    #[must_use]
    pub fn of(path: &Path) -> Self {
        let ends = |path: &Path, in_this: &str| {
            path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case(in_this))
        };
        let gzip = ends(path, "gz");
        let inside = if gzip { path.with_extension("") } else { path.to_owned() };
        Self { gzip, mmdb: ends(&inside, "mmdb") }
    }
}

impl IpDatabase {
    pub(crate) fn open(path: &Path) -> Result<Self, Unusable> {
        if FileFormat::of(path).mmdb {
            Mmdb::open(path).map(Self::Mmdb)
        } else {
            Csv::open(path).map(Self::Csv)
        }
    }

    /// Fails if the database is of the other kind (country or AS).
    pub(crate) fn check_kind(&mut self, kind: DatabaseKind) -> Result<(), Unusable> {
        match self {
            Self::Csv(csv) => csv.check_kind(kind),
            Self::Mmdb(mmdb) => mmdb.check_kind(kind),
        }
    }

    /// Loads a CSV into memory for many lookups. An MMDB database is always in memory.
    pub(crate) fn load(&mut self) -> Result<(), Unusable> {
        match self {
            Self::Csv(csv) => csv.load(),
            Self::Mmdb(_) => Ok(()),
        }
    }

    /// Whether the database can contain addresses of the family of `ip`.
    pub(crate) fn serves(&self, ip: IpAddr) -> bool {
        match self {
            Self::Csv(csv) => csv.family() == Family::of(ip),
            Self::Mmdb(mmdb) => mmdb.serves(ip),
        }
    }

    pub(crate) fn country(&mut self, ip: IpAddr) -> Result<Option<String>, Unusable> {
        match self {
            Self::Csv(csv) => Ok(csv.find(number(ip))?.and_then(|row| row.country())),
            Self::Mmdb(mmdb) => mmdb.country(ip),
        }
    }

    pub(crate) fn system(&mut self, ip: IpAddr) -> Result<Option<(u32, Option<String>)>, Unusable> {
        match self {
            Self::Csv(csv) => {
                let row = csv.find(number(ip))?;
                Ok(row.and_then(|row| Some((row.asn()?, row.organisation()))))
            }
            Self::Mmdb(mmdb) => mmdb.system(ip),
        }
    }
}
