//! The control records of a framed stream. The crate's documentation describes their meaning.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The `source` of segments with journal entries. The `source` of other segments is the absolute
/// path of a log.
pub const JOURNAL_SOURCE: &str = "journal";

/// The first record of a framed stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Sequence number of the committed cursor that the source started from; 0 without a cursor.
    pub base: u64,
}

/// Announces raw bytes of a log: they follow the record's newline, and they end with a newline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment<'a> {
    /// Absolute path of the log as given to mls-tail, or [`JOURNAL_SOURCE`].
    pub source: String,
    /// Identifies one of the log's files, current or rotated, by its content. Renaming and
    /// compression do not change the generation.
    pub generation: String,
    /// Offset of the segment's first byte in the (decompressed) file.
    pub offset: u64,
    /// Number of raw bytes that follow, at least 1.
    pub length: u64,
    /// Time of the last change of the file, or the time in its gzip header if this time is earlier.
    /// No line of the segment is newer.
    #[serde(borrow)]
    pub mtime: Timestamp<'a>,
    /// The [last lines](crate::last_lines) before the segment; empty at the beginning of a log. The
    /// first line of the segment may need them: `last message repeated 3 times`, or the last part
    /// of a line of a container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub before: String,
}

/// Part of the source could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// As in [`Segment`].
    pub source: String,
    /// As in [`Segment`]; `None` if the file was not read before.
    pub generation: Option<String>,
    /// The offset at which reading stopped, in (decompressed) bytes.
    pub offset: Option<u64>,
    /// A description for human readers.
    pub reason: String,
}

/// A barrier: `cursor` covers the data of all earlier records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The position of the source. A sink stores it and does not interpret it.
    pub cursor: serde_json::Value,
}

/// The last record of a framed stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {}
