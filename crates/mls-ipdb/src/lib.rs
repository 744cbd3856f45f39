//! `mls-ipdb`: country and autonomous system of an address, from local databases.
//!
//! # Reads
//! Databases in the CSV layouts of [ip-location-db](https://github.com/sapics/ip-location-db): `start,end,country` and
//! `start,end,asn,organisation`, sorted, without header row, the addresses as text or as decimal numbers. The family is a
//! property of the file. They are searched in place ([`look`]): no load, no second format, no index to go stale.
//!
//! They are looked for where the flags `--country-db` and `--asn-db` say, else in `--data-dir`, else where `--config` says,
//! else in `/var/lib/maillogsentinel`, else in `~/.ipinfo`. Beside `NAME.csv`, `NAME-ipv6.csv` is used as well where it is there.
//!
//! # Writes
//! `lookup`: a line of JSON for each address, null for what is unknown:
//!
//! ```text
//! $ mls-ipdb lookup 8.8.8.8
//! {"ip":"8.8.8.8","country_code":"US","asn":15169,"aso":"Google LLC"}
//! ```
//!
//! # Guarantees
//! - What is not an address is an error on stderr and exit 65 after all others were answered.
//! - A database that is not sorted is noticed (exit 65), not trusted.
//! - Text from a database holds no control character once it is out of here.
//!
//! # Example
//! ```text
//! jq -r .ip events.ndjson | sort -u | mls-ipdb lookup | jq -r .country_code | sort | uniq -c | sort -rn
//! ```

mod args;
mod databases;
mod installed;
pub mod look;
mod lookup;
pub mod row;

use mls_cli::Config;

pub use args::Args;
pub use databases::{Databases, Location};
pub use installed::Flags;

use args::Command;

/// Runs the tool.
///
/// # Errors
/// See the guarantees above.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    match args.command {
        Command::Lookup { addresses } => {
            let mut databases = args.databases.open(&config)?;
            lookup::lookup(&mut databases, &addresses)
        }
    }
}
