//! Moves uncommitted rows to a separate file. A run that died wrote these rows, or somebody else
//! did. After a run died, the next run reads the log lines of the rows again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::{Exit, OnFile, OrExit, count};
use mls_rotation::{Chain, ChainFile, Committed, Layout};
use mls_state::atomic;
use mls_state::cursor_file::CursorFile;

/// Moves everything after the first `committed` bytes out of F.
pub(crate) fn move_from_live(path: &Path, committed: u64) -> anyhow::Result<()> {
    let chain = Chain::open(path, &Layout { live_only: true, ..Layout::default() })?;
    chain.files.last().map_or(Ok(()), |file| move_aside(path, file, committed))
}

/// Moves everything after the last commit out of the file that F was rotated to.
pub(crate) fn move_from_rotated(path: &Path, committed: &CursorFile) -> anyhow::Result<()> {
    let chain = match Chain::open(path, &Layout::default()) {
        Err(error) if matches!(Exit::of(&error), Exit::NoInput | Exit::NoPerm) => {
            log::warn!(
                "{}: its rotated files could not be searched for uncommitted rows: {error:#}",
                path.display()
            );
            return Ok(());
        }
        chain => chain?,
    };
    let end = Committed::of(committed)
        .find(&chain)
        .context("looking for the last commit in rotated files")
        .or_exit(Exit::IoErr)?;
    match end.map(|end| (&chain.files[end.file], end.offset)) {
        Some((file, offset)) if file.is_rotated => move_aside(path, file, offset),
        _ => Ok(()),
    }
}

fn move_aside(csv: &Path, file: &ChainFile, committed: u64) -> anyhow::Result<()> {
    const MOVING: &str = "moving uncommitted rows out of";
    if !file.is_longer_than(committed).on_file(MOVING, &file.path).or_exit(Exit::IoErr)? {
        return Ok(());
    }
    let (mut copy, name) = recovered(csv)?;
    let mut move_rows = || {
        let copied = file
            .reader(committed, u64::MAX)
            .and_then(|mut rest| io::copy(&mut rest, &mut copy))
            .and_then(|moved| copy.sync_all().map(|()| moved));
        // If copying fails, remove the partial copy, because it would fill the disk. No row is
        // lost: `file` has all rows.
        let moved = copied.inspect_err(|_| drop(fs::remove_file(&name)))?;
        atomic::sync_directory(&atomic::directory_of(&name))?;
        file.cut(committed)?;
        io::Result::Ok(moved)
    };
    let moved = move_rows().on_file(MOVING, &file.path).or_exit(Exit::IoErr)?;
    log::warn!(
        "{}: {} moved to the new file {}. If a run was killed, this is normal: the next run reads \
         the log lines of these rows again. If another program wrote the rows, check the new file",
        file.path.display(),
        count(moved, "byte of uncommitted rows was", "bytes of uncommitted rows were"),
        name.display()
    );
    Ok(())
}

/// Creates a new file `F.recovered-TIME-N`.
pub(crate) fn recovered(path: &Path) -> anyhow::Result<(File, PathBuf)> {
    let now = chrono::Local::now().format("%Y%m%dT%H%M%S");
    for n in 0.. {
        let name = path.with_added_extension(format!("recovered-{now}-{n}"));
        match File::options().write(true).create_new(true).mode(0o640).open(&name) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            file => return Ok((file.on_file("creating", &name).or_exit(Exit::CantCreat)?, name)),
        }
    }
    unreachable!("the range has no end")
}
