//! Encodes a value as a cell: text that a spreadsheet shows and does not run as a formula.
//! `mls-csv`(1) describes the encoding.

use std::borrow::Cow;

/// The text for an unknown value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// `null`, in the hostname column.
    Null,
    /// `N/A`, in all other columns.
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

/// A spreadsheet may split a cell at these characters.
const SEPARATORS: [char; 2] = [',', ';'];

/// A formula begins with one of these characters. The last four are in full width.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// The symbol for a tab.
const TAB: char = '␉';

/// The symbol for a carriage return.
const CARRIAGE_RETURN: char = '␍';

/// Is written before a symbol that the text itself contains.
const ESCAPE: char = '␛';

const SYMBOLS: [char; 3] = [TAB, CARRIAGE_RETURN, ESCAPE];

/// A byte that each symbol has in UTF-8 (E2 90 89, E2 90 8D, E2 90 9B). Texts without a symbol
/// rarely have this byte, so searching for it is a fast first check.
const SYMBOL_BYTE: u8 = 0x90;

/// Appends the cell for a value, in quotes if it needs them.
pub fn write(out: &mut Vec<u8>, value: Option<&str>, unknown: Unknown) {
    if let Some(value) = value.filter(|value| is_simple(value)) {
        return out.extend_from_slice(value.as_bytes());
    }
    let cell = encode(value, unknown);
    if memchr::memchr2(b',', b'"', cell.as_bytes()).is_none() {
        return out.extend_from_slice(cell.as_bytes());
    }
    out.push(b'"');
    for (n, part) in cell.split('"').enumerate() {
        if n > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b'"');
}

/// Returns whether a value certainly needs no encoding and no quotes. Almost every value is simple.
fn is_simple(value: &str) -> bool {
    // A loop without an early exit compiles to a few vector instructions.
    value.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && !is_unknown(value)
        && value.bytes().fold(true, |is_simple, b| {
            is_simple & matches!(b, b' '..=b'~') & !matches!(b, b',' | b';' | b'"')
        })
}

/// Returns the cell for a value, without the quotes of a CSV.
#[must_use]
pub fn encode(value: Option<&str>, unknown: Unknown) -> Cow<'_, str> {
    let Some(value) = value else { return Cow::Borrowed(unknown.as_str()) };
    let text = without_controls(value);
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

/// Returns the value of a cell; `None` if the value is unknown. Removes exactly one `'` from the
/// beginning of each part and one `␛` before each symbol. So `decode(encode(x))` is x, except for
/// control characters: tab and carriage return are exact, all others become `?`.
#[must_use]
pub fn decode(cell: &str) -> Option<Cow<'_, str>> {
    if is_unknown(cell) {
        return None;
    }
    let text = without_apostrophes(cell);
    let has_symbol = memchr::memchr(SYMBOL_BYTE, text.as_bytes()).is_some();
    Some(if has_symbol { Cow::Owned(with_controls(&text)) } else { text })
}

/// Returns whether the line certainly needs no decoding, because it has no apostrophe, no symbol
/// and no control character. If so, use [`plain`] for its cells. Checking a whole line is faster
/// than checking each cell.
#[must_use]
pub fn are_plain(line: &str) -> bool {
    // In UTF-8, control characters from U+0080 on begin with this byte.
    const UPPER_CONTROL: u8 = 0xc2;
    // A loop without an early exit compiles to a few vector instructions.
    line.bytes().fold(true, |is_plain, b| {
        is_plain & !matches!(b, ..b' ' | b'\'' | 0x7f | SYMBOL_BYTE | UPPER_CONTROL)
    })
}

/// Returns the value of a cell of a [plain](are_plain) line; `None` if it is unknown.
#[must_use]
pub fn plain(cell: &str) -> Option<&str> {
    (!is_unknown(cell)).then_some(cell)
}

fn without_apostrophes(cell: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\'', cell.as_bytes()).is_none() {
        return Cow::Borrowed(cell);
    }
    let without = |part| str::strip_prefix(part, '\'').unwrap_or(part);
    let first = without(cell);
    if parts(first).skip(1).any(|part| part.starts_with('\'')) {
        return Cow::Owned(parts(cell).map(without).collect());
    }
    Cow::Borrowed(first)
}

/// Replaces tabs and carriage returns by symbols, and other control characters by `?`. Adds `␛`
/// before symbols of the text.
fn without_controls(text: &str) -> Cow<'_, str> {
    let suspect = memchr::memchr3(b'\t', b'\r', SYMBOL_BYTE, text.as_bytes());
    if suspect.is_none() {
        return mls_event::clean_str(text);
    }
    let mut cell = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\t' => cell.push(TAB),
            '\r' => cell.push(CARRIAGE_RETURN),
            TAB | CARRIAGE_RETURN | ESCAPE => cell.extend([ESCAPE, c]),
            c => cell.push(if c.is_control() { '?' } else { c }),
        }
    }
    Cow::Owned(cell)
}

/// The inverse of [`without_controls`].
fn with_controls(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        value.push(match c {
            TAB => '\t',
            CARRIAGE_RETURN => '\r',
            ESCAPE => chars.next_if(|c| SYMBOLS.contains(c)).unwrap_or(ESCAPE),
            c => c,
        });
    }
    value
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
