//! Gives the input bytes a path, for parsers that open a file.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

pub(crate) struct MemoryFile {
    file: std::fs::File,
}

impl MemoryFile {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let memory = rustix::fs::memfd_create("mls-fuzz", rustix::fs::MemfdFlags::CLOEXEC);
        let mut file = std::fs::File::from(memory.expect("a file in memory"));
        file.write_all(bytes).expect("room in memory");
        Self { file }
    }

    pub(crate) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.file.as_raw_fd()).into()
    }
}

/// A CSV database of IP addresses, which is searched on disk.
pub(crate) fn ipdb_csv(bytes: &[u8]) {
    mls_location::fuzz::csv(&MemoryFile::new(bytes).path(), bytes);
}

pub(crate) fn report(bytes: &[u8]) {
    mls_report::fuzz::report(&MemoryFile::new(bytes).path());
}
