//! Gives a source another name: `mls-sql rename-source OLD NEW`.

use mls_diag::{Exit, count, summary};

use crate::database::Database;
use crate::field::Field;
use crate::mapping::Mapping;
use crate::schema::Table;

/// Renames a source in the cursor table and in the table of events, in one transaction.
///
/// # Errors
/// Exit 65 if `old` does not exist, or `new` does.
pub(crate) fn run(
    database: &mut Database,
    table: &Table,
    mapping: &Mapping,
    old: &str,
    new: &str,
) -> anyhow::Result<()> {
    database.prepare(table, mapping)?;
    let dialect = database.dialect;
    let (old_text, new_text) = (dialect.text(old), dialect.text(new));
    let cursor = dialect.name(&table.cursor());
    database.begin()?;
    let taken = format!("SELECT source FROM {cursor} WHERE source = {new_text}");
    let taken = database.texts(&taken);
    let taken = taken.map_err(|error| database.failed(&error, "reading the sources in"))?;
    if !taken.is_empty() {
        return Err(Exit::DataErr.error(format!(
            "{}: source {new} exists already; two sources cannot become one",
            database.shown
        )));
    }
    let rename = format!("UPDATE {cursor} SET source = {new_text} WHERE source = {old_text}");
    if database.must(&rename, "renaming a source in")? == 0 {
        return Err(Exit::DataErr.error(format!("{}: there is no source {old}", database.shown)));
    }
    let mut rows = 0;
    if let Some(column) = mapping.column(Field::Source) {
        let (events, column) = (dialect.name(table.name()), dialect.name(column));
        let rename =
            format!("UPDATE {events} SET {column} = {new_text} WHERE {column} = {old_text}");
        rows = database.must(&rename, "renaming a source in")?;
    }
    database.must("COMMIT", "committing to")?;
    let rows = count(rows, "row", "rows");
    summary(format_args!("renamed source {old} to {new} in {rows} of {}", database.shown));
    Ok(())
}
