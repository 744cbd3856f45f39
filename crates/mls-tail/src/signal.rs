//! SIGTERM and SIGINT ask for a last checkpoint.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use mls_stream::input::would_wait;
use mls_stream::signals;

/// Whether the process was asked to end.
pub(crate) struct Stop(Option<UnixStream>);

impl Stop {
    /// Starts to handle SIGTERM and SIGINT.
    pub(crate) fn on_signal() -> anyhow::Result<Self> {
        Ok(Self(Some(signals::termination()?)))
    }

    /// A `Stop` that is never set. It changes no signal handler: a signal ends the process. If
    /// [`on_signal`](Self::on_signal) was called before, a signal has no effect.
    pub(crate) fn never() -> Self {
        Self(None)
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.as_ref().is_some_and(|signal| !would_wait(signal))
    }

    /// A descriptor that becomes readable when a signal arrives.
    pub(crate) fn as_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }
}
