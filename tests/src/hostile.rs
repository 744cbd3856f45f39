//! Hostile servers, and the memory of a tool that connects to them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The most memory that a tool may use while it talks to a hostile server, in KiB.
pub const MAX_RESIDENT: u64 = 64 << 10;

/// Starts a server that calls `play` for each connection, and returns its port.
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
/// If the client has closed the connection.
pub fn endless(mut stream: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(bytes)?;
    }
}

/// What a tool did while it talked to a hostile server.
#[derive(Debug)]
pub struct Attacked {
    /// The exit code of the tool.
    pub code: Option<i32>,
    /// The messages of the tool.
    pub said: String,
    /// The most memory that the tool has used, in KiB.
    pub peak: u64,
}

/// Runs a tool until it ends, and measures its memory.
///
/// # Panics
/// If the tool runs longer than two minutes, or uses more than four times [`MAX_RESIDENT`].
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
