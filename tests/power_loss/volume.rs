//! File systems of the kernel on a recorded disk, and on what a power failure leaves of it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use mls_tests::text;

use crate::disk::{Recorder, State};

/// A file system and how it is mounted.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The type for mount(8).
    file_system: &'static str,
    make: &'static [&'static str],
    size: u64,
    options: &'static str,
}

/// Commits of the journal come often, so that they fall between two calls of a tool.
const EXT4: Kind = Kind {
    name: "ext4 data=ordered",
    file_system: "ext4",
    make: &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
    size: 16 << 20,
    options: "data=ordered,commit=1,nodiscard",
};

pub(crate) const EXT4_ORDERED: Kind = EXT4;

pub(crate) const EXT4_WRITEBACK: Kind =
    Kind { name: "ext4 data=writeback", options: "data=writeback,commit=1,nodiscard", ..EXT4 };

pub(crate) const EXT4_JOURNAL: Kind =
    Kind { name: "ext4 data=journal", options: "data=journal,commit=1,nodiscard", ..EXT4 };

pub(crate) const XFS: Kind = Kind {
    name: "XFS",
    file_system: "xfs",
    make: &["-q", "-f", "-K"],
    size: 300 << 20,
    options: "nouuid,nodiscard",
};

pub(crate) const BTRFS: Kind = Kind {
    name: "btrfs",
    file_system: "btrfs",
    make: &["-q", "-f", "-K"],
    size: 128 << 20,
    options: "commit=1,nodiscard",
};

impl Kind {
    /// The program that makes the file system.
    pub(crate) fn maker(self) -> String {
        format!("mkfs.{}", self.file_system)
    }

    /// Makes an empty file system on a disk that records from then on.
    pub(crate) fn make(self, directory: &Path) -> Recorder {
        let image = directory.join("empty");
        std::fs::File::create(&image).unwrap().set_len(self.size).unwrap();
        let mut maker = Command::new(self.maker());
        assert_success(&run(maker.args(self.make).arg(&image)));
        let recorder = Recorder::start(&image);
        std::fs::remove_file(&image).unwrap();
        recorder
    }
}

/// A file system that is mounted until this is dropped.
pub(crate) struct Mount {
    at: PathBuf,
    image: Option<PathBuf>,
}

impl Mount {
    /// Mounts the disk that records.
    pub(crate) fn recorder(kind: Kind, recorder: &Recorder, at: &Path) -> Self {
        assert_success(&mount(kind, &recorder.device(), at));
        Self { at: at.to_owned(), image: None }
    }

    /// Mounts what a power failure left; the kernel recovers the file system first.
    pub(crate) fn state(kind: Kind, state: &State, directory: &Path, at: &Path) -> Self {
        let image = directory.join("image");
        state.content.store(&image, state.size);
        if !mount(kind, &image, at).status.success() {
            repair(&image);
            assert_success(&mount(kind, &image, at));
        }
        Self { at: at.to_owned(), image: Some(image) }
    }
}

/// Repairs ext4 as a machine does when it boots.
///
/// The superblock of ext4 has two sectors and one checksum. If only one sector was written, the kernel does
/// not mount the file system. e2fsck(8) restores the superblock from a copy.
fn repair(image: &Path) {
    let output = run(Command::new("e2fsck").arg("-y").arg(image));
    // Exit codes 1 and 2 mean that e2fsck has repaired the file system.
    assert!(matches!(output.status.code(), Some(1 | 2)), "e2fsck: {}", text(&output.stdout));
}

fn mount(kind: Kind, image: &Path, at: &Path) -> Output {
    std::fs::create_dir_all(at).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", kind.file_system, "-o", &format!("loop,{}", kind.options)]);
    run(mount.arg(image).arg(at))
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A stage of a pipeline that was killed may hold it for a moment.
        for _ in 0..200 {
            if Command::new("umount").arg("-q").arg(&self.at).status().unwrap().success() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        if let Some(image) = &self.image {
            let _ = std::fs::remove_file(image);
        }
    }
}

fn run(command: &mut Command) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    command.env("PATH", path).output().unwrap()
}

fn assert_success(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}
