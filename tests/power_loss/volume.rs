//! File systems of the kernel on a recorded disk, and on the same disk after a power failure.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use mls_tests::text;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};

use crate::disk::{Recorder, State};

/// A file system and its mount options.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    /// The type for mount(8).
    file_system: &'static str,
    make: &'static [&'static str],
    size: u64,
    options: &'static str,
    /// The command that restores a superblock of which only some sectors were written.
    ///
    /// The superblocks of ext4 and btrfs have several sectors and one checksum, so the kernel does not mount
    /// such a file system. The command restores the superblock from a copy. That of XFS has one sector.
    repair: &'static [&'static str],
}

/// Commits of the journal come often, so that they fall between two calls of a tool.
const EXT4: Kind = Kind {
    name: "ext4 data=ordered",
    file_system: "ext4",
    make: &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
    size: 16 << 20,
    options: "data=ordered,commit=1,nodiscard",
    repair: &["e2fsck", "-y"],
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
    repair: &[],
};

pub(crate) const BTRFS: Kind = Kind {
    name: "btrfs",
    file_system: "btrfs",
    make: &["-q", "-f", "-K"],
    size: 128 << 20,
    options: "commit=1,nodiscard",
    repair: &["btrfs", "rescue", "super-recover", "-y"],
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

/// Lets only this thread and its children see what this thread mounts from now on.
///
/// Programs that run at the same time, such as containers, start with a copy of the mounts that they see.
/// A file system in such a copy stays in use after it is unmounted here.
pub(crate) fn hide_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).unwrap();
}

/// A file system that is mounted until this is dropped.
pub(crate) struct Mount {
    kind: Kind,
    device: PathBuf,
    at: PathBuf,
}

impl Mount {
    /// Mounts the disk that records.
    pub(crate) fn recorder(kind: Kind, recorder: &Recorder, at: &Path) -> Self {
        let device = attach(&recorder.device());
        assert_success(&mount(kind, &device, at));
        Self { kind, device, at: at.to_owned() }
    }

    /// Mounts the disk after a power failure; the kernel recovers the file system first.
    pub(crate) fn state(kind: Kind, state: &State, directory: &Path, at: &Path) -> Self {
        let image = directory.join("image");
        state.content.store(&image, state.size);
        let device = attach(&image);
        std::fs::remove_file(image).unwrap();
        let mut mounted = mount(kind, &device, at);
        if !mounted.status.success() && !kind.repair.is_empty() {
            repair(kind, &device);
            mounted = mount(kind, &device, at);
        }
        assert_success(&mounted);
        Self { kind, device, at: at.to_owned() }
    }
}

/// Gives a file a loop device.
fn attach(image: &Path) -> PathBuf {
    let output = run(Command::new("losetup").args(["--find", "--show"]).arg(image));
    assert_success(&output);
    PathBuf::from(text(&output.stdout).trim_end())
}

/// Restores the superblock, as a machine or its administrator does after such a power failure.
fn repair(kind: Kind, device: &Path) {
    let output = run(Command::new(kind.repair[0]).args(&kind.repair[1..]).arg(device));
    // e2fsck(8) ends with 1 or 2 if it restored something, and btrfs-rescue(8) with 2.
    let restored = if kind.file_system == "ext4" { 1..=2 } else { 2..=2 };
    let said = text(&output.stdout) + &text(&output.stderr);
    let code = output.status.code().unwrap_or(-1);
    assert!(restored.contains(&code), "{:?}: exit code {code}: {said}", kind.repair);
}

fn mount(kind: Kind, device: &Path, at: &Path) -> Output {
    std::fs::create_dir_all(at).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", kind.file_system, "-o", kind.options]);
    run(mount.arg(device).arg(at))
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A stage of a pipeline that was killed may hold the file system for a moment.
        insist(Command::new("umount").arg("-q").arg(&self.at));
        if self.kind.file_system == "btrfs" {
            // The next disk has the same identifier and may have older data. The kernel would
            // refuse to mount it, so let the kernel forget this device.
            insist(
                Command::new("btrfs").args(["-q", "device", "scan", "--forget"]).arg(&self.device),
            );
        }
        insist(Command::new("losetup").arg("--detach").arg(&self.device));
    }
}

/// Repeats a command until it succeeds, at most for a minute.
fn insist(command: &mut Command) {
    let start = Instant::now();
    loop {
        let output = run(command);
        if output.status.success() {
            return;
        }
        if std::thread::panicking() {
            return;
        }
        let said = text(&output.stderr);
        assert!(start.elapsed() < Duration::from_mins(1), "{command:?}: {said}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn run(command: &mut Command) -> Output {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap());
    command.env("PATH", path).output().unwrap()
}

fn assert_success(output: &Output) {
    assert!(output.status.success(), "{}", text(&output.stderr));
}
