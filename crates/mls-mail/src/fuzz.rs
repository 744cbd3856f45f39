//! Checks for any input bytes, for `tests/fuzz`. A function panics if its check fails.

#![expect(clippy::expect_used, reason = "a failed check must stop the run")]

use mls_event::Record;

use crate::ledger::LedgerContent;
use crate::message::Message;

pub use crate::smtp::fuzz::reply as smtp_reply;

/// Reads a message. Checks that every line of the sent message ends in CRLF, and that reading the
/// sent message gives the same message.
pub fn message(text: &[u8]) {
    let Ok(mut message) = Message::parse(text) else { return };
    let _ = message.cursor();
    message.complete(["From: a@example.com".to_owned()]);
    let bytes = message.to_bytes();
    assert_lines_end_in_crlf(&bytes);
    assert_eq!(Message::parse(&bytes).expect("a message"), message);
    let size = bytes.len() as u64 / 2;
    if let Ok(smaller) = message.for_server(Some(size), true) {
        assert!(smaller.len() as u64 <= size);
        assert_lines_end_in_crlf(&smaller);
    }
    crate::smtp::fuzz::data(&bytes);
}

fn assert_lines_end_in_crlf(bytes: &[u8]) {
    for (n, byte) in bytes.iter().enumerate() {
        match byte {
            b'\r' => assert_eq!(bytes.get(n + 1), Some(&b'\n'), "a bare CR at byte {n}"),
            b'\n' => assert!(n > 0 && bytes[n - 1] == b'\r', "a bare LF at byte {n}"),
            _ => {}
        }
    }
}

/// Reads an alert record. Checks that its sentence has no control characters.
pub fn alert(line: &[u8]) {
    if let Ok(Record::Alert(alert)) = Record::parse(line) {
        let sentence = crate::backlog::sentence(&alert);
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
    }
}

/// Reads a ledger. Checks that the ledger is the same after it is written and read again.
pub fn ledger(text: &[u8]) {
    let Ok(ledger) = LedgerContent::parse(text) else { return };
    let again = serde_json::to_vec(&ledger).expect("a ledger is JSON");
    assert_eq!(LedgerContent::parse(&again).expect("a ledger"), ledger);
}
