//! Places in a file that is appended to, and whether it is still that file.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_cli::cursor_file::Data;
use mls_cli::{Exit, OrExit, atomic};
use mls_event::MAX_LINE;

/// The place after the last whole line of the first `length` bytes. None for gzip: its bytes are not those of its lines.
pub(crate) fn of_end(path: &Path, length: Option<u64>) -> anyhow::Result<Option<Data>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    find_end(&file, length).with_context(|| format!("reading {}", path.display())).or_exit(Exit::IoErr)
}

fn find_end(file: &File, length: Option<u64>) -> io::Result<Option<Data>> {
    let metadata = file.metadata()?;
    let length = metadata.len().min(length.unwrap_or(u64::MAX));
    let mut magic = [0; 2];
    if !metadata.is_file() || (length > 1 && file.read_exact_at(&mut magic, 0).is_ok() && magic == [0x1f, 0x8b]) {
        return Ok(None);
    }
    let size = length.min(MAX_LINE as u64);
    let mut tail = vec![0; MAX_LINE.min(usize::try_from(length).unwrap_or(MAX_LINE))];
    file.read_exact_at(&mut tail, length - size)?;
    let whole = memchr::memrchr(b'\n', &tail).map_or(0, |newline| newline + 1);
    Data::describe(file, length - size + whole as u64).map(Some)
}

/// Whether the file still begins with what `data` describes.
pub(crate) fn is_known(path: &Path, data: &Data) -> anyhow::Result<bool> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    match Data::describe(&file, data.length) {
        Ok(found) => Ok(found == *data),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())).or_exit(Exit::IoErr),
    }
}

/// The file that `path` was rotated to, if `data` describes its beginning: one whose name begins with that of `path`.
pub(crate) fn find_rotated(path: &Path, data: &Data) -> Option<PathBuf> {
    let name = path.file_name()?.as_bytes();
    let siblings = std::fs::read_dir(atomic::directory_of(path)).ok()?.filter_map(Result::ok);
    let rotated = siblings.filter(|sibling| {
        let rest = sibling.file_name().as_bytes().strip_prefix(name).map(<[u8]>::to_owned).unwrap_or_default();
        matches!(rest.first(), Some(b'.' | b'-')) && sibling.file_type().is_ok_and(|kind| kind.is_file())
    });
    rotated.map(|sibling| sibling.path()).find(|sibling| data.length > 0 && is_known(sibling, data).unwrap_or(false))
}
