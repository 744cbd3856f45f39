//! Recognizes the format of the input by its first line that is not blank.

use std::fmt::Display;

use mls_event::{BadRecord, kind};
use mls_rows::row::Decoder;

use crate::anonymizer::Anonymizer;
use crate::verify;

pub(crate) enum InputFormat {
    Log,
    Ndjson,
    Csv(Box<Decoder>),
}

impl InputFormat {
    /// Returns the format of a stream. `line` is its first line that is not blank.
    pub(crate) fn of(line: &[u8]) -> Self {
        let mut decoder = Decoder::new("UTC".parse().unwrap_or_default());
        if mls_parse::docker::DockerLine::parse(line).is_some() {
            Self::Log
        } else if line.starts_with(b"{") && !matches!(kind(line), Err(BadRecord::Json(_))) {
            Self::Ndjson
        } else if decoder.decode(line).is_ok() {
            Self::Csv(Box::new(decoder))
        } else {
            Self::Log
        }
    }

    /// Appends the anonymized `line`, with its newline if it has one. If the line must be omitted,
    /// appends nothing and returns the reason.
    pub(crate) fn line(
        &mut self,
        line: &[u8],
        anonymizer: &mut Anonymizer,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let said = |error: &dyn Display| error.to_string();
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let start = out.len();
        match self {
            Self::Log => {
                anonymizer.line(text, out);
                if let Some(what) = verify::meaning(text, &out[start..]) {
                    out.truncate(start);
                    return Err(format!(
                        "the line is omitted, because mls-anonymize would change {what}"
                    ));
                }
            }
            Self::Ndjson if text.trim_ascii().is_empty() => out.extend_from_slice(text),
            Self::Ndjson => {
                anonymizer
                    .record(text, out)
                    .inspect_err(|_| out.truncate(start))
                    .map_err(|error| said(&error))?;
            }
            // `row` writes the newline.
            Self::Csv(decoder) => {
                // Omit rows that mls-csv cannot read: mls-csv might read their anonymized copies.
                decoder.decode(text).map_err(|error| said(&error))?;
                return anonymizer.row(text, decoder, out).map_err(|error| said(&error));
            }
        }
        out.extend_from_slice(&line[text.len()..]);
        Ok(())
    }

    /// For `--verify`: the name of the first part of `line` that is wrong in `written`.
    pub(crate) fn difference(
        &self,
        line: &[u8],
        written: &[u8],
        anonymizer: &mut Anonymizer,
    ) -> Option<&'static str> {
        match self {
            Self::Log => verify::line(line, written, anonymizer),
            Self::Ndjson => verify::record(line, written),
            Self::Csv(_) => verify::row(line, written),
        }
    }
}
