//! Who answers SIGTERM.
//!
//! systemd signals a whole control group. In a framed stream only the source answers, with a last checkpoint and `end`;
//! filters and sinks drain until the end of their input, or data read would go uncommitted.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};

/// From now on SIGTERM, SIGINT and SIGHUP do nothing: this process ends when its input ends.
pub fn drain_until_end_of_input() {
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        catch(signal);
    }
}

/// Lets a write beyond `ulimit -f` fail with an error instead of killing the process.
pub fn survive_file_size_limit() {
    catch(SIGXFSZ);
}

/// A handler that does nothing. Not "ignore", which children would inherit.
fn catch(signal: i32) {
    // It fails for signals that cannot be caught, which these are not.
    let _ = signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)));
}

/// A descriptor that becomes readable when SIGTERM or SIGINT arrives, for `poll`.
///
/// # Errors
/// If no socket pair can be made.
pub fn termination() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}
