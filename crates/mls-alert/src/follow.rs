//! `--follow`: waits until the sinks have committed more.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mls_stream::input::would_wait;
use mls_stream::ndjson::OutputClosed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::output::AlertWriter;

/// The time between two checks of the cursor files.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits for `pause`, and then until `is_new` reports new data. Returns whether there is new
/// data; a signal makes `stop` readable and ends the wait. Fails if the reader of the output has
/// exited.
pub(crate) fn wait(
    stop: &UnixStream,
    pause: Duration,
    output: &AlertWriter,
    mut is_new: impl FnMut() -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    let begun = Instant::now();
    loop {
        let mut fds = [
            PollFd::from_borrowed_fd(output.out.as_fd(), PollFlags::empty()),
            PollFd::from_borrowed_fd(stop.as_fd(), PollFlags::IN),
        ];
        // A wait that ends early only causes one more check.
        let _ = poll(&mut fds, Timespec::try_from(LOOK_EVERY).ok().as_ref());
        if fds[0].revents().contains(PollFlags::ERR) {
            return Err(OutputClosed.into());
        }
        if !would_wait(stop) {
            return Ok(false);
        }
        if begun.elapsed() >= pause && is_new()? {
            return Ok(true);
        }
    }
}
