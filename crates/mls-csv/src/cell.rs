//! One cell: a value as text that a spreadsheet shows and does not run.
//!
//! | value | cell |
//! |---|---|
//! | unknown | `N/A`, in the hostname column `null` |
//! | text that begins with `=`, `+`, `-`, `@` or `'`, or is `N/A` or `null` | the text behind one `'` |
//! | other text | the text |
//!
//! Control characters become `?`, so one row is one line. The leading characters are those that OWASP's "CSV Injection"
//! names; tab and carriage return, which it names too, are control characters.

use std::borrow::Cow;

/// How an unknown value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// In the hostname column.
    Null,
    /// In every other column.
    NotAvailable,
}

impl Unknown {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::NotAvailable => "N/A",
        }
    }
}

/// The cell for a value.
#[must_use]
pub fn encode(value: Option<&str>, unknown: Unknown) -> Cow<'_, str> {
    let Some(value) = value else { return Cow::Borrowed(unknown.as_str()) };
    let text = mls_event::clean_str(value);
    if text.starts_with(['=', '+', '-', '@', '\'']) || is_unknown(&text) {
        Cow::Owned(format!("'{text}"))
    } else {
        text
    }
}

/// The value of a cell: takes exactly one leading `'` off, so that `decode(encode(x))` is x (control characters aside).
#[must_use]
pub fn decode(cell: &str) -> Option<&str> {
    match cell.strip_prefix('\'') {
        Some(text) => Some(text),
        None if is_unknown(cell) => None,
        None => Some(cell),
    }
}

fn is_unknown(text: &str) -> bool {
    text == Unknown::Null.as_str() || text == Unknown::NotAvailable.as_str()
}
