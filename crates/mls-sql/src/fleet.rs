//! The schema for a fleet: `mls-sql schema --fleet`, for PostgreSQL.
//!
//! Many mail servers load into one database, and an attacker may control one of them. So each server
//! has its own role, a member of `TABLE_loader`. Such a role
//!
//! - may insert events. The database fills `loaded_by` with the name of the role, which no role can
//!   forge;
//! - may read and move the cursors that it has created, and sees no other cursor (row security);
//! - may create the partition of a month, by a function;
//! - may not read, change or remove events.
//!
//! A stolen server can still disturb others: it can take the name of a source that no server has used
//! yet, and it can delay the first load of a month. It can insert false events; `loaded_by` names it.
//!
//! The role `TABLE_reader` may read everything. The table has a partition for each month. `load`
//! creates the partitions that it needs, and `mls-sql prune --before DATE` drops old partitions. The
//! primary key is the time and the ID. It serves queries by time, so a BRIN index is not needed.
//!
//! A partition is created as a separate table and then attached. `CREATE TABLE … PARTITION OF` would
//! wait for all loads, and all loads would wait for it (PostgreSQL manual 5.11.2.2).

use std::collections::HashMap;

use chrono::Datelike as _;
use mls_diag::Exit;
use mls_event::Auth;
use mls_stream::ndjson::Writer;

use crate::database::Database;
use crate::dialect::Dialect;
use crate::mapping::{LOADED_BY, Mapping};
use crate::schema::Table;

const POSTGRESQL: Dialect = Dialect::Postgresql;

/// Prints the statements. The owner of the tables runs them once.
///
/// # Errors
/// Exit 64 for another database than PostgreSQL.
pub(crate) fn print(table: &Table, dialect: Dialect) -> anyhow::Result<()> {
    if dialect != POSTGRESQL {
        return Err(Exit::Usage.error(
            "only PostgreSQL has the row security and the partitions of --fleet; give --dialect \
             postgresql",
        ));
    }
    let mut out = Writer::stdout()?;
    for statement in statements(table) {
        out.line(format!("{statement};").as_bytes())?;
    }
    let loader = POSTGRESQL.name(&format!("{}_loader", table.name()));
    let comment = format!(
        "-- For each mail server, with the name of its source or its certificate:\n\
         -- CREATE ROLE mx1 LOGIN IN ROLE {loader};"
    );
    out.line(comment.as_bytes())?;
    out.flush()
}

fn statements(table: &Table) -> Vec<String> {
    let mapping = Mapping::built_in(POSTGRESQL);
    let name = |suffix: &str| POSTGRESQL.name(&format!("{}{suffix}", table.name()));
    let (events, loader, reader) = (name(""), name("_loader"), name("_reader"));
    let (cursor, imports, sequence) = (name("_cursor"), name("_imports"), name("_id"));
    let inserted = mapping.names(POSTGRESQL);
    let is_not_time = |index: &String| !index.contains(&name("_event_time"));
    let mut all = vec![
        role(&loader),
        role(&reader),
        format!("CREATE SEQUENCE IF NOT EXISTS {sequence}"),
        events_table(table, &mapping, &sequence),
    ];
    all.extend(table.indexes(POSTGRESQL, &mapping).into_iter().filter(is_not_time));
    all.extend(table.state_ddl(POSTGRESQL));
    all.push(partition_function(table));
    let function = format!("{}(timestamptz)", name("_partition"));
    all.extend([
        search_path(&function),
        format!("ALTER SEQUENCE {sequence} OWNED BY {events}.id"),
        format!("REVOKE ALL ON FUNCTION {function} FROM PUBLIC"),
        format!("GRANT EXECUTE ON FUNCTION {function} TO {loader}"),
        format!("GRANT USAGE ON SEQUENCE {sequence} TO {loader}"),
        format!("GRANT INSERT ({inserted}) ON {events} TO {loader}"),
        format!("GRANT SELECT, INSERT (source, sequence, position, machine), UPDATE (sequence, position, machine) ON {cursor} TO {loader}"),
        format!("ALTER TABLE {cursor} ENABLE ROW LEVEL SECURITY"),
        format!("DROP POLICY IF EXISTS own_sources ON {cursor}"),
        format!("CREATE POLICY own_sources ON {cursor} TO {loader} USING ({LOADED_BY} = session_user) WITH CHECK ({LOADED_BY} = session_user)"),
        format!("DROP POLICY IF EXISTS all_sources ON {cursor}"),
        format!("CREATE POLICY all_sources ON {cursor} FOR SELECT TO {reader} USING (true)"),
        format!("GRANT SELECT ON {events}, {cursor}, {imports} TO {reader}"),
    ]);
    all
}

