//! The error for an input without a readable record: probably the wrong file was given.

use std::fmt;

use mls_diag::{Exit, diag};
use mls_event::Column;

/// The message of a tool that needs alerts but gets records of logins.
pub const NOT_ALERTS: &str = "stdin has records of logins instead of alerts: put mls-alert before this tool, \
     as in mls-parse < LOG | mls-alert --ip 20/10m | mls-block";

/// The error of a tool that needs records of logins but gets alerts from the input `name`.
#[must_use]
pub fn not_logins(name: &str) -> anyhow::Error {
    Exit::DataErr.error(format!(
        "{name} has alerts instead of records of logins: take mls-alert out of this pipeline, or give \
         the alerts to mls-block or mls-mail"
    ))
}

/// The largest number of bad lines whose warnings the counter holds back.
const HELD: usize = 10;

/// Counts all lines and the bad lines, and reports the bad lines. It reports the first bad line at
/// once. It holds back the next reports until a line is good or the input is silent. If no line is
/// good, one error says more than many warnings.
#[derive(Debug, Default)]
pub struct BadLineCounter {
    /// Lines that are neither blank nor the header of a CSV.
    lines: u64,
    /// The number of bad lines in `lines`.
    bad: u64,
    last: LineKind,
    has_bad_header: bool,
    /// Advice on what to do with the file. The first counted line decides it.
    hint: Option<&'static str>,
    expected: Expected,
    has_reported: bool,
    /// The reports that are held back: where each line is, and why it is bad.
    held: Vec<(String, String)>,
    /// The number of bad lines whose reports are not in `held`.
    more: u64,
}

/// What the tool can read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expected {
    /// Records; some tools read a CSV too.
    #[default]
    Records,
    /// A CSV of mls-csv.
    Csv,
    /// A CSV of the Python original.
    LegacyCsv,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LineKind {
    /// A blank line, or a header with semicolons (of the Python original) or tabs (of a
    /// spreadsheet).
    #[default]
    Ignored,
    Header,
    Other,
}

impl BadLineCounter {
    /// A counter for a tool that reads `expected`.
    #[must_use]
    pub fn new(expected: Expected) -> Self {
        let mut counter = Self::default();
        counter.expected = expected;
        counter
    }

    /// Call this if an earlier reader has read lines of this input. Then bad lines do not prove
    /// that the file is wrong.
    pub fn continues(&mut self) {
        self.lines += 1;
    }

    /// Counts a line, except a blank line or the header of a CSV.
    pub fn line(&mut self, line: &[u8]) {
        if self.bad < self.lines {
            self.report();
        }
        let line = line.trim_ascii();
        self.last = LineKind::of(line);
        if self.last == LineKind::Other {
            self.lines += 1;
            if self.hint.is_none() {
                self.hint = Some(hint(line, self.expected));
            }
        }
    }

    /// Counts the last line as a bad record and reports it.
    pub fn bad(&mut self, location: impl fmt::Display, why: impl fmt::Display) {
        match self.last {
            LineKind::Header => self.has_bad_header = true,
            LineKind::Ignored => {}
            LineKind::Other => self.bad += 1,
        }
        if !self.has_reported || self.bad < self.lines {
            self.has_reported = true;
            diag::bad_record(location, why);
        } else if self.held.len() < HELD {
            self.held.push((location.to_string(), why.to_string()));
        } else {
            self.more += 1;
        }
    }

    /// Must be called at the end of the input.
    ///
    /// # Errors
    /// Exit 65 if there were bad lines and no good lines.
    pub fn check(&mut self, name: &str) -> anyhow::Result<()> {
        if self.bad < self.lines || (self.lines == 0 && !self.has_bad_header) {
            return Ok(());
        }
        self.held.clear();
        self.more = 0;
        let hint = if self.has_bad_header { IS_CSV } else { self.hint.unwrap_or(IS_LEGACY) };
        Err(Exit::DataErr.error(format!("{name}: no record could be read; {hint}")))
    }

    /// Reports the bad lines whose reports were held back.
    pub(crate) fn report(&mut self) {
        for (location, why) in self.held.drain(..) {
            diag::bad_record(location, why);
        }
        diag::count_more_bad_records(std::mem::take(&mut self.more));
    }
}

impl Drop for BadLineCounter {
    fn drop(&mut self) {
        self.report();
    }
}

