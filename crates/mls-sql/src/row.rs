//! An event as rows of the table: literals for `INSERT`, or lines for PostgreSQL's `COPY`.

use std::io::Write as _;
use std::ops::Range;

use mls_event::{Auth, Enrichment, clean};

use crate::dialect::{Dialect, Time};
use crate::mapping::{Mapping, Source};

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// `('mx1',…,NULL)`
    Values(Dialect),
    /// `mx1\t…\t\N\n`, as PostgreSQL's manual describes the text format of `COPY`.
    Copy,
}

/// Encodes rows one behind the other.
pub(crate) struct Rows {
    form: Form,
    sources: Vec<Source>,
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
}

/// The event has no place in the table.
#[derive(Debug, thiserror::Error)]
#[error("date {0:?} is not between the years 1000 and 9999, which databases can store")]
pub(crate) struct BadDate(String);

impl Rows {
    pub(crate) fn new(form: Form, mapping: &Mapping) -> Self {
        Self {
            form,
            sources: mapping.filled().map(|(_, source)| source).collect(),
            bytes: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Appends an event's rows: as many as its `attempts` say, none where it is no failure.
    pub(crate) fn event(&mut self, event: &Auth<'_>) -> Result<(), BadDate> {
        let rows = mls_cli::sink::rows(event);
        if rows == 0 {
            return Ok(());
        }
        let dialect = match self.form {
            Form::Values(dialect) => dialect,
            Form::Copy => Dialect::Postgresql,
        };
        let Some(time) = dialect.time(&event.date.at()) else { return Err(BadDate(event.date.to_string())) };
        let start = self.bytes.len();
        self.row(event, &time);
        let end = self.bytes.len();
        self.ends.push(end);
        for _ in 1..rows {
            self.bytes.extend_from_within(start..end);
            self.ends.push(self.bytes.len());
        }
        Ok(())
    }

    fn row(&mut self, event: &Auth<'_>, time: &Time) {
        let Self { form, sources, bytes, .. } = self;
        let unknown = Enrichment::default();
        let added = event.enrichment.as_ref().unwrap_or(&unknown);
        let (open, between, close) = match form {
            Form::Values(_) => (&b"("[..], b',', &b")"[..]),
            Form::Copy => (&b""[..], b'\t', &b"\n"[..]),
        };
        bytes.extend_from_slice(open);
        for (n, source) in sources.iter().enumerate() {
            if n > 0 {
                bytes.push(between);
            }
            match source {
                Source::Server => text(*form, bytes, event.server.as_deref()),
                Source::Date => text(*form, bytes, Some(&time.0)),
                Source::Ip => match event.ip {
                    Some(ip) => text(*form, bytes, Some(&ip.to_string())),
                    None => text(*form, bytes, None),
                },
                Source::User => text(*form, bytes, event.user.as_deref()),
                Source::Hostname => text(*form, bytes, added.hostname.as_deref()),
                Source::ReverseDnsStatus => text(*form, bytes, added.reverse_dns_status.as_deref()),
                Source::CountryCode => text(*form, bytes, added.country_code.as_deref()),
                Source::Asn => match added.asn {
                    // Writing to memory cannot fail.
                    Some(asn) => drop(write!(bytes, "{asn}")),
                    None => text(*form, bytes, None),
                },
                Source::Aso => text(*form, bytes, added.aso.as_deref()),
            }
        }
        bytes.extend_from_slice(close);
    }

    /// The rows so far, and forgets them.
    pub(crate) fn take(&mut self) -> Batch {
        Batch { form: self.form, bytes: std::mem::take(&mut self.bytes), ends: std::mem::take(&mut self.ends) }
    }

    /// How many bytes the rows so far take.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Rows that go to the database together.
pub(crate) struct Batch {
    form: Form,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    pub(crate) fn rows(&self) -> usize {
        self.ends.len()
    }

    /// Some of the rows, as `COPY` reads them or as they stand behind `VALUES`.
    pub(crate) fn bytes(&self, rows: Range<usize>) -> Vec<u8> {
        let start = |row: usize| if row == 0 { 0 } else { self.ends[row - 1] };
        if self.form == Form::Copy {
            return self.bytes[start(rows.start)..start(rows.end)].to_vec();
        }
        let mut out = Vec::with_capacity(start(rows.end) - start(rows.start) + 2 * rows.len());
        for row in rows {
            if !out.is_empty() {
                out.extend_from_slice(b",\n");
            }
            out.extend_from_slice(&self.bytes[start(row)..self.ends[row]]);
        }
        out
    }
}

fn text(form: Form, out: &mut Vec<u8>, text: Option<&str>) {
    match (form, text) {
        (Form::Values(_), None) => out.extend_from_slice(b"NULL"),
        (Form::Copy, None) => out.extend_from_slice(b"\\N"),
        // Control characters become `?`: a row is one line, and none of them is special to COPY.
        (Form::Values(dialect), Some(text)) => dialect.write_text(&clean(text.as_bytes()), out),
        (Form::Copy, Some(text)) => {
            for part in clean(text.as_bytes()).as_bytes().split_inclusive(|b| *b == b'\\') {
                out.extend_from_slice(part);
                if part.ends_with(b"\\") {
                    out.push(b'\\');
                }
            }
        }
    }
}
