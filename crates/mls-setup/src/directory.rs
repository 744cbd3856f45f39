//! Creates directories for the service user, also inside directories that others can write to.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use mls_diag::{Exit, OnFile, OrExit};
use rustix::fs::{
    AtFlags, CWD, Gid, Mode, OFlags, RenameFlags, Uid, fchown, fstat, mkdirat, openat,
    renameat_with, unlinkat,
};

use crate::system::{Account, TargetSystem, run};

/// The user who created a directory. The same user must remove it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maker {
    Root,
    Service,
}

/// Creates `path` for the service user. The parent directory must exist. If root owns it and nobody
/// else can replace it, root creates `path`. In all other cases, the service user creates `path`,
/// and the kernel checks the rights of this user, even if a link leads elsewhere.
pub(crate) fn make(
    system: &TargetSystem,
    path: &Path,
    service: &Account,
    mode: u32,
) -> anyhow::Result<Maker> {
    let parent = path.parent().unwrap_or(path);
    if let Some(parent) = roots_directory(system, parent) {
        let name = path.file_name().unwrap_or_default();
        make_as_root(&parent, name, service, mode)
            .on_file("creating directory", path)
            .or_exit(Exit::CantCreat)?;
        return Ok(Maker::Root);
    }
    let mut command = Command::new("mkdir");
    command
        .arg(format!("--mode={mode:04o}"))
        .arg("--")
        .arg(system.path(path))
        .uid(service.uid)
        .gid(service.gid);
    run(command)
        .with_context(|| {
            format!(
                "the service user cannot create the directory {}; create the directory and give \
                 it to the service user (chown), or choose another directory",
                path.display()
            )
        })
        .or_exit(Exit::CantCreat)?;
    Ok(Maker::Service)
}

/// Removes a directory that [`make`] made. Fails if the directory is not empty.
pub(crate) fn remove(
    system: &TargetSystem,
    path: &Path,
    maker: Maker,
    service: &Account,
) -> anyhow::Result<()> {
    let host_path = system.path(path);
    if maker == Maker::Root {
        return Ok(fs::remove_dir(host_path)?);
    }
    let mut command = Command::new("rmdir");
    command.arg("--").arg(host_path).uid(service.uid).gid(service.gid);
    run(command).map(drop)
}

/// If a directory belongs to root and only root can replace it, returns its real path. A group may
/// have write permission, as for `/var/log` if syslog does not run as root.
fn roots_directory(system: &TargetSystem, path: &Path) -> Option<PathBuf> {
    let real = fs::canonicalize(system.path(path)).ok()?;
    let meta = fs::metadata(&real).ok()?;
    let is_roots = meta.uid() == 0 && meta.mode() & 0o002 == 0;
    // Check the given path, and also the real path to which links lead.
    let inside = Path::new("/").join(real.strip_prefix(system.root()).ok()?);
    let unchangeable = |path: &Path| path.parent().is_none_or(|p| is_roots_alone(system, p));
    (is_roots && unchangeable(path) && unchangeable(&inside)).then_some(real)
}

/// Whether only root can change what a path leads to.
fn is_roots_alone(system: &TargetSystem, path: &Path) -> bool {
    let Ok(meta) = fs::symlink_metadata(system.path(path)) else { return false };
    let group_writes = meta.mode() & 0o020 != 0 && meta.gid() != 0;
    let others_write = meta.mode() & 0o002 != 0;
    let alone = meta.uid() == 0 && (meta.is_symlink() || !(group_writes || others_write));
    alone && path.parent().is_none_or(|parent| is_roots_alone(system, parent))
}

/// A group that may write to the parent can rename entries of the parent at any moment. So root
/// creates the directory inside a private directory, changes its owner through a descriptor, and
/// moves it into the parent.
fn make_as_root(parent: &Path, name: &OsStr, service: &Account, mode: u32) -> io::Result<()> {
    let parent = open_directory(CWD, parent)?;
    let private = format!(".{}.{}", name.display(), std::process::id());
    mkdirat(&parent, &private, Mode::RWXU)?;
    let inside = make_inside(&parent, &private, service, mode);
    let moved = inside.and_then(|private| {
        Ok(renameat_with(&private, NEW, &parent, name, RenameFlags::NOREPLACE)?)
    });
    if moved.is_err() {
        let _ = open_directory(&parent, private.as_str())
            .and_then(|private| Ok(unlinkat(&private, NEW, AtFlags::REMOVEDIR)?));
    }
    unlinkat(&parent, &private, AtFlags::REMOVEDIR)?;
    moved
}

const NEW: &str = "new";

fn make_inside(
    parent: &OwnedFd,
    private: &str,
    service: &Account,
    mode: u32,
) -> io::Result<OwnedFd> {
    let private = open_directory(parent, private)?;
    let meta = fstat(&private)?;
    if meta.st_uid != 0 || meta.st_mode & 0o777 != 0o700 {
        return Err(io::Error::other("somebody replaced the new directory; run setup again"));
    }
    mkdirat(&private, NEW, Mode::RWXU)?;
    let new = open_directory(&private, NEW)?;
    let (uid, gid) = (Uid::from_raw(service.uid), Gid::from_raw(service.gid));
    fchown(&new, Some(uid), Some(gid))?;
    // Sets the mode independently of the umask.
    fs::File::from(new).set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(private)
}

fn open_directory(at: impl std::os::fd::AsFd, path: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(at, path, flags | OFlags::NOFOLLOW, Mode::empty())?)
}
