//! What the input is. Its first line that is not blank decides.

use std::fmt::Display;

use mls_csv::row::Decoder;
use mls_event::{BadRecord, kind};

use crate::anonymizer::Anonymizer;
use crate::verify;

/// A kind of input, each of lines.
pub(crate) enum InputFormat {
    Log,
    Ndjson,
    Csv(Box<Decoder>),
}

impl InputFormat {
    /// What a stream is that begins with `line`.
    pub(crate) fn of(line: &[u8]) -> Self {
        let mut decoder = Decoder::new("UTC".parse().unwrap_or_default());
        let is_docker = mls_parse::docker::Line::parse(line).is_some();
        let is_record = || line.starts_with(b"{") && !matches!(kind(line), Err(BadRecord::Json(_)));
        let is_row =
            |decoder: &mut Decoder| !line.trim_ascii().is_empty() && decoder.decode(line).is_ok();
        if is_docker {
            Self::Log
        } else if is_record() {
            Self::Ndjson
        } else if is_row(&mut decoder) {
            Self::Csv(Box::new(decoder))
        } else {
            Self::Log
        }
    }

    /// Appends what stands for `line`, both with its newline; a last one may lack it.
    ///
    /// # Errors
    /// Why the line cannot be read. Nothing of it was appended.
    pub(crate) fn line(
        &mut self,
        line: &[u8],
        names: &mut Anonymizer,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let said = |error: &dyn Display| error.to_string();
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let start = out.len();
        match self {
            Self::Log => names.line(text, out),
            Self::Ndjson if text.trim_ascii().is_empty() => out.extend_from_slice(text),
            Self::Ndjson => {
                names
                    .record(text, out)
                    .inspect_err(|_| out.truncate(start))
                    .map_err(|error| said(&error))?;
            }
            // A row has its own newline.
            Self::Csv(decoder) => {
                return names.row(text, decoder, out).map_err(|error| said(&error));
            }
        }
        out.extend_from_slice(&line[text.len()..]);
        Ok(())
    }

    /// What of `line` should stand in `written` and does not.
    pub(crate) fn difference(
        &self,
        line: &[u8],
        written: &[u8],
        names: &mut Anonymizer,
    ) -> Option<&'static str> {
        match self {
            Self::Log => verify::line(line, written, names),
            Self::Ndjson => verify::record(line, written),
            Self::Csv(_) => verify::row(line, written),
        }
    }
}
