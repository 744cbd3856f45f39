//! Recognizes our CSV, and the CSV of the Python original, by the first line.

use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use mls_diag::Exit;
use mls_event::{Column, Outcome};
use mls_state::regular;

/// Whether the file begins with our header for attempts of this outcome.
pub(crate) fn is_ours(path: &Path, outcome: Outcome) -> io::Result<bool> {
    let header = Column::header(outcome);
    let mut first = Vec::new();
    regular::open(path)?.take(header.len() as u64 + 1).read_to_end(&mut first)?;
    Ok(first
        .strip_prefix(header.as_bytes())
        .is_some_and(|rest| matches!(rest, b"" | b"\n" | b"\r")))
}

/// Fails if the file is a CSV for attempts of the other outcome.
pub(crate) fn refuse_other_outcome(path: &Path, outcome: Outcome) -> anyhow::Result<()> {
    let other = if outcome == Outcome::Success { Outcome::Failure } else { Outcome::Success };
    let name = path.display();
    if is_ours(path, other).with_context(|| format!("reading {name}"))? {
        let [held, given] = [other, outcome].map(adjective);
        return Err(Exit::DataErr
            .error(format!("{name} holds {held} logins; choose another file for {given} logins")));
    }
    Ok(())
}

/// The word before "logins" in messages.
pub(crate) fn adjective(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Success { "successful" } else { "failed" }
}

/// The error for a CSV of the Python original. It says how to convert the file.
pub(crate) fn legacy_refused(path: &Path) -> anyhow::Error {
    let file = path.display();
    Exit::Config.error(format!(
        "{file} is a CSV of the Python original; run maillogsentinel --setup --migrate, which \
         converts the whole installation; or move the CSV to {file}.old and convert only this \
         CSV: mls-csv --decode --legacy < {file}.old | mls-csv --append {file}"
    ))
}
