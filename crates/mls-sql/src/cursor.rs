//! The committed position of each source, in `TABLE_cursor`.

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_state::cursor_file::CursorFile;
use mls_stream::ndjson::Writer;
use serde_json::Value;

use crate::connect_options::ConnectOptions;
use crate::database::Database;
use crate::error_class::ErrorClass;
use crate::schema::Table;

/// Returns the name of the source: that of `--source`, else this machine's name.
pub(crate) fn source(flag: Option<String>) -> anyhow::Result<String> {
    let source =
        flag.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned());
    if (1..=255).contains(&source.len()) && !source.contains(char::is_control) {
        return Ok(source);
    }
    Err(Exit::Usage.error(format!(
        "{source:?} cannot name a source: use 1 to 255 bytes without control characters"
    )))
}

/// Reads what was committed for `source`. `None` before the first commit, or if the tables do not
/// exist yet.
pub(crate) fn load(
    database: &mut Database,
    table: &Table,
    source: &str,
) -> anyhow::Result<Option<CursorFile>> {
    let (name, doing) = (table.cursor(), format!("reading the position of {source} in"));
    if database.columns(&name)?.is_empty() {
        return Ok(None);
    }
    let dialect = database.dialect;
    let sql = format!(
        "SELECT position FROM {} WHERE source = {}",
        dialect.name(&name),
        dialect.text(source)
    );
    let texts = database.texts(&sql).map_err(|error| database.failed(&error, &doing))?;
    let cursor = texts.first().map(|text| CursorFile::from_json(text.as_bytes())).transpose();
    cursor
        .with_context(|| format!("table {name} in {}, source {source}", database.shown))
        .or_exit(Exit::Config)
}

/// Moves the position from commit `base` to the next one, in the open transaction. Returns the new
/// sequence number. Fails if another pipeline has moved it meanwhile.
pub(crate) fn advance(
    database: &mut Database,
    table: &Table,
    source: &str,
    base: u64,
    cursor: Value,
) -> anyhow::Result<u64> {
    let next = CursorFile::next(base, cursor, None);
    let dialect = database.dialect;
    let (name, source_text) = (dialect.name(&table.cursor()), dialect.text(source));
    let (sequence, position) = (next.sequence, dialect.text(&next.to_json()));
    let sql = if base == 0 {
        format!(
            "INSERT INTO {name} (source, sequence, position) VALUES ({source_text}, {sequence}, {position})"
        )
    } else {
        format!(
            "UPDATE {name} SET sequence = {sequence}, position = {position} WHERE source = {source_text} AND sequence = {base}"
        )
    };
    match database.execute(&sql) {
        Ok(1) => Ok(sequence),
        Ok(_) => Err(overtaken(database, source)),
        Err(error) if ErrorClass::of(&error) == ErrorClass::Data => {
            Err(overtaken(database, source))
        }
        Err(error) => Err(database.failed(&error, "moving the position in")),
    }
}

/// Another pipeline has committed for this source, or the log was read from the position of another
/// source.
pub(crate) fn overtaken(database: &Database, source: &str) -> anyhow::Error {
    Exit::TempFail.error(format!(
        "{}: another pipeline has committed for source {source} since this run read its position. Nothing was \
         written; the next run continues from the committed position. If no other pipeline runs, mls-sql cursor \
         failed or was given another database or --source",
        database.shown
    ))
}

/// Prints the committed position as a cursor file; prints nothing before the first commit.
pub(crate) fn print(options: &ConnectOptions, table: &Table, source: &str) -> anyhow::Result<()> {
    // A command that only reads must not create a database.
    if let ConnectOptions::Sqlite(path) = options
        && !path.exists()
    {
        return Ok(());
    }
    let cursor = Database::with(options, |database| load(database, table, source))?;
    let mut out = Writer::stdout()?;
    if let Some(cursor) = cursor {
        out.line(cursor.to_json().trim_end().as_bytes())?;
    }
    out.flush()
}
