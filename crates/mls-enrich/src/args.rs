//! The command line.

use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  zcat mail.log.1.gz | mls-parse | mls-enrich --no-dns | jq -r .country_code | sort | uniq -c | sort -rn
  mls-enrich --country-db country.csv --asn-db asn.csv < events.ndjson";

/// Add country, autonomous system and reverse DNS name to authentication records
#[derive(Debug, Parser)]
#[command(name = "mls-enrich", version, about, after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub(crate) databases: mls_ipdb::Flags,
    /// Do not ask the DNS: hostname and `reverse_dns_status` become null
    #[arg(long)]
    pub(crate) no_dns: bool,
    #[command(flatten)]
    pub(crate) common: mls_cli::Common,
    #[command(flatten)]
    pub(crate) strict: mls_cli::Strict,
}

impl mls_cli::Args for Args {
    fn common(&self) -> &mls_cli::Common {
        &self.common
    }

    fn strict(&self) -> bool {
        self.strict.strict
    }
}
