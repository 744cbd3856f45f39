//! The error for an input without a readable record: probably the wrong file was given.

use std::cell::Cell;

use mls_diag::Exit;
use mls_event::Column;

/// What a tool that reads alerts says about records of logins.
pub const NOT_ALERTS: &str = "stdin has records of logins instead of alerts: put mls-alert before this tool, \
     as in mls-parse < LOG | mls-alert --ip 20/10m | mls-block";

/// Counts lines and bad ones.
#[derive(Debug, Default)]
pub struct BadLineCounter {
    /// Lines that are neither blank nor the header of a CSV.
    lines: u64,
    /// The number of bad lines among them.
    bad: Cell<u64>,
    /// Whether the last line is the header of a CSV.
    is_header: bool,
    has_bad_header: Cell<bool>,
    /// What the first of the counted lines looks like.
    hint: Option<&'static str>,
}

impl BadLineCounter {
    /// Says that an earlier reader read lines of this input, so that bad lines are no proof of a wrong
    /// file.
    pub fn continues(&mut self) {
        self.lines += 1;
    }

    /// Counts a line; blank ones and headers of a CSV do not count.
    pub fn line(&mut self, line: &[u8]) {
        let line = line.trim_ascii();
        self.is_header = is_header(line);
        if !line.is_empty() && !self.is_header {
            self.lines += 1;
            self.hint.get_or_insert_with(|| hint(line));
        }
    }

    /// Counts the last line as a bad record.
    pub fn bad(&self) {
        if self.is_header {
            self.has_bad_header.set(true);
        } else {
            self.bad.set(self.bad.get() + 1);
        }
    }

    /// Call it at the end of the input.
    ///
    /// # Errors
    /// Exit 65 if there were bad lines and no good ones.
    pub fn check(&self, name: &str) -> anyhow::Result<()> {
        let has_bad_header = self.has_bad_header.get();
        let has_bad = has_bad_header || self.bad.get() > 0;
        if !has_bad || self.bad.get() < self.lines {
            return Ok(());
        }
        let hint = if has_bad_header { IS_CSV } else { self.hint.unwrap_or_default() };
        Err(Exit::DataErr.error(format!("{name}: no record could be read{hint}")))
    }
}

const IS_CSV: &str = "; this is a CSV: read it with mls-csv --decode < FILE";

fn is_header(line: &[u8]) -> bool {
    [Column::HEADER, Column::LOGINS_HEADER].iter().any(|header| header.as_bytes() == line)
}

/// What to do with a file that has this line.
fn hint(line: &[u8]) -> &'static str {
    // The Python original separates cells with semicolons. Its first release had five columns.
    if line.split(|byte| *byte == b';').count() >= 5 {
        "; this is the CSV of the Python original: read it with mls-csv --decode --legacy < FILE"
    } else if line.starts_with(b"{") {
        "; it must be the output of mls-parse, mls-enrich or mls-csv --decode"
    } else {
        "; if this is a log, read it with mls-parse < FILE"
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
        lines.bad();
        let error = lines.check("x").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::DataErr);
        assert!(error.to_string().contains("--decode --legacy"), "{error}");
        lines.line(b"good");
        assert!(lines.check("x").is_ok());
    }

    #[test]
    fn a_header_of_a_csv_is_not_a_good_line() {
        let mut lines = BadLineCounter::default();
        lines.line(Column::HEADER.as_bytes());
        assert!(lines.check("x").is_ok(), "a CSV without rows");
        lines.line(b"no row");
        lines.bad();
        let error = lines.check("x").unwrap_err();
        assert!(error.to_string().contains("if this is a log"), "{error}");

        let mut lines = BadLineCounter::default();
        lines.line(Column::LOGINS_HEADER.as_bytes());
        lines.bad();
        let error = lines.check("x").unwrap_err();
        assert!(error.to_string().contains("this is a CSV"), "{error}");
        lines.line(b"good");
        assert!(lines.check("x").is_ok());
    }
}