/// PostgreSQL has no `CREATE ROLE IF NOT EXISTS`.
fn role(name: &str) -> String {
    format!(
        "DO $$ BEGIN CREATE ROLE {name} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
}

fn events_table(table: &Table, mapping: &Mapping, sequence: &str) -> String {
    let mut lines = Vec::new();
    for column in &mapping.columns {
        // Before PostgreSQL 17, a partitioned table cannot have an identity column.
        let definition = match (column.field, column.name.as_str()) {
            (None, "id") => format!("bigint NOT NULL DEFAULT nextval('{sequence}')"),
            _ => column.definition.clone(),
        };
        lines.push(format!("  {} {definition}", POSTGRESQL.name(&column.name)));
    }
    lines.push("  PRIMARY KEY (event_time, id)".to_owned());
    let name = POSTGRESQL.name(table.name());
    format!(
        "CREATE TABLE IF NOT EXISTS {name} (\n{}\n) PARTITION BY RANGE (event_time)",
        lines.join(",\n")
    )
}

/// The function that creates the partition of a month. It runs with the rights of its owner, so it
/// bounds what a stolen role can do: some hundred empty tables.
///
/// A role can create views in `pg_temp`, and functions in `public` before PostgreSQL 15. So the
/// body names the schema of all that it calls (PostgreSQL manual, CREATE FUNCTION, "Writing
/// SECURITY DEFINER Functions Safely"), and [`search_path`] ends with `pg_temp`. It takes the lock
/// only for a month that is missing, so that no role can make all others wait.
fn partition_function(table: &Table) -> String {
    let name = table.name();
    let (events, text) = (POSTGRESQL.name(name), POSTGRESQL.text(name));
    let function = POSTGRESQL.name(&format!("{name}_partition"));
    let return_if_present = format!(
        "IF EXISTS (SELECT FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = {text}::regclass::oid AND relname::text = name) THEN RETURN true; END IF;"
    );
    format!(
        "CREATE OR REPLACE FUNCTION {function}(at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
  month timestamp := pg_catalog.date_trunc('month', at AT TIME ZONE 'UTC');
  name text := {text} || pg_catalog.to_char(month, '_YYYY_MM');
BEGIN
  IF at < '2000-01-01 UTC' OR at > pg_catalog.now() + interval '10 years' THEN RETURN false; END IF;
  {return_if_present}
  PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext({text}));
  {return_if_present}
  EXECUTE pg_catalog.format('CREATE TABLE %I (LIKE {events} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
  EXECUTE pg_catalog.format('ALTER TABLE {events} ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                 name, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
  RETURN true;
END $$"
    )
}

/// The statement that limits a function to the schema of the tables. Without `pg_temp` in the path,
/// PostgreSQL would look there first.
fn search_path(function: &str) -> String {
    let alter =
        POSTGRESQL.text(&format!("ALTER FUNCTION {function} SET search_path = %I, pg_temp"));
    format!("DO $$ BEGIN EXECUTE pg_catalog.format({alter}, pg_catalog.current_schema()); END $$")
}

/// The months that this run has asked for, in a table that [`print`] has made, and whether they have
/// a partition.
pub(crate) struct Partitions {
    function: String,
    months: HashMap<(i32, u32), bool>,
}

impl Partitions {
    /// Returns `None` if the table has no function that creates partitions.
    pub(crate) fn of(database: &mut Database, table: &Table) -> anyhow::Result<Option<Self>> {
        if database.dialect != POSTGRESQL {
            return Ok(None);
        }
        let function = POSTGRESQL.name(&format!("{}_partition", table.name()));
        let find = POSTGRESQL.text(&format!("{function}(timestamptz)"));
        let found = database.rows(&format!("SELECT to_regprocedure({find})::text"));
        let found = found.map_err(|error| database.failed(&error, "looking for partitions in"))?;
        let exists = found.first().is_some_and(|row| row.iter().any(Option::is_some));
        Ok(exists.then(|| Self { function, months: HashMap::new() }))
    }

    /// Creates the partition of an event's month, and returns whether it exists. It does not for a
    /// date that a mail server writes only if its clock is wrong: before 2000, or far in the future.
    pub(crate) fn create_for(
        &mut self,
        database: &mut Database,
        event: &Auth<'_>,
    ) -> anyhow::Result<bool> {
        let at = event.date.at().to_utc();
        if let Some(exists) = self.months.get(&(at.year(), at.month())) {
            return Ok(*exists);
        }
        // The row encoder refuses such a date.
        let Some(time) = POSTGRESQL.time(&event.date.at()) else { return Ok(true) };
        let time = POSTGRESQL.text(&String::from_utf8_lossy(time.as_bytes()));
        let found = database.texts(&format!("SELECT {}({time})::text", self.function));
        let found = found.map_err(|error| database.failed(&error, "creating a partition in"))?;
        let exists = found.iter().any(|found| found == "true");
        self.months.insert((at.year(), at.month()), exists);
        Ok(exists)
    }
}
