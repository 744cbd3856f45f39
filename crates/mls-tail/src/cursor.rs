//! The cursor: what is remembered of each log.
//!
//! A generation is the content that a log had between two rotations, whatever file holds it now. It
//! is recognized by hashes of its first bytes and of those just before the position that was
//! reached, over decompressed bytes; so renaming, compression, another directory and the reuse of
//! inode numbers change nothing.

use std::collections::BTreeMap;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_rotation::{ChainFile, FileStat};
use mls_state::cursor_file::{CursorFile, sha256};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The cursor that `mls-tail` commits through the sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    /// By absolute path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) logs: BTreeMap<String, LogState>,
    /// The journal's own cursor (`journalctl --cursor`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) journal: Option<String>,
    /// The journal has no such entry any more, which was reported.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) journal_gone: bool,
    /// The position of the Python original, until it is known which file it belongs to (`legacy.rs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) legacy: Option<u64>,
}

impl Cursor {
    /// The cursor in a cursor file; that of the beginning if there is none.
    pub(crate) fn committed(file: Option<&CursorFile>) -> anyhow::Result<Self> {
        match file.map(|file| &file.cursor) {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Number(offset)) => Ok(Self { legacy: offset.as_u64(), ..Self::default() }),
            Some(value) => Self::deserialize(value)
                .context("the cursor was not written by mls-tail, or by a later version of it")
                .or_exit(Exit::Config),
        }
    }

    /// The same without what nobody needs any more.
    pub(crate) fn forget(&mut self) {
        self.logs.values_mut().for_each(LogState::forget);
        self.logs.retain(|_, log| !log.generations.is_empty() || !log.unsupported.is_empty());
    }
}

/// What is remembered of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogState {
    /// In the order in which they were first read.
    pub(crate) generations: Vec<Generation>,
    /// The last lines that were read: a line that counts repetitions may follow.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) last_lines: String,
    /// Files that cannot be decompressed here, which was reported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unsupported: Vec<FileStat>,
}

/// A generation and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each says something that the others do not")]
pub(crate) struct Generation {
    /// Its name in segments and in `pos`: from a hash of its first line, and a number if two begin
    /// with the same line.
    #[serde(rename = "generation")]
    pub(crate) name: String,
    /// So many (decompressed) bytes were read; the next one begins a line.
    pub(crate) offset: u64,
    /// A hash of its first bytes: [`WINDOW`](mls_state::cursor_file::WINDOW) of them, or `offset`
    /// if that is less.
    pub(crate) head: String,
    /// A hash of as many bytes just before `offset`.
    pub(crate) tail: String,
    /// Hashes at places before `offset`, only for the log itself. They identify a copy of its
    /// beginning that copytruncate made before the last lines were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) marks: Vec<(u64, String)>,
    /// The file as it looked then.
    pub(crate) file: FileStat,
    /// All whole lines of that file were read.
    #[serde(rename = "read")]
    pub(crate) is_read: bool,
    /// It had been rotated: nothing is lost when it is removed, except half a line.
    #[serde(rename = "rotated")]
    pub(crate) is_rotated: bool,
    /// It ended in half a line, which was not read.
    #[serde(default, rename = "half", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) has_half_line: bool,
    /// No file holds it any more.
    #[serde(default, rename = "gone", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_gone: bool,
}

/// So many generations are remembered after their files were removed, in case one comes back.
const GONE_REMEMBERED: usize = 64;

impl LogState {
    /// Adds a generation that begins with `first`, of which nothing was read; returns its index.
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

    /// Adds a generation, with a number after its name if another one has that name; returns its index.
    pub(crate) fn add(&mut self, mut generation: Generation) -> usize {
        let name = generation.name.clone();
        let numbered = (2_u64..).map(|n| format!("{name}-{n}"));
        let is_free = |name: &String| !self.generations.iter().any(|known| known.name == *name);
        generation.name =
            std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or_default();
        self.generations.push(generation);
        self.generations.len() - 1
    }

    /// Forgets the oldest of the generations whose files were removed, and those of which nothing
    /// was read yet.
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

/// Enough of a SHA-256 to tell files apart, in hexadecimal.
pub(crate) fn hash(bytes: &[u8]) -> String {
    let mut hash = sha256(bytes);
    hash.truncate(32);
    hash
}
