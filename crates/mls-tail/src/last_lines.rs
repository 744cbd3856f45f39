//! The last lines that were read from a log. If the text is short, the cursor contains it. A long
//! text is rare: it needs a line of a container that waits for its last part. But many logs may end
//! in such lines. So the cursor contains only the length, and the next run reads the text again.

use std::io::{self, Read};

use mls_event::{
    ContainerStream, MAX_BEFORE, MAX_PARTS_BEFORE, add_last_lines, add_skipped, lost_lines,
    without_long_parts,
};
use mls_rotation::ChainFile;
use serde::{Deserialize, Serialize};

use crate::cursor::Generation;

/// The last lines of a log. In JSON, they are a string. If they are longer than [`MAX_BEFORE`],
/// they are an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredLines", into = "StoredLines")]
pub(crate) enum LastLines {
    /// The text of the lines. Each invalid byte is `?`.
    Text(String),
    /// Longer lines. This run has not read their text from the log yet.
    Unread {
        /// The length of the lines in the log, in bytes.
        length: usize,
        /// [Lines](ContainerStream::long_parts) to write before the text. They are not in the log.
        long: String,
        /// The text to use if the lines are no longer in the log.
        lost: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum StoredLines {
    Text(String),
    Unread {
        length: usize,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        long: String,
        lost: String,
    },
}

impl From<StoredLines> for LastLines {
    fn from(stored: StoredLines) -> Self {
        match stored {
            StoredLines::Text(text) => Self::of_text(text),
            StoredLines::Unread { length, long, lost } => Self::Unread { length, long, lost },
        }
    }
}

impl From<LastLines> for StoredLines {
    fn from(lines: LastLines) -> Self {
        let lines =
            if let LastLines::Text(text) = lines { LastLines::of_text(text) } else { lines };
        match lines {
            LastLines::Text(text) => Self::Text(text),
            LastLines::Unread { length, long, lost } => Self::Unread { length, long, lost },
        }
    }
}

impl Default for LastLines {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl LastLines {
    /// Converts the lines to the form that the cursor stores.
    fn of_text(text: String) -> Self {
        let length = without_long_parts(text.as_bytes()).len();
        if length <= MAX_BEFORE {
            return Self::Text(text);
        }
        let long = text[..text.len() - length].to_owned();
        let lost = String::from_utf8_lossy(&lost_lines(text.as_bytes())).into_owned();
        Self::Unread { length, long, lost }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text().is_some_and(str::is_empty)
    }

    /// The text of the lines; `None` if it is not read yet.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Unread { .. } => None,
        }
    }

    pub(crate) fn set(&mut self, lines: &[u8]) {
        // The length in the log must stay the same, so each invalid byte becomes one `?`.
        let valid = lines.utf8_chunks();
        let text = valid
            .flat_map(|chunk| [chunk.valid().to_owned(), "?".repeat(chunk.invalid().len())])
            .collect();
        *self = Self::Text(text);
    }

    /// Adds the next lines that were read.
    pub(crate) fn add(&mut self, lines: &[u8]) {
        let mut last = self.text().unwrap_or_default().as_bytes().to_vec();
        add_last_lines(&mut last, lines);
        self.set(&last);
    }

    /// Records that a line was too long and was [skipped](add_skipped).
    pub(crate) fn skip(&mut self, line: Option<(ContainerStream, bool)>) {
        let mut last = self.text().unwrap_or_default().as_bytes().to_vec();
        add_skipped(&mut last, line);
        self.set(&last);
    }

    /// The caller must call this if newer lines are lost. Replaces the lines by [`lost_lines`].
    pub(crate) fn lose(&mut self) {
        match self {
            Self::Text(text) => {
                let lost = lost_lines(text.as_bytes());
                self.set(&lost);
            }
            // No file has lines of this length, so `restore` finds that they are lost.
            Self::Unread { length, .. } => *length = usize::MAX,
        }
    }

    /// If only the length of the lines is known, reads the lines again from `files`. These are the
    /// files of the log that were read before, newest first, each with its generation. Returns
    /// false if the lines are lost.
    pub(crate) fn restore<'a>(
        &mut self,
        files: impl Iterator<Item = (&'a ChainFile, &'a Generation)>,
    ) -> io::Result<bool> {
        let Self::Unread { length, long, lost } = self else { return Ok(true) };
        let length = *length;
        let mut lines = Vec::new();
        if length <= MAX_PARTS_BEFORE {
            for (file, generation) in files {
                let left = (length - lines.len()) as u64;
                let begin = generation.offset.saturating_sub(left);
                let mut bytes = Vec::new();
                file.reader(begin, generation.offset)?.read_to_end(&mut bytes)?;
                // If a compressed file ends without a newline, mls-tail adds a newline. So add it
                // here too.
                if bytes.last().is_some_and(|byte| *byte != b'\n') {
                    bytes.push(b'\n');
                }
                bytes.drain(..bytes.len().saturating_sub(length - lines.len()));
                bytes.append(&mut lines);
                lines = bytes;
            }
        }
        let is_there = lines.len() == length;
        // If the lines are missing, `lost` prevents mls-parse from reading the rest of a split line
        // as a whole line.
        let text =
            if is_there { [long.as_bytes(), &lines].concat() } else { lost.as_bytes().to_vec() };
        self.set(&text);
        Ok(is_there)
    }
}
