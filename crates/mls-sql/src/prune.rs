//! Removes old events: `mls-sql prune --before DATE`.

use anyhow::Context as _;
use chrono::{DateTime, FixedOffset};
use mls_config::moment::Moment;
use mls_config::zone::Zone;
use mls_diag::{Exit, count, summary};
use mls_event::Column;

use crate::database::Database;
use crate::dialect::Dialect;
use crate::field::Field;
use crate::fleet;
use crate::mapping::{LOADED_BY, Mapping};
use crate::schema::Table;

/// The number of rows that one statement removes, so that it holds its locks for at most a second.
const BATCH: u64 = 20_000;

/// Returns the first moment to keep, from `--before`.
///
/// # Errors
/// Exit 64 if it is in the future.
pub(crate) fn beginning(before: Moment, zone: Zone) -> anyhow::Result<DateTime<FixedOffset>> {
    let now = zone.now();
    let before = zone.read(before.begin(now.date_naive()));
    if before > now {
        return Err(Exit::Usage.error(
            "--before is in the future, so no event would be left; give the first day to keep, \
             which is today at the latest",
        ));
    }
    Ok(before)
}

/// Removes the events before a time. From a partitioned table it drops whole partitions: those that end
/// before the time. In a fleet's table it also creates the partitions of the coming months.
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
    fleet::extend(database, table)?;
    if !is_partitioned(database, table)? {
        return delete(database, table, mapping, before);
    }
    let old = partitions_before(database, table, before)?;
    let months = count(old.len() as u64, "month", "months");
    for name in old {
        database.must(&format!("DROP TABLE {name}"), "dropping a partition in")?;
    }
    summary(format_args!("dropped {months} of table {} in {}", table.name(), database.shown));
    Ok(())
}

fn is_partitioned(database: &mut Database, table: &Table) -> anyhow::Result<bool> {
    if database.dialect != Dialect::Postgresql {
        return Ok(false);
    }
    let found = database.texts(&format!(
        "SELECT relname::text FROM pg_class WHERE oid = to_regclass({}) AND relkind = 'p'",
        regclass(table)
    ));
    let found = found.map_err(|error| database.failed(&error, "reading the tables of"))?;
    Ok(!found.is_empty())
}

fn regclass(table: &Table) -> String {
    let dialect = Dialect::Postgresql;
    dialect.text(&dialect.name(table.name()))
}

/// Returns the partitions that end at a time or before, as names for SQL. What a partition holds is in
/// the catalog; its name says nothing.
fn partitions_before(
    database: &mut Database,
    table: &Table,
    before: &DateTime<FixedOffset>,
) -> anyhow::Result<Vec<String>> {
    let before = time(database.dialect, before)?;
    let names = database.texts(&format!(
        "SELECT oid::regclass::text FROM (
           SELECT pg_class.oid, (regexp_match(pg_get_expr(relpartbound, pg_class.oid),
             '^FOR VALUES FROM \\(.*\\) TO \\(''([^'']*)''\\)$'))[1]::timestamptz AS upper
           FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
           WHERE inhparent = to_regclass({})
         ) partitions WHERE upper <= {before}::timestamptz ORDER BY upper",
        regclass(table)
    ));
    names.map_err(|error| database.failed(&error, "reading the partitions of"))
}

fn time(dialect: Dialect, time: &DateTime<FixedOffset>) -> anyhow::Result<String> {
    let time = dialect.time(time).context("a date outside the years 1000 to 9999")?;
    Ok(dialect.text(&String::from_utf8_lossy(time.as_bytes())))
}

fn delete(
    database: &mut Database,
    table: &Table,
    mapping: &Mapping,
    before: &DateTime<FixedOffset>,
) -> anyhow::Result<()> {
    let dialect = database.dialect;
    let column = mapping.column(Field::Csv(Column::Date));
    let column = column.ok_or_else(|| Exit::Config.error("the mapping has no column for date"))?;
    let (name, limit, time) =
        (dialect.name(table.name()), time(dialect, before)?, dialect.name(column));
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
