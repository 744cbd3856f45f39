//! The command line.

use clap::{Parser, Subcommand};

use crate::installed::Flags;
use crate::update::Sources;

const EXAMPLES: &str = "\
Examples:
  mls-ipdb update --data-dir ~/.ipinfo
  mls-ipdb lookup 8.8.8.8 2001:4860:4860::8888
  jq -r .ip events.ndjson | sort -u | mls-ipdb lookup | jq -r .country_code | sort | uniq -c
  mls-ipdb update --from asn-ipv4-num.csv.gz --data-dir .
  mls-ipdb verify | jq '{path, rows, date}'

The databases that update fetches are those of https://github.com/sapics/ip-location-db:
  country  CC0
  AS       CC BY 4.0 by RouteViews (https://www.routeviews.org) and DB-IP (https://db-ip.com)
Whoever shows results of the AS database must name them both.";

/// Country and autonomous system of an address, from local databases
#[derive(Debug, Parser)]
#[command(name = "mls-ipdb", version, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) databases: Flags,
    #[command(flatten)]
    pub(crate) common: mls_cli::Common,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say what is known about addresses, one line of JSON each
    Lookup {
        /// The addresses; without any they are read from standard input, one a line
        #[arg(value_name = "IP")]
        addresses: Vec<String>,
    },
    /// Fetch the databases, or take local files; what does not make sense leaves the old ones standing
    Update(Sources),
    /// Check what is installed and say how many rows it has, which part of all addresses it covers, and its date
    Verify,
}

impl mls_cli::Args for Args {
    fn common(&self) -> &mls_cli::Common {
        &self.common
    }
}
