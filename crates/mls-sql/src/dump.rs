//! Reads events back as records: `mls-sql dump`.
//!
//! `dump` writes one record for each row, in the order of time. A record has the members for which
//! the table has a column; `attempts` is 1. `dump` reads all pages in one transaction, so it does
//! not see rows that a concurrent load inserts.

use std::borrow::Cow;

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use mls_diag::{Exit, OrExit, count, diag, summary};
use mls_event::{Auth, Column, Outcome, Timestamp};
use mls_stream::ndjson::Writer;

use crate::database::Database;
use crate::dialect::Dialect;
use crate::field::Field;
use crate::mapping::Mapping;

/// The number of rows in one answer of the server. Even with the longest names, an answer is far
/// shorter than the limit of the relay (`relay.rs`).
const PAGE: usize = 200;

#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) since: Option<DateTime<FixedOffset>>,
    pub(crate) until: Option<DateTime<FixedOffset>>,
    pub(crate) servers: Vec<String>,
    pub(crate) sources: Vec<String>,
    pub(crate) outcomes: Vec<Outcome>,
}

impl Filter {
    /// Fails with exit 64 if `since` is not before `until`.
    pub(crate) fn check_order(&self) -> anyhow::Result<()> {
        match (&self.since, &self.until) {
            (Some(since), Some(until)) if since >= until => Err(Exit::Usage.error(
                "--since is not before --until: give an earlier --since or a later --until",
            )),
            _ => Ok(()),
        }
    }
}

/// Writes the selected rows to standard output, as records. If the table or the mapping lacks the
/// column `id` or a column that the filter needs, exit 78.
pub(crate) fn run(
    database: &mut Database,
    mapping: &Mapping,
    filter: &Filter,
) -> anyhow::Result<()> {
    let (table, shown) = (database.table.name().to_owned(), database.shown.clone());
    let columns = database.columns(&table)?;
    if columns.is_empty() {
        return Err(Exit::Config.error(format!(
            "there is no table {table} in {shown}; check --table, or table_name in [database] \
                 (mls-sql load creates the table)"
        )));
    }
    database.check_columns(mapping, &columns)?;
    let query = Query::new(database, mapping, filter)?;
    let mut out = Writer::stdout()?;
    let (mut written, mut last) = (0, None);
    begin(database)?;
    loop {
        let rows = database.rows(&query.page(last.as_ref()), "reading rows from")?;
        let is_last = rows.len() < PAGE;
        for row in rows {
            match query.record(&row) {
                Ok(record) => {
                    out.record(&record)?;
                    written += 1;
                }
                Err(why) => {
                    let id = row.get(1).and_then(Option::as_deref).unwrap_or("NULL");
                    diag::bad_record(
                        format_args!("{shown}, table {table}, row {id}"),
                        format_args!("{why:#}"),
                    );
                }
            }
            last = RowPosition::of(row);
        }
        if is_last {
            break;
        }
        if last.is_none() {
            // Without a position, the next query would return the first page again.
            return Err(Exit::DataErr.error(format!(
                "table {table} in {shown} has rows without a time or an ID; remove these rows"
            )));
        }
    }
    out.flush()?;
    let rows = count(written, "row", "rows");
    summary(format_args!("read {rows} from table {table} in {shown}"));
    Ok(())
}

/// Begins a transaction in which all queries see the same rows. Times are in UTC.
fn begin(database: &mut Database) -> anyhow::Result<()> {
    let statements: &[&str] = match database.dialect {
        Dialect::Sqlite => &["BEGIN"],
        Dialect::Postgresql => &[
            "SET TIME ZONE 'UTC'; SET datestyle = 'ISO'",
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        ],
        Dialect::Mysql => &[
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY",
        ],
    };
    statements.iter().try_for_each(|sql| database.must(sql, "reading rows from").map(drop))
}

/// The position of a row in the order of the dump.
struct RowPosition {
    time: String,
    id: String,
}

