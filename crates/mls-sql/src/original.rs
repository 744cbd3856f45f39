//! The table of the Python original in an SQLite database (`sql_importer.py`,
//! `create_table_if_not_exists`).
//!
//! The dates in this table are local times as `dd/mm/yyyy HH:MM`. The columns refuse NULL. A CHECK
//! allows only some values of `reverse_dns_status`.

use mls_diag::{Exit, count, summary};
use mls_event::Column;

use crate::database::Database;
use crate::dialect::Dialect;
use crate::field::Field;
use crate::mapping::Mapping;
use crate::tables::has;

/// The GLOB pattern of a date of the original.
const DATE: &str = "[0-3][0-9]/[01][0-9]/[0-9][0-9][0-9][0-9] [0-2][0-9]:[0-5][0-9]";

/// A LIKE pattern that matches only the DDL of the original.
const CHECK: &str = "%CHECK (reverse_dns_status IN (%";

/// Returns the name of a column in the default mapping of the original.
fn name_by_default(source: Column) -> &'static str {
    match source {
        Column::Date => "event_time",
        Column::User => "username",
        Column::Asn => "asn_int",
        Column::Aso => "asn_varchar",
        other => other.name(),
    }
}

/// Whether the Python original has made the table. Any table with the column names of the original
/// counts too.
pub(crate) fn made(database: &mut Database, mapping: &Mapping) -> anyhow::Result<bool> {
    let name = database.table.name().to_owned();
    let columns = database.columns(&name)?;
    let maps = |name: &str| mapping.filled().any(|(mapped, _)| mapped.eq_ignore_ascii_case(name));
    if has(&columns, "asn_int") && has(&columns, "asn_varchar") && !maps("asn_int") {
        return Ok(true);
    }
    let dialect = database.dialect;
    if dialect != Dialect::Sqlite {
        return Ok(false);
    }
    let sql = format!(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name = {} AND sql LIKE {}",
        dialect.text(&name),
        dialect.text(CHECK)
    );
    Ok(!database.texts(&sql, "reading the schema of")?.is_empty())
}

/// If the original has created the table, renames it and copies its rows into a new table.
pub(crate) fn convert(database: &mut Database, mapping: &Mapping) -> anyhow::Result<()> {
    let table = database.table.clone();
    let (name, kept) = (table.name(), format!("{}_original", table.name()));
    if database.dialect != Dialect::Sqlite {
        let why = "the Python original wrote to SQLite only: there is nothing to convert";
        return Err(Exit::Usage.error(why));
    }
    if !made(database, mapping)? {
        summary(format_args!(
            "nothing to convert: the Python original did not create table {name}"
        ));
        return Ok(());
    }
    if !database.columns(&kept)?.is_empty() {
        return Err(Exit::Config.error(format!(
            "the Python original created table {name} in {}, but table {kept} exists already; \
             rename table {kept}",
            database.shown
        )));
    }
    database.begin()?;
    let (old, new) = (database.dialect.name(&kept), database.dialect.name(name));
    database.must(&format!("ALTER TABLE {new} RENAME TO {old}"), "renaming a table in")?;
    for statement in table.ddl(Dialect::Sqlite, mapping) {
        database.must(&statement, "creating tables in")?;
    }
    let columns = database.columns(&kept)?;
    let copied = database.must(&copy(&old, &new, mapping, &columns), "copying rows in")?;
    let all = format!("SELECT CAST(count(*) AS TEXT) FROM {old}");
    let all = database.texts(&all, "counting the rows of")?;
    let all = all.first().and_then(|all| all.parse().ok()).unwrap_or(copied);
    database.must("COMMIT", "committing to")?;
    if copied < all {
        let lost = count(all - copied, "row", "rows");
        log::warn!("did not copy {lost} without a valid date from table {kept}");
    }
    summary(format_args!(
        "copied {} into the new table {name}; the table of the Python original is {kept} now",
        count(copied, "row", "rows")
    ));
    Ok(())
}

/// The statement that copies the rows, oldest first.
fn copy(old: &str, new: &str, mapping: &Mapping, columns: &[String]) -> String {
    let mut date = "NULL".to_owned();
    let mut values = Vec::new();
    let mut names = Vec::new();
    for (name, field) in mapping.filled() {
        // The original stored only failures, and only the columns of the CSV.
        let Field::Csv(source) = field else { continue };
        names.push(Dialect::Sqlite.name(name));
        let found = [name, name_by_default(source)].into_iter().find(|name| has(columns, name));
        let value = found
            .map_or_else(|| "NULL".to_owned(), |found| value(source, &Dialect::Sqlite.name(found)));
        if source == Column::Date {
            date.clone_from(&value);
        }
        values.push(value);
    }
    format!(
        "INSERT INTO {new} ({}) SELECT {} FROM {old} WHERE {date} IS NOT NULL ORDER BY rowid",
        names.join(", "),
        values.join(", ")
    )
}

/// Returns the SQL expression that converts a value of the original into a value of this version.
fn value(source: Column, old: &str) -> String {
    let part = |from: u32, length: u32| format!("substr({old}, {from}, {length})");
    match source {
        Column::Date => format!(
            "CASE WHEN {old} GLOB '{DATE}*' THEN strftime('%Y-%m-%dT%H:%M:%S', {} || '-' || {} || '-' || {} || ' ' || {}, \
             'utc') || '.000000Z' ELSE strftime('%Y-%m-%dT%H:%M:%S', {old}, 'utc') || '.000000Z' END",
            part(7, 4),
            part(4, 2),
            part(1, 2),
            part(12, 5)
        ),
        Column::ReverseDnsStatus => format!("replace({old}, 'ERRNO', 'Errno')"),
        _ => format!("nullif(nullif({old}, 'N/A'), 'null')"),
    }
}
