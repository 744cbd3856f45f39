//! Reads and checks a whole database, and counts its rows and addresses.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, Write};
use std::os::unix::fs::FileExt;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_stream::content;

use crate::database::FileFormat;
use crate::kind::DatabaseKind;
use crate::mmdb;
use crate::row::{Family, RangeRow};
use crate::search::{MAX_ROW, trimmed};

/// What a database contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// Number of rows, or of networks in an MMDB database.
    pub rows: u64,
    /// Number of IPv4 addresses that the rows cover.
    pub ipv4: u128,
    /// Number of IPv6 addresses that the rows cover.
    pub ipv6: u128,
    /// Number of rows with a country. `systems` is the number of rows with an AS number.
    countries: u64,
    systems: u64,
    /// Whether the rows are in the order of their addresses.
    pub sorted: bool,
}

/// The error message for a file that mixes IPv4 and IPv6.
pub(crate) const MIXED: &str = "IPv4 and IPv6 addresses must be in separate files";

/// What is wrong with a database, and where.
pub(crate) type Flaw = String;

impl Survey {
    /// Reads, checks and counts a database in the format `form`.
    ///
    /// # Errors
    /// Exit 65 if the database is not valid, 74 if the file cannot be read.
    pub fn of(file: &File, form: FileFormat) -> anyhow::Result<Self> {
        let length = read(file.metadata())?.len();
        if !form.mmdb {
            return Self::of_csv(file, length);
        }
        // An MMDB file is a tree, so all of it has to be in memory.
        let mut bytes = vec![0; usize::try_from(length)?];
        read(file.read_exact_at(&mut bytes, 0))?;
        Self::of_mmdb(&bytes).map_err(|flaw| Exit::DataErr.error(flaw))
    }

    /// Reads, checks and counts the rows in the first `length` bytes. The rows may be in any order;
    /// `sorted` says whether they are sorted. Sorted rows that overlap are an error.
    ///
    /// # Errors
    /// Exit 65 if the rows are not valid, 74 if the file cannot be read.
    pub fn of_csv(file: &File, length: u64) -> anyhow::Result<Self> {
        let (mut survey, mut order) = (Self::default(), Order::default());
        let rows = trimmed(file, length).and_then(|length| {
            order.read(file, length, |row| {
                survey.count(row.fields.has_country(), row.fields.asn().is_some());
            })
        });
        let flaw = read(rows)?.err();
        let family = flaw.map_or_else(|| order.family(), Err);
        survey.sorted = !order.unsorted;
        match family.map_err(|flaw| Exit::DataErr.error(flaw))? {
            Family::V4 => survey.ipv4 = order.covered,
            Family::V6 => survey.ipv6 = order.covered,
        }
        Ok(survey)
    }

    fn of_mmdb(bytes: &[u8]) -> Result<Self, Flaw> {
        let mut survey = Self { sorted: true, ..Self::default() };
        let visited = mmdb::visit(bytes, |network| {
            let covered = match network.family {
                Family::V4 => &mut survey.ipv4,
                Family::V6 => &mut survey.ipv6,
            };
            *covered = covered.saturating_add(network.size);
            survey.count(network.has_country, network.has_asn);
        });
        visited.map_err(|error| error.to_string())?;
        if survey.rows == 0 { Err("it is empty".into()) } else { Ok(survey) }
    }

    fn count(&mut self, country: bool, system: bool) {
        self.rows += 1;
        self.countries += u64::from(country);
        self.systems += u64::from(system);
    }

    /// Whether this is a database of the kind `kind`: at least half of the rows have a country (or
    /// an AS number).
    #[must_use]
    pub fn is(&self, kind: DatabaseKind) -> bool {
        let with_value = match kind {
            DatabaseKind::Country => self.countries,
            DatabaseKind::System => self.systems,
        };
        with_value * 2 >= self.rows
    }

    /// Whether both databases cover the same address families.
    #[must_use]
    pub fn same_families(&self, other: &Self) -> bool {
        (self.ipv4 > 0, self.ipv6 > 0) == (other.ipv4 > 0, other.ipv6 > 0)
    }
}

/// Checks the rows of a CSV one after another, and whether they are sorted.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Offset of the next line.
    offset: usize,
    /// First and last address of the last row.
    last: Option<(u128, u128)>,
    unsorted: bool,
    highest: u128,
    covered: u128,
    /// Offset of a row that can only be IPv4, and offset of a row that can only be IPv6.
    only: [Option<usize>; 2],
}

/// The number of bytes that are read at a time.
const CHUNK: u64 = 1 << 18;

