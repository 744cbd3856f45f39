//! Years that are missing in time stamps and unknown from the input.

use std::collections::BTreeSet;

use mls_diag::Exit;

/// A year that mls-parse derived from the current time, because the time of the log is unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AssumedYear {
    pub(crate) year: i32,
    /// Offset in the plain stream of the first line that got it.
    pub(crate) offset: u64,
}

/// The reaction to assumed years: a warning for each, or the end of the run.
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

    /// Warns about new years. Exit 65 for the first one if years are required.
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
