//! Replaces whole files. A reader never sees a part of a file. After a crash there is either the
//! old file or the new file.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use mls_diag::denied::explained;

use crate::regular;

/// Replaces the content of `path`: writes a temporary file in the same directory, syncs it, renames it,
/// and syncs the directory. An existing file keeps its owner and mode; a new file gets `mode`. Follows a
/// symbolic link. If `path` is a device, for example `/dev/null`, or a pipe without a name, such as
/// `/dev/stdout`, writes to it directly.
///
/// # Errors
/// Any I/O error. The file then has either the old or the new content. A FIFO is an error: see
/// [`regular::open_with`].
pub fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write_with(path, mode, |file| file.write_all(content))
}

/// Like [`write()`], but `fill` writes the content, so that the content need not fit into memory.
///
/// # Errors
/// Any I/O error, including those of `fill`; see [`write()`].
pub fn write_with(
    path: &Path,
    mode: u32,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
) -> io::Result<()> {
    match fs::metadata(path).map(|there| there.file_type()) {
        Ok(kind) if kind.is_char_device() => {
            return fill(&mut File::options().write(true).open(path)?);
        }
        Ok(kind) if !kind.is_file() => {
            return fill(&mut regular::open_with(File::options().write(true), path)?);
        }
        _ => {}
    }
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let directory = directory_of(&target);
    let temporary = tempfile::Builder::new().prefix(".mls-").tempfile_in(&directory);
    let mut temporary = temporary.map_err(|error| match error.kind() {
        // The error must name the directory: the user does not know the temporary file.
        kind @ (io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {
            let why = explained(kind.into(), &directory.join("new"));
            io::Error::new(kind, format!("{why:#}"))
        }
        _ => error,
    })?;
    fill(temporary.as_file_mut())?;
    let permissions = if let Ok(old) = fs::metadata(&target) {
        // Only root may change the owner (chown(2)). If this process does not run as root, the new
        // file belongs to the user of the process. The old file usually belongs to this user too.
        let _ = fchown(temporary.as_file(), Some(old.uid()), Some(old.gid()));
        old.permissions()
    } else {
        Permissions::from_mode(mode)
    };
    temporary.as_file().set_permissions(permissions)?;
    temporary.as_file().sync_all()?;
    temporary.persist(&target).map_err(|error| error.error)?;
    sync_directory(&directory)
}

/// Syncs `directory`, so that a power failure does not undo changes of the names in it.
///
/// # Errors
/// Any I/O error.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory of `path`; `.` if the path is only a file name.
#[must_use]
pub fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        write(Path::new("/dev/null"), b"one", 0o640).unwrap();
        assert!(FileTypeExt::is_char_device(&fs::metadata("/dev/null").unwrap().file_type()));
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            write(dir.path(), b"one", 0o640).unwrap_err().kind(),
            io::ErrorKind::IsADirectory
        );
    }

    #[test]
    fn mode_and_symbolic_link_are_kept_and_no_temporary_file_remains() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("state"), dir.path().join("link"));
        write(&file, b"one", 0o640).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        fs::set_permissions(&file, Permissions::from_mode(0o604)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        write(&link, b"two", 0o640).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"two");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o604);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
