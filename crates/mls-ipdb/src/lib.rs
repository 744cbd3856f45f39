//! `mls-ipdb`: country and autonomous system of an address, from local databases.
//!
//! # Reads
//! Databases in the CSV layouts of [ip-location-db](https://github.com/sapics/ip-location-db):
//! `start,end,country` and `start,end,asn,organisation`. The rows are sorted, there is no header,
//! and addresses are text or decimal numbers. Each address family has its own file. The tool
//! searches the file itself and makes no index. A file whose name ends in `.mmdb` is an MMDB
//! database (`GeoLite2`, DB-IP, ip-location-db), which may hold both families.
//!
//! mls-ipdb searches for databases in this order and uses the first match: the options `--country-db`
//! and `--asn-db`, the directory `--data-dir`, the file `--config`, the directory
//! `/var/lib/maillogsentinel`, the directory `~/.ipinfo`. If `NAME-ipv6.csv` exists beside `NAME.csv`,
//! it is used too.
//!
//! # Writes
//! `lookup` writes a line of JSON for each address; unknown values are null. `mls-ipdb 8.8.8.8` is
//! short for it:
//!
//! ```text
//! $ mls-ipdb lookup 8.8.8.8
//! {"ip":"8.8.8.8","country_code":"US","asn":15169,"aso":"Google LLC"}
//! ```
//!
//! `update` fetches databases over HTTP, or takes local files, and writes a line for each database
//! that it updated. `verify` writes the same line for every installed database: its rows, the part
//! of all addresses that they cover (for IPv6, of `2000::/3`), and its date:
//!
//! ```text
//! $ mls-ipdb verify
//! {"path":"/var/lib/maillogsentinel/asn.csv","kind":"AS","rows":427000,"ipv4":0.8612,"ipv6":null,"date":"2026-05-29T03:12:07+02:00"}
//! ```
//!
//! Beside each database that was fetched, `update` keeps a file `NAME.origin`. The next update uses
//! it to ask the server only for a newer file.
//!
//! # Guarantees
//! - If the input contains text that is not an address, `lookup` reports it on stderr, answers all
//!   other addresses, and exits with 65.
//! - `lookup` exits with 66 without any database, and with 65 if a database is of the wrong kind or
//!   not sorted.
//! - An update replaces a database as a whole, and only by a valid one of the same kind and address
//!   family that has at least half as many rows. Otherwise the old database stays, and the exit
//!   code is 75 (a later try may succeed), 69 (the server refuses) or 65 (the new file is wrong).
//!   The other databases are still updated.
//! - `update` sorts a CSV of up to a million rows. It refuses a larger one that is not sorted, and a
//!   CSV that mixes IPv4 and IPv6.
//! - Downloads are bounded in time and in size, also after decompression. A redirect from https to
//!   http is refused. Messages never show the password or the query of a URL.
//! - Control characters in the text of a database are replaced when it is read.
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
/// See the guarantees above.
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
