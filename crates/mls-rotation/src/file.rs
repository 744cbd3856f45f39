//! One file of a chain. Offsets count decompressed bytes.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;

use mls_state::cursor_file::{Fingerprint, WINDOW};
use serde::{Deserialize, Serialize};

use crate::Compression;
use crate::lines::Lines;

/// What stat(2) says about a file. If no value has changed since the last read, there is nothing
/// new to read. If a value has changed, only the content identifies the file: inode numbers are
/// used again, and clocks jump.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    device: u64,
    inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub mtime: i64,
}

impl FileStat {
    /// Returns the values of an open file.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let mtime =
            metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { device: metadata.dev(), inode: metadata.ino(), size: metadata.len(), mtime }
    }

    /// Returns whether both values are from the same file, even if its name has changed. If the
    /// file was removed, the result can be wrong: another file can get its inode number.
    #[must_use]
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// A file of a [chain](crate::Chain). Offsets and lengths count its decompressed bytes.
#[derive(Debug)]
pub struct ChainFile {
    /// The path by which the file was opened.
    pub path: PathBuf,
    /// The open file.
    pub file: File,
    /// What stat(2) said when the file was opened. If the file is not compressed, the size is at
    /// most the [limit](Self::limit_to).
    pub stat: FileStat,
    pub(crate) opened_size: u64,
    /// The method of compression, if the file is compressed.
    pub compression: Option<Compression>,
    /// Whether the file is a rotated file. Only the last file of a chain can be the log itself.
    pub is_rotated: bool,
    pub(crate) limit: u64,
}

impl ChainFile {
    /// Makes all reads end after `length` bytes, because later bytes are not committed. Does not
    /// cut the file.
    pub fn limit_to(&mut self, length: u64) {
        self.limit = length;
        if self.compression.is_none() {
            self.stat.size = length.min(self.opened_size);
        }
    }

    /// Reads `length` bytes at `offset` of an uncompressed file; fewer at the end of the file.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn read_at(&self, offset: u64, length: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let mut reader = FileRange { file: &self.file, offset, end: offset + length };
        let mut have = 0;
        while have < bytes.len() {
            match reader.read(&mut bytes[have..]) {
                Ok(0) => break,
                Ok(n) => have += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(have);
        Ok(bytes)
    }

    /// Reads the first [`WINDOW`] bytes, or fewer if the file is shorter.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn head(&self) -> io::Result<Vec<u8>> {
        match self.compression {
            None => self.read_at(0, WINDOW.min(self.stat.size)),
            Some(_) => Ok(self.lines()?.peek(WINDOW)?.to_vec()),
        }
    }

    /// Returns a reader of the decompressed lines.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn lines(&self) -> io::Result<Lines> {
        Lines::open(&self.file, self.compression, self.limit)
    }

    /// Calls `each` with each offset and at most [`WINDOW`] bytes before the offset. `offsets` must
    /// be ascending. Ends if `each` breaks, or at an offset after the end of the file.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn windows(
        &self,
        offsets: impl IntoIterator<Item = u64>,
        mut each: impl FnMut(u64, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        let mut lines = self.compression.map(|_| self.lines()).transpose()?;
        for offset in offsets {
            let flow = if let Some(lines) = &mut lines {
                if !lines.skip_to(offset)? {
                    break;
                }
                each(offset, lines.window())
            } else {
                let window = offset.min(WINDOW);
                if offset > self.stat.size {
                    break;
                }
                each(offset, &self.read_at(offset - window, window)?)
            };
            if flow.is_break() {
                break;
            }
        }
        Ok(())
    }

    /// Returns the longest of `prefixes` that this file begins with.
    pub(crate) fn longest_prefix<'a>(
        &self,
        prefixes: impl IntoIterator<Item = &'a Fingerprint>,
    ) -> io::Result<Option<&'a Fingerprint>> {
        let mut prefixes: Vec<&Fingerprint> = prefixes.into_iter().collect();
        prefixes.sort_by_key(|prefix| prefix.length);
        let mut longest = None;
        let mut rest = prefixes.iter();
        self.windows(prefixes.iter().map(|prefix| prefix.length), |_, window| {
            longest = rest.next().filter(|prefix| prefix.matches(window)).copied().or(longest);
            ControlFlow::Continue(())
        })?;
        Ok(longest)
    }

    /// Returns the fingerprint of the first `length` bytes. Fails with
    /// [`io::ErrorKind::UnexpectedEof`] if the file is shorter.
    pub(crate) fn prefix(&self, length: u64) -> io::Result<Fingerprint> {
        let mut prefix = None;
        self.windows([length], |_, window| {
            prefix = Some(Fingerprint::new(length, window));
            ControlFlow::Break(())
        })?;
        prefix.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Returns whether the first `length` bytes are more than one line. One line can be the header
    /// of a CSV. All CSV files have this header, so it does not identify a file.
    pub(crate) fn has_rows(&self, length: u64) -> io::Result<bool> {
        let head = self.head()?;
        let first_line = memchr::memchr(b'\n', &head).map_or(head.len(), |newline| newline + 1);
        Ok(length > first_line as u64)
    }

    /// Returns the number of bytes up to the end of the last whole line, and their fingerprint.
    pub(crate) fn last_line_end(&self) -> io::Result<Fingerprint> {
        if self.compression.is_some() {
            let mut lines = self.lines()?;
            while lines.next()?.is_some() {}
            return Ok(Fingerprint::new(lines.position(), lines.window()));
        }
        let end = self.line_begin(0, self.stat.size)?.unwrap_or(0);
        Fingerprint::describe(&self.file, end)
    }

    /// Returns the offset after the last newline in `offset..end` of a file that is not compressed;
    /// `None` if there is no newline.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn line_begin(&self, offset: u64, end: u64) -> io::Result<Option<u64>> {
        let mut high = end;
        while high > offset {
            let low = high.saturating_sub(64 * 1024).max(offset);
            if let Some(newline) = memchr::memrchr(b'\n', &self.read_at(low, high - low)?) {
                return Ok(Some(low + newline as u64 + 1));
            }
            high = low;
        }
        Ok(None)
    }

    /// Returns a reader of the bytes on the disk (not decompressed), and the number of bytes.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn stored(&self) -> io::Result<(Box<dyn Read + Send>, u64)> {
        let (file, end) = (self.file.try_clone()?, self.stat.size);
        Ok((Box::new(FileRange { file, offset: 0, end }), end))
    }

    /// Reads the bytes from `begin` up to `end`, or up to the end of the file.
    ///
    /// # Errors
    /// Any I/O error.
    pub fn reader(&self, begin: u64, end: u64) -> io::Result<Box<dyn Read + Send>> {
        let file = self.file.try_clone()?;
        let end = end.min(self.limit);
        match self.compression {
            None => Ok(Box::new(FileRange { file, offset: begin, end })),
            Some(method) => {
                let packed = FileRange { file, offset: 0, end: u64::MAX };
                let mut content = method.decoder(packed);
                io::copy(&mut (&mut content).take(begin), &mut io::sink())?;
                Ok(Box::new(content.take(end.saturating_sub(begin))))
            }
        }
    }
}

/// A reader of a range of a file. It does not move the position of the descriptor.
pub(crate) struct FileRange<F> {
    pub(crate) file: F,
    pub(crate) offset: u64,
    pub(crate) end: u64,
}

impl<F: std::borrow::Borrow<File>> Read for FileRange<F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.offset)).unwrap_or(usize::MAX);
        let length = buffer.len().min(left);
        let n = self.file.borrow().read_at(&mut buffer[..length], self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}
