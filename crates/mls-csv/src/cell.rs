//! One cell: a value as text that a spreadsheet shows and does not run.
//!
//! | value | cell |
//! |---|---|
//! | unknown | `N/A`, in the hostname column `null` |
//! | text that is `N/A` or `null` | the text after one `'` |
//! | other text | the text, with one `'` before each part that a spreadsheet could take as a formula |
//!
//! A part begins where the text does and after each `,`, `;` and tab, because a spreadsheet may split at any of these,
//! even in a quoted cell if it expects another separator. A part could be a formula if it begins with `=`, `+`, `-`, `@` or one
//! of these in full width; blanks and quotation marks before them do not count. A part that begins with `'` gets one more, so
//! that [`decode`] is exact.
//!
//! Control characters become `?`, so one row is one line. The leading characters are those of OWASP's "CSV Injection"; of
//! tab and carriage return, which it names too, nothing is left.

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

/// At these a spreadsheet may split a cell.
const SEPARATORS: [char; 3] = [',', ';', '\t'];

/// With one of these a formula begins; the last four are in full width.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// The cell for a value.
#[must_use]
pub fn encode(value: Option<&str>, unknown: Unknown) -> Cow<'_, str> {
    let Some(value) = value else { return Cow::Borrowed(unknown.as_str()) };
    let text = mls_event::clean_str(value);
    if is_unknown(&text) {
        return Cow::Owned(format!("'{text}"));
    }
    if !parts(&text).any(needs_apostrophe) {
        return text;
    }
    let mut cell = String::with_capacity(text.len() + 2);
    for part in parts(&text) {
        if needs_apostrophe(part) {
            cell.push('\'');
        }
        cell.push_str(part);
    }
    Cow::Owned(cell)
}

/// The value of a cell, `None` if it is unknown. Takes exactly one `'` from the beginning of each part, so that
/// `decode(encode(x))` is x, except that control characters became `?`.
#[must_use]
pub fn decode(cell: &str) -> Option<Cow<'_, str>> {
    if is_unknown(cell) {
        return None;
    }
    if memchr::memchr(b'\'', cell.as_bytes()).is_none() {
        return Some(Cow::Borrowed(cell));
    }
    let without = |part| str::strip_prefix(part, '\'').unwrap_or(part);
    let first = without(cell);
    if parts(first).skip(1).any(|part| part.starts_with('\'')) {
        return Some(Cow::Owned(parts(cell).map(without).collect()));
    }
    Some(Cow::Borrowed(first))
}

/// The parts of a text, each with the separator that ends it.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(SEPARATORS)
}

fn needs_apostrophe(part: &str) -> bool {
    part.starts_with('\'') || part.trim_start_matches([' ', '"']).starts_with(FORMULA)
}

fn is_unknown(text: &str) -> bool {
    text == Unknown::Null.as_str() || text == Unknown::NotAvailable.as_str()
}
