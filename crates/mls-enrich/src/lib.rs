//! `mls-enrich`: adds country, autonomous system and reverse DNS name to authentication records.
//!
//! # Reads
//! NDJSON records on stdin (see [`mls_event`]), and the databases of [`mls_ipdb`], which are found as that tool finds them. Names
//! come from the DNS servers of `/etc/resolv.conf`, or from `--dns-server`, and for `[dns_cache] ttl_seconds` from
//! `dns-cache.ndjson` in `state_dir`.
//!
//! # Writes
//! The same records in the same order. Each `auth` record ends in `hostname`, `reverse_dns_status`, `country_code`, `asn` and
//! `aso`; those that it already had are replaced.
//!
//! # Guarantees
//! - Every other member, and every record of another type, is handed on byte for byte.
//! - A record waits for the DNS no longer than `--dns-budget`, and so do a checkpoint behind it and, altogether, a run over a
//!   backlog. What the budget left out has a null status and is counted on stderr.
//! - Many lookups are in flight, one for an address; a run with nothing to ask starts no runtime and no thread.
//! - Private, loopback, link-local and documentation addresses are asked of nobody without `--dns-private`.
//! - A name is what its owner wrote: control characters become `?`, one that reads like an address is none.
//! - Without databases, or without the DNS, it says so once and goes on; so it does without a database that turns out to be
//!   damaged.
//!
//! # Example
//! ```text
//! mls-tail mail.log | mls-parse | mls-enrich | mls-csv --append logins.csv
//! ```

mod answer;
mod args;
mod budget;
mod cache;
mod dns;
mod hostname;
mod private;
mod record;
mod resolve;
mod stream;

use mls_config::Config;
use mls_stream::ndjson::{Reader, Writer};

pub use args::Args;
use dns::{Dns, Settings};
use stream::Stream;

/// Runs the tool.
///
/// # Errors
/// Exit 65 or 66 for a database that a flag names and that cannot be used, 74 for stdin and stdout.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let databases = args.databases.open(&config)?;
    let settings = Settings {
        server: args.dns_server,
        timeout: args.dns_timeout,
        budget: args.dns_budget,
        private: args.dns_private,
        cache: config.dns_cache,
        cache_file: config.paths.state_dir.map(|dir| dir.join("dns-cache.ndjson")),
    };
    let dns = (!args.no_dns).then(|| Dns::new(settings));
    Stream::new(databases, dns, Writer::stdout()?).run(Reader::stdin()?)
}
