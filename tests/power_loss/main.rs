//! Simulates power failures at random moments. The disk loses any part of the data that was not
//! flushed. After the next run, everything must be counted exactly once.
//!
//! A pipeline works on ext4 (in its three data modes), XFS or btrfs. The disk below records every
//! write and flush, see [`disk`]. Then the test restores the disk to random moments of the
//! recording. Writes after the last flush are lost, reordered, or torn between sectors. The kernel
//! recovers the file system, the pipeline runs again, and the result must be exact. A mail that was
//! delivered before the power failure stays delivered.
//!
//! `MLS_STATES` is the total number of power failures. The test needs root, FUSE, loop devices, and
//! the mkfs of each file system.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop, and says how many states it saw"
)]

mod disk;
mod volume;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use disk::Recording;
use mls_tests::mailbox::Message;
use mls_tests::service::Service;
use mls_tests::{has, is_root, skip};
use testdata::random::Random;
use volume::{BTRFS, EXT4_JOURNAL, EXT4_ORDERED, EXT4_WRITEBACK, Kind, Mount, XFS};

/// Pipelines that write to the disk, and the check of their output.
struct Subject {
    name: &'static str,
    /// The steps of one round. The test may kill each step.
    work: &'static [Work],
    /// Expects an exact result after the run that follows the power failure.
    check: fn(&Service),
}

/// A step of a round.
#[derive(Clone, Copy)]
enum Work {
    /// The pipeline of a unit.
    Unit(&'static str),
    Shell(&'static str),
    /// mls-csv rotates the CSV to a new name, such as `F-20260101`.
    Rotate,
}

const EXTRACT: Work = Work::Unit("maillogsentinel.service");

const SUBJECTS: [Subject; 6] = [
    Subject {
        name: "CSV and its rotation",
        work: &[EXTRACT, Work::Unit("maillogsentinel-logins.service"), Work::Rotate],
        check: |service| {
            service.assert_failures();
            service.assert_logins();
        },
    },
    Subject {
        name: "load into SQLite",
        work: &[Work::Shell(
            "mls-tail --framed --cursor-file <(mls-sql cursor --url sqlite:data/events.db) log/mail.log | \
             mls-parse | mls-sql load --url sqlite:data/events.db",
        )],
        check: Service::assert_database,
    },
    Subject {
        name: "SQL export and import",
        work: &[
            EXTRACT,
            Work::Unit("maillogsentinel-sql-export.service"),
            Work::Unit("maillogsentinel-sql-import.service"),
        ],
        check: Service::assert_database,
    },
    Subject {
        name: "ledger of digests",
        work: &[EXTRACT, Work::Unit("maillogsentinel-report.service")],
        check: Service::assert_digests,
    },
    Subject {
        name: "ledger of alerts",
        work: &[EXTRACT, Work::Unit("maillogsentinel-alert.service")],
        check: Service::assert_alerts,
    },
    Subject {
        name: "block lists",
        work: &[Work::Shell(
            "mls-tail --config conf --no-rotated | mls-parse --config conf | \
             mls-alert --config conf - | mls-block --config conf",
        )],
        check: Service::assert_blocked,
    },
];

/// The number of power failures for each subject on each file system.
fn states() -> usize {
    let all = std::env::var("MLS_STATES").map_or(90, |count| count.parse::<usize>().unwrap());
    all.div_ceil(5 * SUBJECTS.len())
}

impl Work {
    fn script(self, service: &Service, round: usize) -> String {
        match self {
            Self::Unit(unit) => service.script(unit),
            Self::Shell(script) => script.to_owned(),
            Self::Rotate => format!(
                "[ ! -e data/F ] || mls-csv --append data/F --cursor-file data/state/state.offset \
                 --rotate-to data/F-{}",
                20_260_101 + round
            ),
        }
    }
}

/// Runs a script. If `patience` is given, kills the script with all its stages after this time.
fn run_or_kill(service: &Service, script: &str, patience: Option<Duration>) {
    let mut shell = service.command(script).process_group(0).stderr(Stdio::null()).spawn().unwrap();
    if let Some(patience) = patience {
        std::thread::sleep(patience);
        let group = format!("-{}", shell.id());
        let mut kill = Command::new("kill");
        let _ = kill.args(["-KILL", "--", &group]).stderr(Stdio::null()).status().unwrap();
    }
    shell.wait().unwrap();
}

/// Writes and syncs another file on the disk again and again, so that the file system also commits
/// while a pipeline runs.
fn disturb(directory: &Path, is_over: &AtomicBool) {
    let path = directory.join("noise");
    for n in 0_u64.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        // Ignore errors: the file system may be full or unmounted.
        if let Ok(file) = std::fs::File::create(&path) {
            let _ = std::io::Write::write_all(&mut &file, &n.to_le_bytes().repeat(200));
            let _ = file.sync_all();
        }
        std::thread::sleep(Duration::from_millis(25));
    }
}

/// Runs six rounds of the subject on a disk that records, and returns the recording.
fn record(kind: Kind, subject: &Subject, service: &mut Service, random: &mut Random) -> Recording {
    let data = service.path().join("data");
    let scratch = tempfile::tempdir().unwrap();
    let recorder = kind.make(scratch.path());
    let mount = Mount::recorder(kind, &recorder, &data);
    let clock = recorder.clock();
    service.mailbox.at(move || clock.now());
    service.make_directories();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| disturb(&data, &is_over));
        for round in 0..6 {
            service.log(1 + usize::try_from(random.below(30)).unwrap());
            for work in subject.work {
                let is_killed = random.below(3) == 0;
                let patience = is_killed.then(|| Duration::from_micros(random.below(60_000)));
                run_or_kill(service, &work.script(service, round), patience);
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });
    drop(mount);
    recorder.finish()
}

