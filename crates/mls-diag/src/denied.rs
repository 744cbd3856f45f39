//! Explains why a file cannot be opened: names the owner of the file.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Explains an error about `path`. If permission is missing, the message names the owner of the
/// file, or of the nearest visible directory above: `/var/log/mail.log belongs to root:adm with
/// mode 0640, and this process runs as bob`. It also says if the file system is read-only, or if
/// the directory of the file is missing. Does not explain an error twice.
#[must_use]
pub fn explained(error: io::Error, path: &Path) -> anyhow::Error {
    let is_missing = |directory: &&Path| !directory.as_os_str().is_empty() && !directory.exists();
    let why = match (error.kind(), path.parent().filter(is_missing)) {
        (kind @ ErrorKind::NotFound, Some(directory)) => {
            let directory = directory.display();
            let why =
                format!("the directory {directory} does not exist; create it, or check the name");
            return io::Error::new(kind, why).into();
        }
        // `get_ref` is set if this function has explained the error before.
        (ErrorKind::PermissionDenied, _) if error.get_ref().is_none() => {
            let me = name("/etc/passwd", rustix::process::geteuid().as_raw());
            let owner = path.ancestors().find_map(owner);
            owner.map(|owner| format!("{owner}, and this process runs as {me}"))
        }
        (ErrorKind::ReadOnlyFilesystem, _) => Some(READ_ONLY.to_owned()),
        _ => None,
    };
    let error = anyhow::Error::new(error);
    match why {
        Some(why) => error.context(why),
        None => error,
    }
}

/// systemd lets a service write only to the directories that are in the unit of the service.
const READ_ONLY: &str = "nothing can be written to this path; if a service reports this error, and \
    you changed a directory in its configuration, run setup again";

fn owner(path: &Path) -> Option<String> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let meta = fs::metadata(path).ok()?;
    Some(format!(
        "{} belongs to {}:{} with mode {:04o}",
        path.display(),
        name("/etc/passwd", meta.uid()),
        name("/etc/group", meta.gid()),
        meta.mode() & 0o7777
    ))
}

/// Returns the name of a user or a group from a file such as `/etc/passwd`. If there is no name for
/// `id`, returns the number.
fn name(file: &str, id: u32) -> String {
    let id = id.to_string();
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find(|line| line.split(':').nth(2) == Some(&id));
    line.and_then(|line| line.split(':').next()).map_or(id.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_about_permission_names_the_owner() {
        let denied = || io::Error::from(ErrorKind::PermissionDenied);
        let error = format!("{:#}", explained(denied(), Path::new("/nonexistent/file")));
        assert!(error.starts_with("/ belongs to root:root with mode 0"), "{error}");
        let again =
            explained(io::Error::new(ErrorKind::PermissionDenied, error.clone()), Path::new("/"));
        assert_eq!(format!("{again:#}"), error);
        let other = explained(io::Error::from(ErrorKind::NotFound), Path::new("/"));
        assert!(!other.to_string().contains("belongs"));
        let read_only = io::Error::from(ErrorKind::ReadOnlyFilesystem);
        let read_only = format!("{:#}", explained(read_only, Path::new("/")));
        assert!(read_only.contains("run setup again: read-only filesystem"), "{read_only}");
        let missing =
            explained(io::Error::from(ErrorKind::NotFound), Path::new("/nonexistent/file"));
        assert_eq!(crate::Exit::of(&missing), crate::Exit::NoInput);
        assert_eq!(
            format!("{missing:#}"),
            "the directory /nonexistent does not exist; create it, or check the name"
        );
    }
}
