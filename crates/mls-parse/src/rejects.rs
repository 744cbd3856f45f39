//! Lines that could not be read, kept for people.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::{Exit, OrExit, diag};

/// An attacker who finds a line that is not understood must not fill the disk with it.
const MAX_SIZE: u64 = 10 << 20;

/// A line that could not be read, until its turn comes to be told.
#[derive(Clone, Debug)]
pub(crate) struct Reject {
    pub(crate) source: String,
    pub(crate) offset: u64,
    pub(crate) why: &'static str,
    pub(crate) line: Vec<u8>,
}

impl Reject {
    pub(crate) fn tell(&self) {
        let beginning = String::from_utf8_lossy(&self.line[..self.line.len().min(300)]);
        let place = format_args!("{}, byte {}", self.source, self.offset);
        diag::bad_record(place, format_args!("{}: {beginning}", self.why));
    }
}

/// The file of `--rejects`.
pub(crate) struct Rejects {
    file: File,
    path: PathBuf,
    room: u64,
}

impl Rejects {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let file = File::options().append(true).create(true).mode(0o640).open(path);
        let file =
            file.with_context(|| format!("opening {}", path.display())).or_exit(Exit::CantCreat)?;
        let size = file.metadata().with_context(|| format!("looking at {}", path.display()))?.len();
        Ok(Self { file, path: path.to_owned(), room: MAX_SIZE.saturating_sub(size) })
    }

    /// Keeps a line, as long as there is room.
    pub(crate) fn keep(&mut self, line: &[u8]) {
        let length = line.len() as u64 + 1;
        if self.room == 0 {
            return;
        }
        if length > self.room {
            log::warn!(
                "{} is full; further lines that cannot be read are only counted",
                self.path.display()
            );
            self.room = 0;
            return;
        }
        self.room -= length;
        if let Err(error) = self.file.write_all(&[line, b"\n"].concat()) {
            log::warn!("writing {}: {error}", self.path.display());
            self.room = 0;
        }
    }
}
