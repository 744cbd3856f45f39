//! The cursor: the state of each log between runs.
//!
//! A generation is the content of a log between two rotations. A rotation moves it to another file,
//! such as `mail.log.1`. mls-tail recognizes a generation by two hashes of decompressed bytes: a
//! hash of the first bytes, and a hash of the bytes before the position. So a renamed, compressed
//! or moved file is recognized, even if another file has its inode number now.

use std::collections::BTreeMap;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_rotation::{ChainFile, FileStat};
use mls_state::cursor_file::{CursorFile, sha256};

use crate::last_lines::LastLines;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The saved position. With `--framed`, the sink (such as mls-csv) saves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    /// The state of each log. The keys are the absolute paths of the logs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) logs: BTreeMap<String, LogState>,
    /// The cursor of the last entry that was read (`journalctl --cursor`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) journal: Option<String>,
    /// Whether the journal no longer has the entry of `journal`, and a `gap` record was written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) journal_gone: bool,
    /// The position of the Python original, until mls-tail knows its file (`legacy.rs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) legacy: Option<u64>,
}

impl Cursor {
    /// The cursor in `file`. Without a file, and for `null`, an empty cursor.
    pub(crate) fn committed(file: Option<&CursorFile>) -> anyhow::Result<Self> {
        match file.map(|file| &file.cursor) {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Number(offset)) => Ok(Self { legacy: offset.as_u64(), ..Self::default() }),
            Some(value) => Self::deserialize(value)
                .context(
                    "mls-tail cannot use the cursor; another tool or a later version wrote it, or \
                     it is damaged; restore it from a backup, or move it away",
                )
                .or_exit(Exit::Config),
        }
    }

    pub(crate) fn forget(&mut self) {
        self.logs.values_mut().for_each(LogState::forget);
        self.logs.retain(|_, log| !log.generations.is_empty() || !log.unsupported.is_empty());
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogState {
    /// The generations of the log, in the order in which they were first read.
    pub(crate) generations: Vec<Generation>,
    /// The last lines that were read. The next line may count them (`message repeated 2 times`), or
    /// continue a line of a container.
    #[serde(default, skip_serializing_if = "LastLines::is_empty")]
    pub(crate) last_lines: LastLines,
    /// Files with an unsupported compression. Each of them was already reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unsupported: Vec<FileStat>,
}

/// A generation, and the position up to which it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is independent of the others")]
pub(crate) struct Generation {
    /// The name of the generation in segments and in `pos`: a hash of its first line. If several
    /// generations begin with the same line, a number follows: `-2`.
    #[serde(rename = "generation")]
    pub(crate) name: String,
    /// The number of decompressed bytes that were read, up to the beginning of a line.
    pub(crate) offset: u64,
    /// A hash of the first [`WINDOW`](mls_state::cursor_file::WINDOW) bytes of the generation. If
    /// `offset` is smaller, a hash of the first `offset` bytes.
    pub(crate) head: String,
    /// A hash of the bytes just before `offset`, as many as for `head`.
    pub(crate) tail: String,
    /// Some smaller offsets, each with a hash of the bytes just before it. Only the log itself has
    /// marks. They identify a copy that copytruncate made before the last lines were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) marks: Vec<(u64, String)>,
    /// The metadata of the file at the last read.
    pub(crate) file: FileStat,
    /// All whole lines of the file were read.
    #[serde(rename = "read")]
    pub(crate) is_read: bool,
    /// At the last read, the file was already a rotated file. If all its lines were read, its
    /// removal is not a gap.
    #[serde(rename = "rotated")]
    pub(crate) is_rotated: bool,
    /// The file ended in half a line, which was not read.
    #[serde(default, rename = "half", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) has_half_line: bool,
    /// No file contains this generation any more.
    #[serde(default, rename = "gone", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_gone: bool,
}

/// The cursor remembers at most this many generations without a file, because a removed file may
/// come back.
const GONE_REMEMBERED: usize = 64;

impl LogState {
    /// Adds a generation that is not read yet; returns its index. `first` has its first bytes.
    pub(crate) fn begin(&mut self, first: &[u8], file: &ChainFile) -> usize {
        let line = first.split(|b| *b == b'\n').next().unwrap_or_default();
        let mut name = sha256(line);
        name.truncate(16);
        self.add(Generation {
            name,
            offset: 0,
            head: hash(b""),
            tail: hash(b""),
            marks: Vec::new(),
            file: file.stat.clone(),
            is_read: false,
            is_rotated: file.is_rotated,
            has_half_line: false,
            is_gone: false,
        })
    }

    /// Adds a generation and returns its index. If another generation already has this name, adds a
    /// number such as `-2` to the name.
    pub(crate) fn add(&mut self, mut generation: Generation) -> usize {
        let name = generation.name.clone();
        let numbered = (2_u64..).map(|n| format!("{name}-{n}"));
        let is_free = |name: &String| !self.generations.iter().any(|known| known.name == *name);
        generation.name =
            std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or_default();
        self.generations.push(generation);
        self.generations.len() - 1
    }

    /// Forgets generations that were not read yet. Of the generations whose files were removed,
    /// keeps only the newest [`GONE_REMEMBERED`].
    fn forget(&mut self) {
        self.generations.retain(|known| {
            known.offset > 0 || (known.is_read && known.is_rotated && !known.is_gone)
        });
        let mut surplus = self
            .generations
            .iter()
            .filter(|known| known.is_gone)
            .count()
            .saturating_sub(GONE_REMEMBERED);
        self.generations.retain(|known| {
            let forget = known.is_gone && surplus > 0;
            surplus -= usize::from(forget);
            !forget
        });
    }
}

/// The first half of a SHA-256 in hexadecimal, which is enough to distinguish files.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let mut hash = sha256(bytes);
    hash.truncate(32);
    hash
}
