//! One row: an event as nine columns, and the nine columns as an event.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime};
use csv_core::ReadRecordResult;
use mls_config::zone::{Zone, digits};
use mls_event::{Auth, Column, Enrichment, Outcome, clean};

use crate::cell::{self, Unknown};
use crate::legacy::LENGTHS;

/// The number of columns.
pub const COLUMNS: usize = Column::ALL.len();

/// How rows are written.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// The outcome of the attempts that become rows.
    pub outcome: Outcome,
    /// The zone of the date column.
    pub zone: Zone,
    /// Whether dates are written to the second rather than to the minute.
    pub seconds: bool,
}

/// Writes an event's row. Members without a column are left out.
///
/// # Errors
/// Those of the writer.
pub fn write<W: io::Write>(
    csv: &mut csv::Writer<W>,
    event: &Auth<'_>,
    style: Style,
) -> csv::Result<()> {
    let unknown = Enrichment::default();
    let added = event.enrichment.as_ref().unwrap_or(&unknown);
    for column in Column::ALL {
        let cell = match column {
            Column::Server => text(event.server.as_ref()),
            Column::Date => Cow::Owned(date(&event.date.at(), style)),
            Column::Ip => shown(event.ip),
            Column::User => text(event.user.as_ref()),
            Column::Hostname => cell::encode(added.hostname.as_deref(), Unknown::Null),
            Column::ReverseDnsStatus => text(added.reverse_dns_status.as_ref()),
            Column::CountryCode => text(added.country_code.as_ref()),
            Column::Asn => shown(added.asn),
            Column::Aso => text(added.aso.as_ref()),
        };
        csv.write_field(cell.as_bytes())?;
    }
    csv.write_record(None::<&[u8]>)
}

fn text<'a>(value: Option<&'a Cow<'_, str>>) -> Cow<'a, str> {
    cell::encode(value.map(|value| &**value), Unknown::NotAvailable)
}

/// The cell of what is written in digits, letters, dots and colons alone.
fn shown(value: Option<impl Display>) -> Cow<'static, str> {
    value.map_or(Cow::Borrowed(Unknown::NotAvailable.as_str()), |value| {
        Cow::Owned(value.to_string())
    })
}

fn date(at: &DateTime<FixedOffset>, style: Style) -> String {
    let at = style.zone.show(at).naive_local();
    let length = if style.seconds { 19 } else { 16 };
    match digits(&at) {
        Some(text) => String::from_utf8_lossy(&text[..length]).into_owned(),
        // RFC 3339 knows no such year, but a zone may shift into one: the nearest moment that it knows.
        None if at.year() > 0 => "9999-12-31 23:59:59"[..length].to_owned(),
        None => "0000-01-01 00:00:00"[..length].to_owned(),
    }
}

/// Why a line is not a row.
#[derive(Debug, thiserror::Error)]
pub enum BadRow {
    /// Too few or too many cells, or a quoted cell that the line does not end.
    #[error("a row of {0} columns instead of {COLUMNS}")]
    Columns(usize),
    /// A cell that its column does not allow.
    #[error("{column} {cell:?}: {why}")]
    #[expect(missing_docs, reason = "the message says it")]
    Cell { column: &'static str, cell: String, why: &'static str },
}

/// Reads rows, keeping its buffers from one to the next.
pub struct Decoder {
    csv: csv_core::Reader,
    zone: Zone,
    legacy: bool,
    outcome: Outcome,
    cells: Vec<u8>,
}

impl Decoder {
    /// Reads rows whose dates are in `zone`.
    #[must_use]
    pub fn new(zone: Zone) -> Self {
        let csv = csv_core::Reader::new();
        Self { csv, zone, legacy: false, outcome: Outcome::Failure, cells: Vec::new() }
    }

    /// Reads rows of the Python original: `;` between the cells, dates `dd/mm/yyyy HH:MM`, five, six or nine columns.
    #[must_use]
    pub fn legacy(zone: Zone) -> Self {
        let csv = csv_core::ReaderBuilder::new().delimiter(b';').build();
        Self { csv, legacy: true, ..Self::new(zone) }
    }

