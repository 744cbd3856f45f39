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
use crate::source::{Source, logs};

/// Reads the committed position of `source`. Returns `None` before the first commit, or if the tables
/// do not exist yet.
///
/// # Errors
/// Exit 78 if another machine has loaded this source, and `source` does not adopt it.
pub(crate) fn load(
    database: &mut Database,
    table: &Table,
    source: &Source,
) -> anyhow::Result<Option<CursorFile>> {
    let columns = database.columns(&table.cursor())?;
    if columns.is_empty() {
        return Ok(None);
    }
    database.check_cursor_columns(table, &columns)?;
    let text = database.dialect.text(&source.name);
    let rows = read(database, table, &format!("source = {text}"))?;
    let Some(Committed { cursor, machine, .. }) = rows.into_iter().next() else { return Ok(None) };
    match (&machine, &source.machine) {
        (Some(theirs), Some(ours)) if theirs != ours && !source.adopt => {
            let (name, shown) = (&source.name, &database.shown);
            Err(Exit::Config.error(format!(
                "{shown}: machine {theirs} has loaded source {name}, and this is machine {ours}; \
                 give each machine its own --source. If this machine has replaced the other one, \
                 run mls-sql cursor and mls-sql load once with --adopt"
            )))
        }
        _ => Ok(Some(cursor)),
    }
}

/// A row of `TABLE_cursor`.
struct Committed {
    source: String,
    cursor: CursorFile,
    machine: Option<String>,
}

fn read(database: &mut Database, table: &Table, filter: &str) -> anyhow::Result<Vec<Committed>> {
    let name = table.cursor();
    let quoted = database.dialect.name(&name);
    let sql = format!("SELECT source, position, machine FROM {quoted} WHERE {filter}");
    let rows = database.rows(&sql);
    let rows = rows.map_err(|error| database.failed(&error, "reading the positions in"))?;
    let committed = |row: Vec<Option<String>>| {
        let [source, position, machine] = row.try_into().ok().context("it has no position")?;
        let source = source.unwrap_or_default();
        let cursor = CursorFile::from_json(position.unwrap_or_default().as_bytes())
            .with_context(|| format!("table {name} in {}, source {source}", database.shown))?;
        Ok(Committed { source, cursor, machine })
    };
    rows.into_iter().map(committed).collect::<anyhow::Result<_>>().or_exit(Exit::Config)
}

/// Moves the position from commit `base` to the next one, in the open transaction. Returns the new
/// sequence number.
///
/// # Errors
/// Exit 75 if another pipeline has moved it since `base`. Exit 78 if this is the first commit of the
/// source, and another source of this machine has loaded the same log.
pub(crate) fn advance(
    database: &mut Database,
    table: &Table,
    source: &Source,
    base: u64,
    cursor: Value,
) -> anyhow::Result<u64> {
    if base == 0 && !source.adopt {
        refuse_renamed(database, table, source, &cursor)?;
    }
    let next = CursorFile::next(base, cursor, None);
    let dialect = database.dialect;
    let (name, source_text) = (dialect.name(&table.cursor()), dialect.text(&source.name));
    let (sequence, position) = (next.sequence, dialect.text(&next.to_json()));
    let machine = source.machine.as_ref().map_or("NULL".to_owned(), |id| dialect.text(id));
    let sql = if base == 0 {
        format!(
            "INSERT INTO {name} (source, sequence, position, machine) \
             VALUES ({source_text}, {sequence}, {position}, {machine})"
        )
    } else {
        format!(
            "UPDATE {name} SET sequence = {sequence}, position = {position}, machine = {machine} \
             WHERE source = {source_text} AND sequence = {base}"
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

/// A host that was renamed must not load its log a second time.
fn refuse_renamed(
    database: &mut Database,
    table: &Table,
    source: &Source,
    cursor: &Value,
) -> anyhow::Result<()> {
    let Some(machine) = &source.machine else { return Ok(()) };
    let ours = logs(cursor);
    let filter = format!("machine = {}", database.dialect.text(machine));
    let others = read(database, table, &filter)?;
    let same = |other: &&Committed| !logs(&other.cursor.cursor).is_disjoint(&ours);
    let Some(other) = others.iter().find(same) else { return Ok(()) };
    let (old, new, shown) = (&other.source, &source.name, &database.shown);
    Err(Exit::Config.error(format!(
        "{shown}: this machine has loaded this log as source {old}; was the host renamed? Then run \
         mls-sql rename-source {old} {new}. To load the log twice, use --adopt"
    )))
}

/// Another pipeline has committed for this source, or the log was read from the position of another
/// source.
pub(crate) fn overtaken(database: &Database, source: &Source) -> anyhow::Error {
    let (shown, name) = (&database.shown, &source.name);
    Exit::TempFail.error(format!(
        "{shown}: another pipeline has committed for source {name} since this run read its \
         position. Nothing was written; the next run continues from the committed position. If no \
         other pipeline runs, mls-sql cursor failed, it uses another database or --source, or the \
         source belongs to another user of the database"
    ))
}

/// Prints the committed position as a cursor file; prints nothing before the first commit.
pub(crate) fn print(
    options: &ConnectOptions,
    table: &Table,
    source: &Source,
) -> anyhow::Result<()> {
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