/// Simulates power failures at random moments of a recording. Counts the lost and torn writes.
fn replay(
    kind: Kind,
    subject: &Subject,
    service: &Service,
    recording: &Recording,
    seed: u64,
) -> usize {
    let data = service.path().join("data");
    let scratch = tempfile::tempdir().unwrap();
    let delivered = service.mailbox.all();
    service.mailbox.at(|| usize::MAX);
    let (mut lost, mut torn, mut count) = (0, 0, 0);
    for state in recording.states(states(), &mut Random::new(seed)) {
        let before = |message: &&Message| message.moment <= state.moment;
        service.mailbox.keep(delivered.iter().filter(before).cloned().collect());
        let mount = Mount::state(kind, &state, scratch.path(), &data);
        service.make_directories();
        let found = service.shell("ls -lA data data/*/");
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = service.blocked();
            for work in subject.work.iter().filter(|work| !matches!(work, Work::Rotate)) {
                service.settle(&work.script(service, 0));
            }
            (subject.check)(service);
        }));
        if let Err(panic) = checked {
            println!(
                "{}, {}: power failed after operation {} ({} writes lost, {} torn) and left:\n{}",
                kind.name,
                subject.name,
                state.moment,
                state.lost,
                state.torn,
                mls_tests::text(&found.stdout)
            );
            std::panic::resume_unwind(panic);
        }
        drop(mount);
        lost += state.lost;
        torn += state.torn;
        count += 1;
    }
    let (writes, flushes) = recording.count();
    println!(
        "{}, {}: {count} states of {writes} writes and {flushes} flushes, {lost} writes lost, {torn} torn",
        kind.name, subject.name
    );
    lost + torn
}

fn fail_power(kind: Kind) {
    if !is_root() {
        return skip("recording a disk needs root");
    }
    if !has(&kind.maker()) || !Path::new("/dev/fuse").exists() {
        return skip(&format!("{} or FUSE is missing", kind.maker()));
    }
    volume::hide_mounts();
    let seed = std::env::var("MLS_SEED").map_or(20_261_128, |seed| seed.parse().unwrap());
    let mut random = Random::new(seed);
    let mut lost = 0;
    for subject in &SUBJECTS {
        let mut service = Service::new();
        let recording = record(kind, subject, &mut service, &mut random);
        lost += replay(kind, subject, &service, &recording, seed);
    }
    assert!(lost > 0, "no write was lost: nothing was tested");
}

#[test]
fn everything_is_exact_after_a_power_loss_on_ext4_with_ordered_data() {
    fail_power(EXT4_ORDERED);
}

#[test]
fn everything_is_exact_after_a_power_loss_on_ext4_with_writeback_data() {
    fail_power(EXT4_WRITEBACK);
}

#[test]
fn everything_is_exact_after_a_power_loss_on_ext4_with_journaled_data() {
    fail_power(EXT4_JOURNAL);
}

#[test]
fn everything_is_exact_after_a_power_loss_on_xfs() {
    fail_power(XFS);
}

#[test]
fn everything_is_exact_after_a_power_loss_on_btrfs() {
    fail_power(BTRFS);
}
