//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Print whether the service works, and its problems
///
/// The exit code is 1 if there is a problem. Run mls-status as the service user. As root, run
/// maillogsentinel --status, which changes to this user.
#[derive(Debug, Parser)]
#[command(name = "mls-status", version, after_help = EXAMPLES)]
pub struct Args {
    /// Configuration file of the service
    #[arg(long, value_name = "FILE", default_value = "/etc/maillogsentinel.conf")]
    pub(crate) config: PathBuf,

    /// Print one line of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const EXAMPLES: &str = "\
Examples:
  sudo maillogsentinel --status
  sudo maillogsentinel --status --json | jq -r '.problems[]'";

impl mls_cli::Args for Args {
    // Status must not create the operational log.
    const CONFIG: bool = false;
}