impl Order {
    /// Reads the first `length` bytes of a file, and calls `each` for each row. The inner error
    /// says what is wrong with the rows.
    pub(crate) fn read(
        &mut self,
        mut file: &File,
        length: u64,
        mut each: impl FnMut(&RangeRow<'_>),
    ) -> io::Result<Result<(), Flaw>> {
        if length == 0 {
            return Ok(Err("it is empty".into()));
        }
        file.rewind()?;
        let (mut file, mut chunk) = (file.take(length), Vec::new());
        loop {
            let read = file.by_ref().take(CHUNK).read_to_end(&mut chunk)?;
            let end = if read == 0 { Some(chunk.len()) } else { memchr::memrchr(b'\n', &chunk) };
            // A line of more than `MAX_ROW` bytes is an error, so do not read to its end.
            let end = end.or((chunk.len() as u64 > MAX_ROW).then_some(chunk.len()));
            let Some(end) = end else { continue };
            for line in lines(&chunk[..end]) {
                match self.row(line) {
                    Ok(row) => each(&row),
                    Err(flaw) => return Ok(Err(flaw)),
                }
            }
            if read == 0 {
                return Ok(Ok(()));
            }
            chunk.drain(..=end);
        }
    }

    /// Checks the next line of the file (`line`, without its newline). If all rows so far are
    /// sorted, a row that overlaps the previous row is an error.
    pub(crate) fn row<'a>(&mut self, line: &'a [u8]) -> Result<RangeRow<'a>, Flaw> {
        let offset = self.offset;
        if line.len() as u64 >= MAX_ROW {
            return Err(format!("byte {offset}: a line is longer than {MAX_ROW} bytes"));
        }
        let flaw = || match content::not_text(line).filter(|_| offset == 0) {
            Some(what) => format!("it {what}"),
            None => format!("byte {offset}: {}", not_a_row(line)),
        };
        let row = RangeRow::parse(line).ok_or_else(flaw)?;
        if let Some((start, end)) = self.last {
            if row.start < start {
                self.unsorted = true;
            } else if !self.unsorted && row.start <= end {
                return Err(format!("byte {offset}: the range overlaps the one before it"));
            }
        }
        if !row.is_of(Family::V6) {
            self.only[0] = Some(offset);
        }
        if !row.is_of(Family::V4) {
            self.only[1] = Some(offset);
        }
        self.last = Some((row.start, row.end));
        self.highest = self.highest.max(row.end);
        self.covered = self.covered.saturating_add(row.end - row.start).saturating_add(1);
        self.offset += line.len() + 1;
        Ok(row)
    }

    /// The family of all rows. The caller must call this after the last row.
    fn family(&self) -> Result<Family, Flaw> {
        let family = Family::of_highest(self.highest);
        match (family, self.only) {
            (Family::V4, [_, None]) | (Family::V6, [None, _]) => Ok(family),
            (_, [v4, v6]) => Err(format!("byte {}: {MIXED}", v4.or(v6).unwrap_or(0))),
        }
    }

    /// Fails if rows are unsorted or mix IPv4 and IPv6. The caller must have read all rows.
    pub(crate) fn sorted(&self) -> Result<(), Flaw> {
        self.family()?;
        if self.unsorted { Err("the rows are not sorted".into()) } else { Ok(()) }
    }
}

/// The lines of a text, without their newlines.
pub(crate) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr::memchr_iter(b'\n', text).chain([text.len()]).map(move |end| {
        let line = &text[start..end];
        start = end + 1;
        line
    })
}

pub(crate) fn not_a_row(line: &[u8]) -> String {
    let text: String = mls_event::clean(line).chars().take(60).collect();
    format!("{text:?} is not a row such as 16777216,16777471,AU")
}

/// The largest number of rows that [`sort`] accepts. For each row, `sort` needs 32 bytes of memory.
/// Published files are already sorted.
const MAX_SORTED: usize = 1_000_000;

