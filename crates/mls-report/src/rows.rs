//! One failed attempt per row, whatever the input's form.
//!
//! One row of CSV is one line, and its date column sorts as text, so a row of another day is told by its bytes.

use std::borrow::Cow;
use std::fmt::Write;

use chrono::{DateTime, FixedOffset};
use mls_config::zone::Zone;
use mls_csv::cell;
use mls_csv::row::Decoder;
use mls_event::Auth;

/// Longer names are known by so many first bytes. RFC 5321 has no mailbox longer than 254.
const MAX_NAME: usize = 256;

/// A failed attempt. `None` is unknown; names are at most [`MAX_NAME`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    /// `YYYY-MM-DD HH:MM`, perhaps with seconds, in the zone of the report.
    pub(crate) date: &'a str,
    /// The same to the second and without doubt, where the input tells it: of the hour that clocks show twice, the CSV does not.
    pub(crate) at: Option<DateTime<FixedOffset>>,
    pub(crate) ip: Option<&'a str>,
    pub(crate) user: Option<&'a str>,
    pub(crate) hostname: Option<&'a str>,
    pub(crate) reverse_dns_status: Option<&'a str>,
    pub(crate) country_code: Option<&'a str>,
    pub(crate) asn: Option<&'a str>,
    pub(crate) aso: Option<&'a str>,
    /// How many attempts the row stands for.
    pub(crate) attempts: u64,
}

/// Reads lines of either form, keeping its buffers from one to the next.
pub(crate) struct Rows {
    zone: Zone,
    quoted: Decoder,
    /// Date, address and system of a record as text.
    date: String,
    ip: String,
    asn: String,
}

impl Rows {
    pub(crate) fn new(zone: Zone) -> Self {
        Self {
            zone,
            quoted: Decoder::new(zone),
            date: String::new(),
            ip: String::new(),
            asn: String::new(),
        }
    }

    /// Reads a line of CSV; `None` for a header line.
    pub(crate) fn csv<'a>(&'a mut self, line: &'a [u8]) -> Result<Option<Row<'a>>, String> {
        let line = str::from_utf8(line).map_err(|error| error.to_string())?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        // Most rows have no quote in them and are cut at their commas where they are, in a third of the time.
        let [_, date, ip, user, hostname, reverse_dns_status, country_code, asn, aso] =
            match plain(line) {
                Some(cells) => cells,
                None => self.unquoted(line)?,
            };
        if !is_date(date) {
            return if date == "date" {
                Ok(None)
            } else {
                Err(format!("date {date:?}: not YYYY-MM-DD HH:MM[:SS]"))
            };
        }
        Ok(Some(Row {
            date,
            at: None,
            ip: cell::decode(ip).map(clip),
            user: cell::decode(user).map(clip),
            hostname: cell::decode(hostname).map(clip),
            reverse_dns_status: cell::decode(reverse_dns_status).map(clip),
            country_code: cell::decode(country_code).map(clip),
            asn: cell::decode(asn).map(clip),
            aso: cell::decode(aso).map(clip),
            attempts: 1,
        }))
    }

    fn unquoted<'a>(&'a mut self, line: &'a str) -> Result<[&'a str; 9], String> {
        let cells =
            self.quoted.split(line.as_bytes()).map_err(|why| why.to_string())?.unwrap_or_default();
        let mut text = [""; 9];
        for (text, cell) in text.iter_mut().zip(cells) {
            // Quotes are ASCII, so taking them off leaves UTF-8.
            *text = str::from_utf8(cell).map_err(|error| error.to_string())?;
        }
        Ok(text)
    }

    /// The row that an `auth` record is in CSV; `None` where no password was refused.
    pub(crate) fn auth<'a>(&'a mut self, auth: &'a mut Auth<'_>) -> Option<Row<'a>> {
        let attempts = auth.rows().into();
        if attempts == 0 {
            return None;
        }
        let added = auth.enrichment.get_or_insert_default();
        // Records can be hand-made.
        for text in [
            &mut auth.user,
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
        Some(Row {
            date: &self.date,
            at: Some(auth.date.at()),
            ip,
            user: auth.user.as_deref().map(clip),
            hostname: added.hostname.as_deref().map(clip),
            reverse_dns_status: added.reverse_dns_status.as_deref().map(clip),
            country_code: added.country_code.as_deref().map(clip),
            asn,
            aso: added.aso.as_deref().map(clip),
            attempts,
        })
    }
}

