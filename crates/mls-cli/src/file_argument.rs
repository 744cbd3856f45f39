//! The message for a file on the command line of a tool that reads only standard input.

use std::ffi::OsString;
use std::path::Path;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{Command, Error};

use crate::Args;

/// If the error is about a file on the command line, the message gets the command `TOOL < FILE`.
pub(crate) fn explain<A: Args>(error: &mut Error, command: &Command, words: &[OsString]) {
    let is_refused = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.clone()),
        _ => None,
    };
    let refused =
        is_refused(ContextKind::InvalidArg).or_else(|| is_refused(ContextKind::InvalidSubcommand));
    let subcommand = words
        .iter()
        .filter_map(|word| word.to_str())
        .find(|word| command.find_subcommand(word).is_some());
    let Some(file) = refused.filter(|word| Path::new(word).is_file()) else { return };
    // A tool that does not read standard input, or that takes a file as its argument, needs no hint
    // about standard input.
    if !A::reads_stdin(subcommand) || command.get_positionals().next().is_some() {
        return;
    }
    // The value of a flag can be the same text as the file, so search from the end.
    let at = words.iter().rposition(|word| word.to_str() == Some(&file));
    let mut flags = String::new();
    for (_, word) in words.iter().enumerate().skip(1).filter(|(n, _)| Some(*n) != at) {
        flags += &quoted(&word.to_string_lossy());
        flags.push(' ');
    }
    let (tool, name) = (command.get_name(), quoted(&file));
    let instead = match Path::new(&file).extension().and_then(|extension| extension.to_str()) {
        Some("gz") => format!("zcat {name} | {tool} {flags}"),
        _ => format!("{tool} {flags}< {name}"),
    };
    let tip = format!("{tool} reads standard input: {}", instead.trim_end());
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:=,@%+-".contains(c);
    if word.chars().all(is_plain) && !word.is_empty() {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
