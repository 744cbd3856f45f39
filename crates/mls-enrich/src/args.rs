//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Parser;

const EXAMPLES: &str = "\
Examples:
  mls-tail mail.log | mls-parse | mls-enrich | mls-csv > maillogsentinel.csv
  zcat mail.log.1.gz | mls-parse | mls-enrich --no-dns | jq -r .country_code | sort | uniq -c
  mls-enrich --country-db country.csv --asn-db asn.csv --dns-server 192.0.2.53 < events.ndjson";

/// Add country, autonomous system and reverse DNS name to authentication records
///
/// Reads records on standard input and writes them in the same order, each with the data about its
/// address. Run mls-ipdb update to fetch the databases.
#[derive(Debug, Parser)]
#[command(name = "mls-enrich", version, after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub(crate) databases: mls_location::IpDatabaseFlags,
    /// Do not query the DNS: hostname and `reverse_dns_status` become null
    #[arg(long)]
    pub(crate) no_dns: bool,
    /// DNS server to query, instead of those in /etc/resolv.conf; the default port is 53
    #[arg(long, value_name = "IP[:PORT]", value_parser = server)]
    pub(crate) dns_server: Option<SocketAddr>,
    /// How long to wait for the DNS answer about one address; after that, its `reverse_dns_status`
    /// is `Errno 2`
    #[arg(long, value_name = "SECONDS", default_value = "4", value_parser = seconds)]
    pub(crate) dns_timeout: Duration,
    /// Longest delay by the DNS for the run, and for any single record. When this time is used up,
    /// records without an answer get null, and no lookup starts for the same number of seconds.
    /// While there is no delay, the allowed time grows again
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) dns_budget: Duration,
    /// Look up private, loopback, link-local and documentation addresses too
    #[arg(long)]
    pub(crate) dns_private: bool,
}

fn server(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53));
    let address = address.or_else(|_| text.parse()).ok();
    address.filter(|address| address.port() > 0).ok_or_else(|| {
        "give an address such as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353".into()
    })
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let a_day = Duration::from_hours(24);
    seconds
        .filter(|time| !time.is_zero() && *time <= a_day)
        .ok_or_else(|| "give seconds such as 30 or 0.5, at most 86400".into())
}

impl mls_cli::Args for Args {
    const STRICT: bool = true;
}
