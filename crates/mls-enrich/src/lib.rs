//! `mls-enrich`: adds country, autonomous system and reverse DNS name to authentication records.
//!
//! # Reads
//! NDJSON records on stdin ([`mls_event`]), and the databases of [`mls_ipdb`], which are found as that tool finds them.
//!
//! # Writes
//! The same records in the same order. Each `auth` record ends in `hostname`, `reverse_dns_status`, `country_code`, `asn` and
//! `aso`; those that it already had are replaced.
//!
//! # Guarantees
//! - Every other member, and every record of another type, is handed on byte for byte.
//! - Without databases it says so once and goes on; so it does without one that turns out to be damaged.
//!
//! # Example
//! ```text
//! mls-tail mail.log | mls-parse | mls-enrich | mls-csv --append logins.csv
//! ```

mod args;
mod record;

use std::net::IpAddr;

use mls_cli::{Config, ndjson};
use mls_event::Enrichment;
use mls_ipdb::{Databases, Location};

pub use args::Args;
use record::Record;

/// Runs the tool.
///
/// # Errors
/// Exit 65 or 66 for a database that a flag names and that cannot be used, 74 for stdin and stdout.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let mut databases = args.databases.open(&config)?;
    ndjson::filter(|line, out| {
        let record = Record::parse(line)?;
        let location = record.ip().map_or_else(Location::default, |ip| locate(&mut databases, ip));
        let added = Enrichment {
            country_code: location.country_code.map(Into::into),
            asn: location.asn,
            aso: location.aso.map(Into::into),
            ..Enrichment::default()
        };
        record.write(&added, out);
        Ok(())
    })
}

/// A database that turns out to be damaged is no reason to stop the log.
fn locate(databases: &mut Databases, ip: IpAddr) -> Location {
    loop {
        match databases.locate(ip) {
            Ok(location) => return location,
            Err(why) => mls_cli::warn!("{why}; going on without it"),
        }
    }
}