impl RowPosition {
    /// Reads the first two columns of a row; `None` if one is NULL.
    fn of(row: Vec<Option<String>>) -> Option<Self> {
        let mut columns = row.into_iter();
        Some(Self { time: columns.next()??, id: columns.next()?? })
    }
}

/// The query for one page of rows.
struct Query {
    dialect: Dialect,
    select: String,
    conditions: Vec<String>,
    /// The columns of time and ID, in quotes.
    time: String,
    id: String,
    /// The fields in the columns after time and ID.
    fields: Vec<Field>,
}

impl Query {
    fn new(database: &Database, mapping: &Mapping, filter: &Filter) -> anyhow::Result<Self> {
        let (dialect, table) = (database.dialect, database.events());
        let column = |field: Field| {
            let name = mapping.column(field).map(|name| dialect.name(name));
            name.with_context(|| {
                format!(
                    "the mapping has no column for {0}; add a column with the csv_column_name \
                     {0:?} to the mapping file (--mapping, or column_mapping_file in [database])",
                    field.name()
                )
            })
            .or_exit(Exit::Config)
        };
        // Without the name of the table, PostgreSQL would sort by the selected text of the time.
        let of_table = |name: &str| format!("{table}.{name}");
        let time = of_table(&column(Field::Csv(Column::Date))?);
        let id = mapping.id().context(
            "the mapping has no column that the database fills, such as id; add a column with the \
             csv_column_name null to the mapping file (--mapping, or column_mapping_file in \
             [database])",
        );
        let id = of_table(&dialect.name(id.or_exit(Exit::Config)?));
        let mut conditions = Vec::new();
        for (limit, operator) in [(&filter.since, ">="), (&filter.until, "<")] {
            if let Some(limit) = limit {
                let limit = dialect
                    .time_literal(limit)
                    .context("--since or --until is not between the years 1000 and 9999")
                    .or_exit(Exit::Usage)?;
                conditions.push(format!("{time} {operator} {limit}"));
            }
        }
        let outcomes: Vec<_> = filter.outcomes.iter().map(|o| o.name().to_owned()).collect();
        for (field, values) in [
            (Field::Csv(Column::Server), &filter.servers),
            (Field::Source, &filter.sources),
            (Field::Outcome, &outcomes),
        ] {
            if !values.is_empty() {
                let values: Vec<_> = values.iter().map(|value| dialect.text(value)).collect();
                conditions.push(format!("{} IN ({})", column(field)?, values.join(", ")));
            }
        }
        let text = |name: &str| match dialect {
            Dialect::Mysql => format!("CAST({name} AS CHAR)"),
            _ => format!("CAST({name} AS TEXT)"),
        };
        let filled = mapping.filled().map(|(name, _)| text(&dialect.name(name)));
        let columns: Vec<_> = [text(&time), text(&id)].into_iter().chain(filled).collect();
        let select = format!("SELECT {} FROM {table}", columns.join(", "));
        let fields = mapping.filled().map(|(_, field)| field).collect();
        Ok(Self { dialect, select, conditions, time, id, fields })
    }

    /// Returns the query for the first page, or for the page after `last`.
    fn page(&self, last: Option<&RowPosition>) -> String {
        let Self { dialect, select, time, id, .. } = self;
        let mut conditions = self.conditions.clone();
        if let Some(RowPosition { time: last_time, id: last_id }) = last {
            let (last_time, last_id) = (dialect.text(last_time), dialect.text(last_id));
            // With the condition `time >= …`, every database uses the index on the time.
            conditions.push(format!(
                "{time} >= {last_time} AND ({time} > {last_time} OR {id} > {last_id})"
            ));
        }
        let filter = if conditions.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", conditions.join(" AND "))
        };
        format!("{select}{filter} ORDER BY {time}, {id} LIMIT {PAGE}")
    }

    /// Makes a record from a row. If a record cannot have the value of a column, fails.
    fn record<'r>(&self, row: &'r [Option<String>]) -> anyhow::Result<Auth<'r>> {
        let time = row.first().and_then(Option::as_deref).context("it has no time")?;
        let at = parse_time(time).with_context(|| format!("{time:?} is not a time"))?;
        let mut record = Auth::new(Timestamp::from(at), Outcome::Failure);
        for (field, value) in self.fields.iter().zip(row.iter().skip(2)) {
            set_member(*field, value.as_deref(), &mut record)?;
        }
        Ok(record)
    }
}

