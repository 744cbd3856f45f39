//! Prints what was loaded from a source: `mls-sql status`.

use mls_stream::ndjson::Writer;

use crate::connect_options::ConnectOptions;
use crate::database::Database;
use crate::dialect::Dialect;
use crate::schema::TableName;
use crate::source::Source;

/// Prints lines `NAME: VALUE`: the database, the source, the number of rows loaded from the source,
/// and the time of the last commit. Does not print unknown values. Exit 78 if an older version has
/// created the table of cursors.
pub(crate) fn print(
    options: &ConnectOptions,
    table: &TableName,
    source: &Source,
) -> anyhow::Result<()> {
    // A command that only reads must not create a database.
    let (state, [rows, last_commit]) = if options.exists() {
        Database::with(options, table, |database| read(database, source))?
    } else {
        ("it does not exist yet; mls-sql load creates it".to_owned(), [None, None])
    };
    let mut out = Writer::stdout()?;
    out.line(format!("database: {}: {state}", options.shown()).as_bytes())?;
    out.line(format!("source: {}", source.name).as_bytes())?;
    for (name, value) in [("rows", rows), ("last_commit", last_commit)] {
        if let Some(value) = value {
            out.line(format!("{name}: {value}").as_bytes())?;
        }
    }
    out.flush()
}

/// Returns the state of the tables, the number of rows of a source, and the time of its last
/// commit. Number and time are `None` before the first commit, and if only an older version has
/// committed.
fn read(database: &mut Database, source: &Source) -> anyhow::Result<(String, [Option<String>; 2])> {
    let name = database.table.name().to_owned();
    let mut columns = Vec::new();
    for table in [name.clone(), database.table.cursor()] {
        columns = database.columns(&table)?;
        if columns.is_empty() {
            let state = format!("table {table} does not exist yet; mls-sql load creates it");
            return Ok((state, [None, None]));
        }
    }
    database.check_cursor_columns(&columns)?;
    let dialect = database.dialect;
    let time = match dialect {
        Dialect::Sqlite => "committed_at",
        Dialect::Postgresql => {
            r#"to_char(committed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"#
        }
        Dialect::Mysql => "DATE_FORMAT(committed_at, '%Y-%m-%dT%H:%i:%sZ')",
    };
    let rows = match dialect {
        Dialect::Mysql => "CAST(loaded_rows AS CHAR)",
        _ => "CAST(loaded_rows AS TEXT)",
    };
    let (cursors, source) = (database.cursors(), dialect.text(&source.name));
    let sql = format!("SELECT {rows}, {time} FROM {cursors} WHERE source = {source}");
    let found = database.rows(&sql, "reading the positions in")?;
    let Some(row) = found.into_iter().next() else {
        let state = format!("table {name} has no committed position of this source yet");
        return Ok((state, [None, None]));
    };
    Ok((format!("table {name}"), row.try_into().unwrap_or_default()))
}
