//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Send a message or alert records by SMTP
///
/// Reads from standard input a message, such as the output of mls-report --format mail, or the
/// records of mls-alert. Sends mail to the addresses in `[report] email`.
#[derive(Clone, Debug, Parser)]
#[command(name = "mls-mail", version, after_help = EXAMPLES)]
pub struct Args {
    /// Send a short test message
    #[arg(long)]
    pub(crate) test: bool,

    /// Print the message instead of sending it
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// File in which to remember sent messages. Default with --config: mail.ledger in `state_dir`,
    /// or alerts.ledger for alerts
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,

    /// How long to wait for each reply of the mail server; six times as long for the reply to the
    /// message
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = mls_cli::number(1..=u16::MAX))]
    pub(crate) smtp_timeout: u16,

    /// In this time, send at most one mail about failures and one about suspicious logins; the next
    /// mail has all alerts since then
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = mls_cli::number(0..=u32::MAX))]
    pub(crate) alert_interval: u32,
}

const EXAMPLES: &str = "\
Examples:
  mls-mail --config C --test
  mls-report --config C --since-last --format mail | mls-mail --config C
  mls-alert --config C --framed | mls-mail --config C
  printf 'Subject: hello\\n\\nfrom a script\\n' | mls-mail --config C";

impl mls_cli::Args for Args {
    const STRICT: bool = true;
}
