//! The state file. Several processes may change it, one after the other.

use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use mls_diag::{Exit, OnFile, OrExit};
use mls_state::atomic;
use mls_state::lock::Lock;
use mls_state::regular;
use serde::{Deserialize, Serialize};

use crate::offender::Offenders;

const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct StateContent<T> {
    version: u32,
    #[serde(flatten)]
    offenders: T,
}

pub(crate) struct StateFile {
    /// If `None`, no state is saved.
    path: Option<PathBuf>,
    /// The inode and the modification time of the file that was read or written last.
    seen: Option<(u64, SystemTime)>,
    pub(crate) offenders: Offenders,
}

impl StateFile {
    /// Reads `path`. Exit 78 if the file is damaged: a run without the file would unblock all addresses.
    pub(crate) fn open(path: Option<PathBuf>) -> anyhow::Result<Self> {
        let mut state = Self { path, seen: None, offenders: Offenders::default() };
        state.reload()?;
        Ok(state)
    }

    /// Warns if the file does not exist, because its name may be misspelt. Exit 64 if no file was
    /// named.
    pub(crate) fn expect(&self) -> anyhow::Result<()> {
        match &self.path {
            None => Err(Exit::Usage.error("no state file; give --state FILE, or --config")),
            Some(path) if self.seen.is_none() => {
                log::warn!(
                    "state file {} does not exist, so nothing is blocked; check its name",
                    path.display()
                );
                Ok(())
            }
            Some(_) => Ok(()),
        }
    }

    /// Reads the file if another process has changed it.
    pub(crate) fn reload(&mut self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let found = regular::if_there(path.metadata()).on_file("reading", path)?;
        let version = found.map(|found| io::Result::Ok((found.ino(), found.modified()?)));
        let version = version.transpose()?;
        if version == self.seen {
            return Ok(());
        }
        self.offenders = if version.is_none() { Offenders::default() } else { read(path)? };
        self.seen = version;
        Ok(())
    }

    /// Locks the file for changes. Waits while another process has the lock.
    pub(crate) fn lock(&self) -> anyhow::Result<Option<Lock>> {
        self.path.as_deref().map(Lock::wait).transpose()
    }

    pub(crate) fn store(&mut self) -> anyhow::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        atomic::write_with(path, 0o640, |file| {
            let mut file = BufWriter::new(file);
            write(&self.offenders, &mut file)?;
            file.write_all(b"\n")?;
            file.flush()
        })
        .on_file("writing", path)
        .or_exit(Exit::IoErr)?;
        let written = path.metadata()?;
        self.seen = Some((written.ino(), written.modified()?));
        Ok(())
    }
}

pub(crate) fn write(offenders: &Offenders, out: impl Write) -> serde_json::Result<()> {
    serde_json::to_writer(out, &StateContent { version: VERSION, offenders })
}

fn read(path: &Path) -> anyhow::Result<Offenders> {
    let text = regular::read(path).on_file("reading", path)?;
    parse(&text)
        .with_context(|| {
            format!(
                "state file {} cannot be used (to start without blocks, remove this file)",
                path.display()
            )
        })
        .or_exit(Exit::Config)
}

pub(crate) fn parse(text: &[u8]) -> anyhow::Result<Offenders> {
    let content: StateContent<Offenders> = serde_json::from_slice(text)?;
    anyhow::ensure!(
        content.version == VERSION,
        "its version is {}, not {VERSION}",
        content.version
    );
    Ok(content.offenders)
}
