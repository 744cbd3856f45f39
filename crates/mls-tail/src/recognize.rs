//! Finds the generation that each file holds.

use std::cmp::Reverse;
use std::io;
use std::ops::ControlFlow;

use mls_rotation::ChainFile;
use mls_state::cursor_file::WINDOW;

use crate::cursor::{Generation, hash};

impl Generation {
    /// Whether `file` has not changed since all of it was read.
    pub(crate) fn has_nothing_new_in(&self, file: &ChainFile) -> bool {
        self.is_read && self.file == file.stat
    }

    /// Whether `file` holds this generation, at least up to the position.
    pub(crate) fn is_in(&self, file: &ChainFile) -> io::Result<bool> {
        if self.offset == 0 {
            return Ok(false);
        }
        let mut matched = 0;
        file.windows([self.offset.min(WINDOW), self.offset], |_, window| {
            let expected = if matched == 0 { &self.head } else { &self.tail };
            if hash(window) != *expected {
                return ControlFlow::Break(());
            }
            matched += 1;
            ControlFlow::Continue(())
        })?;
        Ok(matched == 2)
    }

    /// Whether `file` is a copy of the beginning of this generation. All lines of such a copy were
    /// read.
    fn begins_like(&self, file: &ChainFile) -> io::Result<bool> {
        if !file.is_rotated || self.marks.is_empty() {
            return Ok(false);
        }
        if file.compression.is_some() {
            return self.unpacks_to_a_beginning(file);
        }
        let size = file.stat.size;
        let mark = self.marks.iter().take_while(|(offset, _)| *offset <= size).last();
        let Some((offset, tail)) = mark.filter(|_| size < self.offset) else { return Ok(false) };
        let window = WINDOW.min(*offset);
        Ok(*tail == hash(&file.read_at(offset - window, window)?))
    }

    fn unpacks_to_a_beginning(&self, file: &ChainFile) -> io::Result<bool> {
        let mut is_like = false;
        let mut lines = file.lines()?;
        for (offset, tail) in &self.marks {
            if !lines.skip_to(*offset)? {
                return Ok(is_like && lines.damage().is_none());
            }
            is_like = *tail == hash(lines.window());
            if !is_like {
                return Ok(false);
            }
        }
        Ok(is_like && !lines.skip_to(self.offset)? && lines.damage().is_none())
    }

    /// Moves to `offset`. `head` is the first bytes of the generation, and `tail` the bytes before
    /// `offset`, up to [`WINDOW`] each.
    pub(crate) fn advance(&mut self, offset: u64, head: &[u8], tail: &[u8]) {
        (self.offset, self.head, self.tail) = (offset, hash(head), hash(tail));
        self.marks.clear();
    }

    /// Sets `marks`: hashes at many offsets before the position. Near the position and near the
    /// beginning, these offsets are close together.
    pub(crate) fn mark(&mut self, file: &ChainFile) -> io::Result<()> {
        let distances =
            (6..u64::BITS).map(|bit| 1 << bit).take_while(|distance| *distance < self.offset);
        let mut places: Vec<u64> =
            distances.flat_map(|distance| [distance, self.offset - distance]).collect();
        places.sort_unstable();
        places.dedup();
        self.marks.clear();
        file.windows(places, |offset, window| {
            self.marks.push((offset, hash(window)));
            ControlFlow::Continue(())
        })
    }
}

type Test = fn(&Generation, &ChainFile) -> io::Result<bool>;

/// Returns, for each file, the index of the generation that it holds.
///
/// copytruncate first copies the log, then truncates it. Meanwhile, two files contain the same
/// generation. Two logs may also begin with the same bytes. In both cases, the older file gets the
/// generation.
pub(crate) fn recognize(
    files: &[&ChainFile],
    known: &[Generation],
) -> io::Result<Vec<Option<usize>>> {
    let mut held = vec![None; files.len()];
    let mut is_taken = vec![false; known.len()];
    // Try the generation with the largest offset first, because it identifies a file best.
    let mut order: Vec<usize> = (0..known.len()).collect();
    order.sort_by_key(|k| Reverse(known[*k].offset));
    // `begins_like` is last because it is the weakest test: it accepts a copy of the log that lacks
    // the last lines that were read.
    let tests: [Test; 3] = [
        |known, file| Ok(known.has_nothing_new_in(file)),
        Generation::is_in,
        Generation::begins_like,
    ];
    for test in tests {
        for (file, held) in files.iter().zip(&mut held).filter(|(_, held)| held.is_none()) {
            for k in &order {
                if !is_taken[*k] && test(&known[*k], file)? {
                    (*held, is_taken[*k]) = (Some(*k), true);
                    break;
                }
            }
        }
    }
    Ok(held)
}
