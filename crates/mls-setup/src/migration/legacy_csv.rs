//! The CSV of the Python original: the functions that migration needs.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use anyhow::Context;
use mls_diag::{Exit, OnFile, OrExit};
use mls_state::regular;

/// Counts the rows of each day. `day` returns the day of a date, or `None` for other texts, such as
/// a header.
pub(super) fn days(
    path: &Path,
    separator: u8,
    day: fn(&[u8]) -> Option<Vec<u8>>,
) -> anyhow::Result<BTreeMap<Vec<u8>, u64>> {
    let mut days = BTreeMap::new();
    let mut lines = BufReader::new(regular::open(path).on_file("reading", path)?);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).on_file("reading", path)? > 0 {
        let date = line.split(|byte| *byte == separator).nth(1).unwrap_or_default();
        let is_date = date.first().is_some_and(u8::is_ascii_digit);
        if let Some(day) = is_date.then(|| day(date)).flatten() {
            *days.entry(day).or_default() += 1;
        }
        line.clear();
    }
    Ok(days)
}

/// Starts a tool. The error names the tool.
fn start(command: &mut Command) -> anyhow::Result<Child> {
    let child = command.spawn();
    child
        .with_context(|| format!("starting {}", command.get_program().display()))
        .or_exit(Exit::Unavailable)
}

/// Runs two commands in a pipeline. `fill` writes the input of the first command. Messages of both
/// commands go to standard error.
pub(super) fn pipeline(
    mut first: Command,
    mut second: Command,
    fill: impl FnOnce(&mut ChildStdin) -> io::Result<()>,
) -> anyhow::Result<()> {
    let mut reader = start(first.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
    let output = reader.stdout.take().map_or_else(Stdio::null, Stdio::from);
    let mut writer = start(second.stdin(output))?;
    let filled = reader.stdin.take().map_or(Ok(()), |mut stdin| fill(&mut stdin));
    let (read, written) = (reader.wait()?, writer.wait()?);
    if read.success() && written.success() {
        return filled.context("reading the rows to convert").or_exit(Exit::IoErr);
    }
    Err(Exit::DataErr
        .error("a conversion failed: see the message above; the old file is unchanged"))
}