fn clip(name: &str) -> &str {
    if name.len() <= MAX_NAME {
        return name;
    }
    // Of four bytes in a row, one at least begins a character.
    (0..4).find_map(|back| name.get(..MAX_NAME - back)).unwrap_or_default()
}

/// The cells of a line without quotes; `None` where there are quotes or not nine cells.
fn plain(line: &str) -> Option<[&str; 9]> {
    let bytes = line.as_bytes();
    if memchr::memchr(b'"', bytes).is_some() {
        return None;
    }
    let mut commas = memchr::memchr_iter(b',', bytes);
    let mut cells = [""; 9];
    let mut start = 0;
    for cell in &mut cells[..8] {
        let comma = commas.next()?;
        *cell = &line[start..comma];
        start = comma + 1;
    }
    cells[8] = &line[start..];
    commas.next().is_none().then_some(cells)
}

/// Whether `date` begins like `2026-06-01 00:00`. The digits are enough: a 31st of February is reported as it stands.
fn is_date(date: &str) -> bool {
    const PATTERN: &[u8; 16] = b"dddd-dd-dd dd:dd";
    date.len() >= PATTERN.len()
        && PATTERN
            .iter()
            .zip(date.as_bytes())
            .all(|(p, b)| if *p == b'd' { b.is_ascii_digit() } else { p == b })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Rows {
        Rows::new(Zone::Local)
    }

    #[test]
    fn a_plain_row_gives_its_columns_and_unknown_ones_are_none() {
        let mut rows = rows();
        let row = rows
            .csv(b"mail,2026-06-01 00:00,192.0.2.1,office@me,null,Errno 1,CN,N/A,N/A\r")
            .unwrap()
            .unwrap();
        assert_eq!(
            (row.date, row.ip, row.user),
            ("2026-06-01 00:00", Some("192.0.2.1"), Some("office@me"))
        );
        assert_eq!(
            (row.hostname, row.reverse_dns_status, row.country_code),
            (None, Some("Errno 1"), Some("CN"))
        );
        assert_eq!((row.asn, row.aso), (None, None));
    }

    #[test]
    fn quotes_are_taken_off_and_one_apostrophe_with_them() {
        let mut rows = rows();
        let line = "mail,2026-06-01 00:00,192.0.2.1,\"'=1+1,\"\"x\"\"\",'null,OK,'N/A,1,\"A, \"\"B\"\" C\"";
        let row = rows.csv(line.as_bytes()).unwrap().unwrap();
        assert_eq!((row.user, row.hostname), (Some("=1+1,\"x\""), Some("null")));
        assert_eq!((row.country_code, row.aso), (Some("N/A"), Some("A, \"B\" C")));
    }

    #[test]
    fn lines_that_are_no_rows_are_refused() {
        let header = b"server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso";
        assert_eq!(rows().csv(header), Ok(None));
        for line in [
            &b"a,b"[..],
            b"m,2026-06-01 00:00,1,2,3,4,5,6,7,8",
            b"m,01/06/2026 00:00,1,2,3,4,5,6,7",
            b"m,2026-06-01 00:00,1,\"2,3,4,5,6,7",
            b"m,2026-06-01 00:00,1,\xff,3,4,5,6,7",
        ] {
            assert!(rows().csv(line).is_err(), "{line:?}");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters() {
        for name in ["é".repeat(200), "a".to_owned() + &"日".repeat(100), "x".repeat(1000)] {
            let line = format!("m,2026-06-01 00:00,192.0.2.1,{name},null,OK,CN,1,O");
            let mut rows = rows();
            let user = rows.csv(line.as_bytes()).unwrap().unwrap().user.unwrap();
            assert!(
                name.starts_with(user) && (MAX_NAME - 3..=MAX_NAME).contains(&user.len()),
                "{}",
                user.len()
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn no_line_panics(line in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = rows().csv(&line);
        }

        #[test]
        fn cutting_at_commas_gives_what_the_decoder_gives(line in "[^\"\n\r]{0,100}") {
            let mut rows = rows();
            if let Some(cells) = plain(&line) {
                proptest::prop_assert_eq!(rows.unquoted(&line).unwrap(), cells);
            }
        }
    }
}
