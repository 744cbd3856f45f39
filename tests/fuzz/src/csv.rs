//! The CSV of this project, and the CSV of the Python original.

use mls_event::{Auth, Outcome};
use mls_rows::cell::{self, Unknown};
use mls_rows::row::{self, Decoder, Style};

use crate::file::MemoryFile;

/// `decode(encode(x))` must be x, but a control character other than tab and CR becomes `?`. A
/// spreadsheet must not run the cell as a formula.
pub(crate) fn cell(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for unknown in [Unknown::Null, Unknown::NotAvailable] {
        let cell = cell::encode(Some(&text), unknown);
        let kept = |c: char| if c.is_control() && !matches!(c, '\t' | '\r') { '?' } else { c };
        let expected: String = text.chars().map(kept).collect();
        assert_eq!(cell::decode(&cell).as_deref(), Some(expected.as_str()), "{cell:?}");
        assert!(!cell.contains(char::is_control), "{cell:?}");
        for part in cell.split([',', ';', '\t']) {
            let first = part.trim_start_matches([' ', '"']).chars().next().unwrap_or('a');
            assert!(!"=+-@＝＋－＠".contains(first), "{cell:?}");
        }
    }
    // If a cell has a value, the value must be the same after it is encoded and decoded again.
    if let Some(value) = cell::decode(&text) {
        let again = cell::encode(Some(&value), Unknown::Null).into_owned();
        let clean =
            |text: &str| text.replace(|c: char| c.is_control() && !matches!(c, '\t' | '\r'), "?");
        assert_eq!(cell::decode(&again).as_deref(), Some(clean(&value).as_str()));
    }
}

fn style(outcome: Outcome) -> Style {
    Style { outcome, zone: "UTC".parse().expect("a zone"), seconds: true }
}

fn written(event: &Auth<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    row::write(&mut line, event, style(event.outcome));
    line
}

/// Writes an event as a row. Checks that the row is one line, and is decoded as the same event.
fn assert_read_again(event: &Auth<'_>) {
    let line = written(event);
    assert_eq!(line.iter().position(|b| *b == b'\n'), Some(line.len() - 1));
    let mut decoder = Decoder::new(style(event.outcome).zone).with_outcome(event.outcome);
    assert_eq!(decoder.decode(&line).expect("a row").as_ref(), Some(event));
}

pub(crate) fn row(bytes: &[u8]) {
    let mut decoder = Decoder::new(style(Outcome::Failure).zone);
    for line in bytes.split(|b| *b == b'\n') {
        if let Ok(Some(event)) = decoder.decode(line) {
            assert_read_again(&event);
        }
    }
}

/// Rows of the Python original.
pub(crate) fn legacy(bytes: &[u8]) {
    let mut decoder = Decoder::legacy(style(Outcome::Failure).zone);
    for line in bytes.split(|b| *b == b'\n') {
        if let Ok(Some(event)) = decoder.decode(line) {
            assert_read_again(&event);
        }
    }
}

/// A file of attempts in any supported format, as reports and alerts read it.
pub(crate) fn attempts(bytes: &[u8]) {
    let file = MemoryFile::new(bytes);
    let source = mls_attempts::AttemptSource::File { path: file.path(), length: None };
    let reading =
        mls_attempts::ReadOptions { zone: style(Outcome::Failure).zone, servers: Vec::new() };
    let _ = source.read(&reading, |attempt, _| {
        let texts = [
            attempt.server,
            attempt.ip,
            attempt.user,
            attempt.hostname,
            attempt.country_code,
            attempt.aso,
        ];
        for text in texts.into_iter().flatten() {
            assert!(text.len() <= mls_attempts::MAX_TEXT);
            assert!(!text.contains(char::is_control), "{text:?}");
        }
        assert!(attempt.date.len() >= 16 && attempt.attempts > 0);
    });
}
