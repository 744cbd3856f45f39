//! The checks of `tests/fuzz`. Each function gets any bytes, and panics if its check fails.

use std::collections::HashSet;
use std::io::Cursor;

use mls_stream::blocks::Blocks;

use crate::anonymizer::Anonymizer;
use crate::input_format::InputFormat;

/// Anonymizes a line of a log, given without its newline. Returns false if the line is omitted.
pub fn log_line(line: &[u8], names: &mut Anonymizer, written: &mut Vec<u8>) -> bool {
    InputFormat::Log.line(line, names, written).is_ok()
}

/// Anonymizes a log, records or rows. Panics if `--verify` finds a difference in the result.
pub fn verify(text: &[u8], mut names: Anonymizer) {
    let mut blocks = Blocks::new(Box::new(Cursor::new(text.to_vec())), "any");
    let (mut written, mut kept) = (Vec::new(), HashSet::new());
    let result = crate::anonymize(&mut blocks, "any", &mut names, &mut written, Some(&mut kept));
    if let Err(error) = result {
        assert!(!error.to_string().contains("would change"), "{error:#}");
    }
}
