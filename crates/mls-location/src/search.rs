//! Searches a sorted CSV in place, like look(1): a binary search over the bytes of the file.
//!
//! A lookup needs no index and does not load the file. It reads about ten windows of one kilobyte,
//! and one window of 16 KiB. For many lookups, [`Csv::load`] loads the file into memory and checks
//! all rows.

use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use mls_diag::Exit;
use mls_state::regular;
use mls_stream::content;

use crate::kind::DatabaseKind;
use crate::loaded::LoadedCsv;
use crate::row::{Family, Fields, RangeRow};
use crate::survey::{MIXED, not_a_row};

/// The longest row in bytes, with its newline. The rows of real databases are far shorter.
pub const MAX_ROW: u64 = 64 * 1024;

/// If at most this number of bytes remain to be searched, the search reads the rows one by one.
const NEAR: u64 = 1024;

/// If at most this number of bytes remain to be searched, the search reads them at once.
const PAGE: u64 = 16 * 1024;

/// The search reads this number of bytes before and after an offset, or more if a row is longer.
const REACH: u64 = 512;

/// The number of bytes that are read to recognize the kind of a database.
const SAMPLE: u64 = 16 * 1024;

/// The largest size of a database in bytes. Published databases have a fifth of this size.
pub const MAX_SIZE: u64 = 128 << 20;

/// The reason why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The file could not be read.
    #[error("reading IP database {}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The content is wrong: for example, the rows are not sorted, or the file is too large.
    #[error("IP database {}: {what}", path.display())]
    Bad {
        /// The file.
        path: PathBuf,
        /// What is wrong, and at which offset.
        what: String,
    },
}

