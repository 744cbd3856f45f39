//! `mls-block` makes a list of addresses to block from alerts, for programs that block addresses.
//!
//! # Reads
//! mls-block reads the `alert` records of mls-alert from standard input. Only alerts of kind `ip` block
//! an address. With `--logins`, it also reads the CSV of successful logins, and its rotated files of the
//! last seven days.
//!
//! # Writes
//! mls-block writes the list of blocked addresses and networks in one or more
//! [formats](mod@format): with `--directory`, a file for each format; without `--directory`, the
//! list at the end of the input. The state file has the addresses, the times of each block, and the
//! reason.
//!
//! # Rules
//! - An address is blocked for `--time` from the date of its last alert. If a new alert comes after
//!   the block has ended, the new block is twice as long, at most `--max-time`. mls-block remembers
//!   the address for `--max-time` after its last block.
//! - If at least `--network-from` addresses of a /24 (IPv4) or a /64 (IPv6) are blocked, the
//!   network is listed instead of its addresses. If an address in the network is allowed, has
//!   logins, or was unblocked with `remove`, the addresses are listed.
//! - Some addresses are never blocked, and a warning gives the reason: the networks of `--allow`,
//!   local and private addresses, and addresses (for IPv6, the /64) from which a user logged in
//!   during the seven days before the alert. The first of these logins must be older than the
//!   attempts that the alert counts, so that an attacker who guesses a password does not get this
//!   protection. An alert about a suspicious login from the address ends the protection for 7 days.
//! - The list has at most `--max-entries` entries. mls-block omits the entries that end first.
//!
//! # Guarantees
//! - The same alerts give the same list; reading them again changes nothing.
//! - Files are replaced atomically: a reader always finds the old list or the new one.
//! - While the input pauses, mls-block updates the files when an entry ends.
//! - A list contains no text of a client, only addresses from alerts, numbers, and words of this program.
//!   An IPv4-mapped address becomes its IPv4 address.
//! - Memory is bounded: mls-block remembers at most 200,000 offenders, and logins from 200,000 addresses.
//!
//! # Example
//! ```text
//! mls-tail --follow LOG | mls-parse | mls-alert --ip 20/10m | mls-block --state S --directory DIR --format cidr,nft
//! ```

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod allow;
mod args;
mod blocker;
mod command;
pub mod format;
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
/// Exit 64 if a subcommand has no state file (from `--state` or the configuration), 65 if the input
/// has login records instead of alerts, 73 if a list cannot be written, 74 if another file cannot
/// be read or written, 78 for a damaged state file.
pub fn run(mut args: Args, config: Config) -> anyhow::Result<()> {
    let command = args.command.take();
    let block = Blocker::new(args, config)?;
    match command {
        None => block.read_alerts(),
        Some(command) => block.run_command(&command),
    }
}

/// Formats `at`, in seconds since 1970, as RFC 3339 in `zone`.
fn show_time(at: i64, zone: Zone) -> String {
    DateTime::from_timestamp(at, 0)
        .map(|at| zone.show(&at).to_rfc3339_opts(SecondsFormat::Secs, true))
        .unwrap_or_default()
}
