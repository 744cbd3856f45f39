//! The databases of both kinds, and what they know about an address.

use std::net::IpAddr;
use std::thread::Builder;

use crate::database::Database;
use crate::look::Unusable;

/// After so many lookups the files are taken into memory, which costs as much as some thousand searches in them.
const LOAD_AFTER: u32 = 500;

/// What the databases know about an address.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Location {
    /// ISO 3166-1 alpha-2.
    pub country_code: Option<String>,
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Its organisation.
    pub aso: Option<String>,
}

/// Open databases.
#[derive(Debug, Default)]
pub struct Databases {
    country: Vec<Database>,
    asn: Vec<Database>,
    lookups: u32,
    loaded: bool,
}

impl Databases {
    /// Databases of each kind, asked in this order.
    pub(crate) fn new(country: Vec<Database>, asn: Vec<Database>) -> Self {
        Self { country, asn, lookups: 0, loaded: false }
    }

    /// What is known about an address; an IPv4-mapped one is looked up as IPv4.
    ///
    /// # Errors
    /// [`Unusable`] for a database that turns out to be. It has been dropped: the next call works without it.
    pub fn locate(&mut self, ip: IpAddr) -> Result<Location, Unusable> {
        let ip = ip.to_canonical();
        self.lookups = self.lookups.saturating_add(1);
        if !self.loaded && self.lookups >= LOAD_AFTER {
            self.load()?;
        }
        let country_code = ask(&mut self.country, ip, Database::country)?;
        let (asn, aso) = ask(&mut self.asn, ip, Database::system)?.unzip();
        Ok(Location { country_code, asn, aso: aso.flatten() })
    }

    /// Loads all files, side by side as far as there are threads to be had. It must be called until it has no error.
    fn load(&mut self) -> Result<(), Unusable> {
        std::thread::scope(|scope| {
            for database in self.country.iter_mut().chain(&mut self.asn) {
                // Whatever fails here fails once more below.
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

/// The first answer that one of the databases has.
fn ask<T>(
    databases: &mut Vec<Database>,
    ip: IpAddr,
    read: fn(&mut Database, IpAddr) -> Result<Option<T>, Unusable>,
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
