//! Decides which process of a pipeline answers SIGTERM.
//!
//! systemd sends a signal to all processes of a service. In a framed stream only the source
//! answers: it writes a last checkpoint and `end`. Filters and sinks read to the end of their
//! input. If they stopped at once, data that was read would not be committed.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

/// From now on, this process ignores SIGTERM, SIGINT and SIGHUP: it ends when its input ends.
pub fn drain_until_end_of_input() {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        catch(signal);
    }
}

/// Makes a write beyond `ulimit -f` fail with an error instead of killing the process.
pub fn survive_file_size_limit() {
    catch(SIGXFSZ);
}

/// Installs a handler that does nothing. If the signal were ignored instead, child processes would
/// ignore it too.
fn catch(signal: i32) {
    // Registering fails only for signals that cannot be caught. These signals can be caught.
    let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
}

/// A descriptor that becomes readable when SIGTERM or SIGINT arrives, for `poll`.
///
/// # Errors
/// If the socket pair cannot be created.
pub fn termination() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}
