//! Loads events into the database: rows and cursor in one transaction.

use std::ops::Range;

use mls_diag::{Exit, count, diag, summary};
use mls_event::Auth;
use mls_stream::ndjson::Reader;
use mls_stream::sink::{self, Sink};
use serde_json::Value;

use crate::cursor;
use crate::database::Database;
use crate::dialect::Dialect;
use crate::error_class::ErrorClass;
use crate::field::Field;
use crate::fleet::Partitions;
use crate::mapping::Mapping;
use crate::row_encoder::{EncodedRows, RowEncoder, RowFormat};
use crate::schema::Table;
use crate::selection::Selection;
use crate::source::Source;

/// Bytes of rows in one statement. Larger statements are not faster, and servers limit their
/// length.
const BATCH: usize = 256 * 1024;

/// Loads a stream into the table.
pub(crate) fn run(
    reader: Reader,
    database: &mut Database,
    table: Table,
    mapping: &Mapping,
    source: Source,
    selection: Selection,
) -> anyhow::Result<()> {
    database.prepare(&table, mapping)?;
    let partitions = Partitions::of(database, &table)?;
    let (dialect, names) = (database.dialect, mapping.names(database.dialect));
    let (format, insert) = match dialect {
        Dialect::Postgresql => {
            (RowFormat::Copy, format!("COPY {} ({names}) FROM STDIN", dialect.name(table.name())))
        }
        _ => (
            RowFormat::Values(dialect),
            format!("INSERT INTO {} ({names}) VALUES\n", dialect.name(table.name())),
        ),
    };
    let rows = RowEncoder::new(format, mapping, Some(source.name.clone()));
    let mut load = Load {
        database,
        table,
        source,
        selection,
        partitions,
        rows,
        insert,
        source_column: mapping.column(Field::Source).map(|column| dialect.name(column)),
        base: None,
        committed: Value::Null,
        open: false,
        accepted: 0,
        refused: 0,
        loaded: 0,
    };
    // A run that fails leaves its transaction to the server, which rolls it back.
    sink::drain(reader, &mut load)?;
    if load.base.is_none() {
        load.selection.check()?;
    }
    let (rows, skipped) = (count(load.loaded, "row", "rows"), load.selection.skipped());
    summary(format_args!("loaded {rows} into {}{skipped}", load.database.shown));
    Ok(())
}

struct Load<'a> {
    database: &'a mut Database,
    table: Table,
    source: Source,
    selection: Selection,
    partitions: Option<Partitions>,
    rows: RowEncoder,
    /// The start of the statement, up to the rows.
    insert: String,
    /// The column of the source, quoted.
    source_column: Option<String>,
    /// The last commit of the source; `None` in a plain stream.
    base: Option<u64>,
    committed: Value,
    /// Whether a transaction is open.
    open: bool,
    /// Rows that the table has accepted and refused since the last commit.
    accepted: usize,
    refused: usize,
    /// Rows that were committed.
    loaded: u64,
}