fn set_member<'r>(
    field: Field,
    value: Option<&'r str>,
    record: &mut Auth<'r>,
) -> anyhow::Result<()> {
    let text = value.map(Cow::Borrowed);
    let added = &mut record.enrichment;
    match field {
        // `record` has already set the date. A record has no member for the source.
        Field::Csv(Column::Date) | Field::Source => {}
        Field::Csv(Column::Server) => record.server = text,
        // PostgreSQL writes an `inet` with the length of its prefix: `192.0.2.1/32`.
        Field::Csv(Column::Ip) => {
            let address = value.map(|ip| ip.split('/').next().unwrap_or(ip));
            record.ip = number(address, field)?;
        }
        Field::Csv(Column::User) => record.user = text,
        Field::Csv(Column::Hostname) => added.get_or_insert_default().hostname = text,
        Field::Csv(Column::ReverseDnsStatus) => {
            added.get_or_insert_default().reverse_dns_status = text;
        }
        Field::Csv(Column::CountryCode) => added.get_or_insert_default().country_code = text,
        Field::Csv(Column::Asn) => added.get_or_insert_default().asn = number(value, field)?,
        Field::Csv(Column::Aso) => added.get_or_insert_default().aso = text,
        Field::Pos => record.pos = text,
        Field::Outcome => {
            if let Some(value) = value {
                record.outcome = Outcome::from_name(value).with_context(|| {
                    format!("outcome {value:?} is not failure, success, aborted or error")
                })?;
            }
        }
        Field::Service => record.service = text,
        Field::Pid => record.pid = number(value, field)?,
        Field::Mechanism => record.mechanism = text,
        Field::Reason => record.reason = text,
        Field::Client => record.client = text,
        Field::Port => record.port = number(value, field)?,
        Field::QueueId => record.queue_id = text,
    }
    Ok(())
}

fn number<T: std::str::FromStr>(value: Option<&str>, field: Field) -> anyhow::Result<Option<T>> {
    let read = |text: &str| {
        text.parse().ok().with_context(|| format!("{} {text:?} is not valid", field.name()))
    };
    value.map(read).transpose()
}

/// Reads a time in the format of any of the databases. A time without a zone is UTC.
fn parse_time(text: &str) -> Option<DateTime<FixedOffset>> {
    let zone = text.get("2026-06-01T".len()..)?.split_once(['Z', '+', '-']);
    let missing = match zone {
        None => "+00:00",
        // PostgreSQL writes only the hours of a zone if the minutes are 0: `+02`.
        Some((_, zone)) if zone.len() == 2 => ":00",
        Some(_) => "",
    };
    DateTime::parse_from_rfc3339(&format!("{text}{missing}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_every_database_are_read_as_utc() {
        for text in [
            "2026-05-31T22:30:45.123456Z",
            "2026-05-31 22:30:45.123456+00",
            "2026-05-31 18:30:45.123456-04",
            "2026-05-31 22:30:45.123456+00:00",
            "2026-05-31 22:30:45.123456",
            "2026-06-01T00:30:45.123456+02:00",
        ] {
            assert_eq!(
                parse_time(text).unwrap().timestamp_micros(),
                1_780_266_645_123_456,
                "{text}"
            );
        }
        for text in ["31/05/2026 22:30", "+20215-05-31 22:30:45", "20215-05-31 22:30:45"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
