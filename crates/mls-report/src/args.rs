//! The command line.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Parser, ValueEnum};
use mls_config::moment::{Day, DayOrMinute};

/// Report failed logins as text, HTML, mail, JSON or metrics
///
/// Reads the CSV of mls-csv, or the records of mls-parse and mls-enrich, plain or compressed by
/// gzip. Writes a report of a day or of any other period.
#[derive(Clone, Debug, Parser)]
#[command(name = "mls-report", version, after_help = EXAMPLES)]
pub struct Args {
    /// Files to read, each after its rotated files; `-` is standard input. Default: the CSV of
    /// --config, else standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// Read successful logins from FILE, to find suspicious ones; `-` is standard input. Default:
    /// `logins_filename` of --config with `[logins] record = yes`
    #[arg(long, value_name = "FILE")]
    pub(crate) logins: Option<PathBuf>,

    /// List the logins of this account instead of a report, suspicious ones first. Default period:
    /// all time
    #[arg(long, value_name = "USER", conflicts_with = "since_last")]
    pub(crate) account: Option<String>,

    /// Report this day: today (the default), yesterday or YYYY-MM-DD
    #[arg(long, value_name = "DAY", conflicts_with_all = ["since", "until", "since_last"])]
    pub(crate) date: Option<Day>,

    /// Report from this day or minute: yesterday, YYYY-MM-DD, "YYYY-MM-DD HH:MM"
    #[arg(long, value_name = "TIME", conflicts_with = "since_last")]
    pub(crate) since: Option<DayOrMinute>,

    /// Report up to the end of this day, or up to the beginning of this minute
    #[arg(long, value_name = "TIME", conflicts_with = "since_last")]
    pub(crate) until: Option<DayOrMinute>,

    /// Report the rows after the last digest that mls-mail accepted. With --format prometheus, add
    /// the rows after the last run to the counters in the output file
    #[arg(long)]
    pub(crate) since_last: bool,

    /// The ledger of mls-mail, for --since-last. Default: mail.ledger in the `state_dir` of
    /// --config
    #[arg(long, value_name = "FILE", requires = "since_last")]
    pub(crate) ledger: Option<PathBuf>,

    /// Read only the committed part of FILE; CURSOR is the cursor file of the tool that appends to
    /// FILE. Default for the CSV of --config: state.offset in its `state_dir`
    #[arg(long, value_name = "CURSOR")]
    pub(crate) committed_by: Option<PathBuf>,

    /// Name of the digest in its subject and heading. Default: the name of this machine
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) title: Option<String>,

    /// Only attempts of this server, as the log names it; give it several times for several servers
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Vec<String>,

    /// Maximum number of rows in a list
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = mls_cli::number(1..=u16::MAX))]
    pub(crate) top: u16,

    #[command(flatten)]
    pub(crate) zone: mls_cli::ZoneFlag,

    /// Format of the report
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,

    /// Write to FILE, which is replaced atomically, instead of standard output. Default with
    /// --since-last --format prometheus: `metrics_file` of --config
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `--format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The digest as plain text
    #[default]
    Text,
    /// One self-contained HTML page
    Html,
    /// One line of JSON
    Json,
    /// For the textfile collector of `node_exporter`
    Prometheus,
    /// A mail message for mls-mail: text and HTML, with the CSV attached
    Mail,
}

const EXAMPLES: &str = "\
Examples:
  mls-report --date yesterday /var/log/maillogsentinel/maillogsentinel.csv
  mls-report --since 2026-06-01 --until 2026-06-07 --format html F.csv > week.html
  mls-report --since-last --format prometheus --output logins.prom F.csv
  mls-report --config C --since-last --format mail | mls-mail --config C
  mls-sql dump --since 2026-05-01 | mls-report --date yesterday --title 'All servers'
  mls-report --config C --account anna@example.org
  zcat mail.log.2.gz | mls-parse | mls-enrich | mls-report --date 2026-06-01";

impl mls_cli::Args for Args {
    const STRICT: bool = true;
}