    /// The outcome of rows that no header precedes, as when reading begins in the middle of a file.
    /// Without it they are failures.
    #[must_use]
    pub fn with_outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// The event of one line (with or without its newline); `None` for the header and for an empty
    /// line. The last header says which `outcome` the rows have. `attempts` is 1, because that is
    /// what a row is; every other member without a column is null.
    ///
    /// # Errors
    /// [`BadRow`] where the line is anything else.
    pub fn decode(&mut self, line: &[u8]) -> Result<Option<Auth<'_>>, BadRow> {
        let (zone, legacy) = (self.zone, self.legacy);
        for outcome in [Outcome::Failure, Outcome::Success] {
            if line.trim_ascii_end() == Column::header(outcome).as_bytes() {
                self.outcome = outcome;
                return Ok(None);
            }
        }
        let outcome = self.outcome;
        let Some(cells) = self.split(line)? else { return Ok(None) };
        // The header of the original had fewer columns once; no date is `date`.
        if is_header(&cells[..5]) {
            return Ok(None);
        }
        if legacy {
            return crate::legacy::event(cells.map(clean), zone).map(Some);
        }
        let [server, date, ip, user, hostname, status, country, asn, aso] = cells.map(clean);
        let date = read_date(&date, zone)
            .ok_or_else(|| bad("date", &date, "not YYYY-MM-DD HH:MM[:SS]"))?;
        let mut event = Auth::new(date.into(), outcome);
        event.server = value(server);
        event.ip = parsed(&ip).map_err(|()| bad("ip", &ip, "not an IP address"))?;
        event.user = value(user);
        event.enrichment = Some(Enrichment {
            hostname: value(hostname),
            reverse_dns_status: value(status),
            country_code: value(country),
            asn: parsed(&asn).map_err(|()| bad("asn", &asn, "not a number"))?,
            aso: value(aso),
        });
        Ok(Some(event))
    }

    /// The nine cells of one line, unquoted but still encoded; `None` for an empty line. Those that the original did not have
    /// yet are empty.
    ///
    /// # Errors
    /// [`BadRow::Columns`].
    pub fn split(&mut self, line: &[u8]) -> Result<Option<[&[u8]; COLUMNS]>, BadRow> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(None);
        }
        self.csv.reset();
        // The reader takes a byte order mark off the first thing it reads; a user name may begin with one.
        self.csv.read_record(b"\n", &mut [0], &mut [0]);
        // Unquoting never makes a cell longer.
        self.cells.resize(line.len().max(self.cells.len()), 0);
        // One more than there should be, to see that there are too many.
        let mut ends = [0; COLUMNS + 1];
        let (first, read, written, n) = self.csv.read_record(line, &mut self.cells, &mut ends);
        if !matches!(first, ReadRecordResult::InputEmpty | ReadRecordResult::Record)
            || read < line.len()
        {
            return Err(BadRow::Columns(n));
        }
        // An empty input tells the reader that the last cell is complete.
        let (last, _, _, more) =
            self.csv.read_record(&[], &mut self.cells[written..], &mut ends[n..]);
        let columns = n + more;
        let complete = columns == COLUMNS || (self.legacy && LENGTHS.contains(&columns));
        if !complete || !matches!(last, ReadRecordResult::Record) {
            return Err(BadRow::Columns(columns));
        }
        let end = ends[columns - 1];
        ends[columns..].fill(end);
        let mut start = 0;
        let cells = &self.cells;
        Ok(Some(std::array::from_fn(|i| {
            let cell = &cells[start..ends[i]];
            start = ends[i];
            cell
        })))
    }
}

/// Whether the cells are the names of the first columns.
#[must_use]
pub fn is_header(cells: &[&[u8]]) -> bool {
    cells.iter().zip(Column::ALL).all(|(cell, column)| *cell == column.name().as_bytes())
}

pub(crate) fn bad(column: &'static str, cell: &str, why: &'static str) -> BadRow {
    BadRow::Cell { column, cell: cell.chars().take(80).collect(), why }
}

/// The value of a cell, borrowed if it can be.
fn value(cell: Cow<'_, str>) -> Option<Cow<'_, str>> {
    match cell {
        Cow::Borrowed(cell) => cell::decode(cell),
        Cow::Owned(cell) => cell::decode(&cell).map(|text| Cow::Owned(text.into_owned())),
    }
}

fn parsed<T: std::str::FromStr>(cell: &str) -> Result<Option<T>, ()> {
    cell::decode(cell).map(|text| text.parse().map_err(|_| ())).transpose()
}

fn read_date(cell: &str, zone: Zone) -> Option<DateTime<FixedOffset>> {
    let format = if cell.len() > 16 { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" };
    moment(NaiveDateTime::parse_from_str(cell, format).ok()?, zone)
}

/// The point in time that a row's date is.
pub(crate) fn moment(naive: NaiveDateTime, zone: Zone) -> Option<DateTime<FixedOffset>> {
    // RFC 3339 knows no other years, and chrono many.
    (0..=9999).contains(&naive.year()).then(|| zone.read(naive))
}