/// Writes the rows of a valid file to `sorted`, ordered by their first addresses.
///
/// # Errors
/// Exit 65 if there are more than a million rows, 74 if reading or writing fails.
pub fn sort(file: &File, sorted: &File) -> anyhow::Result<()> {
    let length = read(file.metadata().and_then(|metadata| trimmed(file, metadata.len())))?;
    let (mut places, mut offset) = (Vec::new(), 0_u32);
    let rows = Order::default().read(file, length, |row| {
        let length = u32::try_from(row.length).unwrap_or(u32::MAX);
        if places.len() <= MAX_SORTED {
            places.push((row.start, offset, length));
        }
        offset = offset.saturating_add(length).saturating_add(1);
    });
    read(rows)?.map_err(|flaw| Exit::DataErr.error(flaw))?;
    if places.len() > MAX_SORTED {
        return Err(Exit::DataErr.error(format!(
            "the rows are not sorted, and there are more than {MAX_SORTED}; sort them by their first addresses"
        )));
    }
    places.sort_unstable();
    let (mut out, mut line) = (BufWriter::new(sorted), Vec::new());
    for (_, offset, length) in places {
        line.resize(length as usize, 0);
        read(file.read_exact_at(&mut line, offset.into()))?;
        line.push(b'\n');
        out.write_all(&line).context("writing sorted rows").or_exit(Exit::IoErr)?;
    }
    out.flush().context("writing sorted rows").or_exit(Exit::IoErr)
}

fn read<T>(read: io::Result<T>) -> anyhow::Result<T> {
    read.context("reading").or_exit(Exit::IoErr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file
    }

    fn survey(text: &[u8]) -> anyhow::Result<Survey> {
        Survey::of_csv(&file(text), text.len() as u64)
    }

    fn flaw(text: &str) -> String {
        survey(text.as_bytes()).unwrap_err().to_string()
    }

    fn sorted(text: &[u8]) -> Vec<u8> {
        let (out, mut sorted) = (tempfile::tempfile().unwrap(), Vec::new());
        sort(&file(text), &out).unwrap();
        (&out).rewind().unwrap();
        (&out).read_to_end(&mut sorted).unwrap();
        sorted
    }

    #[test]
    fn a_survey_has_rows_coverage_kind_and_order() {
        let found = survey(b"10,19,FR\n30,39,-\n20,29,DE\n").unwrap();
        assert_eq!((found.rows, found.ipv4, found.ipv6, found.sorted), (3, 30, 0, false));
        assert!(found.is(DatabaseKind::Country) && !found.is(DatabaseKind::System));
        let found = survey(b"2a00::,2a00::ff,64500,x\n2a01::,2a01::,0,none").unwrap();
        assert_eq!((found.rows, found.ipv4, found.ipv6, found.sorted), (2, 0, 257, true));
        assert!(found.is(DatabaseKind::System) && !found.is(DatabaseKind::Country));
        let all = format!("0,{},ZZ", u128::MAX);
        assert_eq!(survey(all.as_bytes()).unwrap().ipv6, u128::MAX);
    }

    #[test]
    fn what_is_wrong_is_reported_with_its_offset() {
        assert_eq!(flaw(""), "it is empty");
        assert_eq!(flaw("\r\n \n"), "it is empty");
        assert!(flaw("1,2,FR\n<html>\n").starts_with("byte 7: \"<html>\" is not a row"));
        assert!(flaw("%PDF-1.7\n").starts_with("it is a PDF file"));
        assert!(flaw("1,2,FR\n\n3,4,FR").starts_with("byte 7: \"\" is not a row"));
        assert_eq!(
            flaw(&format!("1,2,FR\n3,4,FR,{}", "x".repeat(70_000))),
            "byte 7: a line is longer than 65536 bytes"
        );
        assert_eq!(flaw("1,5,FR\n5,9,FR"), "byte 7: the range overlaps the one before it");
        assert_eq!(
            flaw("1.0.0.0,1.0.0.1,FR\n2a00::,2a00::1,FR"),
            "byte 0: IPv4 and IPv6 addresses must be in separate files"
        );
        assert_eq!(
            flaw(&format!("16777216,16777471,AU\n{},{},DE\n", 42_u128 << 120, 43_u128 << 120)),
            "byte 0: IPv4 and IPv6 addresses must be in separate files"
        );
        let row = |length: usize| format!("1,2,FR,{}\n3,4,FR", "x".repeat(length - 7));
        assert_eq!(survey(row(65_535).as_bytes()).unwrap().rows, 2);
        assert_eq!(flaw(&row(65_536)), "byte 0: a line is longer than 65536 bytes");
        let long = "x".repeat(1 << 20);
        assert_eq!(flaw(&format!("1,2,FR\n{long}")), "byte 7: a line is longer than 65536 bytes");
    }

    #[test]
    fn sorting_keeps_the_rows_and_reveals_overlaps() {
        assert_eq!(sorted(b"30,39,FR\r\n10,19,FR\n20,29,FR"), b"10,19,FR\n20,29,FR\n30,39,FR\r\n");
        let rows = sorted(b"30,39,FR\n10,30,FR\n");
        let flaw = survey(&rows).unwrap_err().to_string();
        assert_eq!(flaw, "byte 9: the range overlaps the one before it");
    }
}
