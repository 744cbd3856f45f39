//! Continues where the Python original stopped.
//!
//! The `state.offset` of the original contains only a number: the size of the log in bytes at the
//! last read (`lib/maillogsentinel/utils.py`, `read_state`; `parser.py`, `extract_entries`). If a
//! line of the log begins at this offset, mls-tail continues there. Otherwise, the log may have
//! been rotated after that read. If a line of the youngest rotated file begins at this offset,
//! mls-tail continues in that file. (The original would have lost the rest of the file.) If the
//! offset fits neither file, mls-tail exits with 78, and its message says what the administrator
//! can do. mls-tail does not read older rotated logs: the original has read or lost their lines. If
//! the original reads the journal, the number is the second of the last entry (`log_reader.py`,
//! `get_new_offset`).

use std::io;

use mls_diag::{Exit, OrExit, count};
use mls_rotation::ChainFile;
use mls_state::cursor_file::WINDOW;

use crate::cursor::LogState;
use crate::read::EndBytes;

/// Sets `log` as if mls-tail had read up to `offset`. Returns the generation of each file.
pub(crate) fn adopt(
    log: &mut LogState,
    files: &[ChainFile],
    offset: u64,
) -> anyhow::Result<Vec<Option<usize>>> {
    let mut start = None;
    // The last file is the log itself. The file before it is the youngest rotated file.
    for (i, file) in files.iter().enumerate().rev().take(2) {
        let mark = mark(file, offset).or_exit(Exit::IoErr)?;
        if mark.end == offset && mark.tail.ends_with(b"\n") {
            start = Some((i, mark));
            break;
        }
    }
    let Some((first, at)) = start else {
        return Err(Exit::Config.error(format!(
            "the cursor file of the Python original says that {} read, but no line begins at this \
             position in the log or in the last rotated file; to read everything from the \
             beginning, remove the cursor file and move the CSV away (otherwise the CSV has the \
             rows twice)",
            count(offset, "byte was", "bytes were")
        )));
    };
    log::warn!(
        "{}: continuing at byte {offset}, where the Python original stopped; older lines are not read",
        files[first].path.display()
    );
    let mut held = vec![None; files.len()];
    for (file, held) in files[..first].iter().zip(&mut held) {
        let k = begin_at(log, file, &mark(file, u64::MAX).or_exit(Exit::IoErr)?);
        log.generations[k].is_read = true;
        *held = Some(k);
    }
    held[first] = Some(begin_at(log, &files[first], &at));
    Ok(held)
}

/// Adds a generation that was read up to the position `at`.
pub(crate) fn begin_at(log: &mut LogState, file: &ChainFile, at: &EndBytes) -> usize {
    let k = log.begin(&at.head, file);
    log.generations[k].advance(at.end, &at.head, &at.tail);
    k
}

/// Returns the [`EndBytes`] of `file` at `offset`. If the file is shorter, at its end.
pub(crate) fn mark(file: &ChainFile, offset: u64) -> io::Result<EndBytes> {
    if file.compression.is_none() {
        return EndBytes::read(file, offset.min(file.stat.size));
    }
    let mut lines = file.lines()?;
    let head = lines.peek(WINDOW.min(offset))?.to_vec();
    lines.skip_to(offset)?;
    Ok(EndBytes { end: lines.position(), head, tail: lines.window().to_vec() })
}

/// The second after `second`, the last second that the original has read from the journal.
pub(crate) fn next_second(second: u64) -> anyhow::Result<u64> {
    // A second in 2001, before the original existed. A smaller number is a position in a log.
    const FIRST: u64 = 1_000_000_000;
    let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(u64::MAX);
    if !(FIRST..=now).contains(&second) {
        return Err(Exit::Config.error(format!(
            "the cursor file of the Python original has {second}, which is not the time of an \
            entry of the journal; remove the cursor file to read the journal from its beginning"
        )));
    }
    log::warn!(
        "journal: continuing after the time @{second} (seconds since 1970), where the Python \
         original stopped"
    );
    Ok(second + 1)
}
