//! Checks for any input bytes, for `tests/fuzz`. A function panics if its check fails.

use crate::anonymizer::Anonymizer;
use crate::input_format::InputFormat;
use crate::parts::Joiner;

/// Anonymizes a line of a log, given without its newline. Returns false if the line is omitted.
pub fn log_line(line: &[u8], names: &mut Anonymizer, written: &mut Vec<u8>) -> bool {
    InputFormat::Log.line(line, names, written).is_ok()
}

/// Reads a log, records or rows: the checks of `--verify` find no difference in the result.
pub fn verify(text: &[u8], mut names: Anonymizer) {
    let first = text.split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty());
    let mut format = first.map_or(InputFormat::Log, InputFormat::of);
    let (is_log, mut joiner) = (matches!(format, InputFormat::Log), Joiner::default());
    for line in text.split_inclusive(|b| *b == b'\n') {
        let whole = if is_log { joiner.add(line) } else { Some(line.into()) };
        let Some(line) = whole.as_deref() else { continue };
        let mut written = Vec::new();
        if format.line(line, &mut names, &mut written).is_ok() {
            let difference = format.difference(line, &written, &mut names);
            assert_eq!(difference, None, "{}", String::from_utf8_lossy(&written));
        }
    }
}
