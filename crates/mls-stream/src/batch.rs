//! Blocks that were read together, each with its position.

use std::ops::Range;

use mls_event::{Segment, add_last_lines};

/// A part of the input: lines or a record.
#[derive(Debug)]
pub enum Block<'a> {
    /// Whole lines with their newlines. Only the last line of a plain stream may lack its newline.
    /// A line that is too long becomes a block without bytes.
    Lines(&'a [u8], BlockPosition<'a>),
    /// A record to pass on unchanged, without its newline.
    Record(&'a [u8]),
}

/// Where a block begins.
#[derive(Clone, Copy, Debug)]
pub struct BlockPosition<'a> {
    /// The segment of the block; `None` in a plain stream.
    pub segment: Option<&'a Segment<'static>>,
    /// Offset of the block's first byte in the segment's file, or in the plain stream.
    pub offset: u64,
    /// The last lines before the block, as in [`Segment`].
    pub before: &'a [u8],
}

/// Blocks that were read together. The caller gives the batch back for the next read, so that its
/// memory is reused.
#[derive(Debug, Default)]
pub struct Batch {
    /// The buffer keeps its length. The next read overwrites the bytes, so clearing them first
    /// would only cost time.
    pub(crate) buffer: Vec<u8>,
    parts: Vec<BatchPart>,
    segments: Vec<Segment<'static>>,
    /// The last lines before each block, one after the other.
    before: Vec<u8>,
}

#[derive(Debug)]
enum BatchPart {
    Lines { range: Range<usize>, offset: u64, segment: Option<usize>, before: Range<usize> },
    Record(Range<usize>),
}

impl Batch {
    /// The blocks, in the order of the input.
    pub fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        self.parts.iter().map(|part| match part {
            BatchPart::Lines { range, offset, segment, before } => {
                let place = BlockPosition {
                    segment: segment.map(|segment| &self.segments[segment]),
                    offset: *offset,
                    before: &self.before[before.clone()],
                };
                Block::Lines(&self.buffer[range.clone()], place)
            }
            BatchPart::Record(range) => Block::Record(&self.buffer[range.clone()]),
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.segments.clear();
        self.before.clear();
    }

    pub(crate) fn add_record(&mut self, range: Range<usize>) {
        self.parts.push(BatchPart::Record(range));
    }

    /// Adds lines that begin at `offset`. If `in_segment` is true, they belong to the newest
    /// segment. `last` has the last lines before `offset`; the new lines are added to `last`.
    pub(crate) fn add_lines(
        &mut self,
        range: Range<usize>,
        offset: u64,
        in_segment: bool,
        last: &mut Vec<u8>,
    ) {
        let segment = self.segments.len().checked_sub(1).filter(|_| in_segment);
        let start = self.before.len();
        self.before.extend_from_slice(last);
        add_last_lines(last, &self.buffer[range.clone()]);
        let before = start..self.before.len();
        self.parts.push(BatchPart::Lines { range, offset, segment, before });
    }

    pub(crate) fn add_segment(&mut self, segment: Segment<'static>) {
        self.segments.push(segment);
    }
}
