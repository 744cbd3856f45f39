//! Finds how much of a chain its sink has committed. The sink is the tool that appends to the
//! newest file.

use std::io;
use std::path::Path;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_state::cursor_file::{CursorFile, Fingerprint};

use crate::{Chain, ChainFile, Point};

/// The fingerprints in the cursor file of a sink: of the file that the sink appends to, and of its
/// rotated files.
#[derive(Clone, Debug)]
pub struct Committed {
    current: Fingerprint,
    rotated: Vec<Fingerprint>,
}

impl Committed {
    /// Reads the cursor file at `path`. If it does not exist yet, nothing is committed.
    ///
    /// # Errors
    /// Those of [`CursorFile::load`].
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        Ok(CursorFile::load(path)?
            .as_ref()
            .map_or_else(|| Self::of(&CursorFile::start()), Self::of))
    }

    /// Takes the values from a cursor file.
    #[must_use]
    pub fn of(cursor: &CursorFile) -> Self {
        let current = cursor.data.clone().unwrap_or_else(Fingerprint::empty);
        Self { current, rotated: cursor.rotated.clone() }
    }

    /// Returns the end of the last commit in `chain`; `None` if nothing was committed, or if no
    /// file has the committed bytes.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn find(&self, chain: &Chain) -> io::Result<Option<Point>> {
        let offset = self.current.length;
        if offset == 0 {
            return Ok(None);
        }
        let Some(newest) = chain.newest_with_prefix(&self.current)? else { return Ok(None) };
        if chain.files[newest].has_rows(offset)? {
            return Ok(Some(Point { file: newest, offset }));
        }
        // Only the header is committed, and all CSV files have this header. So accept the file only
        // if it is newer than all rotated files that the cursor knows.
        let is_newer = match self.rotated.first() {
            Some(after) => match chain.newest_with_prefix(after)? {
                Some(known) => newest > known,
                None => !chain.files[newest].is_rotated,
            },
            None => true,
        };
        Ok(is_newer.then_some(Point { file: newest, offset }))
    }

    /// Limits each file to its committed part. If the sink has not noticed the last rotation yet,
    /// its last commit ends in a rotated file. No byte of the newer files is committed. Does not
    /// read compressed files for which `is_read` is true.
    ///
    /// # Errors
    /// Exit 74 if reading fails.
    pub fn limit(
        &self,
        chain: &mut Chain,
        is_read: impl Fn(&ChainFile) -> bool,
    ) -> anyhow::Result<()> {
        let reading = |file: &ChainFile| format!("reading {}", file.path.display());
        let end = self.find(chain).context("looking for the last commit").or_exit(Exit::IoErr)?;
        for (n, file) in chain.files.iter_mut().enumerate() {
            match end {
                Some(end) if n == end.file => file.limit_to(end.offset),
                Some(end) if n > end.file => file.limit_to(0),
                None if !file.is_rotated => file.limit_to(0),
                _ if file.compression.is_some() && is_read(file) => {}
                _ => {
                    let known = std::iter::once(&self.current).chain(&self.rotated);
                    let longest = file.longest_prefix(known).with_context(|| reading(file));
                    let length = longest.or_exit(Exit::IoErr)?.map_or(0, |known| known.length);
                    if file.has_rows(length).with_context(|| reading(file)).or_exit(Exit::IoErr)? {
                        file.limit_to(length);
                    }
                }
            }
        }
        Ok(())
    }
}

impl Chain {
    /// Opens the chain of `path`, and limits its files to what the sink has committed.
    ///
    /// # Errors
    /// Those of [`Chain::open`] and of [`Committed::limit`].
    pub fn open_committed(
        path: &Path,
        layout: &crate::Layout,
        committed: &Committed,
    ) -> anyhow::Result<Self> {
        let mut chain = Self::open(path, layout)?;
        committed.limit(&mut chain, |_| false)?;
        Ok(chain)
    }
}
