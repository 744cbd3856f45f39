//! A warning that is shown at most once a day, because the tool may run every hour.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_hours(24);

/// Logs `message` as a warning. If the last warning was the same message, less than a day ago, logs
/// it with level `info`. The file `last` contains the last warning; its modification time is the
/// time of this warning. Without a file, or if the file cannot be written, always logs a warning.
pub(crate) fn warn(message: &str, last: Option<&Path>) {
    let Some(last) = last else { return log::warn!("{message}") };
    if was_shown(message, last, SystemTime::now()) {
        return log::info!("{message}");
    }
    log::warn!("{message}");
    if let Err(error) = mls_state::atomic::write(last, message.as_bytes(), 0o640) {
        log::debug!("{} cannot be written: {error}", last.display());
    }
}

/// Whether the file `last` contains `message` and is less than a day old. If its time is in the
/// future (the clock was set back), returns false.
fn was_shown(message: &str, last: &Path, now: SystemTime) -> bool {
    let read = || -> std::io::Result<(SystemTime, Vec<u8>)> {
        let file = mls_state::regular::open(last)?;
        let modified = file.metadata()?.modified()?;
        let mut text = Vec::new();
        file.take(message.len() as u64 + 1).read_to_end(&mut text)?;
        Ok((modified, text))
    };
    read().is_ok_and(|(modified, text)| {
        text == message.as_bytes() && now.duration_since(modified).is_ok_and(|age| age < DAY)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_due_again_after_a_day_or_if_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let last = dir.path().join("last");
        let now = SystemTime::now();
        assert!(!was_shown("no database", &last, now));
        mls_state::atomic::write(&last, b"no database", 0o640).unwrap();
        let written = std::fs::metadata(&last).unwrap().modified().unwrap();
        assert!(was_shown("no database", &last, written + DAY / 2));
        assert!(!was_shown("no database", &last, written + DAY));
        assert!(!was_shown("no database", &last, written - DAY));
        assert!(!was_shown("no", &last, written + DAY / 2));
        assert!(!was_shown("no database at all", &last, written + DAY / 2));
    }
}
