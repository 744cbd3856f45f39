//! `mls-setup`: sets MailLogSentinel up on this machine, or uninstalls it.
//!
//! # Reads
//! `/etc/maillogsentinel.conf`, or the file that `--automated` or `--config` names; answers from
//! the terminal. If setup runs from `target/release` of a source tree, it also reads the tools, the
//! units and the manual pages there.
//!
//! # Writes
//! - `/etc/maillogsentinel.conf`: the configuration. The old configuration becomes
//!   `maillogsentinel.conf.bak`.
//! - `/etc/systemd/system/UNIT.d/setup.conf`: user, writable directories and schedule of each unit
//!   in use.
//! - `/etc/cron.d/maillogsentinel`: the schedules, on a machine where systemd does not run.
//! - `/etc/logrotate.d/maillogsentinel`: the rotation of the operational log.
//! - `/var/log/maillogsentinel`, `/var/lib/maillogsentinel`, and other directories that the
//!   configuration names: for the service user.
//! - `/var/log/maillogsentinel_setup.log`: the actions of setup, one on each line.
//! - `/usr/local`: tools, units and manual pages, and `/usr/share/maillogsentinel/block.nft`: from
//!   a source tree only.
//!
//! If the configuration names no other service user, setup creates the user `maillogsentinel`.
//! Setup adds the service user to the groups `adm` and `systemd-journal`.
//!
//! # The Python original
//! `--migrate` replaces the Python original. It reads the configuration of the original, stops its
//! units and moves them to `UNIT.original`, and keeps its user. Then it converts the data:
//!
//! - The CSV is converted. Setup compares the number of rows of each day before and after.
//! - The position in the log is kept: the first run continues at this position.
//! - Rows that were exported as SQL are not exported again.
//! - SQL files that were not imported yet are converted. The next import runs the new files.
//! - The table in an SQLite database is converted; dates become UTC.
//!
//! Each old file is kept as `NAME.original`; old SQL files are moved to the directory `original`. A
//! second run changes nothing. If a run is interrupted, the next run finishes the migration.
//! `--migrate-data --config FILE` converts only the data. The owner of the data must run it.
//!
//! # Guarantees
//! - Setup shows every change before it makes the change.
//! - All or nothing: if a step fails or a signal arrives, setup undoes all earlier steps, in
//!   reverse order.
//! - Ctrl-C at a question leaves the machine unchanged, and setup says so.
//! - Setup runs as root, so it never follows a symbolic link that the service user, or a group that
//!   may write to `/var/log`, could have created.
//! - At the end, setup runs the service once. If the service does not work, setup says why and
//!   exits with 69.
//! - If setup runs again with the same answers, it changes nothing.
//!
//! # Example
//! ```text
//! sudo mls-setup --interactive
//! sudo mls-setup --automated my.conf --dry-run
//! sudo mls-setup --migrate
//! ```

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod action_log;
mod answers;
mod args;
mod calendar;
mod check;
mod container;
mod cron;
mod database;
mod directory;
mod edit;
mod file;
mod installation;
mod jobs;
mod logrotate;
mod migration;
mod plan;
mod question;
mod setup;
mod show;
mod signals;
mod step;
mod system;
mod terminal;
mod transaction;
mod trial;
mod uninstall;
mod units;

use mls_config::Config;

pub use args::Args;

/// Runs the setup.
///
/// # Errors
/// See the guarantees above. After an error, the machine is as before, with one exception: if the
/// migration of the data or the first run of the service fails, all changes stay.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, _: Config) -> anyhow::Result<()> {
    let signals = signals::Signals::catch()?;
    let result = setup::run(&args, &signals);
    if let Err(error) = &result
        && let Some(interrupted) = error.downcast_ref()
    {
        // End by the signal itself, so that a waiting shell sees it.
        signals.die(interrupted);
    }
    result
}
