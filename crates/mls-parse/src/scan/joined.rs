//! Lines that need other lines: parts of a line, and counts of an earlier line.

use std::collections::HashMap;
use std::ops::Range;

use mls_event::{clean, without_nul};
use mls_stream::blocks::BlockPosition;

use super::{LineHeader, Scanner, TOO_LONG};
use crate::clock::Clock;
use crate::input::BlockInput;
use crate::journal::JournalEntry;
use crate::partial::{self, JoinedEntry, MAX_JOINED, WaitingLines, WaitingParts};
use crate::repetition::Repetition;
use crate::{Daemon, envelope};

impl Scanner {
    /// Reads a line that may be a part of a longer line. Returns whether it is a part. The position
    /// of a joined line is the position of its last part.
    pub(super) fn part(
        &mut self,
        input: &BlockInput<'_>,
        waiting: &mut WaitingLines,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> bool {
        let line = without_nul(&input.lines[range.clone()]);
        let start = range.end - line.len();
        let Some(part) = partial::read(line) else {
            for parts in waiting.take_all() {
                self.lose(input, &parts, start, REST_IS_MISSING);
            }
            return false;
        };
        let is_part = waiting.add(&part, range.len() + 1);
        // Count a line as soon as it is too long, because the next run does not get the parts of
        // such a line.
        for parts in waiting.too_long() {
            self.lose(input, parts, start, TOO_LONG);
        }
        if is_part
            && !part.goes_on
            && let Some(parts) = waiting.take(part.stream)
            && !parts.is_long
            && self.search.attempts.is_match(&parts.line)
        {
            self.candidate(input, start, &parts.line, false, out);
        }
        is_part
    }

    /// Counts as unreadable all lines that wait for their last part. The caller must call this if
    /// no line follows the lines before `place`.
    pub(crate) fn end(&mut self, place: BlockPosition<'_>) {
        let clock = Clock::new(self.zone, self.zone.now());
        let input = BlockInput { lines: b"", place, clock, is_time_assumed: false };
        for parts in WaitingLines::after(place.before).take_all() {
            self.lose(&input, &parts, 0, REST_IS_MISSING);
        }
    }

    /// Counts a line that cannot be joined as unreadable, if it may be about an attempt.
    fn lose(
        &mut self,
        input: &BlockInput<'_>,
        parts: &WaitingParts,
        start: usize,
        why: &'static str,
    ) {
        if self.may_become_an_attempt(&parts.line) {
            self.stats.candidates += 1;
            self.reject(&parts.line, input, start, why);
        }
    }

    /// Reads the journal entry in `range` if it is a part of a container's line, and joins it with
    /// the later parts. Returns the offsets of the later parts; `None` if the entry is not a part.
    /// `known` contains parsed entries.
    pub(super) fn cut_entry(
        &mut self,
        input: &BlockInput<'_>,
        range: Range<usize>,
        known: &mut HashMap<usize, Option<JournalEntry>>,
        out: &mut Vec<u8>,
    ) -> Option<Vec<usize>> {
        let first = JournalEntry::parse(&input.lines[range.clone()]);
        let first = first.filter(JournalEntry::goes_on)?;
        if first.is_later_part() {
            // The block that contains the first part has counted the line.
            return Some(Vec::new());
        }
        let parts = JoinedEntry::join(&first, input.lines, range.end, known)?;
        let Some(last) = parts.last else {
            let why = if parts.message.len() > MAX_JOINED { TOO_LONG } else { REST_IS_MISSING };
            if let Some(line) = first.container_line()
                && self.may_become_an_attempt(&line)
            {
                self.stats.candidates += 1;
                self.reject(&line, input, range.start, why);
            }
            return Some(parts.places);
        };
        if self.search.attempts.is_match(&parts.message) {
            self.stats.candidates += 1;
            if let Err(why) = self.entry_message(&last, &parts.message, input, out) {
                self.reject(&parts.message, input, range.start, why);
            }
        }
        Some(parts.places)
    }

    /// Whether `line`, the beginning of a line, may be about an attempt. The line may be cut inside
    /// the words of an attempt. So the result is also true for any line of a mail server.
    fn may_become_an_attempt(&self, line: &[u8]) -> bool {
        let is_of_a_server = || {
            let envelope = envelope::open(line)?;
            Daemon::of(&clean(envelope.program), envelope.message)
        };
        self.search.attempts.is_match(line)
            || is_of_a_server().is_some_and(|daemon| self.daemons.contains(&daemon))
    }

    pub(super) fn repetition(
        &mut self,
        input: &BlockInput<'_>,
        start: usize,
        repetition: &Repetition,
        out: &mut Vec<u8>,
    ) {
        let earlier = &input.lines[..start];
        let Some(line) = repetition.counted(input.place.before, earlier) else { return };
        if !self.search.attempts.is_match(&line) {
            return;
        }
        let Some(counted) = envelope::open(&line) else { return };
        let stamp = repetition.envelope().map_or(counted.stamp, |count| count.stamp);
        let header = LineHeader {
            time: self.time(counted.host, stamp, input, start),
            server: counted.host.map(clean),
            program: clean(counted.program),
            pid: counted.pid,
            repeated: repetition.times,
            pos: input.pos_of_line(start),
        };
        self.stats.candidates += 1;
        if let Err(why) = self.message(header, counted.message, out) {
            self.reject(&line, input, start, why);
        }
    }
}

const REST_IS_MISSING: &str = "the last part of the line is missing";
