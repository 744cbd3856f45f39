//! Loads events into the database: rows and cursor in one transaction.

use std::thread;

use mls_diag::{Exit, count, summary};
use mls_event::Auth;
use mls_stream::ndjson::Reader;
use mls_stream::sink::{self, Sink};
use serde_json::Value;

use crate::cursor;
use crate::database::Database;
use crate::dialect::Dialect;
use crate::field::Field;
use crate::fleet::Partitions;
use crate::mapping::Mapping;
use crate::outcome_filter::OutcomeFilter;
use crate::row_encoder::{RowEncoder, RowFormat};
use crate::source::Source;
use crate::writer::{Background, RowWriter};

/// Bytes of rows in one statement. Larger statements are not faster, and servers limit their
/// length.
const BATCH: usize = 256 * 1024;

pub(crate) fn run(
    reader: Reader,
    database: &mut Database,
    mapping: &Mapping,
    source: Source,
    filter: OutcomeFilter,
) -> anyhow::Result<()> {
    let is_new = database.prepare(mapping)?;
    let partitions = Partitions::of(database)?;
    let (dialect, table) = (database.dialect, database.events());
    let names = mapping.names(dialect);
    let (format, insert) = match dialect {
        Dialect::Postgresql => (RowFormat::Copy, format!("COPY {table} ({names}) FROM STDIN")),
        _ => (RowFormat::Values(dialect), format!("INSERT INTO {table} ({names}) VALUES\n")),
    };
    let rows = RowEncoder::new(format, mapping, Some(source.name.clone()));
    let source_column = mapping.column(Field::Source).map(|column| dialect.name(column));
    let shown = database.shown.clone();
    let late_indexes = match dialect {
        Dialect::Sqlite if is_new => database.table.indexes(dialect, mapping).collect(),
        // In other databases, the indexes exist during the load. A PostgreSQL index refuses long
        // values, so only the rows with long values fail. If the index were created after the load,
        // `CREATE INDEX` would fail. In MySQL, `CREATE INDEX` commits the open transaction.
        _ => Vec::new(),
    };
    let writer = RowWriter { database, insert, late_indexes, open: false, accepted: 0, refused: 0 };
    thread::scope(|scope| {
        let mut load = Load {
            background: Background::start(writer, scope),
            source,
            filter,
            partitions,
            rows,
            source_column,
            base: None,
            committed: Value::Null,
            loaded: 0,
        };
        // If the run fails, the database rolls the transaction back.
        sink::drain(reader, &mut load).or_else(|error| {
            // If the last batch has failed too, its error is returned: it says what to repair.
            load.background.wait()?;
            Err(error)
        })?;
        if load.base.is_none() {
            load.filter.check()?;
        }
        let (rows, skipped) = (count(load.loaded, "row", "rows"), load.filter.skipped());
        summary(format_args!("loaded {rows} into {shown}{skipped}"));
        Ok(())
    })
}

struct Load<'a> {
    background: Background<'a>,
    source: Source,
    filter: OutcomeFilter,
    partitions: Option<Partitions>,
    rows: RowEncoder,
    /// The name of the column that holds the source, in quotes.
    source_column: Option<String>,
    /// The sequence number of the source's last commit; `None` if the stream is not framed.
    base: Option<u64>,
    committed: Value,
    /// How many rows this run has committed.
    loaded: u64,
}

impl Sink for Load<'_> {
    fn takes_plain(&self) -> bool {
        true
    }

    fn begin(&mut self, base: u64) -> anyhow::Result<()> {
        let database = &mut *self.background.wait()?.database;
        let cursor = cursor::load(database, &self.source)?;
        let sequence = cursor.as_ref().map_or(0, |cursor| cursor.sequence);
        let (source, shown) = (&self.source.name, &database.shown);
        sink::check_base(base, sequence, format_args!("source {source} in {shown}"))?;
        if base == 0 && !self.source.allow_duplicates {
            self.refuse_rows_of_files()?;
        }
        self.base = Some(base);
        self.committed = cursor.map_or(Value::Null, |cursor| cursor.cursor);
        Ok(())
    }

    fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<Result<(), String>> {
        let rows = self.filter.rows(event);
        if let Some(partitions) = self.partitions.as_mut().filter(|_| rows > 0)
            && !partitions.create_for(&mut self.background, event)?
        {
            return Ok(Err(format!(
                "date {} is before 2000 or more than 10 years in the future, so the table has no \
                 partition for it",
                event.date
            )));
        }
        for _ in 0..rows {
            if let Err(why) = self.rows.push(event) {
                return Ok(Err(why));
            }
            if self.rows.len() >= BATCH {
                self.flush()?;
            }
        }
        Ok(Ok(()))
    }

    fn commit(&mut self, cursor: Value) -> anyhow::Result<()> {
        self.flush()?;
        let writer = self.background.wait()?;
        if writer.refused > 0 && writer.accepted == 0 {
            return Err(Exit::Config.error(format!(
                "table {} in {} accepts no row, so nothing was committed; correct the table, or \
                 choose another with --table",
                writer.database.table.name(),
                writer.database.shown
            )));
        }
        let accepted = std::mem::take(&mut writer.accepted) as u64;
        writer.refused = 0;
        if let Some(base) = self.base.filter(|_| writer.open || cursor != self.committed) {
            writer.begin_unless_open()?;
            let database = &mut *writer.database;
            let next = cursor::advance(database, &self.source, base, cursor.clone(), accepted)?;
            self.base = Some(next);
        }
        writer.commit()?;
        self.loaded += accepted;
        self.committed = cursor;
        Ok(())
    }
}

impl Load<'_> {
    /// Refuses a table that has rows of this source or rows without a source. The caller must call
    /// this function only if the source has no cursor. Without a cursor, these rows come from SQL
    /// files, from a load without `--framed`, or from an older version. The log can contain the
    /// attempts of these rows too.
    fn refuse_rows_of_files(&mut self) -> anyhow::Result<()> {
        // Do not check the table of a fleet: the role of a mail server cannot read the rows.
        let Some(column) = self.source_column.as_ref().filter(|_| self.partitions.is_none()) else {
            return Ok(());
        };
        let database = &mut *self.background.wait()?.database;
        let events = database.events();
        let source = database.dialect.text(&self.source.name);
        let sql = format!(
            "SELECT 'found' FROM {events} WHERE {column} IS NULL OR {column} = {source} LIMIT 1"
        );
        if database.texts(&sql, "looking for rows in")?.is_empty() {
            return Ok(());
        }
        Err(Exit::Config.error(format!(
            "table {} in {} has rows without a committed position: from SQL files, from mls-sql \
             load without mls-tail --framed, or from an older version. The log can hold the same \
             attempts. Load into another table (--table, or [database] table_name). If the log \
             does not hold them, use mls-sql load --allow-duplicates",
            database.table.name(),
            database.shown
        )))
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        let batch = self.rows.take();
        if batch.rows() == 0 { Ok(()) } else { self.background.write(batch) }
    }
}
