//! Reading a file that a sink appends to: only what the sink has committed is there.

use std::path::Path;

use anyhow::Context;
use mls_state::cursor_file::{CursorFile, Data, WINDOW, sha256};

use crate::known::read_at;
use crate::siblings::Sibling;

/// What the sink's cursor file says of the file that it appends to, and of those that were rotated away from it.
pub(crate) struct Committed {
    data: Data,
    rotated: Vec<Data>,
}

impl Committed {
    /// Reads the cursor file that `--committed-by` names, if it does.
    pub(crate) fn load(path: Option<&Path>) -> anyhow::Result<Option<Self>> {
        let Some(path) = path else { return Ok(None) };
        let (data, rotated) =
            CursorFile::load(path)?.map(|cursor| (cursor.data, cursor.rotated)).unwrap_or_default();
        // Before the first commit nothing is there.
        let data = data.unwrap_or(Data { length: 0, tail_sha256: sha256(b"") });
        Ok(Some(Self { data, rotated }))
    }

    /// Cuts each file to what was committed of it. Where the sink has not seen yet that its file was rotated, the file it
    /// speaks of is a rotated one, and the new one holds nothing.
    pub(crate) fn limit(&self, files: &mut [Sibling]) -> anyhow::Result<()> {
        for file in files {
            if !file.rotated {
                file.seen.size = if is_beginning(&self.data, file)? { self.data.length } else { 0 };
                continue;
            }
            // A header alone is the beginning of every CSV, and says of none how much of it was committed.
            let mut longest = None;
            for data in std::iter::once(&self.data).chain(&self.rotated) {
                if longest < Some(data.length) && has_rows(data, file)? && is_beginning(data, file)?
                {
                    longest = Some(data.length);
                }
            }
            file.seen.size = longest.unwrap_or(file.seen.size);
        }
        Ok(())
    }
}

/// Whether `data` speaks of this file.
fn is_beginning(data: &Data, file: &Sibling) -> anyhow::Result<bool> {
    let window = data.length.min(WINDOW);
    if file.compressed || file.seen.size < data.length {
        return Ok(false);
    }
    let tail = read_at(file, data.length - window, window)
        .with_context(|| format!("reading {}", file.path.display()))?;
    Ok(sha256(&tail) == data.tail_sha256)
}

/// Whether there is more than a header in what `data` speaks of.
fn has_rows(data: &Data, file: &Sibling) -> anyhow::Result<bool> {
    let head = read_at(file, 0, data.length.min(WINDOW))
        .with_context(|| format!("reading {}", file.path.display()))?;
    Ok(memchr::memchr(b'\n', &head).is_some_and(|at| (at as u64) + 1 < data.length))
}
