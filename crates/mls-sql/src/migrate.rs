//! Updates the tables of an older version: `mls-sql migrate`.
//!
//! `migrate` adds the columns of the mapping that the table lacks, and indexes for them. In existing
//! rows the new columns are NULL, or `failure` for the outcome. A second run changes nothing.

use mls_diag::{count, summary};

use crate::database::Database;
use crate::dialect::Dialect;
use crate::mapping::{LOADED_BY, Mapping};
use crate::schema::{Table, cursor_additions};

/// A column to add.
struct Addition<'a> {
    name: &'a str,
    definition: &'a str,
}

/// Adds missing columns, and creates missing tables.
///
/// # Errors
/// Errors of the database. In SQLite and PostgreSQL, an error changes nothing.
pub(crate) fn run(database: &mut Database, table: &Table, mapping: &Mapping) -> anyhow::Result<()> {
    let dialect = database.dialect;
    let (events, cursor) = (table.name().to_owned(), table.cursor());
    let wanted = mapping.columns.iter().filter(|c| c.field.is_some() || c.name == LOADED_BY);
    let wanted =
        wanted.map(|c| Addition { name: c.name.as_str(), definition: c.definition.as_str() });
    let for_cursor = cursor_additions(dialect).into_iter();
    let for_cursor = for_cursor.map(|(name, definition)| Addition { name, definition });
    database.begin()?;
    let mut added = add(
        database,
        &events,
        wanted.collect(),
        table.line_index(dialect, mapping).map(|index| index.ddl),
    )?;
    added += add(database, &cursor, for_cursor.collect(), None)?;
    database.must("COMMIT", "migrating the tables in")?;
    database.prepare(table, mapping)?;
    let shown = &database.shown;
    if added == 0 {
        summary(format_args!("migrated nothing: the tables in {shown} are of this version"));
    } else {
        let columns = count(added, "column", "columns");
        summary(format_args!("added {columns} to the tables in {shown}"));
    }
    Ok(())
}

/// Adds the wanted columns that a table lacks. Returns their number; 0 if there is no such table.
fn add(
    database: &mut Database,
    table: &str,
    wanted: Vec<Addition<'_>>,
    index: Option<String>,
) -> anyhow::Result<u64> {
    let present = database.columns(table)?;
    if present.is_empty() {
        return Ok(0);
    }
    let has = |name: &str| present.iter().any(|column| column.eq_ignore_ascii_case(name));
    let default = wanted.iter().find(|column| column.name == LOADED_BY);
    let default = default.and_then(|column| column.definition.split_once(" DEFAULT "));
    let default = default.map(|(_, default)| default.to_owned());
    let missing: Vec<_> = wanted.into_iter().filter(|column| !has(column.name)).collect();
    for statement in statements(database.dialect, table, &missing, index, default) {
        database.must(&statement, &format!("adding columns to table {table} in"))?;
    }
    Ok(missing.len() as u64)
}

/// Returns the statements that add columns. MySQL cannot roll them back, so it gets one statement.
fn statements(
    dialect: Dialect,
    table: &str,
    missing: &[Addition<'_>],
    index: Option<String>,
    default: Option<String>,
) -> Vec<String> {
    let alter = format!("ALTER TABLE {}", dialect.name(table));
    let add = |column: &Addition<'_>| {
        // A default would name the user of this run as the loader of the older rows.
        let definition = match column.definition.split_once(" DEFAULT ") {
            Some((definition, _)) if column.name == LOADED_BY => definition,
            _ => column.definition,
        };
        format!("ADD COLUMN {} {definition}", dialect.name(column.name))
    };
    let mut parts: Vec<_> = missing.iter().map(add).collect();
    let mut statements = Vec::new();
    if dialect == Dialect::Mysql {
        if !missing.is_empty() {
            parts.extend(index.map(|index| format!("ADD {index}")));
            statements.push(format!("{alter} {}", parts.join(", ")));
        }
    } else {
        statements.extend(parts.iter().map(|part| format!("{alter} {part}")));
        statements.extend(index);
    }
    if let Some(default) = default {
        let column = dialect.name(LOADED_BY);
        statements.push(format!("{alter} ALTER COLUMN {column} SET DEFAULT {default}"));
    }
    statements
}
