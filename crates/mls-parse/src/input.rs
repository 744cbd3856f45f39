//! A block of lines, with the position and the time of each line.

use mls_event::{JOURNAL_SOURCE, Timestamp};
use mls_stream::blocks::BlockPosition;

use crate::clock::{Clock, LastHour};
use crate::journal::JournalEntry;
use crate::stamp;

/// A block of lines, the position of the block, and the clock that reads its stamps.
#[derive(Clone, Copy)]
pub(crate) struct BlockInput<'a> {
    pub(crate) lines: &'a [u8],
    pub(crate) place: BlockPosition<'a>,
    pub(crate) clock: Clock,
    /// Whether the time of the lines is unknown, so the clock uses the current time.
    pub(crate) is_time_assumed: bool,
}

impl BlockInput<'_> {
    /// The identity of the line that begins at `start`: `GENERATION:OFFSET`.
    pub(crate) fn pos(&self, start: usize) -> Option<String> {
        let offset = self.place.offset + start as u64;
        self.place.segment.map(|segment| format!("{}:{offset}", segment.generation))
    }

    pub(crate) fn time<'s>(
        &self,
        last: &mut LastHour,
        stamp: Option<&'s [u8]>,
        start: usize,
    ) -> Option<LineTime<'s>> {
        let (stamp, offset) = (stamp?, self.place.offset + start as u64);
        let assumed_at = (self.is_time_assumed && !stamp::has_year(stamp)).then_some(offset);
        Some(LineTime { date: self.clock.read_after(last, stamp)?, assumed_at })
    }

    /// The identity of the line at `start`; for an entry of the journal, from its cursor.
    pub(crate) fn pos_of_line(&self, start: usize) -> Option<String> {
        if self.place.segment.is_none_or(|segment| segment.source != JOURNAL_SOURCE) {
            return self.pos(start);
        }
        JournalEntry::parse(&self.lines[start..self.line_end(start)])?.pos()
    }

    /// The offset of the end of the line that contains `from`.
    pub(crate) fn line_end(&self, from: usize) -> usize {
        memchr::memchr(b'\n', &self.lines[from..]).map_or(self.lines.len(), |n| from + n)
    }
}

pub(crate) struct LineTime<'a> {
    pub(crate) date: Timestamp<'a>,
    /// The offset of the line, if its year is only assumed.
    pub(crate) assumed_at: Option<u64>,
}