impl Unusable {
    /// Returns the error that ends a tool. Its exit code is 65, or the code for the I/O error.
    #[must_use]
    pub fn fatal(self) -> anyhow::Error {
        match self {
            Self::Io { path, error } => anyhow::Error::from(error)
                .context(format!("reading IP database {}", path.display())),
            Self::Bad { .. } => Exit::DataErr.error(self),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Csv {
    path: PathBuf,
    disk: FileWindow,
    /// Size of the file in bytes, without white space at the end.
    length: u64,
    family: Family,
    loaded: Option<LoadedCsv>,
}

/// The file, and the bytes (the window) that were read last.
#[derive(Debug)]
struct FileWindow {
    file: File,
    window: Vec<u8>,
    /// The offset in the file at which the window begins.
    from: u64,
}

impl FileWindow {
    fn get(&mut self, range: Range<u64>) -> io::Result<&[u8]> {
        let length = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let known = range.start.checked_sub(self.from).and_then(|skip| usize::try_from(skip).ok());
        if let Some(skip) = known.filter(|skip| skip + length <= self.window.len()) {
            return Ok(&self.window[skip..skip + length]);
        }
        self.window.resize(length, 0);
        if let Err(error) = self.file.read_exact_at(&mut self.window, range.start) {
            self.window.clear();
            return Err(error);
        }
        self.from = range.start;
        Ok(&self.window)
    }
}

impl Csv {
    /// Opens a database. The last row decides the address family. Fails with [`Unusable`] if the
    /// file cannot be read, if its last line is not a row, or if it mixes IPv4 and IPv6.
    pub(crate) fn open(path: &Path) -> Result<Self, Unusable> {
        let file = open(path)?;
        let length = file.metadata().map(|metadata| metadata.len());
        let length = length.map_err(|error| Unusable::Io { path: path.to_owned(), error })?;
        let disk = FileWindow { file, window: Vec::new(), from: 0 };
        let mut csv =
            Self { path: path.to_owned(), disk, length, family: Family::V4, loaded: None };
        csv.length = trimmed(&csv.disk.file, length)
            .map_err(|error| Unusable::Io { path: path.to_owned(), error })?;
        if csv.length == 0 {
            return Err(csv.bad("it is empty"));
        }
        if let Some(what) = content::not_text(csv.get(0..csv.length.min(16))?) {
            return Err(csv.bad(&format!("it {what}")));
        }
        let (first, last) = (csv.line_at(0)?, csv.line_at(csv.length - 1)?);
        let family = RangeRow::parse(csv.get(last.clone())?).map(|row| Family::of_highest(row.end));
        csv.family = family.ok_or_else(|| csv.not_a_row(&last))?;
        // A sorted file that mixes IPv4 and IPv6 begins with IPv4 and ends with IPv6.
        let family = csv.family;
        if RangeRow::parse(csv.get(first)?).is_some_and(|row| !row.is_of(family)) {
            return Err(csv.bad(&format!("byte 0: {MIXED}")));
        }
        Ok(csv)
    }

    /// Loads the file into memory for many lookups, and checks all rows. Fails with [`Unusable`] if
    /// the file cannot be read, or if the rows are not valid and sorted.
    pub(crate) fn load(&mut self) -> Result<(), Unusable> {
        if self.loaded.is_none() {
            let loaded = LoadedCsv::read(&self.disk.file, self.family, self.length);
            let loaded = loaded.map_err(|error| Unusable::Io { path: self.path.clone(), error })?;
            self.loaded = Some(loaded.map_err(|flaw| self.bad(&flaw))?);
        }
        Ok(())
    }

    /// Fails if the first rows show that the database is of the other kind.
    pub(crate) fn check_kind(&mut self, kind: DatabaseKind) -> Result<(), Unusable> {
        let whole = self.length;
        let sample = self.get(0..whole.min(SAMPLE))?;
        let end = if (sample.len() as u64) < whole { memchr::memrchr(b'\n', sample) } else { None };
        let lines = sample[..end.unwrap_or(sample.len())].split(|byte| *byte == b'\n');
        let (mut country, mut system) = (false, false);
        for row in lines.filter_map(RangeRow::parse) {
            country |= row.fields.has_country();
            system |= row.fields.asn().is_some();
        }
        if kind.is_other(country, system) { Err(self.bad(&kind.wrong())) } else { Ok(()) }
    }

    pub(crate) fn family(&self) -> Family {
        self.family
    }

    /// Returns the fields of the row whose range contains `number`. Fails with [`Unusable`] if the
    /// file cannot be read, or if the rows that the search reads are not sorted.
    pub(crate) fn find(&mut self, number: u128) -> Result<Option<Fields<'_>>, Unusable> {
        // The borrow checker rejects an `if let` that returns the borrowed value.
        if self.loaded.is_some() {
            return Ok(self.loaded.as_ref().and_then(|loaded| loaded.find(number)));
        }
        // The wanted row starts at `low` or later, and before `high`. `low` is the start of a row.
        // `high` is the start of a row or the end of the file.
        let (mut low, mut high) = (0, self.length);
        let (mut below, mut above) = (None, None);
        while high - low > NEAR {
            if high - low <= PAGE {
                // Read one window that contains the windows of all remaining steps.
                self.get(low.saturating_sub(REACH)..(high + REACH).min(self.length))?;
            }
            let line = self.line_at(low + (high - low) / 2)?;
            if line.start == low {
                // The row at `low` is longer than half of the range, so a step cannot halve the
                // range.
                break;
            }
            let start = RangeRow::start_of(self.get(line.clone())?);
            let start = start.ok_or_else(|| self.not_a_row(&line))?;
            if below.is_some_and(|below| start <= below)
                || above.is_some_and(|above| start >= above)
            {
                return Err(self.bad(&format!("byte {}: the rows are not sorted", line.start)));
            }
            if start <= number {
                (low, below) = (line.start, Some(start));
            } else {
                (high, above) = (line.start, Some(start));
            }
        }

        let Self { path, disk, .. } = self;
        let bad = |what: String| Unusable::Bad {
            path: path.clone(),
            what: format!("byte {low}: {what}"),
        };
        let rows = disk.get(low..high);
        let mut rows = rows.map_err(|error| Unusable::Io { path: path.clone(), error })?;
        let (mut last, mut candidate, mut next) = (None, None, None);
        while !rows.is_empty() {
            let end = memchr::memchr(b'\n', rows).unwrap_or(rows.len());
            let line = &rows[..end];
            rows = rows.get(end + 1..).unwrap_or_default();
            let start = RangeRow::start_of(line).ok_or_else(|| bad(not_a_row(line)))?;
            if last.is_some_and(|last| start <= last) || above.is_some_and(|above| start >= above) {
                return Err(bad("the rows are not sorted".into()));
            }
            if start <= number {
                candidate = Some(line);
            } else {
                next = next.or(Some(start));
            }
            last = Some(start);
        }
        let Some(line) = candidate else { return Ok(None) };
        let row = RangeRow::parse(line).ok_or_else(|| bad(not_a_row(line)))?;
        if next.or(above).is_some_and(|next| row.end >= next) {
            return Err(bad("a range overlaps the next one".into()));
        }
        Ok((number <= row.end).then_some(row.fields))
    }

    /// The range of the line that contains the byte at `offset`, without the newline.
    fn line_at(&mut self, offset: u64) -> Result<Range<u64>, Unusable> {
        let mut reach = REACH;
        while reach <= MAX_ROW {
            let (from, to) = (offset.saturating_sub(reach), (offset + reach).min(self.length));
            let whole = self.length;
            let window = self.get(from..to)?;
            // The byte at the offset may be the newline that ends the line.
            let (before, after) =
                window.split_at(usize::try_from(offset - from).unwrap_or_default());
            let start = memchr::memrchr(b'\n', before)
                .map(|at| from + at as u64 + 1)
                .or((from == 0).then_some(0));
            let end = memchr::memchr(b'\n', after)
                .map(|at| offset + at as u64)
                .or((to == whole).then_some(to));
            if let (Some(start), Some(end)) = (start, end) {
                return Ok(start..end);
            }
            reach *= 2;
        }
        Err(self.bad(&format!("byte {offset}: a line is longer than {MAX_ROW} bytes")))
    }

    fn get(&mut self, range: Range<u64>) -> Result<&[u8], Unusable> {
        self.disk.get(range).map_err(|error| Unusable::Io { path: self.path.clone(), error })
    }

    fn not_a_row(&mut self, line: &Range<u64>) -> Unusable {
        let text =
            self.disk.get(line.start..line.end.min(line.start + 60)).unwrap_or_default().to_vec();
        self.bad(&format!("byte {}: {}", line.start, not_a_row(&text)))
    }

    fn bad(&self, what: &str) -> Unusable {
        Unusable::Bad { path: self.path.clone(), what: what.to_owned() }
    }
}

/// Returns `length` minus the white space at the end of the first `length` bytes of a file.
pub(crate) fn trimmed(file: &File, mut length: u64) -> io::Result<u64> {
    let mut tail = Vec::new();
    loop {
        let from = length.saturating_sub(NEAR);
        tail.resize(usize::try_from(length - from).map_err(io::Error::other)?, 0);
        file.read_exact_at(&mut tail, from)?;
        let rows = tail.trim_ascii_end().len();
        length = from + rows as u64;
        if rows > 0 || length == 0 {
            return Ok(length);
        }
    }
}

/// Opens a file.
///
/// # Errors
/// [`Unusable`] if the file cannot be opened, or if it has more than [`MAX_SIZE`] bytes.
pub fn open(path: &Path) -> Result<File, Unusable> {
    let opened = regular::open(path).and_then(|file| Ok((file.metadata()?.len(), file)));
    match opened {
        Ok((length, _)) if length > MAX_SIZE => Err(Unusable::Bad {
            path: path.to_owned(),
            what: format!("it is larger than {MAX_SIZE} bytes"),
        }),
        Ok((_, file)) => Ok(file),
        Err(error) => Err(Unusable::Io { path: path.to_owned(), error }),
    }
}

/// Reads a whole file. Fails if the file has more than [`MAX_SIZE`] bytes.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Unusable> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(MAX_SIZE).read_to_end(&mut bytes);
    read.map_err(|error| Unusable::Io { path: path.to_owned(), error })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn csv(text: &str) -> Result<Csv, Unusable> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        Csv::open(file.path())
    }

