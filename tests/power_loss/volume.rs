//! Mounts file systems on a disk that records, and on the disk after a power failure.

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
    /// The command that replaces a damaged superblock by its copy.
    ///
    /// In ext4 and btrfs, the superblock has several sectors and one checksum. If only some sectors
    /// were written, the kernel refuses to mount. In XFS, the superblock has one sector.
    repair: &'static [&'static str],
}

/// `commit=1`: the journal commits each second, so some commits come while a tool runs.
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

    /// Makes an empty file system on a disk that records all later operations.
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

/// Hides the mounts of this thread from all programs except the children of this thread.
///
/// Other programs, such as containers, start with a copy of all mounts that they see. If the copy
/// has a file system of this thread, the file system stays in use although this thread unmounts it.
pub(crate) fn hide_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    nix::mount::mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).unwrap();
}

/// A mounted file system. It is unmounted when this value is dropped.
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

    /// Mounts the disk after a power failure. If the mount fails, repairs the superblock.
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

/// Attaches a file to a loop device. Returns the path of the device.
fn attach(image: &Path) -> PathBuf {
    let output = run(Command::new("losetup").args(["--find", "--show"]).arg(image));
    assert_success(&output);
    PathBuf::from(text(&output.stdout).trim_end())
}

/// Repairs the superblock. On a real machine, this happens at boot, or the administrator does it.
fn repair(kind: Kind, device: &Path) {
    let output = run(Command::new(kind.repair[0]).args(&kind.repair[1..]).arg(device));
    // Exit codes after a repair: 1 or 2 from e2fsck(8), 2 from btrfs-rescue(8).
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
        // If a stage of a pipeline was killed, it may use the file system for a moment.
        insist(Command::new("umount").arg("-q").arg(&self.at));
        if self.kind.file_system == "btrfs" {
            // The next disk has the same identifier and may have older data. If the kernel
            // remembers this device, it refuses to mount the next disk.
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
