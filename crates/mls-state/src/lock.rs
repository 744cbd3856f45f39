//! Lock files: one process at a time.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::regular;
use mls_diag::denied::explained;
use mls_diag::{Exit, OnFile, OrExit};

/// A lock. The kernel releases it when the process ends, even after a crash.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "dropping the file releases the lock")] File);

impl Lock {
    /// Locks `PATH.lock`. The lock file must not be removed, because two processes could then lock
    /// two files of the same name.
    ///
    /// # Errors
    /// Exit 75 if another process holds the lock, 73 if the file cannot be created.
    pub fn take(path: &Path) -> anyhow::Result<Self> {
        let (file, name) = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Exit::TempFail
                .error(format!("{} is held by another process; try again later", name.display()))),
            Err(TryLockError::Error(error)) => Err(failed(&error, &name)),
        }
    }

    /// Like [`take`](Self::take), but waits while another process holds the lock. Use it only for
    /// locks that every process releases soon.
    ///
    /// # Errors
    /// Exit 73 if the file cannot be created.
    pub fn wait(path: &Path) -> anyhow::Result<Self> {
        let (file, name) = open(path)?;
        loop {
            match file.lock() {
                Ok(()) => return Ok(Self(file)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&error, &name)),
            }
        }
    }
}

fn open(path: &Path) -> anyhow::Result<(File, PathBuf)> {
    let name = path.with_added_extension("lock");
    let mut options = File::options();
    let file =
        regular::open_with(options.write(true).create(true).truncate(false).mode(0o640), &name);
    let file = file
        .map_err(|error| explained(error, &name))
        .on_file("creating", &name)
        .or_exit(Exit::CantCreat)?;
    Ok((file, name))
}

fn failed(error: &std::io::Error, name: &Path) -> anyhow::Error {
    Exit::IoErr.error(format!("locking {}: {error}", name.display()))
}
