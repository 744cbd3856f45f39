//! Checks for any input bytes, for `tests/fuzz`. A function panics if its check fails.

#![expect(clippy::expect_used, reason = "a failed check must stop the run")]

use mls_state::cursor_file::CursorFile;

use crate::cursor::Cursor;

/// Checks that the cursor of a cursor file stays the same if it is written and read again.
pub fn cursor(text: &[u8]) {
    let Ok(file) = CursorFile::from_json(text) else { return };
    let Ok(mut cursor) = Cursor::committed(Some(&file)) else { return };
    let again = serde_json::to_value(&cursor).expect("a cursor is JSON");
    let again = CursorFile { cursor: again, ..file };
    assert_eq!(Cursor::committed(Some(&again)).expect("a cursor"), cursor);
    cursor.forget();
}
