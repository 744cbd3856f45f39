//! Hostile servers, and the memory of a tool that connects to them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The largest memory of a tool against a hostile server, in KiB.
pub const MAX_RESIDENT: u64 = 64 << 10;

/// Starts a server that treats each connection with `play`, and returns its port.
pub fn serve(play: impl Fn(TcpStream) -> std::io::Result<()> + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            // Ignore errors: the tool may close the connection during an attack.
            let _ = play(stream.unwrap());
        }
    });
    port
}

/// Sends `bytes` again and again.
///
/// # Errors
/// When the client has left.
pub fn endless(mut stream: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes)?;
    }
}

/// The result of a tool against a hostile server.
#[derive(Debug)]
pub struct Attacked {
    /// Its exit code.
    pub code: Option<i32>,
    /// Its messages.
    pub said: String,
    /// Its largest memory, in KiB.
    pub peak: u64,
}

/// Runs a tool to its end and watches its memory.
///
/// # Panics
/// If it takes longer than two minutes, or four times [`MAX_RESIDENT`].
#[must_use]
pub fn attacked(command: &mut Command) -> Attacked {
    let mut tool = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", tool.id());
    let mut peak = 0;
    let deadline = Instant::now() + Duration::from_mins(2);
    let code = loop {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let now = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let now = now.and_then(|text| text.trim_end_matches("kB").trim().parse().ok());
        peak = now.unwrap_or(0).max(peak);
        if let Some(status) = tool.try_wait().unwrap() {
            break status.code();
        }
        if peak > 4 * MAX_RESIDENT || Instant::now() > deadline {
            tool.kill().unwrap();
            panic!("{command:?}: {peak} KiB");
        }
        std::thread::yield_now();
    };
    let mut said = String::new();
    tool.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    Attacked { code, said, peak }
}
