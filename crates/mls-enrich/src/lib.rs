//! `mls-enrich` adds country, autonomous system and reverse DNS name to authentication records.
//!
//! # Reads
//! mls-enrich reads NDJSON records from stdin (see [`mls_event`]), and the databases that `mls-ipdb`(1)
//! installs.
//! Names come from the DNS servers in `/etc/resolv.conf`, or from `--dns-server`. Answers are cached
//! for `[dns_cache] ttl_seconds` in the file `dns-cache.ndjson` in `state_dir`.
//!
//! # Writes
//! mls-enrich writes the same records in the same order. It adds `hostname`, `reverse_dns_status`,
//! `country_code`, `asn` and `aso` at the end of each `auth` record, or replaces them if the record
//! already has them.
//!
//! # Guarantees
//! - All other members, and records of other types, are copied byte for byte.
//! - The DNS delays a record, and a checkpoint after the record, by at most `--dns-budget`. A run
//!   over many old lines is delayed by at most this time in total. If the budget is spent before an
//!   answer arrives, `reverse_dns_status` is null. A warning counts these records.
//! - Many lookups run at the same time, at most one lookup for each address. If the DNS is slow,
//!   addresses with more records among the next 16 MiB of input are looked up first. A run without
//!   lookups starts no runtime and no thread.
//! - Private, loopback, link-local and documentation addresses are looked up only with
//!   `--dns-private`.
//! - The owner of an address chooses the name. Control characters become `?`, and a name that looks
//!   like an address is ignored.
//! - Without databases, country and AS are null, and mls-enrich logs a warning with the command
//!   that downloads databases. If there is a `state_dir`, it warns at most once a day. A damaged
//!   database is reported and no longer used.
//!
//! # Example
//! ```text
//! mls-tail mail.log | mls-parse | mls-enrich | mls-csv --append maillogsentinel.csv
//! ```

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod answer;
mod args;
mod budget;
mod cache;
mod daily;
mod dns;
mod hostname;
mod private;
mod record;
mod resolve;
mod stream;

use mls_config::Config;
use mls_stream::ndjson::{Reader, Writer};

pub use args::Args;
use dns::Dns;
use stream::Enricher;

/// Runs the tool.
///
/// # Errors
/// Exit 65 or 66 if a flag names a database that cannot be used. Exit 74 if reading stdin or
/// writing stdout fails.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let databases = args.databases.open(&config)?;
    let state_file = |name| config.paths.in_state_dir(name);
    if let Some(warning) = databases.warning() {
        daily::warn(&warning, state_file("missing-databases").as_deref());
    }
    let cache_file = state_file("dns-cache.ndjson");
    let dns = (!args.no_dns).then(|| Dns::new(args, config.dns_cache, cache_file));
    Enricher::new(databases, dns, Writer::stdout()?).run(Reader::stdin()?)
}
