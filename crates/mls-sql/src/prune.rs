//! Removes old events: `mls-sql prune --before DATE`.

use anyhow::Context as _;
use chrono::{DateTime, FixedOffset, NaiveDate};
use mls_diag::{Exit, count, summary};
use mls_event::Column;

use crate::database::Database;
use crate::dialect::Dialect;
use crate::field::Field;
use crate::mapping::{LOADED_BY, Mapping};
use crate::schema::Table;

/// The number of rows that one statement removes, so that it holds its locks for at most a second.
const BATCH: u64 = 20_000;

/// Removes the events before a time. From a partitioned table it drops whole months: those that end
/// before the time.
///
/// # Errors
/// Errors of the database. Rows that were removed before the error stay removed.
pub(crate) fn run(
    database: &mut Database,
    table: &Table,
    mapping: &Mapping,
    before: &DateTime<FixedOffset>,
) -> anyhow::Result<()> {
    let columns = database.columns(table.name())?;
    if columns.is_empty() {
        let (name, shown) = (table.name(), &database.shown);
        return Err(Exit::Config.error(format!("there is no table {name} in {shown}")));
    }
    let partitions = partitions(database, table)?;
    if partitions.is_empty() {
        return delete(database, table, mapping, before);
    }
    let old = partitions.iter().filter(|(_, end)| end.and_utc() <= before.to_utc());
    let mut dropped = 0;
    for (name, _) in old {
        let name = database.dialect.name(name);
        database.must(&format!("DROP TABLE {name}"), "dropping a partition in")?;
        dropped += 1;
    }
    let months = count(dropped, "month", "months");
    summary(format_args!("dropped {months} of table {} in {}", table.name(), database.shown));
    Ok(())
}

/// Returns the monthly partitions with the end of their month in UTC.
fn partitions(
    database: &mut Database,
    table: &Table,
) -> anyhow::Result<Vec<(String, chrono::NaiveDateTime)>> {
    if database.dialect != Dialect::Postgresql {
        return Ok(Vec::new());
    }
    let parent = database.dialect.text(&database.dialect.name(table.name()));
    let names = database.texts(&format!(
        "SELECT relname::text FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid \
         WHERE inhparent = to_regclass({parent}) ORDER BY relname"
    ));
    let names = names.map_err(|error| database.failed(&error, "reading the partitions of"))?;
    let end = |name: &String| {
        let month = name.strip_prefix(table.name())?.strip_prefix('_')?.replace('_', "-");
        let first = NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d").ok()?;
        first.checked_add_months(chrono::Months::new(1))?.and_hms_opt(0, 0, 0)
    };
    Ok(names.into_iter().filter_map(|name| end(&name).map(|end| (name, end))).collect())
}

fn delete(
    database: &mut Database,
    table: &Table,
    mapping: &Mapping,
    before: &DateTime<FixedOffset>,
) -> anyhow::Result<()> {
    let dialect = database.dialect;
    let (name, time) = (dialect.name(table.name()), dialect.name(time_column(mapping)?));
    let limit = dialect.time(before).context("a date outside the years 1000 to 9999")?;
    let limit = dialect.text(&String::from_utf8_lossy(limit.as_bytes()));
    let id = mapping.columns.iter().find(|c| c.field.is_none() && c.name != LOADED_BY);
    let id = id.map(|id| dialect.name(&id.name));
    let sql = match (dialect, id) {
        (Dialect::Mysql, _) => format!("DELETE FROM {name} WHERE {time} < {limit} LIMIT {BATCH}"),
        (_, Some(id)) => format!(
            "DELETE FROM {name} WHERE {id} IN (SELECT {id} FROM {name} WHERE {time} < {limit} LIMIT {BATCH})"
        ),
        (_, None) => format!("DELETE FROM {name} WHERE {time} < {limit}"),
    };
    let mut removed = 0;
    loop {
        let rows = database.must(&sql, "removing events from")?;
        removed += rows;
        if rows < BATCH {
            break;
        }
    }
    let rows = count(removed, "event", "events");
    summary(format_args!("removed {rows} from table {} in {}", table.name(), database.shown));
    Ok(())
}

/// Returns the column of the time.
fn time_column(mapping: &Mapping) -> anyhow::Result<&str> {
    mapping
        .column(Field::Csv(Column::Date))
        .ok_or_else(|| Exit::Config.error("the mapping has no column for date"))
}
