//! The command line.

use std::path::PathBuf;

use chrono::{DateTime, FixedOffset};
use clap::Parser;
use ipnet::IpNet;
use mls_config::config::ServerZone;

use crate::Daemon;

/// Find the logins in a mail log and write them as records
///
/// Reads log lines on standard input and writes one NDJSON record for each login that failed. The
/// lines come from a mail log in any common format, from mls-tail --framed, or from journalctl -o
/// json.
#[derive(Debug, Parser)]
#[command(name = "mls-parse", version, after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    pub(crate) outcome: mls_cli::OutcomeFlag,

    /// Read only the lines of these mail servers [default: `[parse] daemons` of --config, else
    /// both]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) daemon: Vec<Daemon>,

    #[command(flatten)]
    pub(crate) zone: mls_cli::ZoneFlag,

    /// Time zone of the time stamps of one server, as NAME=ZONE; can be repeated [default: `[parse]
    /// server_zones` of --config]
    #[arg(long, value_name = "NAME=ZONE")]
    pub(crate) server_zone: Vec<ServerZone>,

    /// Latest possible time of a log line, in RFC 3339. If a time stamp has no year, mls-parse
    /// takes the latest year in which the time stamp is not after this time [default: 26 hours (the
    /// largest difference of time zones) after the last change of the log; if this change is
    /// unknown, 26 hours after now, with a warning]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) reference_time: Option<DateTime<FixedOffset>>,

    /// Exit with 65 if a time stamp has no year and the last change of the log is unknown
    #[arg(long)]
    pub require_year: bool,

    /// Server name for lines without a host name, as in log files that Postfix or Dovecot write
    /// themselves
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,

    /// Leave out attempts from this network or address
    #[arg(long, value_name = "CIDR", value_parser = mls_cli::network)]
    pub(crate) ignore_net: Vec<IpNet>,

    /// Leave out attempts with this user name
    #[arg(long, value_name = "USER")]
    pub(crate) ignore_user: Vec<String>,

    /// Print counts to standard error at the end
    ///
    /// `AUTH commands without success` is the sum of what Postfix counts at the end of each session
    /// (auth=0/2). It includes commands that Postfix rejected without another line, before it
    /// checked a password: the port does not offer AUTH (often port 25), TLS is required
    /// (`smtpd_tls_auth_only`), or the client left. Postfix logs other failures with the level
    /// warning. If a log does not contain this level, only this sum shows the attempts.
    ///
    /// `candidates` are the lines with the words of an attempt. `ignored` are the attempts that
    /// --ignore-net, --ignore-user or `[filter]` leave out. `unparsable` are the lines that --rejects
    /// saves.
    #[arg(long)]
    pub(crate) stats: bool,

    /// Append to FILE the lines that look like a login attempt but cannot be parsed, up to 10 MiB
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,

    /// Not accepted: the error message says how to read a file
    #[arg(value_name = "FILE", hide = true)]
    pub(crate) files: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  mls-tail /var/log/mail.log | mls-parse
  zcat /var/log/mail.log.2.gz | mls-parse | jq -r .ip | sort | uniq -c | sort -rn | head
  mls-parse --daemon postfix,dovecot --outcome success < mail.log | jq -r '[.date, .user, .ip] | @tsv'
  journalctl -o json --all SYSLOG_FACILITY=2 | mls-parse --stats > failures.ndjson";

fn time(text: &str) -> Result<DateTime<FixedOffset>, String> {
    DateTime::parse_from_rfc3339(text)
        .map_err(|_| "not an RFC 3339 time such as 2026-06-01T00:00:45+02:00".into())
}

impl mls_cli::Args for Args {
    const STRICT: bool = true;
}
