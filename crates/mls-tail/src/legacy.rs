//! Continues where the Python original stopped.
//!
//! Its `state.offset` holds only a decimal number: the size of the log in bytes at the last read
//! (`lib/maillogsentinel/utils.py`, `read_state`; `parser.py`, `extract_entries`). It does not name
//! a file. Older rotated logs are finished: the original has read or lost them. If a line of the
//! log begins at the number, reading continues there. Otherwise the log may have been rotated
//! since. If a line of the youngest rotated file begins there, reading continues in that file; the
//! original would have lost the rest of it. Otherwise mls-tail cannot know which lines were read,
//! so it exits with 78, and its message says what the administrator can do. If the original reads
//! the journal, the number is the second of the last entry (`log_reader.py`, `get_new_offset`).

use std::io;

use mls_diag::{Exit, OrExit, count};
use mls_rotation::ChainFile;
use mls_state::cursor_file::WINDOW;

use crate::cursor::LogState;
use crate::read::EndBytes;

/// Changes `log` as if this tool had read up to `offset`. Returns which generation each file holds.
pub(crate) fn adopt(
    log: &mut LogState,
    files: &[ChainFile],
    offset: u64,
) -> anyhow::Result<Vec<Option<usize>>> {
    let mut start = None;
    // The log itself is the last file, and the youngest rotated file the one before it.
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

/// Returns the [`EndBytes`] of `file` at `offset`, or at its end if it is shorter.
pub(crate) fn mark(file: &ChainFile, offset: u64) -> io::Result<EndBytes> {
    if file.compression.is_none() {
        return EndBytes::read(file, offset.min(file.stat.size));
    }
    let mut lines = file.lines()?;
    let head = lines.peek(WINDOW.min(offset))?.to_vec();
    lines.skip_to(offset)?;
    Ok(EndBytes { end: lines.position(), head, tail: lines.window().to_vec() })
}

/// The second from which the journal is read, if the original has read up to the end of `second`.
pub(crate) fn next_second(second: u64) -> anyhow::Result<u64> {
    // A second in 2001. The original is newer than that, so a smaller number is a position in a
    // log.
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
