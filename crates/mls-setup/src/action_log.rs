//! `/var/log/maillogsentinel_setup.log`: the actions of setup, one on each line.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use chrono::Local;

use crate::system::TargetSystem;
use crate::terminal::say;

const LOG: &str = "/var/log/maillogsentinel_setup.log";

/// Appends the actions to the log. If this fails, only warns, because the setup is done.
pub(crate) fn write(system: &TargetSystem, actions: &[String]) -> anyhow::Result<()> {
    if actions.is_empty() {
        return Ok(());
    }
    let now = Local::now().format("%Y-%m-%d %H:%M:%S");
    let lines: Vec<_> = actions.iter().map(|action| format!("{now} {action}")).collect();
    let text = lines.join("\n") + "\n";
    match open(&system.path(LOG)).and_then(|mut file| file.write_all(text.as_bytes())) {
        Ok(()) => say(&format!("Setup logged its actions to {LOG}.\n")),
        Err(error) => {
            log::warn!("setup could not log its actions to {LOG}: {error}");
            Ok(())
        }
    }
}

/// Opens the log, but no links and no special files: a group that may write to `/var/log` could
/// have created these.
fn open(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(no_follow.bits()).unwrap_or_default();
    let file =
        File::options().append(true).create(true).mode(0o644).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if meta.is_file() && meta.uid() == 0 && meta.nlink() == 1 {
        return Ok(file);
    }
    Err(io::Error::other("it is not a regular file that belongs to root"))
}
