//! The cursor file: what a sink has committed, and where its source continues.
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

use crate::unchecked::UncheckedLogins;
use crate::{atomic, regular};
use mls_diag::{Exit, OnFile, OrExit};

/// The version of the format of cursor files.
const VERSION: u64 = 1;

/// The largest cursor file. A larger file was not written by this software.
const MAX_SIZE: u64 = 16 << 20;

/// To recognize a file, this number of bytes before a position is hashed.
pub const WINDOW: u64 = 4096;

/// The content of a cursor file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CursorFile {
    /// The version of the format.
    pub version: u64,
    /// The number of this commit; the first is 1. If two sinks start from the same number, only one of
    /// them can commit.
    pub sequence: u64,
    /// Time of the commit, for human readers.
    pub written: String,
    /// The committed part of the sink's file; null if the sink has no such file, for example
    /// because it writes to a database.
    pub data: Option<Fingerprint>,
    /// The committed parts of the sink's rotated files, the latest first. Bytes after these parts were
    /// never committed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rotated: Vec<Fingerprint>,
    /// The outcome of the attempts that the sink records; if the field is missing, failure.
    #[serde(default = "failure", skip_serializing_if = "is_failure")]
    pub outcome: Outcome,
    /// The number of logins that the server could not check. Such logins are not rows.
    #[serde(default, skip_serializing_if = "UncheckedLogins::is_empty")]
    pub unchecked: UncheckedLogins,
    /// If each commit has its own file (mls-sql export), the final name of this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The temporary name of `file`, in the same directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The position of the source. Only the source understands it. A number is the position of the
    /// Python original, see [`legacy_offset`](CursorFile::legacy_offset).
    pub cursor: Value,
}

fn failure() -> Outcome {
    Outcome::Failure
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_failure(outcome: &Outcome) -> bool {
    *outcome == Outcome::Failure
}

/// Identifies the first bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The number of bytes that are identified.
    pub length: u64,
    /// SHA-256 of the last [`WINDOW`] of these bytes. It stays the same if rows are appended. It
    /// changes if the last of these bytes are edited.
    pub tail_sha256: String,
}

impl Fingerprint {
    /// The fingerprint of `length` bytes. `window` must contain the last [`WINDOW`] of these bytes.
    #[must_use]
    pub fn new(length: u64, window: &[u8]) -> Self {
        Self { length, tail_sha256: sha256(window) }
    }

    /// The fingerprint of zero bytes, which matches every file.
    #[must_use]
    pub fn empty() -> Self {
        Self::new(0, b"")
    }

    /// The fingerprint of the first `length` bytes of `file`.
    ///
    /// # Errors
    /// Any I/O error; [`io::ErrorKind::UnexpectedEof`] if the file is shorter.
    pub fn describe(file: &File, length: u64) -> io::Result<Self> {
        let window = length.min(WINDOW);
        let mut bytes = vec![0; usize::try_from(window).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, length - window)?;
        Ok(Self::new(length, &bytes))
    }

    /// Whether the bytes of this fingerprint end with `window`.
    #[must_use]
    pub fn matches(&self, window: &[u8]) -> bool {
        self.tail_sha256 == sha256(window)
    }
}

impl CursorFile {
    /// The state before the first commit: no position, sequence number 0.
    #[must_use]
    pub fn start() -> Self {
        Self { sequence: 0, ..Self::next(0, Value::Null, None) }
    }

    /// The commit after `base` (0 before the first commit).
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
            unchecked: UncheckedLogins::default(),
            file: None,
            part: None,
            cursor,
        }
    }

    /// Reads a cursor file. Returns `None` if the file does not exist, or if it is an empty pipe, such as
    /// `<(mls-sql cursor)` before the first load.
    ///
    /// # Errors
    /// Exit 78 if it is not a complete cursor file of a known version. The tool must not start from
    /// the beginning, because it would count every line twice.
    pub fn load(path: &Path) -> anyhow::Result<Option<Self>> {
        let shown = path.display();
        let file = regular::if_there(regular::open(path));
        let file = file.with_context(|| format!("opening cursor file {shown}"))?;
        let Some(file) = file else { return Ok(None) };
        let kind =
            file.metadata().with_context(|| format!("checking cursor file {shown}"))?.file_type();
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
                "cursor file {shown} cannot be used: {why}; restore it from a backup, or move it \
                 away. Without it, the next run is like the first run: mls-tail reads the log from \
                 its beginning, and mls-csv asks for --accept-changes or --reset"
            ))),
        }
    }

    /// The position of the Python original, whose `state.offset` is a decimal number. Until the
    /// first commit, the number is in [`cursor`](CursorFile::cursor).
    #[must_use]
    pub fn legacy_offset(&self) -> Option<u64> {
        self.cursor.as_u64()
    }

    /// Reads the file of the Python original. The original writes 0 before it has read anything.
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
    /// The text is not a complete cursor file of a known version.
    pub fn from_json(text: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        match text {
            [] => bail!("it is empty"),
            text if text.len() as u64 > MAX_SIZE => bail!("it is larger than {MAX_SIZE} bytes"),
            text if text.iter().all(|b| *b == 0) => {
                bail!("it holds only NUL bytes, as after a power failure")
            }
            _ => {}
        }
        if let Some(legacy) = Self::from_legacy(text) {
            return Ok(legacy);
        }
        let Version { version } =
            serde_json::from_slice(text).context("it is not a whole JSON object with a version")?;
        if version != VERSION {
            bail!(
                "it has version {version}, but this tool reads version {VERSION}; install the \
                 release that has written it"
            );
        }
        serde_json::from_slice(text).context("it is damaged")
    }

    /// The text of the file.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Cannot fail: strings, numbers and JSON values always fit into JSON.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Replaces the cursor file, durably.
    ///
    /// # Errors
    /// Exit 74. The file then has either the old or the new content.
    pub fn store(&self, path: &Path) -> anyhow::Result<()> {
        atomic::write(path, self.to_json().as_bytes(), 0o640)
            .on_file("writing cursor file", path)
            .or_exit(Exit::IoErr)
    }
}

/// Warns if the cursor file of another sink does not exist. A reader reads only what that sink has
/// committed, so without the file it reads nothing. Perhaps the name is misspelt.
pub fn warn_if_missing(path: &Path) {
    if !path.exists() {
        log::warn!(
            "cursor file {} does not exist, so nothing is read; if this is not the first run, \
             check its name",
            path.display()
        );
    }
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a stream, in hexadecimal.
///
/// # Errors
/// Those of reading.
pub fn sha256_of(mut content: impl Read) -> io::Result<String> {
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match content.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
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
    fn a_stored_cursor_file_is_loaded_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.offset");
        assert_eq!(CursorFile::load(&path).unwrap(), None);
        let data = Fingerprint::new(7, b"x");
        let cursor = CursorFile::next(4, serde_json::json!({"a": 1}), Some(data));
        cursor.store(&path).unwrap();
        assert_eq!(CursorFile::load(&path).unwrap(), Some(cursor));
    }

    #[test]
    fn the_number_in_a_legacy_file_is_a_position_before_the_first_commit() {
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
    fn a_damaged_file_is_refused_and_not_treated_as_missing() {
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
