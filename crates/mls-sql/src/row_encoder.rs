//! An event as rows of the table: literals for `INSERT`, or lines for PostgreSQL's `COPY`.

use std::io::Write as _;
use std::ops::Range;

use mls_event::{Auth, Column, Enrichment, clean_str};

use crate::dialect::{Dialect, Time};
use crate::mapping::Mapping;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowFormat {
    /// `('mx1',…,NULL)`
    Values(Dialect),
    /// `mx1\t…\t\N\n`, as PostgreSQL's manual describes the text format of `COPY`.
    Copy,
}

/// Encodes rows one behind the other.
pub(crate) struct RowEncoder {
    form: RowFormat,
    sources: Vec<Column>,
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
}

/// The event has no place in the table.
#[derive(Debug, thiserror::Error)]
#[error("date {0:?} is not between the years 1000 and 9999, which databases can store")]
pub(crate) struct BadDate(String);

impl RowEncoder {
    pub(crate) fn new(form: RowFormat, mapping: &Mapping) -> Self {
        Self {
            form,
            sources: mapping.filled().map(|(_, source)| source).collect(),
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Appends one row of an event.
    pub(crate) fn push(&mut self, event: &Auth<'_>) -> Result<(), BadDate> {
        let dialect = match self.form {
            RowFormat::Values(dialect) => dialect,
            RowFormat::Copy => Dialect::Postgresql,
        };
        let Some(time) = dialect.time(&event.date.at()) else {
            return Err(BadDate(event.date.to_string()));
        };
        self.row(event, &time);
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// The hot loop of an export: nothing is allocated but for what holds control characters.
    fn row(&mut self, event: &Auth<'_>, time: &Time) {
        let Self { form, sources, bytes, .. } = self;
        let form = *form;
        let unknown = Enrichment::default();
        let added = event.enrichment.as_ref().unwrap_or(&unknown);
        let between = if form == RowFormat::Copy { b'\t' } else { b',' };
        if form != RowFormat::Copy {
            bytes.push(b'(');
        }
        for (n, source) in sources.iter().enumerate() {
            if n > 0 {
                bytes.push(between);
            }
            match source {
                Column::Server => text(form, bytes, event.server.as_deref()),
                Column::Date => {
                    quoted(form, bytes, |bytes| bytes.extend_from_slice(time.as_bytes()));
                }
                Column::Ip => match event.ip {
                    // Writing to memory cannot fail.
                    Some(ip) => quoted(form, bytes, |bytes| drop(write!(bytes, "{ip}"))),
                    None => text(form, bytes, None),
                },
                Column::User => text(form, bytes, event.user.as_deref()),
                Column::Hostname => text(form, bytes, added.hostname.as_deref()),
                Column::ReverseDnsStatus => text(form, bytes, added.reverse_dns_status.as_deref()),
                Column::CountryCode => text(form, bytes, added.country_code.as_deref()),
                Column::Asn => match added.asn {
                    Some(asn) => drop(write!(bytes, "{asn}")),
                    None => text(form, bytes, None),
                },
                Column::Aso => text(form, bytes, added.aso.as_deref()),
            }
        }
        bytes.extend_from_slice(form.close());
    }

    /// The rows so far, and forgets them.
    pub(crate) fn take(&mut self) -> EncodedRows {
        // The next rows will take as much room.
        let (bytes, ends) =
            (Vec::with_capacity(self.bytes.capacity()), Vec::with_capacity(self.ends.capacity()));
        EncodedRows {
            form: self.form,
            bytes: std::mem::replace(&mut self.bytes, bytes),
            ends: std::mem::replace(&mut self.ends, ends),
        }
    }

    /// How many bytes the rows so far take.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Rows that go to the database together.
pub(crate) struct EncodedRows {
    form: RowFormat,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl EncodedRows {
    pub(crate) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Some of the rows, at least one, as `COPY` reads them or as they stand behind `VALUES`.
    pub(crate) fn bytes(&self, rows: Range<usize>) -> &[u8] {
        let start = if rows.start == 0 { 0 } else { self.ends[rows.start - 1] };
        let bytes = &self.bytes[start..self.ends[rows.end - 1]];
        if self.form == RowFormat::Copy {
            bytes
        } else {
            bytes.strip_suffix(b",\n").unwrap_or(bytes)
        }
    }
}

impl RowFormat {
    /// What ends a row; a list of `VALUES` ends without the comma.
    fn close(self) -> &'static [u8] {
        match self {
            Self::Values(_) => b"),\n",
            Self::Copy => b"\n",
        }
    }
}

/// What `write` writes has nothing in it that would have to be escaped.
fn quoted(form: RowFormat, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if form == RowFormat::Copy {
        return write(out);
    }
    out.push(b'\'');
    write(out);
    out.push(b'\'');
}

fn text(form: RowFormat, out: &mut Vec<u8>, text: Option<&str>) {
    match (form, text) {
        (RowFormat::Values(_), None) => out.extend_from_slice(b"NULL"),
        (RowFormat::Copy, None) => out.extend_from_slice(b"\\N"),
        // Control characters become `?`: a row is one line, and none of them is special to COPY.
        (RowFormat::Values(dialect), Some(text)) => dialect.write_text(&clean_str(text), out),
        (RowFormat::Copy, Some(text)) => {
            for part in clean_str(text).as_bytes().split_inclusive(|b| *b == b'\\') {
                out.extend_from_slice(part);
                if part.ends_with(b"\\") {
                    out.push(b'\\');
                }
            }
        }
    }
}
