//! A file that setup writes: its content, who may read it, and how it is replaced atomically.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use mls_state::regular::if_there;

use crate::system::{Account, TargetSystem};

/// The configuration file that every unit names.
pub(crate) const CONFIGURATION: &str = "/etc/maillogsentinel.conf";

#[derive(Clone, Debug)]
pub(crate) struct NewFile {
    /// The path in the target system, such as `/etc/maillogsentinel.conf`.
    pub(crate) path: PathBuf,
    pub(crate) content: FileContent,
    pub(crate) readers: Readers,
}

#[derive(Clone, Debug)]
pub(crate) enum FileContent {
    Text(String),
    CopyOf(PathBuf),
    /// A symbolic link to this path.
    LinkTo(PathBuf),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    Everybody,
    /// Everybody may read and run the file.
    Runnable,
    /// Root and the group of the service.
    Service,
}

impl NewFile {
    /// A text file that everybody may read.
    pub(crate) fn text(path: impl Into<PathBuf>, text: String) -> Self {
        Self { path: path.into(), content: FileContent::Text(text), readers: Readers::Everybody }
    }

    /// Whether the system already has this file with this content.
    pub(crate) fn is_in_place(&self, system: &TargetSystem, service: Option<&Account>) -> bool {
        let path = system.path(&self.path);
        match &self.content {
            FileContent::LinkTo(target) => fs::read_link(path).is_ok_and(|there| there == *target),
            FileContent::CopyOf(from) => same_content(from, &path),
            FileContent::Text(text) => {
                let may_read = |meta: &Metadata| {
                    self.readers != Readers::Service
                        || service.is_some_and(|account| may_read(meta, account))
                };
                fs::read(&path).is_ok_and(|there| there == text.as_bytes())
                    && fs::metadata(&path).is_ok_and(|meta| may_read(&meta))
            }
        }
    }

    /// Writes the whole file or nothing. Only root may have the right to write to the directory.
    pub(crate) fn write(&self, system: &TargetSystem, service: Option<&Account>) -> io::Result<()> {
        let path = system.path(&self.path);
        let new = beside(&path);
        remove_if_there(&new)?;
        match &self.content {
            FileContent::LinkTo(target) => symlink(target, &new)?,
            FileContent::CopyOf(from) => self.create(&new, File::open(from)?, service)?,
            FileContent::Text(text) => self.create(&new, text.as_bytes(), service)?,
        }
        fs::rename(&new, &path)
    }

    fn create(&self, new: &Path, content: impl Read, service: Option<&Account>) -> io::Result<()> {
        let mode = match self.readers {
            Readers::Everybody => 0o644,
            Readers::Runnable => 0o755,
            Readers::Service => 0o640,
        };
        let group = service.filter(|_| self.readers == Readers::Service).map(|account| account.gid);
        create(new, content, mode, group.map(|group| (0, group)))
    }
}

/// A saved file that can be restored.
#[derive(Debug)]
pub(crate) struct Saved {
    content: SavedContent,
    mode: u32,
    uid: u32,
    gid: u32,
}

#[derive(Debug)]
enum SavedContent {
    Bytes(Vec<u8>),
    LinkTo(PathBuf),
}

impl Saved {
    /// Reads `path`; `None` if it does not exist.
    pub(crate) fn read(path: &Path) -> io::Result<Option<Self>> {
        let Some(meta) = if_there(fs::symlink_metadata(path))? else { return Ok(None) };
        let content = if meta.is_symlink() {
            SavedContent::LinkTo(fs::read_link(path)?)
        } else {
            SavedContent::Bytes(fs::read(path)?)
        };
        Ok(Some(Self { content, mode: meta.mode() & 0o7777, uid: meta.uid(), gid: meta.gid() }))
    }

    /// Restores the file at `path`.
    pub(crate) fn write(&self, path: &Path) -> io::Result<()> {
        let new = beside(path);
        remove_if_there(&new)?;
        match &self.content {
            SavedContent::LinkTo(target) => symlink(target, &new)?,
            SavedContent::Bytes(bytes) => {
                create(&new, bytes.as_slice(), self.mode, Some((self.uid, self.gid)))?;
            }
        }
        fs::rename(&new, path)
    }
}

/// Whether the mode and the owner of a file let an account read it.
fn may_read(meta: &Metadata, account: &Account) -> bool {
    let bit = match (meta.uid() == account.uid, meta.gid() == account.gid) {
        (true, _) => 0o400,
        (false, true) => 0o040,
        (false, false) => 0o004,
    };
    meta.mode() & bit != 0
}

/// The temporary name of a new file.
pub(crate) fn beside(path: &Path) -> PathBuf {
    path.with_added_extension("setup-new")
}

/// Creates a new file. Until the mode is set, only root can read the file, because it may contain a
/// password. Fails if the name exists, for example as a symbolic link. Later steps use only the
/// descriptor.
fn create(
    path: &Path,
    mut content: impl Read,
    mode: u32,
    owner: Option<(u32, u32)>,
) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    io::copy(&mut content, &mut file)?;
    if let Some((user, group)) = owner {
        fchown(&file, Some(user), Some(group))?;
    }
    file.set_permissions(Permissions::from_mode(mode))?;
    file.sync_all()
}

pub(crate) fn remove_if_there(path: &Path) -> io::Result<()> {
    if_there(fs::remove_file(path)).map(drop)
}

fn same_content(one: &Path, other: &Path) -> bool {
    let length = |path| fs::metadata(path).map(|meta| meta.len()).ok();
    length(one) == length(other) && fs::read(one).ok() == fs::read(other).ok()
}
