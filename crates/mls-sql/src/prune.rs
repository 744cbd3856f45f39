//! Removes old events: `mls-sql prune --before DATE`.

use anyhow::Context as _;
use chrono::{DateTime, FixedOffset};
use mls_config::moment::DayOrMinute;
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit, count, summary};
use mls_event::Column;

use crate::database::Database;
use crate::dialect::Dialect;
use crate::field::Field;
use crate::fleet;
use crate::mapping::Mapping;

/// The number of rows that one statement removes. This limit lets a statement release its locks
/// after at most a second.
const BATCH: u64 = 20_000;

/// Returns the first moment to keep, from `--before`. Exit 64 if this moment is in the future.
pub(crate) fn beginning(before: DayOrMinute, zone: Zone) -> anyhow::Result<DateTime<FixedOffset>> {
    let now = zone.now();
    let before = zone.read(before.begin(now.date_naive()));
    if before > now {
        return Err(Exit::Usage.error(
            "--before is in the future, so no row would be left; give the first day to keep, \
             which is today at the latest",
        ));
    }
    Ok(before)
}

/// Removes the events before the time `before`. From a partitioned table, drops only the partitions
/// that end at `before` or earlier. For the table of a fleet, also creates the partitions of the
/// coming months. If the run fails, the rows that were already removed stay removed.
pub(crate) fn run(
    database: &mut Database,
    mapping: &Mapping,
    before: &DateTime<FixedOffset>,
) -> anyhow::Result<()> {
    let before = database
        .dialect
        .time_literal(before)
        .context("--before is not between the years 1000 and 9999")
        .or_exit(Exit::Usage)?;
    let name = database.table.name().to_owned();
    if database.columns(&name)?.is_empty() {
        let shown = &database.shown;
        return Err(Exit::Config.error(format!(
            "there is no table {name} in {shown}; check --table, or table_name in [database]"
        )));
    }
    fleet::extend(database)?;
    if !is_partitioned(database)? {
        return delete(database, mapping, &before);
    }
    let old = partitions_before(database, &before)?;
    let months = count(old.len() as u64, "month", "months");
    for partition in old {
        database.must(&format!("DROP TABLE {partition}"), "dropping a partition in")?;
    }
    summary(format_args!("dropped {months} of table {name} in {}", database.shown));
    Ok(())
}

fn is_partitioned(database: &mut Database) -> anyhow::Result<bool> {
    if database.dialect != Dialect::Postgresql {
        return Ok(false);
    }
    let name = database.dialect.text(&database.events());
    let sql = format!(
        "SELECT relname::text FROM pg_class WHERE oid = to_regclass({name}) AND relkind = 'p'"
    );
    Ok(!database.texts(&sql, "reading the tables of")?.is_empty())
}

/// Returns the names, quoted for SQL, of the partitions that end at the time `before` or earlier.
/// Reads the limits of a partition from the catalog: not every name contains the limits.
fn partitions_before(database: &mut Database, before: &str) -> anyhow::Result<Vec<String>> {
    let name = database.dialect.text(&database.events());
    let sql = format!(
        "SELECT oid::regclass::text FROM (
           SELECT pg_class.oid, (regexp_match(pg_get_expr(relpartbound, pg_class.oid),
             '^FOR VALUES FROM \\(.*\\) TO \\(''([^'']*)''\\)$'))[1]::timestamptz AS upper
           FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
           WHERE inhparent = to_regclass({name})
         ) partitions WHERE upper <= {before}::timestamptz ORDER BY upper"
    );
    database.texts(&sql, "reading the partitions of")
}

fn delete(database: &mut Database, mapping: &Mapping, before: &str) -> anyhow::Result<()> {
    let dialect = database.dialect;
    let column = mapping.column(Field::Csv(Column::Date));
    let column = column.ok_or_else(|| {
        Exit::Config.error(
            "the mapping has no column for date; add a column with the csv_column_name \"date\" to \
             the mapping file (--mapping, or column_mapping_file in [database])",
        )
    })?;
    let (name, time) = (database.events(), dialect.name(column));
    let id = mapping.id().map(|id| dialect.name(id));
    let sql = match (dialect, id) {
        (Dialect::Mysql, _) => format!("DELETE FROM {name} WHERE {time} < {before} LIMIT {BATCH}"),
        (_, Some(id)) => format!(
            "DELETE FROM {name} WHERE {id} IN (SELECT {id} FROM {name} WHERE {time} < {before} LIMIT {BATCH})"
        ),
        (_, None) => format!("DELETE FROM {name} WHERE {time} < {before}"),
    };
    let mut removed = 0;
    loop {
        let rows = database.must(&sql, "removing rows from")?;
        removed += rows;
        if rows < BATCH {
            break;
        }
    }
    let rows = count(removed, "row", "rows");
    let (name, shown) = (database.table.name(), &database.shown);
    summary(format_args!("removed {rows} from table {name} in {shown}"));
    Ok(())
}
