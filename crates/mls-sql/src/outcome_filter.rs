//! Selects the events of a stream that become rows, and counts the others.

use mls_diag::{Exit, count};
use mls_event::{Auth, Outcome};
use mls_stream::sink;

use crate::field::Field;
use crate::mapping::Mapping;

pub(crate) struct OutcomeFilter {
    outcomes: Vec<Outcome>,
    rows: u64,
    /// The number of skipped events of each outcome.
    skipped: Vec<(Outcome, u64)>,
}

impl OutcomeFilter {
    /// Fails with exit 78 if `outcomes` has more than failures, but the mapping has no column for
    /// the outcome.
    pub(crate) fn new(outcomes: Vec<Outcome>, mapping: &Mapping) -> anyhow::Result<Self> {
        let only_failures = outcomes.iter().all(|outcome| *outcome == Outcome::Failure);
        if !only_failures && mapping.column(Field::Outcome).is_none() {
            return Err(Exit::Config.error(
                "the mapping has no column for the outcome, so logins would look like failures; add \
                 a column with the csv_column_name \"outcome\" to the mapping file (--mapping, or \
                 column_mapping_file in [database])",
            ));
        }
        Ok(Self { outcomes, rows: 0, skipped: Vec::new() })
    }

    /// Returns the number of rows of an event. Counts the rows and the skipped events.
    pub(crate) fn rows(&mut self, event: &Auth<'_>) -> u32 {
        if self.outcomes.contains(&event.outcome) {
            let rows = sink::rows(event, event.outcome);
            self.rows += u64::from(rows);
            return rows;
        }
        match self.skipped.iter_mut().find(|(outcome, _)| *outcome == event.outcome) {
            Some((_, skipped)) => *skipped += 1,
            None => self.skipped.push((event.outcome, 1)),
        }
        0
    }

    /// Returns the number of rows, for the summary of the run: `2 rows`.
    pub(crate) fn written(&self) -> String {
        count(self.rows, "row", "rows")
    }

    /// Returns the number of skipped records and their outcomes, for the summary of the run. The
    /// text is empty if no record was skipped.
    pub(crate) fn skipped(&self) -> String {
        let all: u64 = self.skipped.iter().map(|(_, skipped)| skipped).sum();
        if all == 0 {
            return String::new();
        }
        format!(
            "; skipped {} that --outcome excludes ({})",
            count(all, "record", "records"),
            self.list()
        )
    }

    /// Fails with exit 65 if the stream has failures or successful logins, but no record has a
    /// selected outcome.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if self.rows == 0 && self.skipped.iter().any(|(outcome, _)| outcome.is_recorded()) {
            let asked: Vec<_> = self.outcomes.iter().map(|outcome| outcome.name()).collect();
            let given: Vec<_> = self.skipped.iter().map(|(outcome, _)| outcome.name()).collect();
            return Err(Exit::DataErr.error(format!(
                "no record has the outcome {} (found {}); nothing was written; give --outcome {}",
                asked.join(" or "),
                self.list(),
                given.join(",")
            )));
        }
        Ok(())
    }

    fn list(&self) -> String {
        let part = |(outcome, skipped): &(Outcome, u64)| format!("{skipped} {}", outcome.name());
        self.skipped.iter().map(part).collect::<Vec<_>>().join(", ")
    }
}