impl Sink for Load<'_> {
    fn takes_plain(&self) -> bool {
        true
    }

    fn begin(&mut self, base: u64) -> anyhow::Result<()> {
        let cursor = cursor::load(self.database, &self.table, &self.source)?;
        if cursor.as_ref().map_or(0, |cursor| cursor.sequence) != base {
            return Err(cursor::overtaken(self.database, &self.source));
        }
        if base == 0 && !self.source.adopt {
            self.refuse_rows_of_files()?;
        }
        self.base = Some(base);
        self.committed = cursor.map_or(Value::Null, |cursor| cursor.cursor);
        Ok(())
    }

    fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<()> {
        let rows = self.selection.rows(event);
        if let Some(partitions) = self.partitions.as_mut().filter(|_| rows > 0)
            && !partitions.create_for(self.database, event)?
        {
            diag::bad_record("stdin", format_args!("date {} has no partition", event.date));
            return Ok(());
        }
        for _ in 0..rows {
            if let Err(why) = self.rows.push(event) {
                diag::bad_record("stdin", why);
                break;
            }
            if self.rows.len() >= BATCH {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn commit(&mut self, cursor: Value) -> anyhow::Result<()> {
        self.flush()?;
        if self.refused > 0 && self.accepted == 0 {
            return Err(Exit::Config.error(format!(
                "table {} in {} refuses every row, so nothing was committed; correct the table, or \
                 choose another with --table",
                self.table.name(),
                self.database.shown
            )));
        }
        let accepted = std::mem::take(&mut self.accepted) as u64;
        self.refused = 0;
        if let Some(base) = self.base.filter(|_| self.open || cursor != self.committed) {
            self.begin_unless_open()?;
            self.base = Some(cursor::advance(
                self.database,
                &self.table,
                &self.source,
                base,
                cursor.clone(),
                accepted,
            )?);
        }
        if self.open {
            self.database.must("COMMIT", "committing to")?;
            self.open = false;
        }
        self.loaded += accepted;
        self.committed = cursor;
        Ok(())
    }
}

impl Load<'_> {
    /// Rows of this source without a cursor, and rows without a source, come from SQL files or an older
    /// version. The log can hold the same attempts.
    fn refuse_rows_of_files(&mut self) -> anyhow::Result<()> {
        // A server of a fleet cannot see rows.
        let Some(column) = self.source_column.as_ref().filter(|_| self.partitions.is_none()) else {
            return Ok(());
        };
        let table = self.database.dialect.name(self.table.name());
        let source = self.database.dialect.text(&self.source.name);
        let sql = format!(
            "SELECT 'found' FROM {table} WHERE {column} IS NULL OR {column} = {source} LIMIT 1"
        );
        let found = self.database.texts(&sql);
        let found = found.map_err(|error| self.database.failed(&error, "looking for rows in"))?;
        if found.is_empty() {
            return Ok(());
        }
        Err(Exit::Config.error(format!(
            "table {} in {} has rows of SQL files or of an older version; the log can hold the same attempts. Load into another table (--table, or [database] table_name), or \
             use --adopt",
            self.table.name(),
            self.database.shown
        )))
    }

    fn begin_unless_open(&mut self) -> anyhow::Result<()> {
        if !self.open {
            self.database.begin()?;
            self.open = true;
        }
        Ok(())
    }

    /// Sends the collected rows to the server.
    fn flush(&mut self) -> anyhow::Result<()> {
        let batch = self.rows.take();
        if batch.rows() == 0 {
            return Ok(());
        }
        self.begin_unless_open()?;
        self.insert(&batch, 0..batch.rows())
    }

    /// Inserts some rows. If the table refuses them, inserts each half separately, until the refused
    /// row is found.
    fn insert(&mut self, batch: &EncodedRows, rows: Range<usize>) -> anyhow::Result<()> {
        self.database.must("SAVEPOINT batch", "inserting into")?;
        let bytes = batch.bytes(rows.clone());
        let result = match self.database.dialect {
            Dialect::Postgresql => self.database.copy(&self.insert, bytes),
            // The encoder writes only UTF-8.
            _ => self
                .database
                .execute(&format!("{}{}", self.insert, String::from_utf8_lossy(bytes)))
                .map(drop),
        };
        let Err(error) = result else {
            self.accepted += rows.len();
            return self.database.must("RELEASE SAVEPOINT batch", "inserting into").map(drop);
        };
        if ErrorClass::of(&error) != ErrorClass::Data {
            return Err(self.database.failed(&error, "inserting into"));
        }
        self.database.must("ROLLBACK TO SAVEPOINT batch", "inserting into")?;
        if rows.len() == 1 {
            let row = String::from_utf8_lossy(bytes).chars().take(200).collect::<String>();
            // A row that exceeds a limit of the server says nothing about the table.
            self.refused += usize::from(!matches!(error, sqlx::Error::InvalidArgument(_)));
            diag::bad_record(
                "stdin",
                format_args!("table {} refuses {row}: {error}", self.table.name()),
            );
            return Ok(());
        }
        let middle = rows.start + rows.len() / 2;
        self.insert(batch, rows.start..middle)?;
        self.insert(batch, middle..rows.end)
    }
}
