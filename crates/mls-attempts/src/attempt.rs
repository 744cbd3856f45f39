//! One attempt, read from a row of CSV or from an `auth` record.
//!
//! Dates are compared as text: the text `YYYY-MM-DD HH:MM` sorts by time.

use std::borrow::Cow;
use std::fmt::Write;

use chrono::{DateTime, FixedOffset};
use mls_config::zone::Zone;
use mls_event::{Auth, Column, Outcome};
use mls_rows::cell;
use mls_rows::row::Decoder;

/// Largest length of a text in bytes; longer texts are cut. A mailbox has at most 254 (RFC 5321).
pub const MAX_TEXT: usize = 256;

/// An attempt to log in. A field is `None` if its value is unknown. Each text has at most
/// [`MAX_TEXT`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the other fields are the columns of the same name")]
pub struct Attempt<'a> {
    /// A failure, a success or an error of the server. Rows of a CSV are failures. Rows after the
    /// header of `logins.csv` are successes.
    pub outcome: Outcome,
    /// `YYYY-MM-DD HH:MM`, perhaps with seconds, in the time zone that the caller gave.
    pub date: &'a str,
    /// The exact time; `None` for a CSV. When summer time ends, clocks show one hour twice, so a
    /// date in a CSV can mean two times.
    pub at: Option<DateTime<FixedOffset>>,
    /// The server whose log has the attempt.
    pub server: Option<&'a str>,
    pub ip: Option<&'a str>,
    pub user: Option<&'a str>,
    pub hostname: Option<&'a str>,
    pub reverse_dns_status: Option<&'a str>,
    pub country_code: Option<&'a str>,
    pub asn: Option<&'a str>,
    pub aso: Option<&'a str>,
    /// The service that logged the attempt; `None` for a CSV.
    pub service: Option<&'a str>,
    /// Postfix's queue ID of the message that was sent after this login; `None` for a CSV.
    pub queue_id: Option<&'a str>,
    /// The number of attempts in the row or record.
    pub attempts: u64,
}

/// Parses rows of CSV and `auth` records, and reuses its buffers.
pub(crate) struct LineParser {
    zone: Zone,
    /// The outcome of the rows of the CSV.
    of_rows: Outcome,
    quoted: Decoder,
    /// Date, address and system of a record as text.
    date: String,
    ip: String,
    asn: String,
    /// Cells that had to be decoded.
    decoded: [String; 8],
}

impl LineParser {
    pub(crate) fn new(zone: Zone) -> Self {
        Self {
            zone,
            of_rows: Outcome::Failure,
            quoted: Decoder::new(zone),
            date: String::new(),
            ip: String::new(),
            asn: String::new(),
            decoded: Default::default(),
        }
    }

    /// The attempt of a line of CSV; `None` for a header line.
    pub(crate) fn csv<'a>(&'a mut self, line: &'a [u8]) -> Result<Option<Attempt<'a>>, String> {
        let line = str::from_utf8(line).map_err(|error| error.to_string())?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        // Most rows have no quotes inside a cell. For such rows, `plain` takes a third of the time
        // of `unquoted`.
        let [server, date, ip, user, hostname, reverse_dns_status, country_code, asn, aso] =
            match plain(line) {
                Some(cells) => cells,
                None => unquoted(&mut self.quoted, line)?,
            };
        if !is_date(date) {
            return if date == "date" {
                self.of_rows =
                    if line == Column::LOGINS_HEADER { Outcome::Success } else { Outcome::Failure };
                Ok(None)
            } else {
                Err(format!("date {date:?} is not YYYY-MM-DD HH:MM[:SS]"))
            };
        }
        let are_plain = cell::are_plain(line);
        let mut buffers = self.decoded.iter_mut();
        let mut value = |cell| {
            if are_plain { cell::plain(cell).map(clip) } else { decoded(cell, buffers.next()?) }
        };
        Ok(Some(Attempt {
            outcome: self.of_rows,
            date,
            at: None,
            server: value(server),
            ip: value(ip),
            user: value(user),
            hostname: value(hostname),
            reverse_dns_status: value(reverse_dns_status),
            country_code: value(country_code),
            asn: value(asn),
            aso: value(aso),
            service: None,
            queue_id: None,
            attempts: 1,
        }))
    }

