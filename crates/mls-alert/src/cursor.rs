//! The cursor file of mls-alert: the list of the alerts that were raised.

use std::path::PathBuf;

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_state::alerted::Alerted;
use mls_state::cursor_file::CursorFile;
use mls_state::lock::Lock;

/// The cursor file. With `--framed`, the reader of the stream (mls-mail) writes it. Without
/// `--framed`, mls-alert writes it.
pub(crate) struct AlertCursor {
    path: PathBuf,
    /// `None` with `--framed`, because the reader of the stream writes the file.
    lock: Option<Lock>,
    pub(crate) sequence: u64,
    cursor: serde_json::Value,
}

impl AlertCursor {
    /// Loads the cursor file at `path`; a missing file is an empty one. Exit 75 if another process
    /// uses the file, 78 if the file is damaged.
    pub(crate) fn open(path: PathBuf, framed: bool) -> anyhow::Result<Self> {
        let lock = if framed { None } else { Some(Lock::take(&path)?) };
        let CursorFile { sequence, cursor, .. } =
            CursorFile::load(&path)?.unwrap_or_else(CursorFile::start);
        Ok(Self { path, lock, sequence, cursor })
    }

    pub(crate) fn is_framed(&self) -> bool {
        self.lock.is_none()
    }

    pub(crate) fn alerted(&self) -> anyhow::Result<Alerted> {
        Alerted::from_cursor(self.cursor.clone())
            .with_context(|| {
                let path = self.path.display();
                // With --framed, the file is also the ledger of mls-mail. So never tell the user to
                // remove it.
                let remove = if self.is_framed() {
                    ""
                } else {
                    ", or remove this file (then mls-alert reports the alerts of the last day \
                     again)"
                };
                format!(
                    "{path} does not hold the alerts of mls-alert; give another file with \
                     --cursor-file{remove}"
                )
            })
            .or_exit(Exit::Config)
    }

    pub(crate) fn store(&mut self, alerted: &Alerted) -> anyhow::Result<()> {
        let next = CursorFile::next(self.sequence, alerted.to_cursor(), None);
        next.store(&self.path)?;
        self.sequence = next.sequence;
        Ok(())
    }
}
