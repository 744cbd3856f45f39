//! The committed cursor on disk: what a sink has written for good, and where its source goes on.
//!
//! ```json
//! {
//!   "version": 1,
//!   "sequence": 12,
//!   "written": "2026-11-21T07:41:35+00:00",
//!   "data": { "length": 53211, "tail_sha256": "…" },
//!   "cursor": { … }
//! }
//! ```

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::path::Path;

use anyhow::{Context, bail};
use data_encoding::HEXLOWER;
use mls_event::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::atomic;
use mls_diag::{Exit, OrExit};

/// The version that this tool writes.
const VERSION: u64 = 1;

/// No cursor is as large; a file that is was not written by us.
const MAX_SIZE: u64 = 16 << 20;

/// How many bytes before a position are hashed to know a file again.
pub const WINDOW: u64 = 4096;

/// The content of a cursor file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorFile {
    /// The version of the format.
    pub version: u64,
    /// Counts commits from 1: two sinks that start from the same number cannot both go on.
    pub sequence: u64,
    /// When, for people.
    pub written: String,
    /// What the cursor was committed with; null where the source saves its own cursor.
    pub data: Option<Fingerprint>,
    /// The same of the files that were rotated away from the sink, the latest first: what one of them has beyond that was never
    /// committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotated: Vec<Fingerprint>,
    /// The outcome of the attempts that the sink records. Cursor files without it belong to
    /// failures.
    #[serde(default = "failure", skip_serializing_if = "is_failure")]
    pub outcome: Outcome,
    /// Where `data` is a file of its own: its name, which it gets once this is committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The name that it has until then, in the same directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The source's position, which only the source understands. A number is that of the Python original, see
    /// [`legacy_offset`](CursorFile::legacy_offset).
    pub cursor: Value,
}

fn failure() -> Outcome {
    Outcome::Failure
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_failure(outcome: &Outcome) -> bool {
    *outcome == Outcome::Failure
}

/// What the first bytes of a file are recognized by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// How many bytes they are.
    pub length: u64,
    /// SHA-256 of the last [`WINDOW`] of them: it tells rows that were appended later from a file that was edited.
    pub tail_sha256: String,
}

impl Fingerprint {
    /// That of `length` bytes of which `window` are the last.
    #[must_use]
    pub fn new(length: u64, window: &[u8]) -> Self {
        Self { length, tail_sha256: sha256(window) }
    }

    /// That of no bytes, with which every file begins.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(0, b"")
    }

    /// That of the first `length` bytes of `file`.
    ///
    /// # Errors
    /// Any I/O error; [`io::ErrorKind::UnexpectedEof`] if the file is shorter.
    pub fn describe(file: &File, length: u64) -> io::Result<Self> {
        let window = length.min(WINDOW);
        let mut bytes = vec![0; usize::try_from(window).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, length - window)?;
        Ok(Self::new(length, &bytes))
    }

    /// Whether these bytes end in `window`.
    #[must_use]
    pub fn matches(&self, window: &[u8]) -> bool {
        self.tail_sha256 == sha256(window)
    }
}

/// The name of [`Fingerprint`] before it served others than sinks.
pub type Data = Fingerprint;

impl CursorFile {
    /// What precedes the first commit: no position, and sequence number 0.
    #[must_use]
    pub fn start() -> Self {
        Self { sequence: 0, ..Self::next(0, Value::Null, None) }
    }

