//! A disk that records writes and flushes, so that a test can replay a power failure at any moment.
//!
//! The disk is a file in a FUSE file system of this process. A loop device reads and writes the
//! file, and the kernel mounts ext4, XFS or btrfs on the device. A flush of the device arrives here
//! as an fsync of the file. Data that was written before the last flush survives a power failure.
//! After the flush, each written sector of 512 bytes may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyEntry,
    ReplyWrite, Request, WriteFlags,
};
use tempfile::TempDir;
use testdata::random::Random;

/// The size of a sector in bytes. A disk writes a sector completely or not at all.
const SECTOR: usize = 512;

type Sector = [u8; SECTOR];

/// The content of a disk. A sector that is not in the map contains only zeros.
#[derive(Clone, Default)]
pub(crate) struct Content(BTreeMap<u64, Sector>);

impl Content {
    fn load(image: &Path) -> Self {
        let mut content = Self::default();
        let mut file = File::open(image).unwrap();
        let mut chunk = vec![0; 1 << 20];
        let mut offset = 0;
        loop {
            let read = file.read(&mut chunk).unwrap();
            if read == 0 {
                return content;
            }
            assert_eq!(read % SECTOR, 0, "an image consists of whole sectors");
            if chunk[..read].iter().any(|byte| *byte != 0) {
                content.write(offset, &chunk[..read]);
            }
            offset += read as u64;
        }
    }

    /// Writes whole sectors.
    fn write(&mut self, offset: u64, data: &[u8]) {
        let first = offset / SECTOR as u64;
        for (number, sector) in (first..).zip(data.chunks(SECTOR)) {
            self.write_sector(number, sector);
        }
    }

    fn write_sector(&mut self, number: u64, sector: &[u8]) {
        if sector.iter().all(|byte| *byte == 0) {
            self.0.remove(&number);
        } else {
            self.0.insert(number, sector.try_into().unwrap());
        }
    }

    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut data = vec![0; length];
        let first = offset / SECTOR as u64;
        for (number, sector) in self.0.range(first..(offset + length as u64) / SECTOR as u64) {
            let at = usize::try_from(number - first).unwrap() * SECTOR;
            data[at..at + SECTOR].copy_from_slice(sector);
        }
        data
    }

    pub(crate) fn store(&self, image: &Path, size: u64) {
        let mut file = File::create(image).unwrap();
        file.set_len(size).unwrap();
        let mut run: Vec<u8> = Vec::new();
        let mut start = 0;
        for (number, sector) in &self.0 {
            if start + (run.len() / SECTOR) as u64 != *number {
                write_at(&mut file, start, &run);
                run.clear();
                start = *number;
            }
            run.extend(sector);
        }
        write_at(&mut file, start, &run);
    }
}

fn write_at(file: &mut File, sector: u64, data: &[u8]) {
    file.seek(SeekFrom::Start(sector * SECTOR as u64)).unwrap();
    file.write_all(data).unwrap();
}

#[derive(Clone)]
enum Operation {
    Write { offset: u64, data: Arc<[u8]> },
    Flush,
}

/// The content of a disk at the start of a recording, and all later operations.
pub(crate) struct Recording {
    size: u64,
    before: Content,
    operations: Vec<Operation>,
}

/// The content of the disk now, and the operations so far.
struct Live {
    content: Content,
    operations: Vec<Operation>,
}

/// A disk that records its operations until [`Recorder::finish`].
pub(crate) struct Recorder {
    size: u64,
    before: Content,
    live: Arc<Mutex<Live>>,
    session: BackgroundSession,
    directory: TempDir,
}

/// A clock that counts the operations on the disk.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Mutex<Live>>);

impl Clock {
    pub(crate) fn now(&self) -> usize {
        self.0.lock().unwrap().operations.len()
    }
}

impl Recorder {
    /// Starts a disk with the content of an image file.
    pub(crate) fn start(image: &Path) -> Self {
        let size = image.metadata().unwrap().len();
        let before = Content::load(image);
        let live = Arc::new(Mutex::new(Live { content: before.clone(), operations: Vec::new() }));
        let directory = TempDir::new().unwrap();
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("recorder".to_owned())];
        let disk = Disk { size, live: Arc::clone(&live) };
        let session = fuser::spawn_mount(disk, directory.path(), &config).unwrap();
        Self { size, before, live, session, directory }
    }

    /// The file for the loop device.
    pub(crate) fn device(&self) -> std::path::PathBuf {
        self.directory.path().join("disk")
    }

    pub(crate) fn clock(&self) -> Clock {
        Clock(Arc::clone(&self.live))
    }

    /// Ends the recording. The caller must unmount and detach the loop device before the call.
    pub(crate) fn finish(self) -> Recording {
        self.session.umount_and_join().unwrap();
        let operations = std::mem::take(&mut self.live.lock().unwrap().operations);
        Recording { size: self.size, before: self.before, operations }
    }
}

