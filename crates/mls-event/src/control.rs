//! The control records of a framed stream. Their meaning stands in the crate's documentation.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// The `source` of segments that hold journal entries instead of log lines. Every other source is an absolute path.
pub const JOURNAL_SOURCE: &str = "journal";

/// The first record of a framed stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Sequence number of the committed cursor that the source started from; 0 where there was none.
    pub base: u64,
}

/// Announces `length` raw bytes, which follow the record's newline and end in a newline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment<'a> {
    /// Absolute path of the log as it was named to mls-tail, or [`JOURNAL_SOURCE`].
    pub source: String,
    /// Which of the log's files, present or rotated, by content: stable across renaming and compression.
    pub generation: String,
    /// Offset in that file of the first byte, in (decompressed) bytes.
    pub offset: u64,
    /// Raw bytes that follow, at least 1.
    pub length: u64,
    /// When the file was last written: no line in the segment is younger.
    #[serde(borrow)]
    pub mtime: Timestamp<'a>,
}

/// Something that should have been read could not be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// As in [`Segment`].
    pub source: String,
    /// As in [`Segment`], where the file is one that was seen before.
    pub generation: Option<String>,
    /// Where reading stopped, in (decompressed) bytes.
    pub offset: Option<u64>,
    /// What happened, for people.
    pub reason: String,
}

/// A barrier: `cursor` covers the data of all records before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The source's position. Sinks store it and do not look inside.
    pub cursor: serde_json::Value,
}

/// The last record of a framed stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {}
