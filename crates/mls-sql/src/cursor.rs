//! The committed position of each source, in `TABLE_cursor`.

use anyhow::Context;
use mls_diag::Exit;
use mls_state::cursor_file::CursorFile;
use mls_stream::ndjson::Writer;
use serde_json::Value;

use crate::connect_options::ConnectOptions;
use crate::database::Database;
use crate::dialect::Dialect;
use crate::fleet;
use crate::mapping::LOADED_BY;
use crate::schema::TableName;
use crate::source::{Source, logs, machine};

/// Reads the committed position of `source`. Before the first commit, or if the tables do not exist
/// yet, returns `None`. If another machine has loaded this source, and `--take-over` is missing,
/// exit 78.
pub(crate) fn load(database: &mut Database, source: &Source) -> anyhow::Result<Option<CursorFile>> {
    let columns = database.columns(&database.table.cursor())?;
    if columns.is_empty() {
        return Ok(None);
    }
    database.check_cursor_columns(&columns)?;
    let text = database.dialect.text(&source.name);
    let rows = read(database, &format!("{} WHERE source = {text}", database.cursors()))?;
    let Some(CursorRow { cursor, machine, .. }) = rows.into_iter().next() else { return Ok(None) };
    match (&machine, &source.machine) {
        (Some(theirs), Some(ours)) if theirs != ours && !source.take_over => {
            let (name, shown) = (&source.name, &database.shown);
            Err(Exit::Config.error(format!(
                "{shown}: machine {theirs} has loaded source {name}, and this is machine {ours}; \
                 give each machine its own source name (--source, or source in [database]). If \
                 this machine has replaced the other one, run mls-sql cursor and mls-sql load once \
                 with --take-over"
            )))
        }
        _ => Ok(Some(cursor)),
    }
}

struct CursorRow {
    source: String,
    cursor: CursorFile,
    machine: Option<String>,
    loaded_by: Option<String>,
}

/// Reads positions. `from` is the part of the query after `FROM`.
fn read(database: &mut Database, from: &str) -> anyhow::Result<Vec<CursorRow>> {
    let sql = format!("SELECT source, position, machine, {LOADED_BY} FROM {from}");
    let rows = database.rows(&sql, "reading the positions in")?;
    let committed = |row: Vec<Option<String>>| {
        let columns: Result<[_; 4], _> = row.try_into();
        let [source, position, machine, loaded_by] =
            columns.ok().context("a row is not complete")?;
        let source = source.unwrap_or_default();
        let cursor = CursorFile::from_json(position.unwrap_or_default().as_bytes());
        let cursor = cursor.map_err(|why| {
            Exit::Config.error(format!(
                "table {} in {}: the position of source {source} cannot be used: {why:#}; restore \
                 the table from a backup",
                database.table.cursor(),
                database.shown
            ))
        })?;
        Ok(CursorRow { source, cursor, machine, loaded_by })
    };
    rows.into_iter().map(committed).collect()
}

/// Saves `cursor` as the new position of the source, in the open transaction, which has inserted
/// `rows` rows. `base` is the sequence number of the previous commit. Returns the new sequence
/// number. If another pipeline has committed since `base`, exit 75. If this is the first commit,
/// and this machine has already loaded the same log, exit 78.
pub(crate) fn advance(
    database: &mut Database,
    source: &Source,
    base: u64,
    cursor: Value,
    rows: u64,
) -> anyhow::Result<u64> {
    if base == 0 && !source.allow_duplicates {
        refuse_loaded(database, source, &cursor)?;
    }
    let next = CursorFile::next(base, cursor, None);
    let dialect = database.dialect;
    let (name, source_text) = (database.cursors(), dialect.text(&source.name));
    let (sequence, position) = (next.sequence, dialect.text(&next.to_json()));
    let machine = source.machine.as_ref().map_or("NULL".to_owned(), |id| dialect.text(id));
    let now = match dialect {
        Dialect::Sqlite => "strftime('%Y-%m-%dT%H:%M:%SZ', 'now')",
        Dialect::Postgresql => "now()",
        Dialect::Mysql => "UTC_TIMESTAMP()",
    };
    let sql = if base == 0 {
        format!(
            "INSERT INTO {name} (source, sequence, position, machine, loaded_rows, committed_at) \
             VALUES ({source_text}, {sequence}, {position}, {machine}, {rows}, {now})"
        )
    } else {
        format!(
            "UPDATE {name} SET sequence = {sequence}, position = {position}, machine = {machine}, \
             loaded_rows = loaded_rows + {rows}, committed_at = {now} \
             WHERE source = {source_text} AND sequence = {base}"
        )
    };
    match database.execute(&sql) {
        Ok(1) => Ok(sequence),
        Ok(_) => Err(overtaken(database, source)),
        Err(error) if is_duplicate(&error) => Err(overtaken(database, source)),
        Err(error) => Err(database.failed(&error, "moving the position in")),
    }
}

