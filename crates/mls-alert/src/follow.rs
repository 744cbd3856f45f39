//! `--follow`: waits until the inputs have new data.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use mls_stream::input::would_wait;
use mls_stream::ndjson::OutputClosed;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::output::AlertWriter;

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Waits at least for `pause`, and until `is_new` returns true. Returns false if a signal has made
/// `stop` readable. Fails if the reader of the output has exited.
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
        // Ignore errors of poll: if it returns early, the loop only checks once more.
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
