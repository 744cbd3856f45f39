//! Reads passwords from their files.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use mls_diag::Exit;
use mls_diag::denied::explained;
use rustix::process::DumpableBehavior;

/// A password must have fewer bytes than this number.
const MAX_PASSWORD: usize = 4096;

/// Keeps the memory of this process out of core files, and hides it from other processes of the
/// same user (`PR_SET_DUMPABLE` in prctl(2)). Call this before the process reads a password.
pub fn protect_memory() {
    let result = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = result {
        log::warn!("if this process crashes, its core file can contain a password: {error}");
    }
}

/// Refuses a file with a secret that everybody may read. Messages name `key`, such as `ssl_key`.
///
/// # Errors
/// Exit 77 if everybody may read the file, 66 if it does not exist.
pub fn check_readers(key: &str, path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let mode = std::fs::metadata(path).map_err(|error| unreadable(key, path, error))?.mode();
    if mode & 0o004 == 0 {
        return Ok(());
    }
    Err(Exit::NoPerm.error(format!(
        "everybody may read {key} {shown} (mode {:04o}); run: chmod 600 {shown}",
        mode & 0o7777
    )))
}

/// Returns the first line of a password file. Messages name `key`, such as `smtp_password_file`.
///
/// # Errors
/// Exit 77 if everybody may read the file, 78 if the first line is not a usable password, 66 if the
/// file does not exist.
pub fn read(key: &str, path: &Path) -> anyhow::Result<String> {
    protect_memory();
    check_readers(key, path)?;
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(key, path, error))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() && line.len() < MAX_PASSWORD => Ok(line.to_owned()),
        _ => Err(Exit::Config.error(format!(
            "the first line of {key} {shown} is empty or too long; write the password into the \
             first line"
        ))),
    }
}

fn unreadable(key: &str, path: &Path, error: io::Error) -> anyhow::Error {
    let shown = path.display();
    let cure = match error.kind() {
        io::ErrorKind::NotFound => "; write the secret to this file with mode 0600",
        io::ErrorKind::PermissionDenied => "; the service user must be able to read it",
        _ => "",
    };
    explained(error, path).context(format!("reading {key} {shown}{cure}"))
}
