//! Updates the tables of an older version: `mls-sql migrate`.
//!
//! `migrate` adds the columns of the mapping that the table lacks, and the index on `source` and
//! `pos`. In existing rows, a new column `outcome` is `failure`, and other new columns are NULL. A
//! second run changes nothing.

use mls_diag::{count, summary};

use crate::database::Database;
use crate::dialect::Dialect;
use crate::mapping::{LOADED_BY, Mapping};
use crate::schema::cursor_additions;
use crate::tables::has;

/// The name and the definition of a column to add.
type Addition<'a> = (&'a str, &'a str);

/// Adds missing columns, then creates missing tables. If a column cannot be added in SQLite or
/// PostgreSQL, no column is added.
pub(crate) fn run(database: &mut Database, mapping: &Mapping) -> anyhow::Result<()> {
    let (dialect, table) = (database.dialect, database.table.clone());
    let wanted = mapping.columns.iter().filter(|c| c.field.is_some() || c.name == LOADED_BY);
    let wanted: Vec<_> = wanted.map(|c| (c.name.as_str(), c.definition.as_str())).collect();
    let index = table.line_index(dialect, mapping).map(|index| index.ddl);
    database.begin()?;
    let mut added = add(database, table.name(), &wanted, index)?;
    added += add(database, &table.cursor(), &cursor_additions(dialect), None)?;
    database.must("COMMIT", "migrating the tables in")?;
    database.prepare(mapping)?;
    let shown = &database.shown;
    if added == 0 {
        summary(format_args!("migrated nothing: the tables in {shown} have all columns"));
    } else {
        let columns = count(added, "column", "columns");
        summary(format_args!("added {columns} to the tables in {shown}"));
    }
    Ok(())
}

/// Adds the wanted columns that a table lacks. Returns the number of added columns; 0 if the table
/// does not exist.
fn add(
    database: &mut Database,
    table: &str,
    wanted: &[Addition<'_>],
    index: Option<String>,
) -> anyhow::Result<u64> {
    let present = database.columns(table)?;
    if present.is_empty() {
        return Ok(0);
    }
    let default = wanted.iter().find(|(name, _)| *name == LOADED_BY);
    let default = default.and_then(|(_, definition)| definition.split_once(" DEFAULT "));
    let default = default.map(|(_, default)| default);
    let missing = wanted.iter().copied().filter(|(name, _)| !has(&present, name));
    let missing: Vec<_> = missing.collect();
    for statement in statements(database.dialect, table, &missing, index, default) {
        database.must(&statement, &format!("adding columns to table {table} in"))?;
    }
    Ok(missing.len() as u64)
}

/// Returns the statements that add columns. MySQL cannot roll back such statements, so one
/// statement adds all columns in MySQL.
fn statements(
    dialect: Dialect,
    table: &str,
    missing: &[Addition<'_>],
    index: Option<String>,
    default: Option<&str>,
) -> Vec<String> {
    let alter = format!("ALTER TABLE {}", dialect.name(table));
    let add = |(name, definition): &Addition<'_>| {
        // With a default, `loaded_by` of the older rows would be the user of this run.
        let definition = match definition.split_once(" DEFAULT ") {
            Some((definition, _)) if *name == LOADED_BY => definition,
            _ => definition,
        };
        format!("ADD COLUMN {} {definition}", dialect.name(name))
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
