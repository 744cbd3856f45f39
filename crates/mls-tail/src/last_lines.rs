//! The last lines that were read from a log. The cursor holds them if they are short. Long ones are
//! parts of a line that has no end yet. The cursor holds only their stream and their length, because
//! many logs may end in such parts. The next run reads them from the log again.

use std::io::{self, Read};

use mls_event::{ContainerStream, MAX_BEFORE, MAX_PARTS_BEFORE, add_last_lines};
use mls_rotation::ChainFile;
use serde::{Deserialize, Serialize};

use crate::cursor::Generation;

/// The last lines of a log. In JSON they are a string, or an object if they are longer than
/// [`MAX_BEFORE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(crate) enum LastLines {
    /// Their text. Each invalid byte is `?`.
    Text(String),
    /// Parts of a line of this stream, and their length in bytes. They are not read yet.
    Parts { stream: ContainerStream, length: usize },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Text(String),
    /// Older cursors have only the length.
    Length(usize),
    Parts {
        stream: ContainerStream,
        length: usize,
    },
}

impl From<Stored> for LastLines {
    fn from(stored: Stored) -> Self {
        match stored {
            Stored::Text(text) => Self::of_text(text),
            Stored::Length(length) => Self::Parts { stream: ContainerStream::Stdout, length },
            Stored::Parts { stream, length } => Self::Parts { stream, length },
        }
    }
}

impl From<LastLines> for Stored {
    fn from(lines: LastLines) -> Self {
        let lines =
            if let LastLines::Text(text) = lines { LastLines::of_text(text) } else { lines };
        match lines {
            LastLines::Text(text) => Self::Text(text),
            LastLines::Parts { stream, length } => Self::Parts { stream, length },
        }
    }
}

impl Default for LastLines {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl LastLines {
    /// What the cursor holds of them.
    fn of_text(text: String) -> Self {
        let last = text.trim_end_matches('\n').rsplit('\n').next().unwrap_or_default();
        match ContainerStream::of_part(last.as_bytes()) {
            Some(stream) if text.len() > MAX_BEFORE => Self::Parts { stream, length: text.len() },
            _ => Self::Text(text),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text().is_some_and(str::is_empty)
    }

    /// `None` if they are not read yet.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Parts { .. } => None,
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

    /// Reads them again if only their stream and their length are known. `files` holds the files of the log, oldest
    /// first, each with its generation if it was read before. Returns whether the lines are there.
    pub(crate) fn restore<'a>(
        &mut self,
        files: impl DoubleEndedIterator<Item = (&'a ChainFile, &'a Generation)>,
    ) -> io::Result<bool> {
        let Self::Parts { stream, length } = *self else { return Ok(true) };
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
        self.set(if is_there { &lines } else { stream.long_parts() });
        Ok(is_there)
    }
}
