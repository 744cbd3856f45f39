//! Encodes one SQL file: a transaction of multi-row INSERT statements.

use std::io::{self, Write};

use mls_event::Auth;

use crate::dialect::Dialect;
use crate::mapping::Mapping;
use crate::row_encoder::{RowEncoder, RowFormat};
use crate::schema::TableName;

/// If the rows of a statement have this many bytes, a new statement begins. Every server accepts
/// statements of a megabyte.
const STATEMENT: usize = 128 * 1024;

pub(crate) struct SqlFormat<'a> {
    pub(crate) table: &'a TableName,
    pub(crate) dialect: Dialect,
    pub(crate) mapping: &'a Mapping,
    /// The value of [`Field::Source`](crate::field::Field::Source).
    pub(crate) source: Option<String>,
}

/// Writes rows to an SQL file. Writes nothing before the first row.
pub(crate) struct SqlFile<W: Write> {
    out: W,
    rows: RowEncoder,
    /// The beginning of each INSERT statement.
    insert: Vec<u8>,
    begun: bool,
}

impl<W: Write> SqlFile<W> {
    pub(crate) fn new(out: W, format: &SqlFormat) -> Self {
        let SqlFormat { table, dialect, mapping, source } = format;
        let names = mapping.names(*dialect);
        let insert = format!("INSERT INTO {} ({names}) VALUES\n", dialect.name(table.name()));
        let rows = RowEncoder::new(RowFormat::Values(*dialect), mapping, source.clone());
        Self { out, rows, insert: insert.into_bytes(), begun: false }
    }

    /// Appends an event as `rows` equal rows. The inner error says why databases cannot store the
    /// event.
    pub(crate) fn event(&mut self, event: &Auth<'_>, rows: u32) -> io::Result<Result<(), String>> {
        for _ in 0..rows {
            if let Err(why) = self.rows.push(event) {
                return Ok(Err(why));
            }
            if self.rows.len() >= STATEMENT {
                self.statement()?;
            }
        }
        Ok(Ok(()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.begun && self.rows.len() == 0
    }

    /// Writes the remaining rows and ends the transaction.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.statement()?;
        if self.begun {
            self.out.write_all(b"COMMIT;\n")?;
        }
        self.out.flush()
    }

    fn statement(&mut self) -> io::Result<()> {
        let batch = self.rows.take();
        if batch.rows() == 0 {
            return Ok(());
        }
        if !self.begun {
            self.out.write_all(b"BEGIN;\n")?;
            self.begun = true;
        }
        self.out.write_all(&self.insert)?;
        self.out.write_all(batch.bytes(0..batch.rows()))?;
        self.out.write_all(b";\n")
    }

    pub(crate) fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }
}
