//! What the cursor remembers of a log's files, and how it knows them again.
//!
//! A generation is the content that a log had between two rotations, whatever file holds it now. It is recognized by hashes
//! of its first bytes and of those just before the position that was reached, over decompressed bytes; so renaming,
//! compression and the reuse of inode numbers change nothing.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::Context;
use mls_cli::cursor_file::{CursorFile, WINDOW, sha256};
use mls_cli::{Exit, OrExit};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::siblings::{Seen, Sibling};
use crate::unpack::Unpacked;

/// The cursor that `mls-tail` commits through the sink.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    /// By absolute path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) logs: BTreeMap<String, Log>,
    /// The journal's own cursor (`journalctl --cursor`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) journal: Option<String>,
}

impl Cursor {
    /// The cursor in a cursor file; that of the beginning where there is none.
    pub(crate) fn committed(file: Option<&CursorFile>) -> anyhow::Result<Self> {
        match file.map(|file| &file.cursor) {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(value) => Self::deserialize(value)
                .context("the cursor was not written by mls-tail, or by a later version of it")
                .or_exit(Exit::Config),
        }
    }
}

/// What is remembered of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Log {
    /// In the order in which they were first read.
    pub(crate) generations: Vec<Known>,
    /// Files that could not be read and were warned of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unreadable: Vec<Seen>,
}

/// A generation and how far it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// Its name in segments and in `pos`: from a hash of its first line, and a number where two begin with the same.
    pub(crate) generation: String,
    /// So many (decompressed) bytes were read; what comes next begins a line.
    pub(crate) offset: u64,
    /// SHA-256 of its first bytes: [`WINDOW`] of them, or `offset` if that is less.
    head_sha256: String,
    /// SHA-256 of as many bytes just before `offset`.
    tail_sha256: String,
    /// The file as it looked then.
    pub(crate) file: Seen,
    /// All whole lines of that file were read.
    pub(crate) read: bool,
    /// It had been rotated: nothing is lost when it goes.
    pub(crate) rotated: bool,
    /// No file holds it any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) gone: bool,
}

/// So many generations are remembered after their files have gone, in case one comes back.
const GONE_REMEMBERED: usize = 64;

impl Log {
    /// A generation that begins with `first`, not read yet.
    pub(crate) fn begin(&mut self, first: &[u8], sibling: &Sibling) -> usize {
        let line = first.split(|b| *b == b'\n').next().unwrap_or_default();
        let mut generation = sha256(line);
        generation.truncate(16);
        let alike = self.generations.iter().filter(|known| known.generation.starts_with(&generation)).count();
        if alike > 0 {
            generation = format!("{generation}-{}", alike + 1);
        }
        self.generations.push(Known {
            generation,
            offset: 0,
            head_sha256: sha256(b""),
            tail_sha256: sha256(b""),
            file: sibling.seen.clone(),
            read: false,
            rotated: sibling.rotated,
            gone: false,
        });
        self.generations.len() - 1
    }

    /// Forgets the oldest of the generations that have gone, and those of which nothing was read.
    pub(crate) fn forget(&mut self) {
        self.generations.retain(|known| known.offset > 0);
        let mut surplus = self.generations.iter().filter(|known| known.gone).count().saturating_sub(GONE_REMEMBERED);
        self.generations.retain(|known| {
            let forget = known.gone && surplus > 0;
            surplus -= usize::from(forget);
            !forget
        });
    }
}

impl Known {
    /// Whether `sibling` looks as it did when all of it was read.
    pub(crate) fn nothing_new(&self, sibling: &Sibling) -> bool {
        self.read && self.file == sibling.seen
    }

    /// Whether `sibling` holds this generation.
    pub(crate) fn is_in(&self, sibling: &Sibling) -> io::Result<bool> {
        let window = self.offset.min(WINDOW);
        if !sibling.compressed {
            return Ok(sibling.seen.size >= self.offset
                && self.head_sha256 == sha256(&read_at(sibling, 0, window)?)
                && self.tail_sha256 == sha256(&read_at(sibling, self.offset - window, window)?));
        }
        let mut unpacked = Unpacked::open(&sibling.file)?;
        Ok(unpacked.skip_to(window)?
            && self.head_sha256 == sha256(unpacked.window())
            && unpacked.skip_to(self.offset)?
            && self.tail_sha256 == sha256(unpacked.window()))
    }

    /// Moves to `offset`. `head` and `tail` are as many bytes as [`WINDOW`] says at the beginning and before `offset`.
    pub(crate) fn advance(&mut self, offset: u64, head: &[u8], tail: &[u8]) {
        (self.offset, self.head_sha256, self.tail_sha256) = (offset, sha256(head), sha256(tail));
    }
}

/// `length` bytes of a file that is not compressed, fewer if it has become shorter.
pub(crate) fn read_at(sibling: &Sibling, offset: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    let mut have = 0;
    while have < bytes.len() {
        match sibling.file.read_at(&mut bytes[have..], offset + have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}

/// The first bytes of a file, decompressed.
pub(crate) fn head(sibling: &Sibling) -> io::Result<Vec<u8>> {
    if sibling.compressed {
        Ok(Unpacked::open(&sibling.file)?.peek(WINDOW)?.to_vec())
    } else {
        read_at(sibling, 0, WINDOW)
    }
}

/// Which generation each file holds; a file that is to be left out has gone from `files`.
///
/// Two files may hold the same: copytruncate copies the log before it truncates it. And two logs may begin alike: then the
/// older file is the generation that was read.
pub(crate) fn recognize(files: &mut Vec<Sibling>, known: &[Known]) -> io::Result<Vec<Option<usize>>> {
    leave_out_copies(files)?;
    let mut held = vec![None; files.len()];
    let mut taken = vec![false; known.len()];
    for (file, held) in files.iter().zip(&mut held) {
        *held = (0..known.len()).find(|k| !taken[*k] && known[*k].nothing_new(file));
        if let Some(k) = *held {
            taken[k] = true;
        }
    }
    // The one that was read furthest is the most particular.
    let mut order: Vec<usize> = (0..known.len()).collect();
    order.sort_by_key(|k| std::cmp::Reverse(known[*k].offset));
    for (file, held) in files.iter().zip(&mut held).filter(|(_, held)| held.is_none()) {
        for k in &order {
            if !taken[*k] && known[*k].is_in(file)? {
                *held = Some(*k);
                taken[*k] = true;
                break;
            }
        }
    }
    Ok(held)
}

/// Leaves out rotated files that are, so far, nothing but a copy of the log's beginning: copytruncate is at work.
fn leave_out_copies(files: &mut Vec<Sibling>) -> io::Result<()> {
    let Some(live) = files.pop_if(|file| !file.rotated) else { return Ok(()) };
    let mut kept = Vec::with_capacity(files.len() + 1);
    for file in files.drain(..) {
        if file.seen.same_file(&live.seen) || is_prefix(&file, &live)? {
            continue;
        }
        kept.push(file);
    }
    kept.push(live);
    *files = kept;
    Ok(())
}

fn is_prefix(part: &Sibling, whole: &Sibling) -> io::Result<bool> {
    const STEP: u64 = 256 * 1024;
    if part.compressed || whole.compressed || part.seen.size == 0 || part.seen.size > whole.seen.size {
        return Ok(false);
    }
    let (mut offset, mut step) = (0, WINDOW);
    while offset < part.seen.size {
        let length = step.min(part.seen.size - offset);
        if read_at(part, offset, length)? != read_at(whole, offset, length)? {
            return Ok(false);
        }
        (offset, step) = (offset + length, STEP);
    }
    Ok(true)
}