    /// Searches on disk, then in memory, and compares the results.
    fn look(text: &str, number: u128) -> Result<Option<String>, Unusable> {
        let mut csv = csv(text)?;
        let on_disk = csv.find(number)?.and_then(|row| row.country());
        csv.load()?;
        assert_eq!(csv.find(number)?.and_then(|row| row.country()), on_disk);
        Ok(on_disk)
    }

    #[test]
    fn a_file_of_one_row_with_or_without_newline_is_searched() {
        let blank = format!("10,20,FR\n{}", " \n".repeat(3000));
        for text in ["10,20,FR", "10,20,FR\n", "10,20,FR\r\n\n", &blank] {
            for (number, found) in [(9, None), (10, Some("FR")), (20, Some("FR")), (21, None)] {
                assert_eq!(look(text, number).unwrap().as_deref(), found, "{text:?} {number}");
            }
        }
    }

    #[test]
    fn the_first_and_the_last_of_all_addresses_are_found() {
        for last in [u128::from(u32::MAX), u128::MAX] {
            let text = format!("0,0,AA\n2,{},BB\n{last},{last},ZZ,more", last - 2);
            for (number, found) in [
                (0, Some("AA")),
                (1, None),
                (2, Some("BB")),
                (last - 2, Some("BB")),
                (last - 1, None),
                (last, Some("ZZ")),
            ] {
                assert_eq!(look(&text, number).unwrap().as_deref(), found, "{last} {number}");
            }
        }
    }

