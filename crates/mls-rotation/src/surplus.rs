//! Cuts a file to its committed part.

use std::fs::File;
use std::io;

use mls_state::{atomic, regular};

use crate::{ChainFile, FileStat};

impl ChainFile {
    /// Returns whether the file has bytes after `length`.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn is_longer_than(&self, length: u64) -> io::Result<bool> {
        let mut next = [0];
        let mut reader = self.reader(length, u64::MAX)?;
        io::Read::read(&mut reader, &mut next).map(|n| n > 0)
    }

    /// Cuts the file to `length` bytes, durably. Replaces a compressed file by a shorter one with
    /// the same method of compression and the same time of the last change.
    ///
    /// # Errors
    /// Any I/O error. Then a compressed file is unchanged; a file that is not compressed may be
    /// cut, but not durably.
    pub fn cut(&self, length: u64) -> io::Result<()> {
        let Some(method) = self.compression else {
            let file = regular::open_with(File::options().write(true), &self.path)?;
            if !FileStat::of(&file.metadata()?).is_same_file(&self.stat) {
                return Err(io::Error::other("another file has this name now"));
            }
            file.set_len(length)?;
            return file.sync_all();
        };
        let modified = self.file.metadata()?.modified()?;
        atomic::write_with(&self.path, 0o640, |file| {
            method.compress(&mut self.reader(0, length)?, file)?;
            file.set_modified(modified)
        })
    }
}
