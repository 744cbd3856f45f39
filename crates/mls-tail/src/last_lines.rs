//! The last lines that were read from a log. The cursor holds them if they are short. Long ones are
//! [parts](mls_event::is_part) of a line that has no end yet. The cursor holds only their length,
//! because many logs may end in such parts. The next run reads them from the log again.

use std::io::{self, Read};

use mls_event::{LONG_PARTS, MAX_BEFORE, MAX_PARTS_BEFORE, add_last_lines};
use mls_rotation::ChainFile;
use serde::{Deserialize, Serialize};

use crate::cursor::Generation;

/// The last lines of a log. In JSON they are a string, or a number if they are longer than
/// [`MAX_BEFORE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(crate) enum LastLines {
    /// Their text. Each invalid byte is `?`.
    Text(String),
    /// Their length in bytes. They are not read yet.
    Length(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    Length(usize),
}

impl From<Stored> for LastLines {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Text(text) if text.len() > MAX_BEFORE => Self::Length(text.len()),
            Stored::Text(text) => Self::Text(text),
            Stored::Length(length) => Self::Length(length),
        }
    }
}

impl From<LastLines> for Stored {
    fn from(lines: LastLines) -> Self {
        match lines {
            LastLines::Text(text) if text.len() > MAX_BEFORE => Self::Length(text.len()),
            LastLines::Text(text) => Self::Text(text),
            LastLines::Length(length) => Self::Length(length),
        }
    }
}

impl Default for LastLines {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl LastLines {
    pub(crate) fn is_empty(&self) -> bool {
        self.text().is_some_and(str::is_empty)
    }

    /// `None` if they are not read yet.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Length(_) => None,
        }
    }

    /// Replaces them.
    pub(crate) fn set(&mut self, lines: &[u8]) {
        // The length of the lines counts, so each invalid byte stays one byte.
        let valid = lines.utf8_chunks();
        let text = valid
            .flat_map(|chunk| [chunk.valid().to_owned(), "?".repeat(chunk.invalid().len())])
            .collect();
        *self = Self::Text(text);
    }

    /// Adds lines that were read after them.
    pub(crate) fn add(&mut self, lines: &[u8]) {
        let mut last = self.text().unwrap_or_default().as_bytes().to_vec();
        add_last_lines(&mut last, lines);
        self.set(&last);
    }

    /// Reads them again if only their length is known. `files` holds the files of the log, oldest
    /// first, each with its generation if it was read before. Returns whether the lines are there.
    pub(crate) fn restore<'a>(
        &mut self,
        files: impl DoubleEndedIterator<Item = (&'a ChainFile, &'a Generation)>,
    ) -> io::Result<bool> {
        let Self::Length(length) = *self else { return Ok(true) };
        let mut lines = Vec::new();
        if length <= MAX_PARTS_BEFORE {
            for (file, generation) in files.rev() {
                let left = (length - lines.len()) as u64;
                let begin = generation.offset.saturating_sub(left);
                let mut bytes = Vec::new();
                file.reader(begin, generation.offset)?.read_to_end(&mut bytes)?;
                // The last line of a compressed file was given the newline that it lacks.
                if bytes.last().is_some_and(|byte| *byte != b'\n') {
                    bytes.push(b'\n');
                }
                bytes.drain(..bytes.len().saturating_sub(length - lines.len()));
                bytes.append(&mut lines);
                lines = bytes;
            }
        }
        let is_there = lines.len() == length;
        // If they are missing, the rest of the line must not be read as a line.
        self.set(if is_there { &lines } else { LONG_PARTS });
        Ok(is_there)
    }
}
