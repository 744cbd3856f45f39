//! Files that tools keep between runs.

use mls_state::alerted::Alerted;
use mls_state::cursor_file::CursorFile;
use mls_state::mail_cursor::{MailCursor, header_text};

/// A cursor file that is written and read again is the same.
pub(crate) fn cursor_file(bytes: &[u8]) {
    let Ok(cursor) = CursorFile::from_json(bytes) else { return };
    let again = CursorFile::from_json(cursor.to_json().as_bytes());
    assert_eq!(again.expect("a whole cursor file"), cursor);
    if let Ok(mut alerted) = Alerted::from_cursor(cursor.cursor) {
        alerted.enter("ip", "192.0.2.1", 1_780_000_000, 600);
        alerted.forget_old(1_780_000_000);
        assert_eq!(Alerted::from_cursor(alerted.to_cursor()).expect("a ledger"), alerted);
    }
}

/// The header field that contains a cursor, and text for header fields.
pub(crate) fn mail_cursor(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(cursor) = MailCursor::from_field(&text) {
        let field = cursor.to_field();
        assert!(field.is_ascii() && !field.contains(['\r', '\n']));
        assert_eq!(MailCursor::from_field(&field), Some(cursor));
    }
    let header = header_text(&text);
    assert!(!header.contains(char::is_control) && !header.contains("=?"), "{header:?}");
}
