//! The command line.

use clap::{Parser, Subcommand};

use crate::update::UpdateFlags;
use mls_location::IpDatabaseFlags;

const EXAMPLES: &str = "\
Examples:
  mls-ipdb update --data-dir ~/.ipinfo
  mls-ipdb lookup 8.8.8.8 2001:4860:4860::8888
  jq -r .ip events.ndjson | sort -u | mls-ipdb lookup | jq -r .country_code | sort | uniq -c
  mls-ipdb update --from asn-ipv4-num.csv.gz --data-dir .
  mls-ipdb verify | jq '{path, rows, date}'

By default, update downloads the databases of https://github.com/sapics/ip-location-db:
  country  CC0
  AS       CC BY 4.0 by RouteViews (https://www.routeviews.org) and DB-IP (https://db-ip.com)
If you publish results of the AS database, you must name both.";

/// Download the country and AS databases, and look addresses up in them
#[derive(Debug, Parser)]
#[command(name = "mls-ipdb", version, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) databases: IpDatabaseFlags,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the country and the autonomous system of addresses, one line of JSON each
    Lookup {
        /// The addresses; without any, they are read from standard input, one per line
        #[arg(value_name = "IP")]
        addresses: Vec<String>,
    },
    /// Download the databases, or install local files; a damaged or incomplete file does not
    /// replace an old one
    Update(UpdateFlags),
    /// Check the installed databases and print their number of rows, the share of all addresses
    /// that they cover, and their date
    Verify,
    /// `mls-ipdb 8.8.8.8`: the same as lookup
    #[command(external_subcommand)]
    Addresses(Vec<String>),
}

impl mls_cli::Args for Args {}
