//! `mls-sql` writes login records into a database, or into SQL files.
//!
//! ```text
//! mls-tail --framed --cursor-file <(mls-sql cursor) LOG | mls-parse | mls-enrich | mls-sql load
//! mls-tail --framed --cursor-file S --committed-by C maillogsentinel.csv | mls-csv --decode |
//!   mls-sql export --cursor-file S
//! mls-sql import
//! ```
//!
//! # Reads and writes
//! mls-sql reads NDJSON on stdin (see [`mls_event`]). It writes one row for each attempt:
//! `attempts` rows for a record, at most [1000](mls_event::MAX_ROWS). With
//! `--outcome failure,success` it also stores successful logins; the column `outcome` contains
//! `failure` or `success`. mls-sql supports [SQLite, PostgreSQL, MySQL and MariaDB](dialect).
//! [`schema`] describes the tables, [`mapping`] describes the columns and `--mapping`. Timestamps
//! are UTC, with microseconds.
//!
//! `status` prints how many rows were loaded from a source, and the time of the last commit.
//!
//! `dump` reads the rows back, as records in the order of time, so that every tool works on a
//! database: `mls-sql dump --since yesterday | mls-report`. `migrate` adds the columns that tables
//! of an older version lack. `prune` removes old rows. `schema --fleet` prints a schema for
//! PostgreSQL in which a mail server can only add events, not read or change them; see [`fleet`].
//!
//! # Exactly once
//! `load` updates the cursor in the transaction that inserts the rows, so cursor and rows always
//! agree. If two loads of one source start from the same position, only the first commit succeeds;
//! the second load ends with exit 75.
//!
//! Give each machine a different `--source`. The cursor contains an ID of the machine (a hash of
//! `/etc/machine-id`) and the logs that were read. `load` ends with exit 78 in two cases:
//!
//! - Another machine has loaded this source. If this machine replaces the other machine,
//!   `--take-over` continues from the position of the other machine.
//! - This machine has loaded the same log under another source name, for example before the host
//!   was renamed. `rename-source` renames the source; `--allow-duplicates` loads the log again.
//!
//! `export --cursor-file S` writes a file with a temporary name, commits the cursor file S, and
//! renames the file. If a run dies before the rename, the next run renames the file.
//!
//! `import` runs each file in one transaction, which also records the file in `TABLE_imports`. So
//! each row of the file is stored exactly once, even after crashes.
//!
//! | an imported file | what happens |
//! |---|---|
//! | is new | `import` runs it |
//! | is unchanged since its import | nothing |
//! | has changed since its import | exit 65; `import` runs no file |
//! | has a statement that fails | exit 65, or the code for the error; no row is stored |
//!
//! `load` and `import` of one machine must not fill the same table, because the SQL files can hold
//! the same attempts as the log. The second command ends with exit 78; with `--allow-duplicates`
//! it continues. `import` always runs the files of other machines. The name of a file contains the
//! ID of the machine that has exported the file. A file without an ID counts as a file of this
//! machine.
//!
//! # The Python original
//! `convert` converts the table of the Python original in an SQLite database. It renames the table
//! to `TABLE_original` and copies the rows into a new table. The old table has local times
//! (`dd/mm/yyyy HH:MM`); `convert` uses the time zone of this machine to convert them to UTC.
//! `convert` runs in one transaction. A second run changes nothing.
//!
//! # Values that do not fit
//! The built-in columns accept every record of the years 1000 to 9999. If a table of your own
//! refuses a row, `load` reports a bad record and continues with the other rows. If the table
//! refuses all rows between two commits, `load` ends with exit 78. `import` stops at the first
//! refused row. If a row exceeds the `max_allowed_packet` of MySQL or MariaDB, `load` also reports
//! a bad record, but does not count the row as refused.
//!
//! If a partitioned table of your own has no partition for a row, `load` ends with exit 78 until
//! you create the partition; no row is lost. If a trigger raises an error, `load` counts the row as
//! refused and skips it. So a trigger that finds no partition must raise an error that can be
//! retried, such as `ERRCODE '55000'`.
//!
//! # Connections
//! If a server is down, mls-sql tries to connect for about half a minute, then ends with exit 75.
//! If a statement has no result after 15 minutes, mls-sql also ends with exit 75. Statements of
//! imported files and statements in SQLite have no time limit. A server on another machine must
//! show a certificate that this machine trusts. `sslmode` or `ssl-mode` in `--url` can change this
//! rule. Passwords come from files; mls-sql never prints them.

pub mod dialect;
pub mod field;
pub mod fleet;
pub mod mapping;
pub mod schema;

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod args;
mod connect;
mod connect_options;
mod cursor;
mod database;
mod dump;
mod error_class;
mod export;
mod import;
mod load;
mod migrate;
mod original;
mod outcome_filter;
mod prune;
mod relay;
mod rename;
mod row_encoder;
mod source;
mod sql_file;
mod statements;
mod status;
mod tables;
mod writer;

pub use args::Args;

use mls_config::Config;
use mls_config::config::Database as Settings;
use mls_diag::Exit;
use mls_stream::ndjson::Reader;

use args::{Command, DatabaseFlags, DialectFlag};
use connect_options::ConnectOptions;
use database::Database;
use dialect::Dialect;
use dump::Filter;
use mapping::Mapping;
use outcome_filter::OutcomeFilter;
use schema::TableName;
use source::Source;
use sql_file::SqlFormat;

