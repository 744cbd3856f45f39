//! The schema for a fleet: `mls-sql schema --fleet`, for PostgreSQL.
//!
//! Many mail servers load into one database, and an attacker may control one of them. So each server
//! has its own role, a member of `TABLE_loader`. Such a role
//!
//! - may insert events. The database writes the name of the role into the column `loaded_by`, so no
//!   role can give a false name;
//! - may read and move the cursors that it has created (row security). A function also returns the
//!   cursors of other roles that have loaded logs of the same machine;
//! - may call a function that creates the partition of a month;
//! - may not read, change or remove events.
//!
//! Each role has its own cursors, even if two roles use the same source name. So a compromised
//! server cannot use the cursor of another server. A compromised server can insert false events,
//! but `loaded_by` contains its role.
//!
//! The role `TABLE_reader` may read all three tables. The table of events has a partition for each
//! month. The statements of `schema --fleet` and `mls-sql prune` create the partitions from 13
//! months ago to 24 months ahead. `prune` also drops old partitions. `load` creates other
//! partitions that it needs, for example for an old log.
//!
//! A compromised server can delay `load`: a role that creates a partition has a lock until its
//! transaction ends. If another `load` needs a new partition, it waits for half a minute. Then it
//! fails with an error that names the role with the lock.
//!
//! The primary key is the time and the ID. Its index serves queries by time, so a BRIN index is not
//! needed.
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
use crate::schema::{TableName, cursor_additions};
use crate::writer::Background;

const POSTGRESQL: Dialect = Dialect::Postgresql;

/// The owner of the tables creates partitions for this many months back and ahead.
const MONTHS_BACK: u32 = 13;
const MONTHS_AHEAD: u32 = 24;

/// Prints the statements. The owner of the tables must run them. If the dialect is not PostgreSQL,
/// exit 64.
pub(crate) fn print(table: &TableName, dialect: Dialect) -> anyhow::Result<()> {
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
        "-- Create a role for each mail server. If the server logs in with a client certificate,\n\
         -- the role must have the name (CN) in the certificate:\n\
         -- CREATE ROLE mx1 LOGIN IN ROLE {loader};"
    );
    out.line(comment.as_bytes())?;
    out.flush()
}

fn statements(table: &TableName) -> Vec<String> {
    let mapping = Mapping::built_in(POSTGRESQL);
    let name = |suffix: &str| POSTGRESQL.name(&format!("{}{suffix}", table.name()));
    let (events, loader, reader) = (name(""), name("_loader"), name("_reader"));
    let (cursor, imports, sequence) = (name("_cursor"), name("_imports"), name("_id"));
    let inserted = mapping.names(POSTGRESQL);
    let mut all = vec![
        role(&loader),
        role(&reader),
        format!("CREATE SEQUENCE IF NOT EXISTS {sequence}"),
        events_table(table, &mapping, &sequence),
    ];
    let indexes = table.indexes(POSTGRESQL, &mapping);
    all.extend(indexes.filter(|index| index.name != name("_event_time")).map(|index| index.ddl));
    all.extend(table.state_ddl(POSTGRESQL));
    // If an older version has created the table of cursors, these columns may be missing.
    all.extend(cursor_additions(POSTGRESQL).map(|(name, definition)| {
        format!("ALTER TABLE {cursor} ADD COLUMN IF NOT EXISTS {name} {definition}")
    }));
    let key = name("_cursor_pkey");
    all.push(format!(
        "ALTER TABLE {cursor} ALTER COLUMN {LOADED_BY} SET NOT NULL, \
         DROP CONSTRAINT IF EXISTS {key}, ADD CONSTRAINT {key} PRIMARY KEY ({LOADED_BY}, source)"
    ));
    all.push(machine_function(table));
    all.push(partition_function(table));
    let function = format!("{}(timestamptz)", name("_partition"));
    let of_machine = format!("{}(text)", name("_of_machine"));
    all.extend([
        search_path(&function),
        search_path(&of_machine),
        format!("REVOKE ALL ON FUNCTION {of_machine} FROM PUBLIC"),
        format!("GRANT EXECUTE ON FUNCTION {of_machine} TO {loader}"),
        format!("ALTER SEQUENCE {sequence} OWNED BY {events}.id"),
        format!("REVOKE ALL ON FUNCTION {function} FROM PUBLIC"),
        format!("GRANT EXECUTE ON FUNCTION {function} TO {loader}"),
        format!("GRANT USAGE ON SEQUENCE {sequence} TO {loader}"),
        format!("GRANT INSERT ({inserted}) ON {events} TO {loader}"),
        format!("GRANT SELECT, INSERT (source, sequence, position, machine, loaded_rows, committed_at), UPDATE (sequence, position, machine, loaded_rows, committed_at) ON {cursor} TO {loader}"),
        format!("ALTER TABLE {cursor} ENABLE ROW LEVEL SECURITY"),
        format!("DROP POLICY IF EXISTS own_sources ON {cursor}"),
        format!("CREATE POLICY own_sources ON {cursor} TO {loader} USING ({LOADED_BY} = session_user) WITH CHECK ({LOADED_BY} = session_user)"),
        format!("DROP POLICY IF EXISTS all_sources ON {cursor}"),
        format!("CREATE POLICY all_sources ON {cursor} FOR SELECT TO {reader} USING (true)"),
        format!("GRANT SELECT ON {events}, {cursor}, {imports} TO {reader}"),
        create_ahead(table),
    ]);
    all
}