impl LineKind {
    fn of(line: &[u8]) -> Self {
        let legacy: [&[u8]; 2] = [b"server;date;ip;", b"server\tdate\tip\t"];
        if Column::outcome_of_header(line).is_some() {
            Self::Header
        } else if line.is_empty() || legacy.iter().any(|header| line.starts_with(header)) {
            Self::Ignored
        } else {
            Self::Other
        }
    }
}

const IS_CSV: &str = "this is a CSV: read it with mls-csv --decode < FILE";

const IS_LEGACY: &str =
    "this is the CSV of the Python original: read it with mls-csv --decode --legacy < FILE";

/// Returns advice on what to do with a file that has this line.
fn hint(line: &[u8], expected: Expected) -> &'static str {
    let cells = |separator| line.split(move |byte| *byte == separator);
    // Our CSV has a date such as 2026-06-01 00:00 in the second column.
    let is_row = |separator| {
        let date = cells(separator).nth(1).unwrap_or_default();
        date.strip_prefix(b"\"").unwrap_or(date).get(4) == Some(&b'-')
    };
    match expected {
        Expected::Records if line.starts_with(b"{") => {
            "give the output of mls-parse, mls-enrich or mls-csv --decode"
        }
        _ if line.starts_with(b"{") => "these are records already: leave out mls-csv --decode",
        Expected::Records if is_row(b',') => IS_CSV,
        Expected::LegacyCsv if is_row(b',') => "this is a CSV of mls-csv: leave out --legacy",
        _ if is_row(b';') || is_row(b'\t') => {
            "the columns are separated by semicolons or tabs: save the table as CSV with commas"
        }
        // The Python original separates cells with semicolons. Its first release had five columns.
        Expected::Records | Expected::Csv if cells(b';').count() >= 5 => IS_LEGACY,
        _ => "if this is a log, read it with mls-parse < FILE",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_input_with_one_good_line_is_not_unreadable() {
        let mut lines = BadLineCounter::default();
        assert!(lines.check("x").is_ok(), "an empty input");
        lines.line(b"mail;01/06/2026 10:00;192.0.2.1;anna;;;;;");
        lines.bad("x", "y");
        let error = lines.check("x").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::DataErr);
        assert!(error.to_string().contains("--decode --legacy"), "{error}");
        lines.line(b"good");
        assert!(lines.check("x").is_ok());
    }

    #[test]
    fn the_hint_depends_on_the_first_line_and_on_what_the_tool_reads() {
        let semicolons = b"mx;2026-06-01 10:00;192.0.2.1;anna;;;;;";
        let row = b"mx,2026-06-01 10:00,192.0.2.1,anna,,,,,";
        for (expected, line, cure) in [
            (Expected::Records, &row[..], "mls-csv --decode <"),
            (Expected::LegacyCsv, &row[..], "leave out --legacy"),
            (Expected::Csv, br#"{"v":1}"#, "leave out mls-csv --decode"),
            (Expected::Csv, &semicolons[..], "CSV with commas"),
            (Expected::LegacyCsv, &semicolons[..], "CSV with commas"),
            (Expected::Records, b"\"mx\"\t\"2026-06-01 10:00\"", "CSV with commas"),
            (Expected::Csv, b"mx;01/06/2026 10:00;192.0.2.1;anna;", "--decode --legacy <"),
            (Expected::LegacyCsv, b"Jun  1 10:00:00 mx postfix", "mls-parse <"),
        ] {
            let mut lines = BadLineCounter::new(expected);
            lines.line(b"server;date;ip;user;hostname");
            lines.line(line);
            lines.bad("x", "y");
            let error = lines.check("x").unwrap_err().to_string();
            assert!(error.contains(cure), "{expected:?}: {error}");
        }
    }

    #[test]
    fn a_header_of_a_csv_is_not_a_good_line() {
        let mut lines = BadLineCounter::default();
        lines.line(Column::HEADER.as_bytes());
        assert!(lines.check("x").is_ok(), "a CSV without rows");
        lines.line(b"no row");
        lines.bad("x", "y");
        let error = lines.check("x").unwrap_err();
        assert!(error.to_string().contains("if this is a log"), "{error}");

        let mut lines = BadLineCounter::default();
        lines.line(Column::LOGINS_HEADER.as_bytes());
        lines.bad("x", "y");
        let error = lines.check("x").unwrap_err();
        assert!(error.to_string().contains("this is a CSV"), "{error}");
        lines.line(b"good");
        assert!(lines.check("x").is_ok());
    }
}
