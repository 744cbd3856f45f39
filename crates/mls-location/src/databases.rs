//! Looks addresses up in the country databases and AS databases.

use std::net::IpAddr;
use std::thread::Builder;

use crate::database::IpDatabase;
use crate::search::Unusable;

/// After this number of lookups the files are loaded into memory. Loading takes as long as a few
/// thousand searches.
const LOAD_AFTER: u32 = 500;

/// The data about an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Location {
    /// Country code (ISO 3166-1 alpha-2), for example `DE`.
    pub country_code: Option<String>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Organisation of the autonomous system.
    pub aso: Option<String>,
}

/// Open databases, and which kinds are missing.
#[derive(Debug, Default)]
pub struct IpDatabases {
    /// The country databases; `asn` has the AS databases. The first database that has a value for
    /// an address gives the answer.
    pub(crate) country: Vec<IpDatabase>,
    pub(crate) asn: Vec<IpDatabase>,
    /// Descriptions of the kinds that have no database.
    pub(crate) missing: Vec<String>,
    pub(crate) lookups: u32,
    pub(crate) loaded: bool,
}

impl IpDatabases {
    /// Returns a warning that names the missing databases; `None` if no database is missing.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        let missing = self.missing.join(", ");
        (!missing.is_empty()).then(|| {
            format!(
                "{missing}: the fields of a missing database are null; run mls-ipdb update to \
                 download databases"
            )
        })
    }

    /// Whether there is no database at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.country.is_empty() && self.asn.is_empty()
    }

    /// Looks up an address. An IPv4-mapped address counts as IPv4.
    ///
    /// # Errors
    /// [`Unusable`] if a database is damaged. The next call works without that database.
    pub fn locate(&mut self, ip: IpAddr) -> Result<Location, Unusable> {
        let ip = ip.to_canonical();
        self.lookups = self.lookups.saturating_add(1);
        if !self.loaded && self.lookups >= LOAD_AFTER {
            self.load()?;
        }
        let country_code = ask(&mut self.country, ip, IpDatabase::country)?;
        let (asn, aso) = ask(&mut self.asn, ip, IpDatabase::system)?.unzip();
        Ok(Location { country_code, asn, aso: aso.flatten() })
    }

    /// Loads all files, each on its own thread if possible. If a file is damaged, removes this
    /// database and returns the error. The next call goes on with the other files.
    fn load(&mut self) -> Result<(), Unusable> {
        std::thread::scope(|scope| {
            for database in self.country.iter_mut().chain(&mut self.asn) {
                // Ignore an error here, because the loop below reports it.
                let _ = Builder::new().spawn_scoped(scope, || database.load());
            }
        });
        for databases in [&mut self.country, &mut self.asn] {
            for (i, database) in databases.iter_mut().enumerate() {
                if let Err(why) = database.load() {
                    databases.remove(i);
                    return Err(why);
                }
            }
        }
        self.loaded = true;
        Ok(())
    }
}

/// Returns the value of the first database that has a value for `ip`.
fn ask<T>(
    databases: &mut Vec<IpDatabase>,
    ip: IpAddr,
    read: fn(&mut IpDatabase, IpAddr) -> Result<Option<T>, Unusable>,
) -> Result<Option<T>, Unusable> {
    for (i, database) in databases.iter_mut().enumerate() {
        if !database.serves(ip) {
            continue;
        }
        match read(database, ip) {
            Ok(None) => {}
            Ok(answer) => return Ok(answer),
            Err(why) => {
                databases.remove(i);
                return Err(why);
            }
        }
    }
    Ok(None)
}
