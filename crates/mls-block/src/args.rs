//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;

use chrono::{DateTime, FixedOffset};
use clap::{Parser, Subcommand};
use ipnet::IpNet;
use mls_config::config::{BlockFormat, TimeSpan};

/// Turn alerts into block lists
///
/// Reads alert records from standard input and keeps a list of the addresses to block. Each address is
/// blocked for a limited time. Each further block of the address is longer. Without --directory,
/// the list is printed at the end of the input.
#[derive(Clone, Debug, Parser)]
#[command(name = "mls-block", version, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// State file with the blocked addresses, the times, and the reasons. Default: block.state in the
    /// `state_dir` of --config; without --state and --config, no state is kept
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) state: Option<PathBuf>,

    /// Directory of the block lists; each format is a file in it, which is replaced atomically.
    /// Default: `[block] directory` of --config
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,

    /// Formats of the list, such as cidr,nft; standard output gets only the first one. Default:
    /// `[block] formats` of --config, else plain; for the command list, lines for human readers
    #[arg(long, value_name = "FORMAT", value_enum, value_delimiter = ',', global = true)]
    pub(crate) format: Vec<BlockFormat>,

    /// How long to block an address the first time, such as 90s, 10m, 1h; each further block is twice
    /// as long. Default: `[block] time`, 1h
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<TimeSpan>,

    /// Longest time to block an address. After a block ends, the address is remembered for this
    /// time, so that its next block is longer. Default: `[block] max_time`, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) max_time: Option<TimeSpan>,

    /// Block the whole /24 (IPv4) or /64 (IPv6) if at least N of its addresses are blocked; 0 never
    /// blocks a network. Default: `[block] network_from`, 5
    #[arg(long, value_name = "N", value_parser = mls_cli::number(0..=usize::MAX), global = true)]
    pub(crate) network_from: Option<usize>,

    /// Largest number of entries; if there are more, those that expire first are left out. Default:
    /// `[block] max_entries`, 20000
    #[arg(long, value_name = "N", value_parser = mls_cli::number(1..=usize::MAX), global = true)]
    pub(crate) max_entries: Option<usize>,

    /// Address or network that is never blocked, in addition to `[block] allow`; can be repeated
    #[arg(long, value_name = "CIDR", value_parser = mls_cli::network, global = true)]
    pub(crate) allow: Vec<IpNet>,

    /// Successful logins, as CSV or NDJSON records; addresses of these logins are not blocked.
    /// Default with --config: the CSV of logins, if `[logins] record` is yes
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) logins: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) zone: mls_cli::ZoneFlag,

    /// The fail2ban jail that gets the addresses; only for the format fail2ban
    #[arg(long, value_name = "NAME", default_value = "maillogsentinel", value_parser = jail, global = true)]
    pub(crate) jail: String,

    /// Use this time instead of the clock, such as 2026-06-01T12:00:00+02:00
    #[arg(long, value_name = "TIME", value_parser = DateTime::parse_from_rfc3339, global = true)]
    pub(crate) now: Option<DateTime<FixedOffset>>,
}

/// What to do instead of reading alerts.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the block list, for human readers or in a --format
    List,
    /// Print whether and why an address is blocked
    Why {
        /// The address
        #[arg(value_name = "IP", value_parser = address)]
        ip: IpAddr,
    },
    /// Unblock an address or a network; only new alerts block it again
    Remove {
        /// The address or the network
        #[arg(value_name = "IP", value_parser = mls_cli::network)]
        network: IpNet,
    },
}

fn address(text: &str) -> Result<IpAddr, &'static str> {
    text.parse().map_err(|_| "give an address such as 192.0.2.1 or 2001:db8::1")
}

const EXAMPLES: &str = "\
Examples:
  mls-alert --ip 20/10m maillogsentinel.csv | mls-block
  mls-tail --follow LOG | mls-parse | mls-alert --ip 20/10m | \\
    mls-block --state block.state --directory /var/lib/block --format cidr,nft --logins logins.csv
  mls-block --state block.state list --format nft | nft -f -
  mls-block --state block.state why 192.0.2.1";

/// Limits the characters, because the name becomes a word of a command.
fn jail(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(fits) && !text.starts_with('-') {
        Ok(text.to_owned())
    } else {
        Err("give the name of a jail: letters, digits, - and _".into())
    }
}

impl mls_cli::Args for Args {
    const STRICT: bool = true;
}
