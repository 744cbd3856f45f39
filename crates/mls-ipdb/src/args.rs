//! The command line.

use clap::{Parser, Subcommand};

use crate::installed::Flags;

const EXAMPLES: &str = "\
Examples:
  mls-ipdb lookup 8.8.8.8 2001:4860:4860::8888
  zcat mail.log.*.gz | mls-parse | jq -r .ip | sort -u | mls-ipdb lookup | jq -r .country_code | sort | uniq -c
  mls-ipdb --country-db country.csv --country-db country-ipv6.csv --asn-db asn.csv lookup 192.0.2.7";

/// Country and autonomous system of an address, from local databases
#[derive(Debug, Parser)]
#[command(name = "mls-ipdb", version, about, after_help = EXAMPLES)]
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
}

impl mls_cli::Args for Args {
    fn common(&self) -> &mls_cli::Common {
        &self.common
    }
}