/// The disk after a power failure.
pub(crate) struct State {
    /// The number of operations before the power failure.
    pub(crate) moment: usize,
    pub(crate) content: Content,
    pub(crate) size: u64,
    /// The number of writes that were lost completely (`lost`) or in part (`torn`).
    pub(crate) lost: usize,
    pub(crate) torn: usize,
}

/// What a disk does with writes that were not flushed.
#[derive(Clone, Copy)]
enum Cache {
    /// All of the writes are on the disk.
    Written,
    /// No write is on the disk.
    Dropped,
    /// Some writes are on the disk, in any order.
    Reordered,
    /// Some writes are on the disk completely, others only in part.
    Torn,
}

impl Recording {
    /// Returns the disk after each of `count` power failures at random moments, in order of time.
    pub(crate) fn states(&self, count: usize, random: &mut Random) -> impl Iterator<Item = State> {
        let mut moments = BTreeSet::new();
        let most = self.operations.len();
        while moments.len() < count.min(most) {
            moments.insert(below(random, most + 1));
        }
        let mut flushed = self.before.clone();
        let mut position = 0;
        let seed = random.below(u64::MAX);
        let mut random = Random::new(seed);
        moments.into_iter().map(move |moment| {
            let done = &self.operations[..moment];
            let flush = done.iter().rposition(|one| matches!(one, Operation::Flush)).unwrap_or(0);
            for operation in &self.operations[position..flush.max(position)] {
                if let Operation::Write { offset, data } = operation {
                    flushed.write(*offset, data);
                }
            }
            position = flush.max(position);
            self.state(moment, &flushed, position, &mut random)
        })
    }

    fn state(&self, moment: usize, flushed: &Content, from: usize, random: &mut Random) -> State {
        let caches = [Cache::Written, Cache::Dropped, Cache::Reordered, Cache::Torn, Cache::Torn];
        let cache = *random.pick(&caches);
        let mut content = flushed.clone();
        let (mut lost, mut torn) = (0, 0);
        for operation in &self.operations[from..moment] {
            let Operation::Write { offset, data } = operation else { continue };
            let is_kept = match cache {
                Cache::Written => true,
                Cache::Dropped => false,
                Cache::Reordered | Cache::Torn => random.below(2) == 0,
            };
            if is_kept {
                content.write(*offset, data);
            } else if matches!(cache, Cache::Torn) && data.len() > SECTOR && random.below(2) == 0 {
                torn += 1;
                let first = offset / SECTOR as u64;
                for (number, sector) in (first..).zip(data.chunks(SECTOR)) {
                    if random.below(2) == 0 {
                        content.write_sector(number, sector);
                    }
                }
            } else {
                lost += 1;
            }
        }
        State { moment, content, size: self.size, lost, torn }
    }

    /// The number of writes and flushes.
    pub(crate) fn count(&self) -> (usize, usize) {
        let flushes = self.operations.iter().filter(|one| matches!(one, Operation::Flush)).count();
        (self.operations.len() - flushes, flushes)
    }
}

fn below(random: &mut Random, limit: usize) -> usize {
    usize::try_from(random.below(limit as u64)).unwrap()
}

/// A file system that contains one file.
struct Disk {
    size: u64,
    live: Arc<Mutex<Live>>,
}

const FILE: INodeNo = INodeNo(2);

/// How long the kernel may cache attributes. They never change.
const FOREVER: Duration = Duration::from_hours(1);

impl Disk {
    fn attributes(&self, inode: INodeNo) -> FileAttr {
        let is_file = inode == FILE;
        FileAttr {
            ino: inode,
            size: if is_file { self.size } else { 0 },
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind: if is_file { FileType::RegularFile } else { FileType::Directory },
            perm: if is_file { 0o600 } else { 0o700 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            flags: 0,
            blksize: 4096,
        }
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == "disk" {
            reply.entry(&FOREVER, &self.attributes(FILE), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&FOREVER, &self.attributes(inode));
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let end = (offset + u64::from(size)).min(self.size);
        let length = usize::try_from(end.saturating_sub(offset)).unwrap();
        reply.data(&self.live.lock().unwrap().content.read(offset, length));
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut live = self.live.lock().unwrap();
        live.content.write(offset, data);
        live.operations.push(Operation::Write { offset, data: data.into() });
        reply.written(u32::try_from(data.len()).unwrap());
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.live.lock().unwrap().operations.push(Operation::Flush);
        reply.ok();
    }
}
