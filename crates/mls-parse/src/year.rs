//! Warns about years that mls-parse assumes, because the time stamps have no year.

use std::collections::BTreeSet;

use mls_diag::Exit;

/// A year that mls-parse derived from the current time, because the time of the log is unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AssumedYear {
    pub(crate) year: i32,
    /// The offset in the input of the first line that got this year.
    pub(crate) offset: u64,
}

/// Warns of each assumed year, or ends the run.
pub(crate) struct AssumedYears {
    is_error: bool,
    /// The years that were reported. [`Clock`](crate::clock::Clock) tries only a few years, so a
    /// hostile log cannot cause many warnings.
    known: BTreeSet<i32>,
}

impl AssumedYears {
    pub(crate) fn new(is_error: bool) -> Self {
        Self { is_error, known: BTreeSet::new() }
    }

    /// Warns of years not reported before. If `is_error` is true, returns an error (exit code 65).
    pub(crate) fn add(&mut self, years: &[AssumedYear]) -> anyhow::Result<()> {
        const WHAT: &str = "time stamps have no year, and it is not known when the log was written";
        const CURE: &str = "give --reference-time, or read the file with mls-tail --framed";
        for AssumedYear { year, offset } in years {
            if self.is_error {
                return Err(Exit::DataErr.error(format!("stdin, byte {offset}: {WHAT}; {CURE}")));
            }
            if self.known.insert(*year) {
                log::warn!("stdin, byte {offset}: {WHAT}: {year} is assumed; {CURE}");
            }
        }
        Ok(())
    }
}