const BUILT_IN_ONLY: &str = "--fleet works only with the built-in mapping; remove --mapping, or \
    column_mapping_file in [database]";

const NO_DIRECTORY: &str = "no directory of SQL files; give DIR, or --config with sql_export_dir in \
    [database]";

/// Runs the tool.
///
/// # Errors
/// The error that ends the run early, with its exit code.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let settings = config.database;
    let table = table(args.table, &settings)?;
    let mapping_file = args.mapping.or_else(|| settings.column_mapping_file.clone());
    let mapping = |dialect| {
        mapping_file
            .as_deref()
            .map_or_else(|| Ok(Mapping::built_in(dialect)), |file| Mapping::load(file, dialect))
    };
    let open = |flags: &DatabaseFlags| -> anyhow::Result<_> {
        let options = ConnectOptions::new(flags, &settings)?;
        let mapping = mapping(options.dialect())?;
        Ok((options, mapping))
    };
    match args.command {
        Command::Schema { dialect, fleet } => {
            let dialect = pick(&dialect, &settings);
            if fleet {
                if mapping_file.is_some() {
                    return Err(Exit::Usage.error(BUILT_IN_ONLY));
                }
                return fleet::print(&table, dialect);
            }
            schema::print(&table, dialect, &mapping(dialect)?)
        }
        Command::Load { database, position, allow_duplicates, outcome, .. } => {
            // Check the source name first, because connecting creates an SQLite file.
            let source = Source { allow_duplicates, ..Source::at(position, &settings)? };
            let (options, mapping) = open(&database)?;
            let filter = OutcomeFilter::new(outcome.outcomes(&config.logins), &mapping)?;
            Database::with(&options, &table, |database| {
                load::run(Reader::stdin()?, database, &mapping, source, filter)
            })
        }
        Command::Cursor { database, position } => cursor::print(
            &ConnectOptions::new(&database, &settings)?,
            &table,
            &Source::at(position, &settings)?,
        ),
        Command::Status { database, source } => status::print(
            &ConnectOptions::new(&database, &settings)?,
            &table,
            &Source::new(source, &settings)?,
        ),
        Command::Dump { database, since, until, zone, server, source, outcome } => {
            let (options, mapping) = open(&database)?;
            let today = zone.timezone.now().date_naive();
            let filter = Filter {
                since: since.map(|since| zone.timezone.read(since.begin(today))),
                until: until.map(|until| zone.timezone.read(until.end(today))),
                servers: server,
                sources: source,
                outcomes: outcome,
            };
            filter.check_order()?;
            Database::existing(&options, &table, |database| dump::run(database, &mapping, &filter))
        }
        Command::Migrate { database } => {
            let (options, mapping) = open(&database)?;
            Database::existing(&options, &table, |database| migrate::run(database, &mapping))
        }
        Command::Prune { before, zone, database } => {
            let (options, mapping) = open(&database)?;
            let before = prune::beginning(before, zone.timezone)?;
            Database::existing(&options, &table, |database| prune::run(database, &mapping, &before))
        }
        Command::RenameSource { old, new, loaded_by, database } => {
            source::check_name(&new)?;
            let (options, mapping) = open(&database)?;
            let rename = rename::Rename { old, new, loaded_by };
            Database::existing(&options, &table, |database| rename.run(database, &mapping))
        }
        Command::Export { dialect, dir, cursor_file, source, outcome, .. } => {
            let dialect = pick(&dialect, &settings);
            let mapping = mapping(dialect)?;
            let filter = OutcomeFilter::new(outcome.outcomes(&config.logins), &mapping)?;
            let source = source.or_else(|| settings.source.clone());
            source.as_deref().map(source::check_name).transpose()?;
            let dir = dir.or_else(|| settings.sql_export_dir.clone());
            let cursor_file = cursor_file.or_else(|| config.paths.sql_cursor());
            let format = SqlFormat { table: &table, dialect, mapping: &mapping, source };
            export::run(Reader::stdin()?, &format, filter, dir, cursor_file)
        }
        Command::Import { dir, allow_duplicates, database } => {
            let dir = dir.or_else(|| settings.sql_export_dir.clone());
            let dir = dir.ok_or_else(|| Exit::Usage.error(NO_DIRECTORY))?;
            let (options, mapping) = open(&database)?;
            Database::with(&options, &table, |database| {
                import::run(&dir, allow_duplicates, database, &options, &mapping)
            })
        }
        Command::Convert { database } => {
            let (options, mapping) = open(&database)?;
            Database::existing(&options, &table, |database| original::convert(database, &mapping))
        }
    }
}

fn table(flag: Option<TableName>, settings: &Settings) -> anyhow::Result<TableName> {
    match (flag, &settings.table_name) {
        (Some(table), _) => Ok(table),
        (None, Some(name)) => {
            name.parse().map_err(|why| Exit::Config.error(format!("[database] table_name: {why}")))
        }
        (None, None) => Ok(TableName::default()),
    }
}

fn pick(flag: &DialectFlag, settings: &Settings) -> Dialect {
    flag.dialect.or_else(|| settings.db_type.map(Dialect::from)).unwrap_or(Dialect::Sqlite)
}
