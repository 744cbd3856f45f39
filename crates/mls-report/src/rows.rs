//! One failed attempt per row, whatever the input's form.
//!
//! The CSV is the one that mls-csv writes: one row is one line, so lines are the unit of reading, and the date column sorts
//! as text, so rows of other days are told by their bytes.

use std::borrow::Cow;

use mls_cli::zone::Zone;
use mls_event::{Auth, Outcome};

/// Columns of the CSV: `server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso`.
const COLUMNS: usize = 9;

/// More attempts than this in one record are a mistake or a lie; the CSV gets no more rows for it either.
const MAX_ATTEMPTS: u32 = 1000;

/// A failed attempt. Text is as it stood in the input; `None` is unknown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// `YYYY-MM-DD HH:MM`, perhaps with seconds, in the zone of the report.
    pub(crate) date: Cow<'a, [u8]>,
    pub(crate) ip: Field<'a>,
    pub(crate) user: Field<'a>,
    pub(crate) hostname: Field<'a>,
    pub(crate) reverse_dns_status: Field<'a>,
    pub(crate) country_code: Field<'a>,
    pub(crate) asn: Field<'a>,
    pub(crate) aso: Field<'a>,
    /// How many attempts the row stands for.
    pub(crate) attempts: u64,
}

/// Text of a column.
pub(crate) type Field<'a> = Option<Cow<'a, [u8]>>;

/// Why a line is no row.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadRow(&'static str);

impl std::fmt::Display for BadRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl<'a> Row<'a> {
    /// Reads a line of CSV; `None` for a header line.
    pub(crate) fn from_csv(line: &'a [u8]) -> Result<Option<Self>, BadRow> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"server,date,ip,") {
            return Ok(None);
        }
        let cells = split(line).ok_or(BadRow("not a row of nine columns"))?;
        let [_, date, ip, user, hostname, reverse_dns_status, country_code, asn, aso] = cells;
        if !is_date(&date) {
            return Err(BadRow("the second column is not a date such as 2026-06-01 00:00"));
        }
        Ok(Some(Self {
            date,
            ip: decode(ip),
            user: decode(user),
            hostname: decode(hostname),
            reverse_dns_status: decode(reverse_dns_status),
            country_code: decode(country_code),
            asn: decode(asn),
            aso: decode(aso),
            attempts: 1,
        }))
    }

    /// The row that an `auth` record is in CSV; `None` where no password was refused.
    pub(crate) fn from_auth(auth: Auth<'a>, zone: Zone) -> Option<Self> {
        if auth.outcome != Outcome::Failure {
            return None;
        }
        // Records can be hand-made; in CSV no text has a newline.
        let text = |text: Option<Cow<'a, str>>| {
            text.map(|text| match text {
                Cow::Borrowed(text) => bytes(mls_event::clean(text.as_bytes())),
                Cow::Owned(text) => Cow::Owned(mls_event::clean(text.as_bytes()).into_owned().into_bytes()),
            })
        };
        let date = zone.show(&auth.date.at()).format("%Y-%m-%d %H:%M").to_string().into_bytes();
        let added = auth.enrichment.unwrap_or_default();
        Some(Self {
            date: Cow::Owned(date),
            ip: text(auth.ip.map(|ip| ip.to_string().into())),
            user: text(auth.user),
            hostname: text(added.hostname),
            reverse_dns_status: text(added.reverse_dns_status),
            country_code: text(added.country_code),
            asn: text(added.asn.map(|asn| asn.to_string().into())),
            aso: text(added.aso),
            attempts: auth.attempts.clamp(1, MAX_ATTEMPTS).into(),
        })
    }
}

fn bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}

/// Whether `date` begins like `2026-06-01 00:00`. The digits are enough: a 31st of February is reported as it stands.
fn is_date(date: &[u8]) -> bool {
    const PATTERN: &[u8; 16] = b"dddd-dd-dd dd:dd";
    date.len() >= PATTERN.len()
        && PATTERN.iter().zip(date).all(|(p, b)| if *p == b'd' { b.is_ascii_digit() } else { p == b })
}

