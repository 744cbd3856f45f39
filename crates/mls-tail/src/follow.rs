//! `--follow`: waits for new lines.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use mls_state::atomic::directory_of;
use rustix::fs::inotify;

use crate::tail::{PassEnd, Tail};

/// The logs are read at least this often, because inotify on a network file system does not see
/// changes by another machine.
const LOOK_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

/// The shortest time between two passes. A busy log would cause a pass for each line.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(50);

/// Reads existing and new lines until SIGTERM or SIGINT.
pub(crate) fn run(tail: &mut Tail) -> anyhow::Result<PassEnd> {
    let watch = watch(&tail.logs);
    let mut reported: Vec<String> = Vec::new();
    loop {
        let looked = Instant::now();
        if tail.pass()? == PassEnd::Stopped {
            return Ok(PassEnd::Stopped);
        }
        // Report a failure when it begins, not in each pass.
        let failures: Vec<String> =
            tail.failures.iter().map(|error| format!("{error:#}")).collect();
        for words in failures.iter().filter(|words| !reported.contains(words)) {
            log::error!("{words}");
        }
        reported = failures;
        wait(tail, watch.as_ref(), LOOK_AT_LEAST_EVERY)?;
        wait(tail, None, LOOK_AT_MOST_EVERY.saturating_sub(looked.elapsed()))?;
        if tail.delivery.stop.is_set() {
            // Lines that were written before the signal must still be read.
            return tail.last_pass().map(|_| PassEnd::Stopped);
        }
    }
}

/// Watches the directories of the logs for files that change, appear or are renamed. Returns `None`
/// if inotify cannot watch all of them.
fn watch(logs: &[std::path::PathBuf]) -> Option<OwnedFd> {
    use inotify::{CreateFlags, WatchFlags};
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok()?;
    let what = WatchFlags::MODIFY
        | WatchFlags::CREATE
        | WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE;
    let add = |path: &Path| inotify::add_watch(&watch, directory_of(path), what).is_ok();
    let all = logs.iter().all(|log| {
        let target = std::fs::canonicalize(log);
        add(log) && target.as_deref().map_or(true, add)
    });
    all.then_some(watch)
}

/// Waits for a change, a signal or `timeout`. Fails if the reader of the output has exited.
fn wait(tail: &Tail, watch: Option<&OwnedFd>, timeout: Duration) -> anyhow::Result<()> {
    tail.delivery.out.wait(&tail.delivery.stop, watch.map(AsFd::as_fd), Some(timeout))?;
    if let Some(watch) = watch {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(watch, &mut buffer);
        while events.next().is_ok() {}
    }
    Ok(())
}
