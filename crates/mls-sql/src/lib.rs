//! `mls-sql`: events into a database, or into SQL files.
//!
//! ```text
//! mls-tail --framed --cursor-file <(mls-sql cursor) LOG | mls-parse | mls-enrich | mls-sql load
//! mls-tail --framed --cursor-file S --committed-by C maillogsentinel.csv | mls-csv --decode |
//! mls-sql export --cursor-file S mls-sql import
//! ```
//!
//! # Reads and writes
//! NDJSON on stdin (see [`mls_event`]); one row of the table for each failure, `attempts` of them
//! but at most [1000](mls_event::MAX_ROWS). [SQLite, PostgreSQL, MySQL and MariaDB](dialect); for
//! the columns and `--mapping` see [`mapping`], for the tables see [`schema`]. Points in time are
//! UTC, to the microsecond.
//!
//! # Exactly once
//! `load` moves the position in the transaction that inserts the rows, so the database is never
//! ahead of it nor behind; two loads
//! for one source that start from the same position cannot both commit (exit 75). `export
//! --cursor-file S` writes its file under a temporary name, commits S, which names it, and renames
//! it last; the next start finishes what is missing. `import` runs each file in one transaction
//! together with the file's row in `TABLE_imports`. So whatever dies when, each row is there once.
//!
//! | an imported file | what happens |
//! |---|---|
//! | is new | it is run |
//! | is as it was imported | nothing |
//! | has changed since | exit 65, nothing is run |
//! | has a statement that fails | exit 65 (or what the error means), the database is as it was before this file |
//!
//! # Values that do not fit
//! The built-in columns take every event of the years 1000 to 9999. Where a table of the
//! administrator's own refuses a row, `load` reports it as a bad record and goes on with the
//! others, unless it refuses all of them (exit 78); `import` stops. So it is with what is longer
//! than the `max_allowed_packet` of MySQL and MariaDB, but that a row of that length may be the
//! only one. A row that no partition is for is not lost: `load` ends with 78 until there is one.
//! What a trigger raises is a refusal; one that finds no partition yet has to raise what can be
//! waited with, such as `ERRCODE '55000'`.
//!
//! # Connections
//! A server that is down is waited for, half a minute at most, and for what it makes of a statement
//! of ours a quarter of an hour, then exit 75. A server on another machine must show a certificate
//! that this machine trusts. Passwords come from files or the environment, and are never printed.

pub mod dialect;
pub mod mapping;
pub mod schema;

mod args;
mod connect;
mod connect_options;
mod cursor;
mod database;
mod error_class;
mod export;
mod import;
mod load;
mod relay;
mod row_encoder;
mod sql_file;
mod statements;
mod tables;

pub use args::Args;

use mls_config::Config;
use mls_config::config::Database as Settings;
use mls_diag::Exit;
use mls_stream::ndjson::Reader;

use args::{Command, DialectFlag};
use connect_options::ConnectOptions;
use database::Database;
use dialect::Dialect;
use mapping::Mapping;
use schema::Table;

/// Runs the tool.
///
/// # Errors
/// Whatever ends the run early, with its exit code.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let settings = config.database;
    let table = match (args.table, &settings.table_name) {
        (Some(table), _) => table,
        (None, Some(name)) => name
            .parse()
            .map_err(|why| Exit::Config.error(format!("[database] table_name: {why}")))?,
        (None, None) => Table::default(),
    };
    let mapping_file = args.mapping.or_else(|| settings.column_mapping_file.clone());
    let mapping = |dialect| {
        mapping_file.as_deref().map_or_else(|| Ok(Mapping::built_in(dialect)), Mapping::load)
    };
    match args.command {
        Command::Schema { dialect } => {
            let dialect = pick(&dialect, &settings);
            schema::print(&table, dialect, &mapping(dialect)?)
        }
        Command::Load { database, source, .. } => {
            // Before anything is connected to, or made.
            let source = cursor::source(source.source)?;
            let options = ConnectOptions::new(&database, &settings)?;
            let mapping = mapping(options.dialect())?;
            Database::with(&options, |database| {
                load::run(Reader::stdin()?, database, table, &mapping, source)
            })
        }
        Command::Cursor { database, source } => cursor::print(
            &ConnectOptions::new(&database, &settings)?,
            &table,
            &cursor::source(source.source)?,
        ),
        Command::Export { dialect, dir, cursor_file, .. } => {
            let dialect = pick(&dialect, &settings);
            let dir = dir.or_else(|| settings.sql_export_dir.clone());
            let cursor_file =
                cursor_file.or_else(|| Some(config.paths.state_dir?.join("sql_state.offset")));
            export::run(Reader::stdin()?, &table, dialect, &mapping(dialect)?, dir, cursor_file)
        }
        Command::Import { dir, database } => {
            let dir = dir.or_else(|| settings.sql_export_dir.clone());
            let dir = dir.ok_or_else(|| {
                Exit::Usage.error("no DIR was given, and no --config that names one")
            })?;
            let options = ConnectOptions::new(&database, &settings)?;
            let mapping = mapping(options.dialect())?;
            Database::with(&options, |database| {
                import::run(&dir, database, &options, &table, &mapping)
            })
        }
    }
}

fn pick(flag: &DialectFlag, settings: &Settings) -> Dialect {
    flag.dialect.or_else(|| settings.db_type.map(Dialect::from)).unwrap_or(Dialect::Sqlite)
}