/// The cells of a line, without their quotes.
fn split(line: &[u8]) -> Option<[Cow<'_, [u8]>; COLUMNS]> {
    const EMPTY: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut cells = [EMPTY; COLUMNS];
    let mut rest = line;
    for (i, cell) in cells.iter_mut().enumerate() {
        let after = if rest.first() == Some(&b'"') {
            let (text, after) = quoted(&rest[1..])?;
            *cell = text;
            after
        } else {
            let (text, after) = rest.split_at(memchr::memchr(b',', rest).unwrap_or(rest.len()));
            *cell = Cow::Borrowed(text);
            after
        };
        rest = match after {
            [] if i == COLUMNS - 1 => return Some(cells),
            [b',', after @ ..] => after,
            _ => return None,
        };
    }
    None
}

/// The text up to the closing quote, `""` being one quote (RFC 4180), and what follows.
fn quoted(rest: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut text: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut from = 0;
    loop {
        let quote = from + memchr::memchr(b'"', &rest[from..])?;
        let doubled = rest.get(quote + 1) == Some(&b'"');
        let piece = &rest[from..quote + usize::from(doubled)];
        if text.is_empty() {
            text = Cow::Borrowed(piece);
        } else {
            text.to_mut().extend_from_slice(piece);
        }
        if !doubled {
            return Some((text, &rest[quote + 1..]));
        }
        from = quote + 2;
    }
}

/// A cell's text: `null` and `N/A` are unknown, and one leading `'`, which keeps text from being taken for either of them or
/// for a formula, goes.
fn decode(cell: Cow<'_, [u8]>) -> Field<'_> {
    match cell.as_ref() {
        b"null" | b"N/A" => None,
        [b'\'', ..] => Some(match cell {
            Cow::Borrowed(cell) => Cow::Borrowed(&cell[1..]),
            Cow::Owned(mut cell) => {
                cell.remove(0);
                Cow::Owned(cell)
            }
        }),
        _ => Some(cell),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(line: &str) -> Row<'_> {
        Row::from_csv(line.as_bytes()).unwrap().unwrap()
    }

    fn text<'a>(field: &'a Field<'_>) -> Option<&'a str> {
        field.as_deref().map(|text| std::str::from_utf8(text).unwrap())
    }

    #[test]
    fn a_plain_row_gives_its_columns_and_unknown_ones_are_none() {
        let row = row("mail,2026-06-01 00:00,192.0.2.1,office@me,null,Errno 1,CN,N/A,N/A");
        assert_eq!(row.date.as_ref(), b"2026-06-01 00:00");
        assert_eq!(text(&row.ip), Some("192.0.2.1"));
        assert_eq!(text(&row.user), Some("office@me"));
        assert_eq!(text(&row.hostname), None);
        assert_eq!(text(&row.reverse_dns_status), Some("Errno 1"));
        assert_eq!((text(&row.asn), text(&row.aso)), (None, None));
    }

    #[test]
    fn quotes_are_taken_off_and_one_apostrophe_with_them() {
        let row = row("mail,2026-06-01 00:00,192.0.2.1,\"'=1+1,\"\"x\"\"\",'null,OK,'N/A,1,\"A, \"\"B\"\" C\"");
        assert_eq!(text(&row.user), Some("=1+1,\"x\""));
        assert_eq!(text(&row.hostname), Some("null"));
        assert_eq!(text(&row.country_code), Some("N/A"));
        assert_eq!(text(&row.aso), Some("A, \"B\" C"));
    }

    #[test]
    fn lines_that_are_no_rows_are_refused() {
        assert_eq!(Row::from_csv(b"server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso"), Ok(None));
        for line in [
            "",
            "a,b",
            "m,2026-06-01 00:00,1,2,3,4,5,6,7,8",
            "m,01/06/2026 00:00,1,2,3,4,5,6,7",
            "m,2026-06-01 00:00,1,\"2,3,4,5,6,7",
            "m,2026-06-01 00:00,1,\"2\"x,3,4,5,6,7",
        ] {
            assert!(Row::from_csv(line.as_bytes()).is_err(), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Row::from_csv(&line);
        }
    }
}
