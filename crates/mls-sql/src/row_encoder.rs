//! Encodes events as rows of the table: literals for `INSERT`, or lines for PostgreSQL's `COPY`.

use std::io::Write as _;
use std::ops::Range;

use mls_event::{Auth, Column, Enrichment, clean_str, write_ip};

use crate::dialect::{Dialect, Time, doubled};
use crate::field::Field;
use crate::mapping::Mapping;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowFormat {
    /// A list of literals for `VALUES`: `('mx1',…,NULL)`
    Values(Dialect),
    /// A line in the text format of PostgreSQL's `COPY`: `mx1\t…\t\N\n`
    Copy,
}

/// Encodes rows and collects them in one buffer.
pub(crate) struct RowEncoder {
    format: RowFormat,
    fields: Vec<Field>,
    /// The value of [`Field::Source`].
    source: Option<String>,
    bytes: Vec<u8>,
    /// For each row, the offset in `bytes` just after the row.
    ends: Vec<usize>,
}

impl RowEncoder {
    pub(crate) fn new(format: RowFormat, mapping: &Mapping, source: Option<String>) -> Self {
        Self {
            format,
            fields: mapping.filled().map(|(_, field)| field).collect(),
            source,
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Adds a row. The error says why no database can store the event.
    pub(crate) fn push(&mut self, event: &Auth<'_>) -> Result<(), String> {
        let dialect = match self.format {
            RowFormat::Values(dialect) => dialect,
            RowFormat::Copy => Dialect::Postgresql,
        };
        let time = dialect.time(&event.date.at()).ok_or_else(|| {
            format!(
                "date {:?} is not between the years 1000 and 9999; databases cannot store it",
                event.date.as_str()
            )
        })?;
        self.row(event, &time);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Encodes one row. An export calls this function in its hot loop. The function allocates
    /// memory only for texts with control characters.
    fn row(&mut self, event: &Auth<'_>, time: &Time) {
        let Self { format, fields, source, bytes, .. } = self;
        let format = *format;
        let unknown = Enrichment::default();
        let added = event.enrichment.as_ref().unwrap_or(&unknown);
        // [`EncodedRows::bytes`] removes the comma after the last row.
        let (open, between, close): (&[u8], u8, &[u8]) = match format {
            RowFormat::Values(_) => (b"(", b',', b"),\n"),
            RowFormat::Copy => (b"", b'\t', b"\n"),
        };
        bytes.extend_from_slice(open);
        for (n, field) in fields.iter().enumerate() {
            if n > 0 {
                bytes.push(between);
            }
            match field {
                Field::Csv(Column::Server) => text(format, bytes, event.server.as_deref()),
                Field::Csv(Column::Date) => {
                    quoted(format, bytes, |bytes| bytes.extend_from_slice(time.as_bytes()));
                }
                Field::Csv(Column::Ip) => match event.ip {
                    Some(ip) => quoted(format, bytes, |bytes| write_ip(bytes, ip)),
                    None => text(format, bytes, None),
                },
                Field::Csv(Column::User) => text(format, bytes, event.user.as_deref()),
                Field::Csv(Column::Hostname) => text(format, bytes, added.hostname.as_deref()),
                Field::Csv(Column::ReverseDnsStatus) => {
                    text(format, bytes, added.reverse_dns_status.as_deref());
                }
                Field::Csv(Column::CountryCode) => {
                    text(format, bytes, added.country_code.as_deref());
                }
                Field::Csv(Column::Asn) => number(format, bytes, added.asn),
                Field::Csv(Column::Aso) => text(format, bytes, added.aso.as_deref()),
                Field::Source => text(format, bytes, source.as_deref()),
                Field::Pos => text(format, bytes, event.pos.as_deref()),
                Field::Outcome => text(format, bytes, Some(event.outcome.name())),
                Field::Service => text(format, bytes, event.service.as_deref()),
                Field::Pid => number(format, bytes, event.pid),
                Field::Mechanism => text(format, bytes, event.mechanism.as_deref()),
                Field::Reason => text(format, bytes, event.reason.as_deref()),
                Field::Client => text(format, bytes, event.client.as_deref()),
                Field::Port => number(format, bytes, event.port.map(u32::from)),
                Field::QueueId => text(format, bytes, event.queue_id.as_deref()),
            }
        }
        bytes.extend_from_slice(close);
    }

    /// Returns the collected rows and starts an empty buffer.
    pub(crate) fn take(&mut self) -> EncodedRows {
        // The next rows will need about the same capacity.
        let (bytes, ends) =
            (Vec::with_capacity(self.bytes.capacity()), Vec::with_capacity(self.ends.capacity()));
        EncodedRows {
            format: self.format,
            bytes: std::mem::replace(&mut self.bytes, bytes),
            ends: std::mem::replace(&mut self.ends, ends),
        }
    }

    /// Returns the length of the collected rows in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// A batch of encoded rows for the database.
pub(crate) struct EncodedRows {
    format: RowFormat,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedRows {
    pub(crate) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Returns a range of rows as input of `COPY` or as the list after `VALUES`. The range must not
    /// be empty.
    pub(crate) fn bytes(&self, rows: Range<usize>) -> &[u8] {
        let start = if rows.start == 0 { 0 } else { self.ends[rows.start - 1] };
        let bytes = &self.bytes[start..self.ends[rows.end - 1]];
        if self.format == RowFormat::Copy {
            bytes
        } else {
            bytes.strip_suffix(b",\n").unwrap_or(bytes)
        }
    }
}

/// Appends the output of `write`. If the format needs quotes, adds quotes. The output must not need
/// escaping.
fn quoted(format: RowFormat, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if format == RowFormat::Copy {
        return write(out);
    }
    out.push(b'\'');
    write(out);
    out.push(b'\'');
}

fn text(format: RowFormat, out: &mut Vec<u8>, text: Option<&str>) {
    match (format, text) {
        (RowFormat::Values(_), None) => out.extend_from_slice(b"NULL"),
        (RowFormat::Copy, None) => out.extend_from_slice(b"\\N"),
        // `clean_str` replaces control characters by `?`. So each row is one line, and COPY needs
        // no escapes except for the backslash.
        (RowFormat::Values(dialect), Some(text)) => dialect.write_text(&clean_str(text), out),
        (RowFormat::Copy, Some(text)) => doubled(&clean_str(text), b'\\', out),
    }
}

fn number(format: RowFormat, out: &mut Vec<u8>, number: Option<u32>) {
    match number {
        // Writing to memory cannot fail.
        Some(number) => drop(write!(out, "{number}")),
        None => text(format, out, None),
    }
}
