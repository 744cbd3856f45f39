//! One row: writes an event as nine columns, and reads nine columns as an event.

use std::borrow::Cow;
use std::io::Write as _;

use chrono::{DateTime, Datelike, FixedOffset, NaiveDateTime};
use csv_core::ReadRecordResult;
use mls_config::zone::{Zone, digits};
use mls_event::{Auth, Column, Enrichment, Outcome, clean, write_ip};

use crate::cell::{self, Unknown};
use crate::legacy::LENGTHS;

/// The number of columns.
pub const COLUMNS: usize = Column::ALL.len();

/// How rows are written.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Only attempts with this outcome become rows.
    pub outcome: Outcome,
    /// The zone of the date column.
    pub zone: Zone,
    /// Whether dates include seconds.
    pub seconds: bool,
}

/// Appends the row of an event and a newline. Members without a column are omitted.
pub fn write(out: &mut Vec<u8>, event: &Auth<'_>, style: Style) {
    let unknown = Enrichment::default();
    let added = event.enrichment.as_ref().unwrap_or(&unknown);
    for column in Column::ALL {
        match column {
            Column::Server => text(out, event.server.as_ref()),
            Column::Date => out.extend_from_slice(date(&event.date.at(), style).as_bytes()),
            Column::Ip => match event.ip {
                Some(ip) => write_ip(out, ip),
                None => text(out, None),
            },
            Column::User => text(out, event.user.as_ref()),
            Column::Hostname => cell::write(out, added.hostname.as_deref(), Unknown::Null),
            Column::ReverseDnsStatus => text(out, added.reverse_dns_status.as_ref()),
            Column::CountryCode => text(out, added.country_code.as_ref()),
            Column::Asn => match added.asn {
                // Writing to memory cannot fail.
                Some(asn) => drop(write!(out, "{asn}")),
                None => text(out, None),
            },
            Column::Aso => text(out, added.aso.as_ref()),
        }
        out.push(if column == Column::Aso { b'\n' } else { b',' });
    }
}

fn text(out: &mut Vec<u8>, value: Option<&Cow<'_, str>>) {
    cell::write(out, value.map(|value| &**value), Unknown::NotAvailable);
}

/// The cell of a date: `YYYY-MM-DD HH:MM` in the zone of `style`, with seconds if
/// [`Style::seconds`] is true.
#[must_use]
pub fn date(at: &DateTime<FixedOffset>, style: Style) -> String {
    let at = style.zone.show(at).naive_local();
    let length = if style.seconds { 19 } else { 16 };
    match digits(&at) {
        Some(text) => String::from_utf8_lossy(&text[..length]).into_owned(),
        // A zone can shift a date to a year below 0 or above 9999. RFC 3339 does not allow these
        // years, so write the nearest date that is allowed.
        None if at.year() > 0 => "9999-12-31 23:59:59"[..length].to_owned(),
        None => "0000-01-01 00:00:00"[..length].to_owned(),
    }
}

/// The reason why a line is not a row.
#[derive(Debug, thiserror::Error)]
pub enum BadRow {
    /// A wrong number of cells, for example because a quoted cell does not end on this line.
    #[error("the row has {0} instead of {1} columns")]
    Columns(usize, &'static str),
    /// Too many cells.
    #[error("the row has more than {COLUMNS} columns")]
    TooManyColumns,
    /// At a carriage return outside of quotes, a CSV reader would begin a new row.
    #[error("the row has a carriage return outside of quotes")]
    CarriageReturn,
    /// A value that the column does not allow.
    #[error("{column} {cell:?} is {why}")]
    #[expect(missing_docs, reason = "the message says it")]
    Cell { column: &'static str, cell: String, why: &'static str },
}

/// Reads rows. It reuses its buffers for each row.
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

    /// Reads rows of the Python original: `;` between the cells, dates `dd/mm/yyyy HH:MM`, and
    /// five, six or nine columns.
    #[must_use]
    pub fn legacy(zone: Zone) -> Self {
        let csv = csv_core::ReaderBuilder::new().delimiter(b';').build();
        Self { csv, legacy: true, ..Self::new(zone) }
    }

    /// Sets the outcome of the rows before the first header, for example if reading begins in the
    /// middle of a file. The default is failure.
    #[must_use]
    pub fn with_outcome(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// Returns the event of one line (with or without its newline); `None` for a header and for an
    /// empty line. The last header before the line determines `outcome`. `attempts` is 1, because a
    /// row is one attempt. All other members without a column are null.
    ///
    /// # Errors
    /// [`BadRow`] if the line is anything else.
    pub fn decode(&mut self, line: &[u8]) -> Result<Option<Auth<'_>>, BadRow> {
        let (zone, legacy) = (self.zone, self.legacy);
        if let Some(outcome) = Column::outcome_of_header(line) {
            self.outcome = outcome;
            return Ok(None);
        }
        let outcome = self.outcome;
        let Some(cells) = self.split(line)? else { return Ok(None) };
        // Compare only five cells, because the oldest legacy headers have only five. A data row
        // never matches, because its second cell is a date.
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

    /// Returns the nine cells of one line, without their quotes; `None` for an empty line. The
    /// cells are [encoded](cell). Cells that a legacy row does not have are empty.
    ///
    /// # Errors
    /// Every [`BadRow`] except [`BadRow::Cell`].
    pub fn split(&mut self, line: &[u8]) -> Result<Option<[&[u8]; COLUMNS]>, BadRow> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(None);
        }
        self.csv.reset();
        // The reader removes a byte order mark from the first data that it reads. But in a cell,
        // such a mark is part of the text. So let the reader read a newline first.
        self.csv.read_record(b"\n", &mut [0], &mut [0]);
        // Unquoting never makes a cell longer.
        self.cells.resize(line.len().max(self.cells.len()), 0);
        // One entry more than needed, to detect a row with too many columns.
        let mut ends = [0; COLUMNS + 1];
        let (_, read, written, n) = self.csv.read_record(line, &mut self.cells, &mut ends);
        // An empty input tells the reader that the last cell is complete.
        let (last, _, _, more) =
            self.csv.read_record(&[], &mut self.cells[written..], &mut ends[n..]);
        let columns = n + more;
        if columns > COLUMNS {
            return Err(BadRow::TooManyColumns);
        }
        if read < line.len() || !matches!(last, ReadRecordResult::Record) {
            return Err(BadRow::CarriageReturn);
        }
        if self.legacy && !LENGTHS.contains(&columns) {
            return Err(BadRow::Columns(columns, "5, 6 or 9"));
        }
        if !self.legacy && columns != COLUMNS {
            return Err(BadRow::Columns(columns, "9"));
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

/// The decoded value of a cell, borrowed if possible.
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
    date_in_zone(NaiveDateTime::parse_from_str(cell, format).ok()?, zone)
}

/// Interprets a local date in `zone`; `None` if RFC 3339 does not allow its year.
pub(crate) fn date_in_zone(naive: NaiveDateTime, zone: Zone) -> Option<DateTime<FixedOffset>> {
    (0..=9999).contains(&naive.year()).then(|| zone.read(naive))
}
