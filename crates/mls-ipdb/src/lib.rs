//! `mls-ipdb`: country and autonomous system of an address, from local databases.
//!
//! # Reads
//! Databases in the CSV layouts of [ip-location-db](https://github.com/sapics/ip-location-db):
//! `start,end,country` and `start,end,asn,organisation`. The rows are sorted, there is no header,
//! and addresses are text or decimal numbers. Each address family has its own file. The tool
//! searches the file itself and makes no index. A file whose name ends in `.mmdb` is an MMDB
//! database (`GeoLite2`, DB-IP, ip-location-db), which may hold both families.
//!
//! mls-ipdb searches for databases in this order and uses the first match: the options
//! `--country-db` and `--asn-db`, the directory `--data-dir`, the paths in the file `--config`, the
//! directory `/var/lib/maillogsentinel`, the directory `~/.ipinfo`. If there is a file
//! `NAME-ipv6.csv` in the directory of `NAME.csv`, this file is used too.
//!
//! # Writes
//! `lookup` writes a line of JSON for each address; unknown values are null. `mls-ipdb 8.8.8.8`
//! does the same as this command:
//!
//! ```text
//! $ mls-ipdb lookup 8.8.8.8
//! {"ip":"8.8.8.8","country_code":"US","asn":15169,"aso":"Google LLC"}
//! ```
//!
//! `update` downloads databases over HTTP, or installs local files, and writes a line for each
//! database that it updated. `verify` writes such a line for every installed database: the number
//! of rows, the share of all addresses that the rows cover (for IPv6, of `2000::/3`), and the date:
//!
//! ```text
//! $ mls-ipdb verify
//! {"path":"/var/lib/maillogsentinel/asn.csv","kind":"AS","rows":427000,"ipv4":0.8612,"ipv6":null,"date":"2026-05-29T03:12:07+02:00"}
//! ```
//!
//! For each downloaded database `NAME`, `update` writes a file `NAME.origin`. The next update reads
//! this file and asks the server only for a newer database.
//!
//! # Guarantees
//! - If the input contains text that is not an address, `lookup` reports it on stderr, answers all
//!   other addresses, and exits with 65.
//! - `lookup` exits with 66 without any database, and with 65 if a database is of the wrong kind or
//!   not sorted.
//! - An update replaces a database as a whole. The new database must be valid, of the same kind and
//!   address family, and have at least half as many rows. If not, the old database stays, and the
//!   exit code is 75 (a later try may succeed), 69 (the server refuses) or 65 (the new file is
//!   wrong). All other databases are updated.
//! - `update` sorts a CSV of up to a million rows. It refuses a larger CSV that is not sorted, and
//!   a CSV that mixes IPv4 and IPv6.
//! - The time and the size of a download are limited, and its size after decompression. A redirect
//!   from https to http is refused. Messages never show the password or the query of a URL.
//! - Control characters in names of organisations are replaced.
//!
//! # Example
//! ```text
//! jq -r .ip events.ndjson | sort -u | mls-ipdb lookup | jq -r .country_code | sort | uniq -c |
//! sort -rn
//! ```

mod args;
mod fetch;
mod install;
mod lookup;
mod origin;
mod update;
mod verify;

use mls_config::Config;

pub use args::Args;

use args::Command;

/// Runs the tool.
///
/// # Errors
/// The section *Guarantees* of the crate describes the exit codes.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let flags = args.databases;
    match args.command {
        Command::Lookup { addresses } | Command::Addresses(addresses) => {
            lookup::lookup(&mut flags.open(&config)?, &addresses)
        }
        Command::Update(sources) => update::update(&flags, &sources, &config),
        Command::Verify => verify::verify(&flags, &config),
    }
}
