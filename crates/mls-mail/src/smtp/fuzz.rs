//! Checks for any bytes of a mail server, and for any message to it.

use super::reply::Reply;
use super::session::{Extensions, dot_stuffed};

/// Reads lines of a server. Checks that the displayed reply is short and has no control characters.
///
/// # Panics
/// If a check fails.
pub fn reply(bytes: &[u8]) {
    let mut reply = Reply::default();
    for line in bytes.split(|b| *b == b'\n') {
        match reply.add(line.trim_ascii_end()) {
            Ok(false) => {}
            Ok(true) => break,
            Err(failure) => {
                assert!(!failure.words.contains(char::is_control), "{:?}", failure.words);
                return;
            }
        }
    }
    let shown = reply.to_string();
    assert!(shown.len() <= 4 + 4 * 500 && !shown.contains(char::is_control), "{shown:?}");
    let _ = Extensions::read(&reply);
}

/// Sends a message whose lines end in CRLF. Checks that only the last line is a single dot, and
/// that the server receives the message unchanged.
pub(crate) fn data(message: &[u8]) {
    let sent = dot_stuffed(message);
    let mut received = Vec::new();
    let mut lines = sent.split_inclusive(|b| *b == b'\n');
    for line in lines.by_ref().take_while(|line| *line != b".\r\n") {
        received.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
    }
    assert_eq!(lines.next(), None, "something comes after the end");
    assert!(received.starts_with(message) && received.len() <= message.len() + 2);
}