    /// The attempt of an `auth` record; `None` if the client gave up before it sent a password, or
    /// if the number of attempts is 0.
    pub(crate) fn auth<'a>(&'a mut self, auth: &'a mut Auth<'_>) -> Option<Attempt<'a>> {
        let outcome = auth.outcome;
        let attempts = auth.rows(outcome).into();
        if attempts == 0 || outcome == Outcome::Aborted {
            return None;
        }
        let added = auth.enrichment.get_or_insert_default();
        // Anybody can write a record by hand, so replace the control characters of the record.
        for text in [
            &mut auth.server,
            &mut auth.user,
            &mut auth.service,
            &mut auth.queue_id,
            &mut added.hostname,
            &mut added.reverse_dns_status,
            &mut added.country_code,
            &mut added.aso,
        ] {
            if let Some(text) = text
                && text.contains(char::is_control)
            {
                *text = Cow::Owned(mls_event::clean(text.as_bytes()).into_owned());
            }
        }
        self.date.clear();
        self.ip.clear();
        self.asn.clear();
        // Writing to a String cannot fail.
        let _ =
            write!(self.date, "{}", self.zone.show(&auth.date.at()).format("%Y-%m-%d %H:%M:%S"));
        let ip = auth.ip.map(|ip| {
            let _ = write!(self.ip, "{ip}");
            &self.ip[..]
        });
        let asn = added.asn.map(|asn| {
            let _ = write!(self.asn, "{asn}");
            &self.asn[..]
        });
        Some(Attempt {
            outcome,
            date: &self.date,
            at: Some(auth.date.at()),
            server: auth.server.as_deref().map(clip),
            ip,
            user: auth.user.as_deref().map(clip),
            hostname: added.hostname.as_deref().map(clip),
            reverse_dns_status: added.reverse_dns_status.as_deref().map(clip),
            country_code: added.country_code.as_deref().map(clip),
            asn,
            aso: added.aso.as_deref().map(clip),
            service: auth.service.as_deref().map(clip),
            queue_id: auth.queue_id.as_deref().map(clip),
            attempts,
        })
    }
}