    /// The commit that follows `base` (0 for the first).
    #[must_use]
    pub fn next(base: u64, cursor: Value, data: Option<Fingerprint>) -> Self {
        let written = chrono::Local::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, false);
        Self {
            version: VERSION,
            sequence: base.saturating_add(1),
            written,
            data,
            rotated: Vec::new(),
            outcome: Outcome::Failure,
            file: None,
            part: None,
            cursor,
        }
    }

    /// Reads a cursor file. `None` where there is none, or where an empty one came through a pipe, as from
    /// `<(mls-sql cursor)` before the first load.
    ///
    /// # Errors
    /// Exit 78 where it is anything but a whole cursor file of a version known here: going on from nothing instead would
    /// count every line twice.
    pub fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        let shown = path.display();
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file.with_context(|| format!("opening cursor file {shown}"))?,
        };
        let kind =
            file.metadata().with_context(|| format!("looking at cursor file {shown}"))?.file_type();
        let mut text = Vec::new();
        file.take(MAX_SIZE + 1)
            .read_to_end(&mut text)
            .with_context(|| format!("reading cursor file {shown}"))
            .or_exit(Exit::IoErr)?;
        if text.is_empty() && kind.is_fifo() {
            return Ok(None);
        }
        match Self::from_json(&text) {
            Ok(cursor) => Ok(Some(cursor)),
            Err(why) => Err(Exit::Config.error(format!(
                "cursor file {shown} cannot be used: {why}; restore it from a backup, or move it away to start over (then \
                 the log is read from its beginning, and mls-csv asks for --adopt or --reset)"
            ))),
        }
    }

    /// The position that the Python original has left: its `state.offset` is nothing but a decimal number. Until the first
    /// commit after it, it stands as [`cursor`](CursorFile::cursor).
    #[must_use]
    pub fn legacy_offset(&self) -> Option<u64> {
        self.cursor.as_u64()
    }

    /// The file of the Python original; 0 is what it writes before it has read anything.
    fn from_legacy(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        let digits =
            text.iter().all(u8::is_ascii_digit).then(|| str::from_utf8(text).ok()).flatten();
        let cursor = match digits?.parse::<u64>().ok()? {
            0 => Value::Null,
            offset => offset.into(),
        };
        Some(Self { cursor, ..Self::start() })
    }

    /// Reads the text of a cursor file.
    ///
    /// # Errors
    /// Where it is anything but a whole one of a version known here.
    pub fn from_json(text: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        match text {
            [] => bail!("it is empty"),
            text if text.len() as u64 > MAX_SIZE => bail!("it is larger than {MAX_SIZE} bytes"),
            text if text.iter().all(|b| *b == 0) => {
                bail!("it holds nothing but NUL bytes, as after a power failure")
            }
            _ => {}
        }
        if let Some(legacy) = Self::from_legacy(text) {
            return Ok(legacy);
        }
        let Version { version } =
            serde_json::from_slice(text).context("it is not a whole JSON object with a version")?;
        if version != VERSION {
            bail!("it has version {version}, and this tool reads version {VERSION}");
        }
        serde_json::from_slice(text).context("it is damaged")
    }

    /// The file's text.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Strings, numbers and a Value: there is nothing here that JSON could not hold.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Replaces the cursor file, durably.
    ///
    /// # Errors
    /// Exit 74; the old one or the new one then stands.
    pub fn store(&self, path: &Path) -> anyhow::Result<()> {
        atomic::write(path, self.to_json().as_bytes(), 0o640)
            .with_context(|| format!("writing cursor file {}", path.display()))
            .or_exit(Exit::IoErr)
    }
}

/// Warns where the cursor file of another sink, by which a file is to be read, is not there: its name may be misspelt.
pub fn warn_if_missing(path: &Path) {
    if !path.exists() {
        log::warn!(
            "{} does not exist: nothing is committed yet, and nothing is read",
            path.display()
        );
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.offset");
        assert_eq!(CursorFile::load(&path).unwrap(), None);
        let data = Fingerprint::new(7, b"x");
        let cursor = CursorFile::next(4, serde_json::json!({"a": 1}), Some(data));
        cursor.store(&path).unwrap();
        assert_eq!(CursorFile::load(&path).unwrap(), Some(cursor));
    }

    #[test]
    fn the_number_of_the_python_original_is_a_position_before_the_first_commit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.offset");
        for (text, offset) in [("123456", Some(123_456)), ("7\n", Some(7)), ("0", None)] {
            atomic::write(&path, text.as_bytes(), 0o600).unwrap();
            let cursor = CursorFile::load(&path).unwrap().unwrap();
            assert_eq!(
                (cursor.sequence, cursor.data.as_ref(), cursor.legacy_offset()),
                (0, None, offset)
            );
            cursor.store(&path).unwrap();
            assert_eq!(CursorFile::load(&path).unwrap(), Some(cursor));
        }
        for text in ["-1", "12 34", "0x10", "99999999999999999999"] {
            atomic::write(&path, text.as_bytes(), 0o600).unwrap();
            assert_eq!(Exit::of(&CursorFile::load(&path).unwrap_err()), Exit::Config, "{text}");
        }
    }

    #[test]
    fn a_damaged_file_is_never_taken_for_an_absent_one() {
        let whole = CursorFile::next(0, serde_json::json!({}), None).to_json();
        let newer = whole.replace("\"version\": 1", "\"version\": 2");
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.offset");
        for (text, why) in [
            ("", "empty"),
            ("\0\0\0\0", "NUL"),
            (&whole[..whole.len() / 2], "not a whole JSON object"),
            (&newer, "version 2"),
            ("{\"version\":1}", "damaged"),
        ] {
            atomic::write(&path, text.as_bytes(), 0o600).unwrap();
            let error = CursorFile::load(&path).unwrap_err();
            assert_eq!(Exit::of(&error), Exit::Config, "{text:?}");
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