    #[test]
    fn rows_of_very_different_length_are_searched() {
        let long = "x".repeat(40_000);
        let text = format!("1,1,AA,{long}\n2,2,BB\n3,3,CC\n4,4,DD,{long}\n5,5,EE,{long}\n6,6,FF\n");
        for (number, found) in (1..).zip(["AA", "BB", "CC", "DD", "EE", "FF"]) {
            assert_eq!(look(&text, number).unwrap().unwrap(), found);
        }
    }

    #[test]
    fn an_empty_file_a_page_and_a_header_row_are_refused() {
        assert!(csv("").unwrap_err().to_string().contains("it is empty"));
        assert!(csv(&"\n".repeat(3000)).unwrap_err().to_string().contains("it is empty"));
        assert!(
            csv("<!DOCTYPE html>\n<html></html>\n")
                .unwrap_err()
                .to_string()
                .contains("\"<html></html>\" is not a row")
        );
        assert!(csv("%PDF-1.7\n1,2,FR\n").unwrap_err().to_string().contains("it is a PDF file"));
        assert!(look("start,end,country\n1,2,FR", 1).is_err());
        assert!(
            csv(&"x".repeat(1 << 20)).unwrap_err().to_string().contains("longer than 65536 bytes")
        );
    }

    #[test]
    fn an_unsorted_file_is_refused_by_the_search_or_by_loading() {
        let descending: Vec<_> =
            (0..1000).rev().map(|n| format!("{},{},FR\n", n * 10, n * 10 + 5)).collect();
        assert!(
            csv(&descending.concat())
                .unwrap()
                .find(4321)
                .unwrap_err()
                .to_string()
                .contains("not sorted")
        );
        let swapped = "1,2,AA\n9,9,BB\n5,6,CC\n7,8,DD\n20,30,EE";
        assert!(csv(swapped).unwrap().find(1).unwrap_err().to_string().contains("not sorted"));
        assert!(
            csv(swapped)
                .unwrap()
                .load()
                .unwrap_err()
                .to_string()
                .contains("the rows are not sorted")
        );
        assert!(
            csv("1,6,AA\n5,9,BB").unwrap().find(4).unwrap_err().to_string().contains("overlaps")
        );
    }

    proptest::proptest! {
        #[test]
        fn every_number_finds_its_range_and_no_other(
            ranges in proptest::collection::vec((1u128..1 << 40, 0u128..1 << 40, "[A-Z]{2}", 0usize..700), 1..60),
            shift in 0u32..80,
        ) {
            let mut next = 0;
            let ranges: Vec<_> = ranges.into_iter().map(|(gap, length, code, padding)| {
                let (start, end) = (next + (gap << shift), next + (gap << shift) + (length << shift));
                next = end;
                (start, end, code, padding)
            }).collect();
            // If the padding is even, the row has only the country.
            let more = |pad: usize| if pad.is_multiple_of(2) { String::new() } else { format!(",{}", "y".repeat(pad)) };
            let text: Vec<_> = ranges.iter().map(|(s, e, code, pad)| format!("{s},{e},{code}{}\n", more(*pad))).collect();
            let mut csv = csv(&text.concat()).unwrap();
            for loaded in [false, true] {
                if loaded {
                    csv.load().unwrap();
                }
                for number in ranges.iter().flat_map(|(s, e, ..)| [s - 1, *s, s + (e - s) / 2, *e, e + 1]) {
                    let expected = ranges.iter().find(|(s, e, ..)| (*s..=*e).contains(&number)).map(|r| &r.2);
                    let found = csv.find(number).unwrap().and_then(|row| row.country());
                    proptest::prop_assert_eq!(found.as_ref(), expected);
                }
            }
        }

        #[test]
        fn no_bytes_panic_the_search(text in "[0-9,\n\"a:.]{0,2000}", number in proptest::prelude::any::<u32>()) {
            if let Ok(mut csv) = csv(&text) {
                let _ = csv.find(number.into());
                let _ = csv.load();
            }
        }
    }
}
