//! Counts of a run.

use std::collections::BTreeMap;
use std::fmt;

use bstr::ByteSlice;
use mls_diag::{count, thousands};
use mls_event::Outcome;

use crate::journal::JournalEntry;
use crate::repetition::Repetition;
use crate::{docker, envelope, partial};

/// The largest number of names of mechanisms. A client chooses the name of its mechanism. All
/// further names are counted together.
const MAX_MECHANISMS: usize = 100;

/// Counts of one run; [`Display`](fmt::Display) is what `--stats` prints.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// The number of lines. This number and `events` are counted only with `--stats` or the log
    /// level `info`, because counting the lines reads every byte once more.
    pub(crate) lines: u64,
    /// Whether the input has no frames.
    pub(crate) is_plain: bool,
    pub(crate) candidates: u64,
    pub(crate) ignored: u64,
    pub(crate) unparsable: u64,
    /// AUTH commands without success in the [sessions](crate::session) of Postfix; `None` if they are
    /// not counted.
    pub(crate) refused_commands: Option<u64>,
    events: BTreeMap<(Outcome, String), u64>,
    /// The first line of the input. It is stored only while no line of a log was found.
    first: Option<Vec<u8>>,
    is_log: bool,
}

impl Stats {
    /// No counts yet. `with_commands` counts AUTH commands without success.
    pub(crate) fn new(with_commands: bool) -> Self {
        Self { refused_commands: with_commands.then_some(0), ..Self::default() }
    }

    pub(crate) fn event(&mut self, outcome: Outcome, mechanism: Option<&str>) {
        self.count(outcome, mechanism.unwrap_or("no mechanism"), 1);
    }

    /// Notes whether the input is a log. If no earlier line was a line of a log, checks `lines`.
    /// Usually the first line is enough.
    pub(crate) fn recognize(&mut self, lines: &[u8]) {
        /// The largest number of lines to check in a block.
        const SAMPLE: usize = 1000;
        if self.is_log {
            return;
        }
        let has_text = |line: &&[u8]| line.iter().any(|byte| *byte != 0);
        let sample = || lines.split(|byte| *byte == b'\n').filter(has_text).take(SAMPLE);
        self.is_log = sample().any(is_log_line);
        if self.first.is_none() {
            self.first = sample().next().map(<[u8]>::to_vec);
        }
    }

    /// The first line, if no line of the input could be read and no line was reported.
    pub(crate) fn unrecognized(&self) -> Option<&[u8]> {
        self.first.as_deref().filter(|_| !self.is_log && self.unparsable == 0)
    }

    fn attempts(&self, outcome: Outcome) -> u64 {
        let of_outcome = self.events.iter().filter(|((known, _), _)| *known == outcome);
        of_outcome.map(|(_, count)| count).sum()
    }

    /// The summary of a run, in one line: `found 342 failed and 0 successful logins in 41,022
    /// lines`. It counts only the outcomes that were asked for.
    pub(crate) fn summary(&self, outcomes: &[Outcome]) -> String {
        let names = [
            (Outcome::Failure, "failed"),
            (Outcome::Success, "successful"),
            (Outcome::Aborted, "aborted"),
            (Outcome::Error, "unchecked"),
        ];
        let asked = names.into_iter().filter(|(outcome, _)| outcomes.contains(outcome));
        let (mut found, mut noun) = (Vec::new(), "logins");
        for (outcome, name) in asked {
            let number = self.attempts(outcome);
            // Leave the number 0 out here: a server rarely fails to check a login.
            if outcome == Outcome::Error && number == 0 && !found.is_empty() {
                continue;
            }
            found.push(format!("{} {name}", thousands(number)));
            noun = if number == 1 { "login" } else { "logins" };
        }
        let lines = count(self.lines, "line", "lines");
        format!("found {} {noun} in {lines}", found.join(" and "))
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

    /// Adds the counts of another scanner for the same input.
    pub(crate) fn add(&mut self, other: &Self) {
        self.lines += other.lines;
        self.candidates += other.candidates;
        self.ignored += other.ignored;
        self.unparsable += other.unparsable;
        if let Some(refused) = other.refused_commands {
            let sum = self.refused_commands.unwrap_or_default();
            self.refused_commands = Some(sum.saturating_add(refused));
        }
        self.is_log |= other.is_log;
        self.is_plain |= other.is_plain;
        self.first = self.first.take().or_else(|| other.first.clone());
        for ((outcome, mechanism), n) in &other.events {
            self.count(*outcome, mechanism, *n);
        }
    }
}

fn is_log_line(line: &[u8]) -> bool {
    let line = line.trim_start_with(|c| c == '\0');
    if line.starts_with(b"{") {
        return docker::is_line(line) || JournalEntry::parse(line).is_some();
    }
    // If nothing else happens, syslog daemons write `-- MARK --`, without a program. So the new
    // lines of a log may be only such lines.
    envelope::open(line).is_some()
        || Repetition::read(line).is_some()
        || partial::read(line).is_some()
        || line.ends_with(b" -- MARK --")
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "lines read: {}", self.lines)?;
        writeln!(f, "candidates: {}", self.candidates)?;
        for ((outcome, mechanism), count) in &self.events {
            writeln!(f, "{}, {mechanism}: {count}", outcome.name())?;
        }
        if let Some(refused) = self.refused_commands {
            writeln!(
                f,
                "AUTH commands without success, counted at the end of each session: {refused}"
            )?;
        }
        writeln!(f, "ignored: {}", self.ignored)?;
        writeln!(f, "unparsable: {}", self.unparsable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_commands_are_printed_only_if_they_were_asked_for() {
        for (refused_commands, expected) in [(None, 0), (Some(0), 1), (Some(3), 1)] {
            let mut stats = Stats { refused_commands, ..Stats::default() };
            stats.add(&Stats { refused_commands, ..Stats::default() });
            let text = stats.to_string();
            assert_eq!(text.matches("AUTH commands").count(), expected, "{text}");
            assert_eq!(text.contains(": 6\n"), refused_commands == Some(3), "{text}");
        }
    }

    #[test]
    fn the_summary_counts_the_outcomes_that_were_asked_for() {
        let mut stats = Stats { lines: 1, ..Stats::default() };
        stats.event(Outcome::Failure, None);
        assert_eq!(stats.summary(&[Outcome::Failure]), "found 1 failed login in 1 line");
        assert_eq!(stats.summary(&[Outcome::Success]), "found 0 successful logins in 1 line");
        assert_eq!(
            stats.summary(&[Outcome::Success, Outcome::Failure]),
            "found 1 failed and 0 successful logins in 1 line"
        );
        assert_eq!(stats.summary(&[Outcome::Error]), "found 0 unchecked logins in 1 line");
        let recorded = [Outcome::Failure, Outcome::Error];
        assert_eq!(stats.summary(&recorded), "found 1 failed login in 1 line");
        stats.event(Outcome::Error, None);
        assert_eq!(stats.summary(&recorded), "found 1 failed and 1 unchecked login in 1 line");
    }
}
