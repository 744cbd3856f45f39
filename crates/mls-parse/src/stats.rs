//! What a run has seen.

use std::collections::BTreeMap;
use std::fmt;

use mls_event::Outcome;

/// A client names its mechanism: beyond so many, names are counted together.
const MAX_MECHANISMS: usize = 100;

/// Counts of one run; [`Display`](fmt::Display) is what `--stats` prints.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Only counted where they are asked for, as events are: it means another look at every byte.
    pub(crate) lines: u64,
    pub(crate) candidates: u64,
    pub(crate) ignored: u64,
    pub(crate) unparsable: u64,
    events: BTreeMap<(Outcome, String), u64>,
}

impl Stats {
    pub(crate) fn event(&mut self, outcome: Outcome, mechanism: Option<&str>) {
        self.count(outcome, mechanism.unwrap_or("no mechanism"), 1);
    }

    fn count(&mut self, outcome: Outcome, mechanism: &str, n: u64) {
        if let Some((_, count)) =
            self.events.iter_mut().find(|((o, m), _)| *o == outcome && m == mechanism)
        {
            *count += n;
            return;
        }
        let mechanism =
            if self.events.len() < MAX_MECHANISMS { mechanism } else { "other mechanisms" };
        *self.events.entry((outcome, mechanism.to_owned())).or_default() += n;
    }

    /// Adds what another scanner has seen of the same input.
    pub(crate) fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.candidates += other.candidates;
        self.ignored += other.ignored;
        self.unparsable += other.unparsable;
        for ((outcome, mechanism), n) in &other.events {
            self.count(*outcome, mechanism, *n);
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lines read: {}", self.lines)?;
        writeln!(f, "candidates: {}", self.candidates)?;
        for ((outcome, mechanism), count) in &self.events {
            writeln!(f, "{}, {mechanism}: {count}", outcome.name())?;
        }
        writeln!(f, "ignored: {}", self.ignored)?;
        writeln!(f, "unparsable: {}", self.unparsable)
    }
}
