//! The messages of a tool: `mls-x: warning: …` on stderr, and the operational log.
//!
//! Use [`warn!`](log::warn!), [`error!`](log::error!), [`info!`](log::info!) and
//! [`debug!`](log::debug!), and [`summary`](crate::summary()) at the end of a run. Control
//! characters in messages become `?`, because messages quote log content.
//!
//! Warnings and errors go to stderr, with `<N>` priority prefixes (sd-daemon(3)) if stderr is the
//! journal. The environment variable `MLS_INFO` adds level `info`, and `MLS_DEBUG` adds `info` and
//! `debug`.
//!
//! The operational log `log_file` gets messages up to `[general] log_level`. These include warnings
//! and errors of libraries. If `log_level` is DEBUG, they also include level `info` of libraries.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use log::{LevelFilter, Metadata, Record};

use crate::summary::count;

struct OperationalLog {
    file: File,
    level: LevelFilter,
}

static TOOL: OnceLock<String> = OnceLock::new();
static JOURNAL: AtomicBool = AtomicBool::new(false);
static SHOWN: AtomicUsize = AtomicUsize::new(LevelFilter::Warn as usize);
static LOG: Mutex<Option<OperationalLog>> = Mutex::new(None);
static BAD_RECORDS: AtomicU64 = AtomicU64::new(0);
static COUNTED_RECORDS: AtomicU64 = AtomicU64::new(0);

/// How many bad records are shown. More are only counted: a hostile file must not fill the journal.
const BAD_RECORDS_SHOWN: u64 = 10;

/// Sets the name of the tool for all messages, and installs the logger.
pub fn start(tool: &str) {
    TOOL.get_or_init(|| tool.to_owned());
    crate::summary::start();
    JOURNAL.store(stderr_is_journal(), Ordering::Relaxed);
    let is_set = |name| std::env::var_os(name).is_some();
    let shown = match (is_set("MLS_DEBUG"), is_set("MLS_INFO")) {
        (true, _) => LevelFilter::Debug,
        (false, true) => LevelFilter::Info,
        (false, false) => LevelFilter::Warn,
    };
    SHOWN.store(shown as usize, Ordering::Relaxed);
    // This fails only if a logger is already installed, for example in a test that calls two tools.
    let _ = log::set_logger(&Diagnostics);
    raise_level(shown);
}

fn raise_level(level: LevelFilter) {
    log::set_max_level(log::max_level().max(level));
}

/// Whether stderr is the journal. systemd sets `JOURNAL_STREAM=DEVICE:INODE` (systemd.exec(5)). A
/// shell may have redirected stderr later, so compare both numbers.
fn stderr_is_journal() -> bool {
    let (Ok(stream), Ok(stat)) =
        (std::env::var("JOURNAL_STREAM"), rustix::fs::fstat(std::io::stderr().as_fd()))
    else {
        return false;
    };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// From now on, appends messages of `level` and more serious messages to the operational log.
pub fn log_to(file: File, level: LevelFilter) {
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(OperationalLog { file, level });
    raise_level(level);
}

struct Diagnostics;

impl log::Log for Diagnostics {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = metadata.level();
        let of_libraries = if log::max_level() >= LevelFilter::Debug {
            LevelFilter::Info
        } else {
            LevelFilter::Warn
        };
        level <= log::max_level() && (is_ours(metadata) || level <= of_libraries)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
        let log = log.as_mut().filter(|log| record.level() <= log.level);
        let shown = SHOWN.load(Ordering::Relaxed);
        let show = is_ours(record.metadata()) && record.level() as usize <= shown;
        if !show && log.is_none() {
            return;
        }
        let message = record.args().to_string();
        let message = mls_event::clean(message.as_bytes());
        let tool = TOOL.get().map_or("mls", String::as_str);
        let (priority, word, name) = words(record.level());
        if show {
            let priority = if JOURNAL.load(Ordering::Relaxed) { priority } else { "" };
            // One write per line, so that lines of the stages of a pipeline do not mix. An error here
            // cannot be reported anywhere.
            let _ = std::io::stderr()
                .write_all(format!("{priority}{tool}: {word}: {message}\n").as_bytes());
        }
        if let Some(log) = log {
            let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S,%3f");
            let _ = log.file.write_all(format!("{now} {name} {tool}: {message}\n").as_bytes());
        }
    }

    fn flush(&self) {}
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.target().starts_with("mls_")
}

/// The priority for the journal, the word on stderr, and the name in the operational log (the name in
/// Python's `logging`).
fn words(level: log::Level) -> (&'static str, &'static str, &'static str) {
    match level {
        log::Level::Error => ("<3>", "error", "ERROR"),
        log::Level::Warn => ("<4>", "warning", "WARNING"),
        log::Level::Info => ("<6>", "info", "INFO"),
        log::Level::Debug | log::Level::Trace => ("<7>", "debug", "DEBUG"),
    }
}

/// Reports and counts a record that cannot be used; the run continues. `location` is text such as
/// `stdin:7`.
pub fn bad_record(location: impl fmt::Display, why: impl fmt::Display) {
    if BAD_RECORDS.fetch_add(1, Ordering::Relaxed) < BAD_RECORDS_SHOWN {
        log::warn!("{location}: {why}");
    }
}

/// Adds `count` to the number of bad records and prints nothing. The caller must already have
/// reported the first bad records with [`bad_record`].
pub fn count_more_bad_records(count: u64) {
    BAD_RECORDS.fetch_add(count, Ordering::Relaxed);
}

/// Counts a bad record that the tool reports itself.
pub fn count_bad_record() {
    COUNTED_RECORDS.fetch_add(1, Ordering::Relaxed);
}

/// Reports how many bad records were counted but not shown. Returns the number of all bad records.
pub fn finish() -> u64 {
    let bad = BAD_RECORDS.load(Ordering::Relaxed);
    if bad > BAD_RECORDS_SHOWN {
        let more = bad - BAD_RECORDS_SHOWN;
        log::warn!("{} skipped", count(more, "more bad record was", "more bad records were"));
    }
    bad + COUNTED_RECORDS.load(Ordering::Relaxed)
}
