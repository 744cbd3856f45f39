//! Ctrl-C and similar signals: setup checks for them between steps and while it waits for an
//! answer.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// The error after a signal. Setup has undone its steps, or has tried to.
#[derive(Debug, thiserror::Error)]
#[error("interrupted: {}", if *is_undone { "nothing was changed" } else { "some changes remain" })]
pub(crate) struct Interrupted {
    pub(crate) is_undone: bool,
}

/// The signals that end the setup.
pub(crate) struct Signals {
    /// Becomes readable when a signal arrives, for `poll`.
    pub(crate) arrival: UnixStream,
    number: Arc<AtomicUsize>,
}

impl Signals {
    /// Catches SIGINT, SIGTERM and SIGHUP, so that they no longer end the process.
    pub(crate) fn catch() -> io::Result<Self> {
        let (arrival, write) = UnixStream::pair()?;
        let number = Arc::new(AtomicUsize::new(0));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let value = usize::try_from(signal).unwrap_or_default();
            signal_hook::flag::register_usize(signal, Arc::clone(&number), value)?;
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Self { arrival, number })
    }

    /// Fails if a signal has arrived.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        match self.number.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(Interrupted { is_undone: true }),
        }
    }

    /// Ends the process by the signal that has arrived.
    pub(crate) fn die(&self, error: &Interrupted) {
        let number = i32::try_from(self.number.load(Ordering::Relaxed)).unwrap_or(SIGINT);
        log::warn!("{error}");
        let _ = signal_hook::low_level::emulate_default_handler(number);
    }
}
