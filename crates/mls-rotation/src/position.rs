//! Positions in a chain. They are found again by content, even after the files were renamed.

use std::io;

use mls_state::cursor_file::Fingerprint;
use serde::{Deserialize, Serialize};

use crate::Chain;

/// A position that can be stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The fingerprint of all bytes before the position, in the same file.
    #[serde(flatten)]
    pub prefix: Fingerprint,
    /// `Some` if at most one line comes before the position, because one line does not identify a
    /// file. The value is the fingerprint of the newest older file with more than one line. If no
    /// older file has more, the value is [`Fingerprint::empty`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Fingerprint>,
}

/// A position in an open chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Index in [`Chain::files`].
    pub file: usize,
    /// The number of decompressed bytes in this file before the point.
    pub offset: u64,
}

impl Chain {
    /// Returns the position after the last whole line; `None` if the chain is empty.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn end(&self) -> io::Result<Option<Position>> {
        let Some((newest, _)) = self.files.split_last() else { return Ok(None) };
        let prefix = newest.last_line_end()?;
        self.position_after(self.files.len() - 1, prefix).map(Some)
    }

    /// Returns the position of a point. The point must be the beginning of a line.
    ///
    /// # Errors
    /// Any I/O error; [`io::ErrorKind::UnexpectedEof`] if the file is shorter.
    pub fn position(&self, point: Point) -> io::Result<Position> {
        let prefix = self.files[point.file].prefix(point.offset)?;
        self.position_after(point.file, prefix)
    }

    fn position_after(&self, file: usize, prefix: Fingerprint) -> io::Result<Position> {
        if self.files[file].has_rows(prefix.length)? {
            return Ok(Position { prefix, after: None });
        }
        let mut after = Fingerprint::empty();
        for file in self.files[..file].iter().rev() {
            let end = file.last_line_end()?;
            if file.has_rows(end.length)? {
                after = end;
                break;
            }
        }
        Ok(Position { prefix, after: Some(after) })
    }

    /// Returns where `position` is now; `None` if no file has the bytes that identify the position.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn find(&self, position: &Position) -> io::Result<Option<Point>> {
        let Some(after) = &position.after else {
            let file = self.newest_with_prefix(&position.prefix)?;
            return Ok(file.map(|file| Point { file, offset: position.prefix.length }));
        };
        let first = if after.length == 0 {
            0
        } else {
            match self.newest_with_prefix(after)? {
                Some(file) => file + 1,
                None => return Ok(None),
            }
        };
        if let Some(file) = self.first_with_prefix(&position.prefix, first..self.files.len())? {
            return Ok(Some(Point { file, offset: position.prefix.length }));
        }
        Ok(if first < self.files.len() {
            Some(Point { file: first, offset: 0 })
        } else {
            first.checked_sub(1).map(|file| Point { file, offset: after.length })
        })
    }

    /// Returns the newest file that begins with `prefix`.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn newest_with_prefix(&self, prefix: &Fingerprint) -> io::Result<Option<usize>> {
        self.first_with_prefix(prefix, (0..self.files.len()).rev())
    }

    fn first_with_prefix(
        &self,
        prefix: &Fingerprint,
        files: impl Iterator<Item = usize>,
    ) -> io::Result<Option<usize>> {
        for n in files {
            if self.files[n].longest_prefix([prefix])?.is_some() {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// Returns the fingerprint of the whole lines of the newest file with rows; `None` if no file
    /// has rows.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn newest_rows(&self) -> io::Result<Option<Fingerprint>> {
        for file in self.files.iter().rev() {
            let end = file.last_line_end()?;
            if file.has_rows(end.length)? {
                return Ok(Some(end));
            }
        }
        Ok(None)
    }
}
