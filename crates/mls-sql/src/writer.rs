//! Writes rows into the table in a second thread. The first thread parses the next records while
//! the database works.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::Scope;

use anyhow::Context;
use mls_diag::diag;

use crate::database::Database;
use crate::dialect::Dialect;
use crate::error_class::ErrorClass;
use crate::row_encoder::EncodedRows;
use crate::schema::Index;

/// Inserts rows in a transaction.
pub(crate) struct RowWriter<'a> {
    pub(crate) database: &'a mut Database,
    /// The start of the INSERT or COPY statement, before the rows.
    pub(crate) insert: String,
    /// The indexes of a table that this run created. The first transaction drops the indexes,
    /// inserts rows, and creates the indexes again. For many rows, this is several times faster.
    pub(crate) late_indexes: Vec<Index>,
    pub(crate) open: bool,
    /// How many rows the table has accepted since the last commit; `refused` counts the others.
    pub(crate) accepted: usize,
    pub(crate) refused: usize,
}

/// The writer and its thread. While the thread writes a batch, it owns the writer, and `writer` is
/// `None`.
pub(crate) struct Background<'a> {
    writer: Option<RowWriter<'a>>,
    batches: SyncSender<(RowWriter<'a>, EncodedRows)>,
    written: Receiver<(RowWriter<'a>, anyhow::Result<()>)>,
}

impl<'a> Background<'a> {
    /// Starts the thread. The thread ends when the returned value is dropped.
    pub(crate) fn start<'scope>(writer: RowWriter<'a>, scope: &'scope Scope<'scope, '_>) -> Self
    where
        'a: 'scope,
    {
        let (batches, to_write) = sync_channel::<(RowWriter<'a>, EncodedRows)>(1);
        let (result, written) = sync_channel(1);
        scope.spawn(move || {
            for (mut writer, batch) in to_write {
                let written = writer.write(&batch);
                // If the stream has failed, nobody receives the result. This is not an error.
                let _ = result.send((writer, written));
            }
        });
        Self { writer: Some(writer), batches, written }
    }

    /// Waits until the thread has written the last batch. Returns the writer.
    pub(crate) fn wait(&mut self) -> anyhow::Result<&mut RowWriter<'a>> {
        if self.writer.is_none() {
            let (writer, written) =
                self.written.recv().context("the thread of the writer has ended")?;
            self.writer = Some(writer);
            written?;
        }
        self.writer.as_mut().context("the thread still has the writer")
    }

    /// Waits until the thread has written the last batch. Then sends `batch` to the thread.
    pub(crate) fn write(&mut self, batch: EncodedRows) -> anyhow::Result<()> {
        self.wait()?;
        let writer = self.writer.take().context("the thread still has the writer")?;
        self.batches.send((writer, batch)).ok().context("the thread of the writer has ended")
    }
}

impl RowWriter<'_> {
    pub(crate) fn begin_unless_open(&mut self) -> anyhow::Result<()> {
        if !self.open {
            self.database.begin()?;
            self.open = true;
            for index in &self.late_indexes {
                self.database
                    .must(&format!("DROP INDEX IF EXISTS {}", index.name), "changing indexes in")?;
            }
        }
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> anyhow::Result<()> {
        if self.open {
            for index in self.late_indexes.drain(..) {
                self.database.must(&index.ddl, "creating indexes in")?;
            }
            self.database.must("COMMIT", "committing to")?;
            self.open = false;
        }
        Ok(())
    }

    fn write(&mut self, batch: &EncodedRows) -> anyhow::Result<()> {
        self.begin_unless_open()?;
        self.insert(batch, 0..batch.rows())
    }

    /// Inserts a range of rows. If the table refuses the range, inserts each half separately. If
    /// the table refuses a single row, reports and skips the row.
    fn insert(&mut self, batch: &EncodedRows, rows: Range<usize>) -> anyhow::Result<()> {
        self.database.must("SAVEPOINT batch", "inserting into")?;
        let bytes = batch.bytes(rows.clone());
        let result = match self.database.dialect {
            Dialect::Postgresql => self.database.copy(&self.insert, bytes),
            // The encoder writes only UTF-8, so `from_utf8_lossy` changes nothing.
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
            // `InvalidArgument`: the row exceeds a limit of the server. The table is not the cause, so
            // the row does not count as refused.
            self.refused += usize::from(!matches!(error, sqlx::Error::InvalidArgument(_)));
            let table = self.database.table.name();
            diag::bad_record("stdin", format_args!("table {table} refuses {row}: {error}"));
            return Ok(());
        }
        let middle = rows.start + rows.len() / 2;
        self.insert(batch, rows.start..middle)?;
        self.insert(batch, middle..rows.end)
    }
}
