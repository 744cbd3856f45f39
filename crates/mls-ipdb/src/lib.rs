//! `mls-ipdb`: country and autonomous system of an address, from local databases.
//!
//! # Reads
//! Databases in the CSV layouts of [ip-location-db](https://github.com/sapics/ip-location-db): `start,end,country` and
//! `start,end,asn,organisation`, sorted, without header row, the addresses as text or as decimal numbers; a file for each
//! address family. They are searched in place: no load, no second format, no index to go stale. A file called `.mmdb` has
//! MMDB form (`GeoLite2`, DB-IP, ip-location-db), which may hold both families.
//!
//! They are looked for where the flags `--country-db` and `--asn-db` say, else in `--data-dir`, else where `--config` says,
//! else in `/var/lib/maillogsentinel`, else in `~/.ipinfo`. Beside `NAME.csv`, `NAME-ipv6.csv` is used as well where it is
//! there.
//!
//! # Writes
//! `lookup`: a line of JSON for each address, null for what is unknown:
//!
//! ```text
//! $ mls-ipdb lookup 8.8.8.8
//! {"ip":"8.8.8.8","country_code":"US","asn":15169,"aso":"Google LLC"}
//! ```
//!
//! `update` fetches databases over HTTP, or takes local files, and writes a line for each that is then installed, as `verify`
//! does for all: rows, the part of all addresses that they cover (of `2000::/3` for IPv6), date:
//!
//! ```text
//! $ mls-ipdb verify
//! {"path":"/var/lib/maillogsentinel/asn.csv","kind":"AS","rows":427000,"ipv4":0.8612,"ipv6":null,"date":"2026-05-29T03:12:07+02:00"}
//! ```
//!
//! Beside each database that was fetched lies `NAME.origin`, by which the next update asks only for what is newer.
//!
//! # Guarantees
//! - What is not an address is an error on stderr and exit 65 after all others were answered.
//! - A database that is not sorted is noticed (exit 65), not trusted.
//! - A database takes the old one's place all at once, and only if it is whole, makes sense to its end, is of the same kind
//!   and address family, and has at least half as many rows. Else the old one stands, and the exit code is 75 (a later try
//!   may succeed), 69 (the server refuses) or 65 (it makes no sense); the other databases are updated all the same.
//! - Downloads are bounded in size, unpacked too, and in time; https never becomes http; a URL's password and query are shown to
//!   nobody.
//! - Text from a database holds no control character once it is out of here.
//!
//! # Example
//! ```text
//! jq -r .ip events.ndjson | sort -u | mls-ipdb lookup | jq -r .country_code | sort | uniq -c | sort -rn
//! ```

mod args;
mod database;
mod databases;
mod fetch;
mod install;
mod installed;
mod kind;
mod loaded;
mod look;
mod lookup;
mod mmdb;
mod origin;
mod row;
mod survey;
mod update;
mod verify;

use mls_config::Config;

pub use args::Args;
pub use databases::{Databases, Location};
pub use installed::Flags;
pub use look::Unusable;

use args::Command;

/// Runs the tool.
///
/// # Errors
/// See the guarantees above.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let flags = args.databases;
    match args.command {
        Command::Lookup { addresses } => lookup::lookup(&mut flags.open(&config)?, &addresses),
        Command::Update(sources) => update::update(&flags, &sources, &config),
        Command::Verify => verify::verify(&flags, &config),
    }
}