fn is_duplicate(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Fails if this machine has already loaded the same log under another source name, or as another
/// user of the database.
fn refuse_loaded(database: &mut Database, source: &Source, cursor: &Value) -> anyhow::Result<()> {
    let Some(id) = &source.machine else { return Ok(()) };
    let ours = logs(cursor);
    let id = database.dialect.text(id);
    let mut others = read(database, &format!("{} WHERE machine = {id}", database.cursors()))?;
    if fleet::has_function(database, "_of_machine", "text")? {
        let function = database.dialect.name(&format!("{}_of_machine", database.table.name()));
        others.extend(read(database, &format!("{function}({id})"))?);
    }
    let same = |other: &&CursorRow| !logs(&other.cursor.cursor).is_disjoint(&ours);
    let Some(other) = others.iter().find(same) else { return Ok(()) };
    let (old, new, shown) = (&other.source, &source.name, &database.shown);
    if old == new {
        let user = other.loaded_by.as_deref().unwrap_or("?");
        return Err(Exit::Config.error(format!(
            "{shown}: the database user {user} has already loaded this log as source {old}; connect as \
             this user again, or ask the owner of the tables to run: UPDATE {} SET {LOADED_BY} = 'NEW USER' \
             WHERE source = {} AND {LOADED_BY} = {}. To load the log twice, use mls-sql load --allow-duplicates",
            database.table.cursor(),
            database.dialect.text(old),
            database.dialect.text(user)
        )));
    }
    Err(Exit::Config.error(format!(
        "{shown}: this machine has loaded this log as source {old}; if the host was renamed, run \
         mls-sql rename-source {old} {new} (in a fleet, as the owner of the tables). To load the log \
         twice, use mls-sql load --allow-duplicates"
    )))
}

/// Returns the name of a source that this machine has loaded into the table, or `None`. If this
/// machine has loaded one, its SQL files can contain attempts that are already in the table.
pub(crate) fn source_of_this_machine(database: &mut Database) -> anyhow::Result<Option<String>> {
    let is_ours =
        machine().map_or("IS NULL".to_owned(), |id| format!("= {}", database.dialect.text(&id)));
    let sql = format!("SELECT source FROM {} WHERE machine {is_ours}", database.cursors());
    Ok(database.texts(&sql, "reading the positions in")?.into_iter().next())
}

/// Returns the error for a run during which another pipeline has committed.
fn overtaken(database: &Database, source: &Source) -> anyhow::Error {
    let (shown, name) = (&database.shown, &source.name);
    Exit::TempFail.error(format!(
        "{shown}: another pipeline has committed for source {name} during this run. Uncommitted \
         rows of this run were rolled back; the next run continues from the committed position"
    ))
}

/// Prints the committed position in the format of a cursor file. Before the first commit, prints
/// nothing.
pub(crate) fn print(
    options: &ConnectOptions,
    table: &TableName,
    source: &Source,
) -> anyhow::Result<()> {
    // A command that only reads must not create a database.
    let cursor = if options.exists() {
        Database::with(options, table, |database| load(database, source))?
    } else {
        None
    };
    let mut out = Writer::stdout()?;
    if let Some(cursor) = cursor {
        out.line(cursor.to_json().trim_end().as_bytes())?;
    }
    out.flush()
}
