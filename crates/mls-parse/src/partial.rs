//! Lines that Kubernetes has cut: its Container Runtime Interface marks all parts of a line but the
//! last one with `P`, the last one with `F`. A container runtime cuts lines of 16 KiB, and what was
//! written without a newline.

use mls_event::MAX_BEFORE;

use crate::envelope::{CriText, cri};
use crate::stamp;

/// What the search looks for.
pub(crate) const WORDS: [&str; 2] = ["stdout P", "stderr P"];

/// Parts of one line, put together.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// The front of the first part and the texts of all.
    pub(crate) line: Vec<u8>,
    /// How many bytes of the log the parts take, with their newlines.
    length: usize,
}

impl Parts {
    /// Adds a part; `None` if the line is not one. Returns whether more must follow.
    pub(crate) fn add(&mut self, line: &[u8]) -> Option<bool> {
        let part = read(line)?;
        if self.line.is_empty() {
            self.line.extend_from_slice(&line[..line.len() - part.text.len()]);
        }
        self.line.extend_from_slice(part.text);
        self.length += line.len() + 1;
        Some(part.is_partial)
    }

    /// Whether the next block, which gets only the last lines of this one, cannot join them.
    pub(crate) fn are_lost_at_a_border(&self) -> bool {
        self.length > MAX_BEFORE
    }
}

/// Whether more of the line follows in the next one.
pub(crate) fn is_partial(line: &[u8]) -> bool {
    read(line).is_some_and(|part| part.is_partial)
}

fn read(line: &[u8]) -> Option<CriText<'_>> {
    cri(stamp::split(line)?.1)
}

/// The parts at the end of `lines` that wait for their last one.
pub(crate) fn unfinished(lines: &[u8]) -> Parts {
    let lines = lines.strip_suffix(b"\n").unwrap_or(lines);
    let mut waiting: Vec<&[u8]> =
        lines.rsplit(|byte| *byte == b'\n').take_while(|line| is_partial(line)).collect();
    waiting.reverse();
    let mut parts = Parts::default();
    for line in waiting {
        parts.add(line);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_line_that_was_written() {
        let mut parts = unfinished(b"2026-06-01T00:00:45Z stdout F x\n2026-06-01T00:00:45Z stdout P ab\n2026-06-01T00:00:46Z stdout P:x cd\n");
        assert_eq!(parts.add(b"2026-06-01T00:00:47Z stdout F ef"), Some(false));
        assert_eq!(parts.line, b"2026-06-01T00:00:45Z stdout P abcdef");
        assert!(unfinished(b"2026-06-01T00:00:45Z stdout F x\n").line.is_empty());
        assert!(unfinished(b"").line.is_empty());
    }
}
