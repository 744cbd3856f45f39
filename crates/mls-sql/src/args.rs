//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use mls_cli::{OutcomeFlag, outcomes};
use mls_config::moment::DayOrMinute;
use mls_event::Outcome;

use crate::dialect::Dialect;
use crate::schema::TableName;

/// Write records to a database or to SQL files, and read them back
///
/// Supports SQLite, PostgreSQL, MySQL and MariaDB. Writes one row for each attempt. A record with
/// several attempts becomes several rows, at most 1000. Reads rows back as records.
#[derive(Debug, Parser)]
#[command(name = "mls-sql", version, after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Table for the rows [default: from --config, else `maillogsentinel_events`]
    #[arg(long, global = true)]
    pub(crate) table: Option<TableName>,

    /// JSON file that maps members of records to columns [default: from --config, else built in]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the statements that create the tables
    Schema {
        #[command(flatten)]
        dialect: DialectFlag,
        /// Print a PostgreSQL schema for many mail servers: the role of a mail server can only add
        /// rows, and each month has a partition
        #[arg(long)]
        fleet: bool,
    },
    /// Read records from standard input and insert them into the database
    ///
    /// With input from mls-tail --framed, load commits rows and position together, so that each
    /// record is stored exactly once. Without --framed, it commits all records in one transaction.
    #[command(arg = mls_cli::strict())]
    Load {
        #[command(flatten)]
        database: DatabaseFlags,
        #[command(flatten)]
        position: PositionFlags,
        /// Load even if the table may already contain the same attempts: from the same log under
        /// another source name, or from SQL files
        #[arg(long)]
        allow_duplicates: bool,
        #[command(flatten)]
        outcome: OutcomeFlag,
    },
    /// Print the position that load has committed, for mls-tail --cursor-file <(mls-sql cursor)
    Cursor {
        #[command(flatten)]
        database: DatabaseFlags,
        #[command(flatten)]
        position: PositionFlags,
    },
    /// Print what load has committed: the database, the source, the rows, and the time of the last commit
    Status {
        #[command(flatten)]
        database: DatabaseFlags,
        #[command(flatten)]
        source: SourceFlag,
    },
    /// Read rows from the database and write them as records, in the order of time
    ///
    /// Each row becomes one record, with the members that have a column in the table.
    #[command(arg = mls_cli::strict())]
    Dump {
        #[command(flatten)]
        database: DatabaseFlags,
        /// Only rows from this day or minute on: today, yesterday, YYYY-MM-DD, "YYYY-MM-DD HH:MM"
        #[arg(long, value_name = "TIME")]
        since: Option<DayOrMinute>,
        /// Only rows until the end of this day, or until this minute
        #[arg(long, value_name = "TIME")]
        until: Option<DayOrMinute>,
        #[command(flatten)]
        zone: mls_cli::ZoneFlag,
        /// Only rows of this mail server; can be given several times
        #[arg(long, value_name = "NAME")]
        server: Vec<String>,
        /// Only rows that were loaded with this source; can be given several times
        #[arg(long, value_name = "NAME")]
        source: Vec<String>,
        /// Only rows with these outcomes [default: all]
        #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = outcomes(Outcome::ALL))]
        outcome: Vec<Outcome>,
    },
    /// Add the columns of this version to tables that an older version created
    Migrate {
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Remove the rows before a day
    ///
    /// If schema --fleet has created the table, prune drops only whole months: those that end
    /// before that day.
    Prune {
        /// The first day to keep, today at the latest: YYYY-MM-DD
        #[arg(long, value_name = "DATE")]
        before: DayOrMinute,
        #[command(flatten)]
        zone: mls_cli::ZoneFlag,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Rename a source, after its host was renamed
    RenameSource {
        /// The current name
        old: String,
        /// The new name
        new: String,
        /// The database user who loads the source; needed if several users load a source of this
        /// name
        #[arg(long, value_name = "USER")]
        loaded_by: Option<String>,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Read records from standard input and write SQL
    #[command(arg = mls_cli::strict())]
    Export {
        #[command(flatten)]
        dialect: DialectFlag,
        /// Write a file in DIR [default: from --config, else standard output]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Commit the SQL file together with the position in the CSV, so that each row is exported
        /// exactly once; the input must come from mls-tail --framed with the same FILE [default with
        /// --config: `sql_state.offset` in its `state_dir`]
        #[arg(long, value_name = "FILE")]
        cursor_file: Option<PathBuf>,
        /// Name of the source to write into each row [default: from --config, else none]
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        #[command(flatten)]
        outcome: OutcomeFlag,
    },
    /// Run the SQL files in DIR that were not imported yet, in the order of their names
    Import {
        /// Directory of the SQL files [default: from --config]
        dir: Option<PathBuf>,
        /// Import even if the table may already contain the same attempts, because mls-sql load has
        /// loaded logs of this machine
        #[arg(long)]
        allow_duplicates: bool,
        #[command(flatten)]
        database: DatabaseFlags,
    },
    /// Convert the table of the Python original; the old table stays as `TABLE_original`
    Convert {
        #[command(flatten)]
        database: DatabaseFlags,
    },
}

/// The SQL dialect to write.
#[derive(Debug, clap::Args)]
pub(crate) struct DialectFlag {
    /// SQL dialect to write; use mysql for MariaDB too [default: from --config, else sqlite]
    #[arg(long, value_enum)]
    pub(crate) dialect: Option<Dialect>,
}

/// The database and its password.
#[derive(Debug, clap::Args)]
pub(crate) struct DatabaseFlags {
    /// The database, as `sqlite:FILE`, `postgres://USER@HOST/NAME` or `mysql://USER@HOST/NAME`,
    /// with `?host=/run/postgresql` or `?socket=FILE` for a UNIX socket [default: from --config]
    #[arg(long)]
    pub(crate) url: Option<String>,

    /// File with the password on its first line, readable only by you [default: from --config]
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

/// The source of the events.
#[derive(Debug, clap::Args)]
pub(crate) struct SourceFlag {
    /// Name under which the position is stored; give each mail server its own [default: from --config,
    /// else this machine's name]
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
}

/// The source whose position is read.
#[derive(Debug, clap::Args)]
pub(crate) struct PositionFlags {
    #[command(flatten)]
    pub(crate) source: SourceFlag,

    /// This machine replaces another one: continue from the position that the other machine has saved
    /// under this source name
    #[arg(long)]
    pub(crate) take_over: bool,
}

const EXAMPLES: &str = "\
Examples:
  mls-parse < mail.log | mls-enrich --no-dns | mls-sql load --url sqlite:events.db
  mls-tail --framed --cursor-file <(mls-sql cursor --url sqlite:new.db) LOG |
    mls-parse | mls-enrich | mls-sql load --url sqlite:new.db
  mls-csv --decode < maillogsentinel.csv | mls-sql export --dialect mysql > events.sql
  mls-sql schema --dialect postgresql | psql
  mls-sql import /var/log/maillogsentinel/sql --url postgres://mls@db.example.com/mail
  mls-sql dump --since yesterday --url sqlite:events.db | mls-report

A server on another machine must show a certificate that this machine trusts,\n\
unless the URL says sslmode=…";

impl mls_cli::Args for Args {
    fn reads_stdin(subcommand: Option<&str>) -> bool {
        matches!(subcommand, Some("load" | "export"))
    }
}
