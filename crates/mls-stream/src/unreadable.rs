//! An input of which no record could be read: the wrong file was given.

use std::cell::Cell;

use mls_diag::Exit;

/// Counts lines and bad ones.
#[derive(Debug, Default)]
pub struct Unreadable {
    lines: u64,
    bad: Cell<u64>,
    /// What the first line looks like.
    hint: Option<&'static str>,
}

impl Unreadable {
    /// Counts a line; blank ones do not count.
    pub fn line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        self.lines += 1;
        self.hint.get_or_insert_with(|| hint(line));
    }

    /// Says that the last line is a bad record.
    pub fn bad(&self) {
        self.bad.set(self.bad.get() + 1);
    }

    /// Call it at the end of the input.
    ///
    /// # Errors
    /// Exit 65 if there were lines and all of them were bad.
    pub fn check(&self, name: &str) -> anyhow::Result<()> {
        if self.lines == 0 || self.bad.get() < self.lines {
            return Ok(());
        }
        let hint = self.hint.unwrap_or_default();
        Err(Exit::DataErr.error(format!("{name}: no record could be read{hint}")))
    }
}

/// What to do with a file that begins with this line.
fn hint(line: &[u8]) -> &'static str {
    let begins = |text: &str| line.starts_with(text.as_bytes());
    if begins("server;date;ip;user;hostname") {
        "; this is the CSV of the Python original: read it with mls-csv --decode --legacy < FILE"
    } else if begins("server,date,ip,user") || begins("\"server\",\"date\"") {
        "; this is a CSV: read it with mls-csv --decode < FILE"
    } else if begins("{") {
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
        let mut lines = Unreadable::default();
        assert!(lines.check("x").is_ok(), "an empty input");
        lines.line(b"server;date;ip;user;hostname;x");
        lines.bad();
        let error = lines.check("x").unwrap_err();
        assert_eq!(Exit::of(&error), Exit::DataErr);
        assert!(error.to_string().contains("--decode --legacy"), "{error}");
        lines.line(b"good");
        assert!(lines.check("x").is_ok());
    }
}
