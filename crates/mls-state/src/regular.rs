//! Opens regular files in directories of the service user. This user can replace any file there by
//! a FIFO, or by a link to a device.
//!
//! Opening or reading a FIFO waits for another process, and reading a device may never end. All
//! code that opens a file of the service must use this module.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use mls_diag::denied::explained;
use mls_diag::{Exit, OnFile, OrExit};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// `PIPEFS_MAGIC` of `linux/magic.h`: the file system of unnamed pipes.
const PIPEFS: i64 = 0x5049_5045;

/// Opens a file for reading.
///
/// # Errors
/// Those of [`open_with`].
pub fn open(path: &Path) -> io::Result<File> {
    open_with(File::options().read(true), path)
}

/// Opens a file with `options` and never waits. A symbolic link is followed. An unnamed pipe is
/// accepted too: in bash, `<(command)` is such a pipe, and `/dev/stdin` can be one.
///
/// # Errors
/// Any I/O error; [`io::ErrorKind::InvalidInput`] if it is not a regular file: see [`is_other`].
pub fn open_with(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = options.clone().custom_flags(flags).open(path).map_err(|error| {
        // ENXIO means a FIFO without a reader, or a socket.
        if Errno::from_io_error(&error) == Some(Errno::NXIO) {
            other("a FIFO or a socket")
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            // Say who owns the file.
            io::Error::new(error.kind(), format!("{:#}", explained(error, path)))
        } else {
            error
        }
    })?;
    let kind = file.metadata()?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    if !kind.is_fifo() {
        return Err(other(if kind.is_dir() { "a directory" } else { "a device" }));
    }
    if rustix::fs::fstatfs(&file)?.f_type != PIPEFS {
        return Err(other("a FIFO"));
    }
    let flags = rustix::fs::fcntl_getfl(&file)?;
    rustix::fs::fcntl_setfl(&file, flags - OFlags::NONBLOCK)?;
    Ok(file)
}

/// Opens a file for appending, and creates it with mode 0640 if it does not exist.
///
/// # Errors
/// Exit 73.
pub fn append(path: &Path) -> anyhow::Result<File> {
    append_with(&mut File::options(), path)
}

/// Like [`append`], but the file can be read too. It must not be a pipe: a process that has both
/// ends of a pipe does not notice that the other reader has exited.
///
/// # Errors
/// Exit 73.
pub fn append_and_read(path: &Path) -> anyhow::Result<File> {
    append_with(File::options().read(true), path)
}

fn append_with(options: &mut OpenOptions, path: &Path) -> anyhow::Result<File> {
    let file = open_with(options.append(true).create(true).mode(0o640), path);
    file.map_err(|error| explained(error, path)).on_file("opening", path).or_exit(Exit::CantCreat)
}

/// Reads a whole file.
///
/// # Errors
/// Those of [`open_with`], and any I/O error.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Returns `None` if `result` is the error `NotFound`.
///
/// # Errors
/// Any other error.
pub fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        result => result.map(Some),
    }
}

/// Whether [`open_with`] failed because `path` is not a regular file.
#[must_use]
pub fn is_other(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidInput
}

fn other(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, not a regular file"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn only_a_regular_file_is_opened_and_nothing_waits() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name| dir.path().join(name);
        crate::atomic::write(&path("file"), b"text", 0o600).unwrap();
        fs::create_dir(path("directory")).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, path("fifo"), fifo, 0o600.into(), 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).unwrap();
        std::os::unix::fs::symlink("/dev/zero", path("device")).unwrap();
        assert_eq!(read(&path("file")).unwrap(), b"text");
        for (name, what) in [
            ("directory", "it is a directory, not a regular file"),
            ("fifo", "it is a FIFO, not a regular file"),
            ("socket", "it is a FIFO or a socket, not a regular file"),
            ("device", "it is a device, not a regular file"),
        ] {
            let error = read(&path(name)).unwrap_err();
            assert_eq!((is_other(&error), error.to_string().as_str()), (true, what), "{name}");
        }
        for options in [File::options().append(true), File::options().read(true).write(true)] {
            let error = open_with(options.create(true), &path("fifo")).unwrap_err();
            assert!(is_other(&error), "{error}");
        }
        assert_eq!(open(&path("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_pipe_of_the_shell_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", reader.as_raw_fd());
        let mut opened = open(Path::new(&path)).unwrap();
        let mut byte = [0];
        std::thread::scope(|scope| {
            // The read waits for the writer, as a reader of a pipe does.
            let read = scope.spawn(|| opened.read(&mut byte));
            writer.write_all(b"x").unwrap();
            assert_eq!(read.join().unwrap().unwrap(), 1);
        });
    }
}