/// The cells of a line with quotes.
fn unquoted<'a>(decoder: &'a mut Decoder, line: &'a str) -> Result<[&'a str; 9], String> {
    let cells = decoder.split(line.as_bytes()).map_err(|why| why.to_string())?.unwrap_or_default();
    let mut text = [""; 9];
    for (text, cell) in text.iter_mut().zip(cells) {
        // Quotes are ASCII, so a cell without its quotes is valid UTF-8.
        *text = str::from_utf8(cell).map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// Returns the value of a cell, with control characters replaced. A decoded value is in `buffer`.
fn decoded<'a>(cell: &'a str, buffer: &'a mut String) -> Option<&'a str> {
    let text = match cell::decode(cell)? {
        Cow::Borrowed(text) => mls_event::clean_str(text),
        Cow::Owned(text) => Cow::Owned(mls_event::clean_str(&text).into_owned()),
    };
    Some(clip(match text {
        Cow::Borrowed(text) => text,
        Cow::Owned(text) => {
            *buffer = text;
            buffer
        }
    }))
}

fn clip(name: &str) -> &str {
    if name.len() <= MAX_TEXT {
        return name;
    }
    // A character of UTF-8 has at most four bytes.
    (0..4).find_map(|back| name.get(..MAX_TEXT - back)).unwrap_or_default()
}

/// The cells of a line; `None` if there are not nine cells, or if a cell has quotes inside.
fn plain(line: &str) -> Option<[&str; 9]> {
    let mut cells = [""; 9];
    let mut rest = line;
    for (n, cell) in cells.iter_mut().enumerate() {
        let end;
        (*cell, end) = if let Some(inside) = rest.strip_prefix('"') {
            let length = memchr::memchr(b'"', inside.as_bytes())?;
            (&inside[..length], length + 2)
        } else {
            let end = memchr::memchr2(b',', b'"', rest.as_bytes()).unwrap_or(rest.len());
            (&rest[..end], end)
        };
        // A comma follows each cell. The last cell ends with the line.
        rest = match (rest.get(end..)?, n) {
            ("", 8) => "",
            (rest, ..8) => rest.strip_prefix(',')?,
            _ => return None,
        };
    }
    Some(cells)
}

/// Whether `date` begins like `2026-06-01 00:00`. The calendar is not checked, so `2026-02-31` is
/// accepted.
fn is_date(date: &str) -> bool {
    const PATTERN: &[u8; 16] = b"dddd-dd-dd dd:dd";
    // A loop without an early exit compiles to a few vector instructions.
    date.as_bytes().first_chunk().is_some_and(|date: &[u8; 16]| {
        PATTERN.iter().zip(date).fold(true, |is_date, (p, b)| {
            is_date & if *p == b'd' { b.is_ascii_digit() } else { p == b }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parser() -> LineParser {
        LineParser::new(Zone::Local)
    }

    #[test]
    fn a_plain_row_gives_its_columns_and_unknown_ones_are_none() {
        let mut parser = parser();
        let row = parser
            .csv(b"mail,2026-06-01 00:00,192.0.2.1,office@me,null,Errno 1,CN,N/A,N/A\r")
            .unwrap()
            .unwrap();
        assert_eq!(
            (row.date, row.server, row.ip, row.user),
            ("2026-06-01 00:00", Some("mail"), Some("192.0.2.1"), Some("office@me"))
        );
        assert_eq!(
            (row.hostname, row.reverse_dns_status, row.country_code),
            (None, Some("Errno 1"), Some("CN"))
        );
        assert_eq!((row.asn, row.aso), (None, None));
    }

    #[test]
    fn quotes_and_one_apostrophe_are_removed() {
        let mut parser = parser();
        let line = "mail,2026-06-01 00:00,192.0.2.1,\"'=1+1,\"\"x\"\"\",'null,OK,'N/A,1,\"A, \"\"B\"\" C\"";
        let row = parser.csv(line.as_bytes()).unwrap().unwrap();
        assert_eq!((row.user, row.hostname), (Some("=1+1,\"x\""), Some("null")));
        assert_eq!((row.country_code, row.aso), (Some("N/A"), Some("A, \"B\" C")));
    }

    #[test]
    fn control_characters_of_a_row_are_replaced_as_in_a_record() {
        let mut parser = parser();
        let line = "mail,2026-06-01 00:00,192.0.2.1,a\u{1b}b␉c,null,OK,N/A,1,d␍";
        let row = parser.csv(line.as_bytes()).unwrap().unwrap();
        assert_eq!((row.user, row.aso), (Some("a?b?c"), Some("d?")));
    }

    #[test]
    fn lines_that_are_not_rows_are_refused() {
        let header = b"server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso";
        assert_eq!(parser().csv(header), Ok(None));
        for line in [
            &b"a,b"[..],
            b"m,2026-06-01 00:00,1,2,3,4,5,6,7,8",
            b"m,01/06/2026 00:00,1,2,3,4,5,6,7",
            b"m,2026-06-01 00:00,1,\"2,3,4,5,6,7",
            b"m,2026-06-01 00:00,1,\xff,3,4,5,6,7",
        ] {
            assert!(parser().csv(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        for name in ["é".repeat(200), "a".to_owned() + &"日".repeat(100), "x".repeat(1000)] {
            let line = format!("m,2026-06-01 00:00,192.0.2.1,{name},null,OK,CN,1,O");
            let mut parser = parser();
            let user = parser.csv(line.as_bytes()).unwrap().unwrap().user.unwrap();
            assert!(
                name.starts_with(user) && (MAX_TEXT - 3..=MAX_TEXT).contains(&user.len()),
                "{}",
                user.len()
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = parser().csv(&line);
        }

        #[test]
        fn a_plain_cell_has_the_value_that_the_decoder_gives(cell in "\\PC{0,20}|[\u{20}-\u{a0}\t'␉␛é]{0,5}") {
            let mut buffer = String::new();
            if cell::are_plain(&cell) {
                proptest::prop_assert_eq!(cell::plain(&cell).map(clip), decoded(&cell, &mut buffer));
            }
        }

        #[test]
        fn splitting_at_commas_gives_the_same_cells_as_the_decoder(
            line in "[^\n\r]{0,100}|[a,\"]{8,40}|((a?|\"a?,?\"|\"?a\"?),){8}(a?|\"a?,?\"|\"?a\"?)",
        ) {
            let mut parser = parser();
            if let Some(cells) = plain(&line) {
                proptest::prop_assert_eq!(unquoted(&mut parser.quoted, &line).unwrap(), cells);
            }
        }
    }
}
