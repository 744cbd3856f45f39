//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Set MailLogSentinel up: configuration, user, directories, schedules, log rotation
///
/// mls-setup shows every change before it makes it. From a source tree it also installs the tools.
#[derive(Debug, Parser)]
#[command(
    name = "mls-setup",
    version,
    max_term_width = 100,
    after_help = "Examples:\n  \
        sudo mls-setup --interactive\n  \
        sudo mls-setup --automated my.conf\n  \
        sudo mls-setup --migrate\n  \
        sudo mls-setup --uninstall"
)]
pub struct Args {
    #[command(flatten)]
    pub(crate) mode: Mode,

    /// Read the current settings from FILE instead of /etc/maillogsentinel.conf
    #[arg(long, value_name = "FILE", conflicts_with_all = ["automated", "uninstall"])]
    pub(crate) config: Option<PathBuf>,

    /// Show what would be changed and exit
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask for confirmation of --uninstall
    #[arg(long)]
    pub(crate) yes: bool,

    /// Set up the system in DIR, such as a mounted image, instead of the running one
    #[arg(long, value_name = "DIR", default_value = "/")]
    pub(crate) root: PathBuf,
}

/// What to do: exactly one of these.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub(crate) struct Mode {
    /// Ask a few questions; the defaults are the current settings
    #[arg(long)]
    pub(crate) interactive: bool,

    /// Ask nothing: FILE becomes /etc/maillogsentinel.conf; keys that it does not set keep their
    /// defaults
    #[arg(long, value_name = "FILE")]
    pub(crate) automated: Option<PathBuf>,

    /// Replace the Python original and keep its configuration, position, CSV, SQL files and SQLite
    /// table
    #[arg(long)]
    pub(crate) migrate: bool,

    /// Convert only the data of the Python original (CSV, SQL files, SQLite table), without root;
    /// --config names its configuration file
    #[arg(long, requires = "config")]
    pub(crate) migrate_data: bool,

    /// Remove what setup installed; configuration, data and user stay
    #[arg(long)]
    pub(crate) uninstall: bool,
}

impl mls_cli::Args for Args {
    const CONFIG: bool = false;
}
