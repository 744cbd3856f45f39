//! What a tool says to people: `mls-x: warning: …` on stderr, and the operational log.
//!
//! Use [`warn!`](crate::warn!), [`error!`](crate::error!), [`info!`](crate::info!) and [`debug!`](crate::debug!). Warnings
//! and errors go to stderr, with `<N>` priority prefixes (sd-daemon(3)) where stderr is the journal; so does the rest where
//! `MLS_DEBUG` is in the environment. Every level that `[general] log_level` lets through goes to `log_file` as well. Control
//! characters in messages become `?`: they quote log content.

use std::fmt;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::config::General;

/// How much a message matters; the operational log writes the names in capitals, as Python's `logging` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are the levels of Python's logging module")]
pub enum Level {
    Debug,
    Info,
    Warning,
    Error,
}

impl Level {
    /// The values that `log_level` takes.
    pub const ALL: [(&'static str, Self); 5] = [
        ("DEBUG", Self::Debug),
        ("INFO", Self::Info),
        ("WARNING", Self::Warning),
        ("ERROR", Self::Error),
        ("CRITICAL", Self::Error),
    ];

    fn name(self) -> &'static str {
        ["DEBUG", "INFO", "WARNING", "ERROR"][self as usize]
    }
}

struct Log {
    file: File,
    level: Level,
}

static TOOL: OnceLock<String> = OnceLock::new();
static JOURNAL: AtomicBool = AtomicBool::new(false);
static DEBUG: AtomicBool = AtomicBool::new(false);
static LOG: Mutex<Option<Log>> = Mutex::new(None);
static BAD_RECORDS: AtomicU64 = AtomicU64::new(0);

/// After so many, bad records are only counted: a hostile file must not fill the journal.
const BAD_RECORDS_SHOWN: u64 = 10;

/// Names the tool in all messages.
pub(crate) fn start(tool: &str) {
    TOOL.get_or_init(|| tool.to_owned());
    JOURNAL.store(stderr_is_journal(), Ordering::Relaxed);
    DEBUG.store(std::env::var_os("MLS_DEBUG").is_some(), Ordering::Relaxed);
}

/// systemd sets `JOURNAL_STREAM=DEVICE:INODE` (systemd.exec(5)); a child may have redirected stderr since.
fn stderr_is_journal() -> bool {
    let (Ok(stream), Ok(stat)) =
        (std::env::var("JOURNAL_STREAM"), rustix::fs::fstat(std::io::stderr().as_fd()))
    else {
        return false;
    };
    stream == format!("{}:{}", stat.st_dev, stat.st_ino)
}

/// Appends messages to `[general] log_file` from now on. A log that cannot be opened is a warning: whoever tries a tool by
/// hand has no right to the service's log.
pub(crate) fn log_to(general: &General) {
    let Some(path) = &general.log_file else { return };
    match open_log(path) {
        Ok(file) => {
            *LOG.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Log { file, level: general.log_level });
        }
        Err(error) => crate::warn!("log_file {} cannot be opened: {error}", path.display()),
    }
}

fn open_log(path: &Path) -> std::io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().append(true).create(true).mode(0o640).open(path)
}

/// Writes one message; the macros call it.
pub fn say(level: Level, message: fmt::Arguments<'_>) {
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    let log = log.as_mut().filter(|log| level >= log.level);
    let show = level >= Level::Warning || DEBUG.load(Ordering::Relaxed);
    if !show && log.is_none() {
        return;
    }
    let message = message.to_string();
    let message = mls_event::clean(message.as_bytes());
    let tool = TOOL.get().map_or("mls", String::as_str);
    if show {
        let (priority, word) =
            [("<7>", "debug"), ("<6>", "info"), ("<4>", "warning"), ("<3>", "error")]
                [level as usize];
        let priority = if JOURNAL.load(Ordering::Relaxed) { priority } else { "" };
        // One write a line, so that the stages of a pipeline do not mix theirs. Nobody is left to tell if it fails.
        let _ = std::io::stderr()
            .write_all(format!("{priority}{tool}: {word}: {message}\n").as_bytes());
    }
    if let Some(log) = log {
        let now = chrono::Local::now().format("%Y-%m-%d %H:%M:%S,%3f");
        let _ =
            log.file.write_all(format!("{now} {} {tool}: {message}\n", level.name()).as_bytes());
    }
}

/// Reports and counts a record that cannot be used; the run goes on. `place` is such as `stdin, line 7`.
pub fn bad_record(place: impl fmt::Display, why: impl fmt::Display) {
    if BAD_RECORDS.fetch_add(1, Ordering::Relaxed) < BAD_RECORDS_SHOWN {
        crate::warn!("{place}: {why}");
    }
}

/// Says what [`bad_record`] kept to itself, and returns how many records were bad.
pub(crate) fn finish() -> u64 {
    let bad = BAD_RECORDS.load(Ordering::Relaxed);
    if bad > BAD_RECORDS_SHOWN {
        crate::warn!("{} more bad records were skipped", bad - BAD_RECORDS_SHOWN);
    }
    bad
}

/// Something is wrong and the run ends.
#[macro_export]
macro_rules! error {
    ($($arg:tt)*) => { $crate::diag::say($crate::diag::Level::Error, format_args!($($arg)*)) };
}

/// Something is wrong and the run goes on.
#[macro_export]
macro_rules! warn {
    ($($arg:tt)*) => { $crate::diag::say($crate::diag::Level::Warning, format_args!($($arg)*)) };
}

/// What was done, for the operational log.
#[macro_export]
macro_rules! info {
    ($($arg:tt)*) => { $crate::diag::say($crate::diag::Level::Info, format_args!($($arg)*)) };
}

/// Details, for the operational log.
#[macro_export]
macro_rules! debug {
    ($($arg:tt)*) => { $crate::diag::say($crate::diag::Level::Debug, format_args!($($arg)*)) };
}