/// Returns the statement that creates a role if it does not exist. In PostgreSQL, `CREATE ROLE` has
/// no `IF NOT EXISTS`.
fn role(name: &str) -> String {
    format!(
        "DO $$ BEGIN CREATE ROLE {name} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
    )
}

fn events_table(table: &TableName, mapping: &Mapping, sequence: &str) -> String {
    let mut lines = Vec::new();
    for column in &mapping.columns {
        // Before PostgreSQL 17, a partitioned table cannot have an identity column. Use a sequence.
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

/// Returns the statement that creates an SQL function. The SQL function gets the ID of a machine
/// and returns the cursors of other roles that have loaded logs of this machine. Only the machine
/// itself can compute its ID, so a role learns nothing about other machines. Reason for the SQL
/// function: without it, a server would load its log again after its role was renamed.
fn machine_function(table: &TableName) -> String {
    let function = POSTGRESQL.name(&format!("{}_of_machine", table.name()));
    let cursor = POSTGRESQL.name(&table.cursor());
    format!(
        "CREATE OR REPLACE FUNCTION {function}(id text)
RETURNS TABLE (source text, \"position\" text, machine text, {LOADED_BY} text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
  SELECT c.source, c.position, c.machine, c.{LOADED_BY} FROM {cursor} c
  WHERE c.machine = id AND c.{LOADED_BY} <> session_user
$$"
    )
}

/// Returns the statement that creates the partitions of the past and the coming months.
fn create_ahead(table: &TableName) -> String {
    let function = POSTGRESQL.name(&format!("{}_partition", table.name()));
    format!(
        "SELECT count({function}(month)) FROM generate_series(now() - interval '{MONTHS_BACK} months', \
         now() + interval '{MONTHS_AHEAD} months', interval '1 month') month"
    )
}

/// If the statements of [`print()`] have created the table, creates the partitions of the past and
/// the coming months.
pub(crate) fn extend(database: &mut Database) -> anyhow::Result<()> {
    if is_table(database)? {
        database.must(&create_ahead(&database.table), "creating partitions in")?;
    }
    Ok(())
}

pub(crate) fn is_table(database: &mut Database) -> anyhow::Result<bool> {
    has_function(database, "_partition", "timestamptz")
}

/// Whether the database has a function that the statements of [`print()`] create.
pub(crate) fn has_function(
    database: &mut Database,
    suffix: &str,
    parameter: &str,
) -> anyhow::Result<bool> {
    if database.dialect != POSTGRESQL {
        return Ok(false);
    }
    let function = POSTGRESQL.name(&format!("{}{suffix}", database.table.name()));
    let find = POSTGRESQL.text(&format!("{function}({parameter})"));
    let sql = format!("SELECT to_regprocedure({find})::text");
    Ok(!database.texts(&sql, "looking for functions in")?.is_empty())
}

/// Returns the statement that creates an SQL function. The SQL function creates the partition of a
/// month and runs with the rights of its owner. So it accepts only the months from 2000 to 10 years
/// ahead: an attacker who controls a role can create only a few hundred empty tables.
///
/// An attacker can also create views in `pg_temp` and, before PostgreSQL 15, functions in `public`.
/// The SQL function must not use these views and functions. So its body names the schema of
/// everything that it calls (PostgreSQL manual, CREATE FUNCTION, "Writing SECURITY DEFINER
/// Functions Safely"), and its search path ends with `pg_temp` (see [`search_path`]).
///
/// If the partition is missing, the SQL function takes locks. If another role has the locks for
/// half a minute, the SQL function fails with an error that names the role.
fn partition_function(table: &TableName) -> String {
    let name = table.name();
    let (events, text) = (POSTGRESQL.name(name), POSTGRESQL.text(name));
    let function = POSTGRESQL.name(&format!("{name}_partition"));
    let regclass = POSTGRESQL.text(&events);
    let return_if_present = format!(
        "IF EXISTS (SELECT FROM pg_catalog.pg_inherits JOIN pg_catalog.pg_class ON pg_class.oid = inhrelid
             WHERE inhparent = {regclass}::regclass::oid AND relname::text = name) THEN RETURN true; END IF;"
    );
    format!(
        "CREATE OR REPLACE FUNCTION {function}(at timestamptz) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '30s' AS $$
DECLARE
  month timestamp := pg_catalog.date_trunc('month', at AT TIME ZONE 'UTC');
  name text := {text} || pg_catalog.to_char(month, '_YYYY_MM');
  key integer := pg_catalog.hashtext({text});
  holders text;
BEGIN
  IF at < '2000-01-01 UTC' OR at > pg_catalog.now() + interval '10 years' THEN RETURN false; END IF;
  {return_if_present}
  PERFORM pg_catalog.pg_advisory_xact_lock(key);
  {return_if_present}
  EXECUTE pg_catalog.format('CREATE TABLE %I (LIKE {events} INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
  EXECUTE pg_catalog.format('ALTER TABLE {events} ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                 name, month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
  RETURN true;
EXCEPTION WHEN lock_not_available THEN
  SELECT pg_catalog.string_agg(a.usename || ' (pid ' || a.pid || ')', ', ') INTO holders
    FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.objid::bigint = (key::bigint & 4294967295) AND l.granted
      AND l.pid <> pg_catalog.pg_backend_pid();
  RAISE EXCEPTION USING ERRCODE = '55P03', MESSAGE = 'partition ' || name
    || ' cannot be created while a transaction of another role holds a lock: '
    || coalesce(holders, 'unknown role');
END $$"
    )
}

/// Returns the statement that sets the search path of a function: the schema of the tables, then
/// `pg_temp`. If the path did not contain `pg_temp`, PostgreSQL would search `pg_temp` first.
fn search_path(function: &str) -> String {
    let alter =
        POSTGRESQL.text(&format!("ALTER FUNCTION {function} SET search_path = %I, pg_temp"));
    format!("DO $$ BEGIN EXECUTE pg_catalog.format({alter}, pg_catalog.current_schema()); END $$")
}

/// Creates partitions in a table that the statements of [`print()`] have created. For each month of
/// an event, remembers whether the partition exists.
pub(crate) struct Partitions {
    function: String,
    months: HashMap<(i32, u32), bool>,
}

impl Partitions {
    /// Returns `None` if the table has no function that creates partitions.
    pub(crate) fn of(database: &mut Database) -> anyhow::Result<Option<Self>> {
        let exists = is_table(database)?;
        let function = POSTGRESQL.name(&format!("{}_partition", database.table.name()));
        Ok(exists.then(|| Self { function, months: HashMap::new() }))
    }

    /// If the partition for the month of an event is missing, creates it. Returns whether the
    /// partition exists now. If the date is before 2000 or more than 10 years ahead, creates no
    /// partition: only a server with a wrong clock writes such a date.
    pub(crate) fn create_for(
        &mut self,
        background: &mut Background<'_>,
        event: &Auth<'_>,
    ) -> anyhow::Result<bool> {
        let at = event.date.at().to_utc();
        if let Some(exists) = self.months.get(&(at.year(), at.month())) {
            return Ok(*exists);
        }
        // A date before the year 1000 or after 9999: the row encoder refuses it.
        let Some(time) = POSTGRESQL.time_literal(&event.date.at()) else { return Ok(true) };
        let database = &mut *background.wait()?.database;
        let sql = format!("SELECT {}({time})::text", self.function);
        let found = database.texts(&sql, "creating a partition in")?;
        let exists = found.iter().any(|found| found == "true");
        self.months.insert((at.year(), at.month()), exists);
        Ok(exists)
    }
}
