//! `mls-block`: a list of the addresses to block, made of alerts, for the programs that block.
//!
//! # Reads
//! `alert` records on standard input, as mls-alert writes them. Only those of kind `ip` block. With
//! `--logins`, the record of successful logins and what rotation made of it in the last seven days.
//!
//! # Writes
//! The list of blocked addresses and networks in one or more [forms](form): with `--directory` each
//! to a file of its own, else to standard output at the end of the input. The state file says who
//! is blocked, since when, until when and why.
//!
//! # Rules
//! - An address is blocked from the date of its alert on, for `--time`. If it offends again later,
//!   it is blocked twice as long as the last time, at most for `--max-time`. It is remembered for
//!   `--max-time` after its last block.
//! - When `--network-from` addresses of a /24 (IPv4) or a /64 (IPv6) are blocked, the network takes
//!   their place, until fewer of them are. A network with an address in it that is allowed, or that
//!   somebody removed, never does.
//! - These are never blocked, and a warning says why: the networks of `--allow`, local and private
//!   addresses, and an address (of IPv6, a /64) from which a user logged in during the last seven
//!   days before the alert. The first of these logins must be older than the attempts that the
//!   alert counts: an attacker does not protect himself by guessing a password. An alert about a
//!   suspicious login takes this protection away for seven days.
//! - The list has at most `--max-entries`; of more, those are left out that end first.
//!
//! # Guarantees
//! - The same alerts give the same list; reading them again changes nothing.
//! - Files are replaced at once: whatever happens, a reader finds the old list or the new one.
//! - While the input pauses, entries end on time, and the files follow.
//! - No text of a client gets into a list: it consists of addresses from alerts, numbers, and words
//!   of this program. An IPv4-mapped address is its IPv4 address.
//! - Memory is bounded: 200,000 offenders are remembered, and logins from 200,000 addresses.
//!
//! # Example
//! ```text
//! mls-tail --follow LOG | mls-parse | mls-alert --ip 20/10m | mls-block --state S --directory DIR --form cidr,nft
//! ```

#[doc(hidden)]
pub mod fuzz;

mod allow;
mod answer;
mod args;
mod blocker;
pub mod form;
mod list;
mod logins;
mod offender;
mod output;
mod state_file;

use chrono::{DateTime, SecondsFormat};
use mls_config::Config;
use mls_config::zone::Zone;

pub use args::Args;
use blocker::Blocker;

/// Runs the tool.
///
/// # Errors
/// Exit 64 if no flag names the state file of a subcommand, 74 if a file cannot be read or written,
/// 78 for a damaged state file.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let block = Blocker::new(args.settings, config)?;
    match args.command {
        None => block.read_alerts(),
        Some(command) => block.answer(&command),
    }
}

/// `at`, in seconds since 1970, as RFC 3339 in `zone`.
fn show_time(at: i64, zone: Zone) -> String {
    DateTime::from_timestamp(at, 0)
        .map(|at| zone.show(&at).to_rfc3339_opts(SecondsFormat::Secs, true))
        .unwrap_or_default()
}
