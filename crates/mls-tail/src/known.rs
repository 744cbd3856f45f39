//! What the cursor remembers of a log's files, and how it knows them again.
//!
//! A generation is the content that a log had between two rotations, whatever file holds it now. It is recognized by hashes
//! of its first bytes and of those just before the position that was reached, over decompressed bytes; so renaming,
//! compression and the reuse of inode numbers change nothing.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::FileExt;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_state::cursor_file::{CursorFile, WINDOW, sha256};
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
    /// Its entry has gone, which was told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) journal_gone: bool,
    /// Where the Python original has left off, until it is known what that is a position in (`original.rs`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) original: Option<u64>,
}

impl Cursor {
    /// The cursor in a cursor file; that of the beginning where there is none.
    pub(crate) fn committed(file: Option<&CursorFile>) -> anyhow::Result<Self> {
        match file.map(|file| &file.cursor) {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Number(offset)) => {
                Ok(Self { original: offset.as_u64(), ..Self::default() })
            }
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
#[expect(clippy::struct_excessive_bools, reason = "each says something that the others do not")]
pub(crate) struct Known {
    /// Its name in segments and in `pos`: from a hash of its first line, and a number where two begin with the same.
    pub(crate) generation: String,
    /// So many (decompressed) bytes were read; what comes next begins a line.
    pub(crate) offset: u64,
    /// A hash of its first bytes: [`WINDOW`] of them, or `offset` if that is less.
    head: String,
    /// A hash of as many bytes just before `offset`.
    tail: String,
    /// The same for places before `offset`, of the log itself: by them a copy of its beginning is known, which copytruncate
    /// has made before the last lines were read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    marks: Vec<(u64, String)>,
    /// The file as it looked then.
    pub(crate) file: Seen,
    /// All whole lines of that file were read.
    pub(crate) read: bool,
    /// It had been rotated: nothing is lost when it goes, but for half a line.
    pub(crate) rotated: bool,
    /// It ended in half a line, which was not read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) half: bool,
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
        let mut name = sha256(line);
        name.truncate(16);
        let numbered = (2_u64..).map(|n| format!("{name}-{n}"));
        let free = |name: &String| !self.generations.iter().any(|known| known.generation == *name);
        let generation =
            std::iter::once(name.clone()).chain(numbered).find(free).unwrap_or_default();
        self.generations.push(Known {
            generation,
            offset: 0,
            head: hash(b""),
            tail: hash(b""),
            marks: Vec::new(),
            file: sibling.seen.clone(),
            read: false,
            rotated: sibling.rotated,
            half: false,
            gone: false,
        });
        self.generations.len() - 1
    }

    /// Forgets the oldest of the generations that have gone, and those of which nothing was read but may be.
    pub(crate) fn forget(&mut self) {
        self.generations
            .retain(|known| known.offset > 0 || (known.read && known.rotated && !known.gone));
        let mut surplus = self
            .generations
            .iter()
            .filter(|known| known.gone)
            .count()
            .saturating_sub(GONE_REMEMBERED);
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

    /// Whether `sibling` holds this generation, up to the position at least.
    pub(crate) fn is_in(&self, sibling: &Sibling) -> io::Result<bool> {
        let window = self.offset.min(WINDOW);
        if self.offset == 0 {
            return Ok(false);
        }
        if !sibling.compressed {
            return Ok(sibling.seen.size >= self.offset
                && self.head == hash(&read_at(sibling, 0, window)?)
                && self.tail == hash(&read_at(sibling, self.offset - window, window)?));
        }
        let mut unpacked = Unpacked::open(&sibling.file)?;
        Ok(unpacked.skip_to(window)?
            && self.head == hash(unpacked.window())
            && unpacked.skip_to(self.offset)?
            && self.tail == hash(unpacked.window()))
    }

    /// Whether `sibling` is a copy of the beginning of this generation, all of which was read.
    fn begins_like(&self, sibling: &Sibling) -> io::Result<bool> {
        if !sibling.rotated || self.marks.is_empty() {
            return Ok(false);
        }
        if !sibling.compressed {
            let mark =
                self.marks.iter().take_while(|(offset, _)| *offset <= sibling.seen.size).last();
            let Some((offset, tail)) = mark.filter(|_| sibling.seen.size < self.offset) else {
                return Ok(false);
            };
            let window = WINDOW.min(*offset);
            return Ok(*tail == hash(&read_at(sibling, offset - window, window)?));
        }
        let mut like = false;
        let mut unpacked = Unpacked::open(&sibling.file)?;
        for (offset, tail) in &self.marks {
            if !unpacked.skip_to(*offset)? {
                return Ok(like && unpacked.damage().is_none());
            }
            like = *tail == hash(unpacked.window());
            if !like {
                break;
            }
        }
        Ok(like && !unpacked.skip_to(self.offset)? && unpacked.damage().is_none())
    }

    /// Moves to `offset`, of which `head` and `tail` are the bytes that [`WINDOW`] says.
    pub(crate) fn advance(&mut self, offset: u64, head: &[u8], tail: &[u8]) {
        (self.offset, self.head, self.tail) = (offset, hash(head), hash(tail));
        self.marks.clear();
    }

    /// Marks places before the position, the closer together the nearer they are to it or to the beginning.
    pub(crate) fn mark(&mut self, sibling: &Sibling) -> io::Result<()> {
        let distances =
            (6..u64::BITS).map(|bit| 1 << bit).take_while(|distance| *distance < self.offset);
        let mut places: Vec<u64> =
            distances.flat_map(|distance| [distance, self.offset - distance]).collect();
        places.sort_unstable();
        places.dedup();
        self.marks.clear();
        for place in places {
            let window = place.min(WINDOW);
            self.marks.push((place, hash(&read_at(sibling, place - window, window)?)));
        }
        Ok(())
    }
}

/// Enough of a SHA-256 to tell files apart, in hexadecimal.
fn hash(bytes: &[u8]) -> String {
    let mut hash = sha256(bytes);
    hash.truncate(32);
    hash
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
pub(crate) fn recognize(
    files: &mut Vec<Sibling>,
    known: &[Known],
) -> io::Result<Vec<Option<usize>>> {
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
    // What is left may be a copy that was made before the last lines were read and the log was truncated.
    for (file, held) in files.iter().zip(&mut held).filter(|(_, held)| held.is_none()) {
        for k in &order {
            if !taken[*k] && known[*k].begins_like(file)? {
                *held = Some(*k);
                taken[*k] = true;
                break;
            }
        }
    }
    Ok(held)
}

/// Leaves out rotated files that are nothing but a copy of the beginning of the next newer one: copytruncate is at work, or was
/// interrupted.
fn leave_out_copies(files: &mut Vec<Sibling>) -> io::Result<()> {
    let mut kept: Vec<Sibling> = Vec::with_capacity(files.len());
    while let Some(file) = files.pop() {
        let copy = match kept.last() {
            Some(newer) => file.seen.same_file(&newer.seen) || is_prefix(&file, newer)?,
            None => false,
        };
        if !copy {
            kept.push(file);
        }
    }
    kept.reverse();
    *files = kept;
    Ok(())
}

fn is_prefix(part: &Sibling, whole: &Sibling) -> io::Result<bool> {
    const STEP: u64 = 256 * 1024;
    if part.compressed
        || whole.compressed
        || part.seen.size == 0
        || part.seen.size > whole.seen.size
    {
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
