//! Reading a file that a sink appends to: only what the sink has committed is there.

use std::path::Path;

use anyhow::Context;
use mls_cli::cursor_file::{CursorFile, Data, WINDOW, sha256};

use crate::known::read_at;
use crate::siblings::Sibling;

/// What the sink's cursor file says.
pub(crate) struct Committed(Data);

impl Committed {
    /// Reads the cursor file that `--committed-by` names, if it does.
    pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let data = CursorFile::load(path)?.and_then(|cursor| cursor.data);
        // Before the first commit nothing is there.
        Ok(Some(Self(data.unwrap_or(Data { length: 0, tail_sha256: sha256(b"") }))))
    }

    /// Cuts the file that the sink speaks of to its committed length: the log itself, or after a rotation that the sink has not
    /// seen yet the newest rotated one; then the log itself holds nothing committed.
    pub(crate) fn limit(&self, files: &mut [Sibling]) -> anyhow::Result<()> {
        let mut newest_first = files.iter_mut().rev();
        let Some(newest) = newest_first.next() else { return Ok(()) };
        if self.cut(newest)? || newest.rotated {
            return Ok(());
        }
        newest.seen.size = 0;
        if let Some(before) = newest_first.next() {
            self.cut(before)?;
        }
        Ok(())
    }

    fn cut(&self, file: &mut Sibling) -> anyhow::Result<bool> {
        let Data { length, tail_sha256 } = &self.0;
        let window = (*length).min(WINDOW);
        if file.compressed || file.seen.size < *length {
            return Ok(false);
        }
        let tail =
            read_at(file, length - window, window).with_context(|| format!("reading {}", file.path.display()))?;
        let same = sha256(&tail) == *tail_sha256;
        if same {
            file.seen.size = *length;
        }
        Ok(same)
    }
}
