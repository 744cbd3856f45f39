//! Going on where the Python original has left off.
//!
//! Its `state.offset` holds a decimal number and nothing that would tell which file it is a position in
//! (`lib/maillogsentinel/utils.py`, `read_state`; `parser.py`, `extract_entries`): the log's size when it was read last, in bytes.
//! The rotated logs it has read, or given up, before. It is taken for a position in the log if a line begins there; else, as the
//! log may have been rotated since, for one in the youngest rotated file, of which the original would have lost the rest. If it
//! is neither, nobody knows what was counted, and a person has to decide. Where it reads the journal, the number is the second
//! of the last entry (`log_reader.py`, `get_new_offset`).

use mls_diag::{Exit, OrExit};
use mls_state::cursor_file::WINDOW;

use crate::known::{self, Log};
use crate::siblings::Sibling;
use crate::unpack::Unpacked;

/// A position in a file, and the bytes by which it is known again.
struct Position {
    offset: u64,
    head: Vec<u8>,
    tail: Vec<u8>,
}

/// Makes `log` what it were if this tool had read up to `offset`. Returns which generation each file holds.
pub(crate) fn adopt(
    log: &mut Log,
    files: &[Sibling],
    offset: u64,
) -> anyhow::Result<Vec<Option<usize>>> {
    let mut start = None;
    // The log itself is the last, and the youngest rotated file the one before it.
    for (i, file) in files.iter().enumerate().rev().take(2) {
        let at = position(file, offset).or_exit(Exit::IoErr)?;
        if at.offset == offset && at.tail.ends_with(b"\n") {
            start = Some((i, at));
            break;
        }
    }
    let Some((first, at)) = start else {
        return Err(Exit::Config.error(format!(
            "the cursor file is that of the Python original and says that {offset} bytes were read, but no line begins there \
             in the log or in the file that was rotated last; remove the cursor file to read everything from the beginning \
             (and move the CSV away, or its rows are in it twice)"
        )));
    };
    log::warn!(
        "{}: going on at byte {offset}, where the Python original has left off; what is older counts as read",
        files[first].path.display()
    );
    let mut held = vec![None; files.len()];
    for (file, held) in files[..first].iter().zip(&mut held) {
        let k = read(log, file, &position(file, u64::MAX).or_exit(Exit::IoErr)?);
        log.generations[k].read = true;
        *held = Some(k);
    }
    held[first] = Some(read(log, &files[first], &at));
    Ok(held)
}

/// A generation that was read up to `at`.
fn read(log: &mut Log, file: &Sibling, at: &Position) -> usize {
    let k = log.begin(&at.head, file);
    log.generations[k].advance(at.offset, &at.head, &at.tail);
    k
}

/// The position `offset`, or the end if the file is shorter.
fn position(file: &Sibling, offset: u64) -> std::io::Result<Position> {
    if file.compressed {
        let mut unpacked = Unpacked::open(&file.file)?;
        let head = unpacked.peek(WINDOW.min(offset))?.to_vec();
        unpacked.skip_to(offset)?;
        return Ok(Position {
            offset: unpacked.position(),
            head,
            tail: unpacked.window().to_vec(),
        });
    }
    let offset = offset.min(file.seen.size);
    let window = offset.min(WINDOW);
    let head = known::read_at(file, 0, window)?;
    let tail = known::read_at(file, offset - window, window)?;
    Ok(Position { offset, head, tail })
}

/// The second from which the journal is read, where the original has read up to the end of `second`.
pub(crate) fn next_second(second: u64) -> anyhow::Result<u64> {
    // It had not been written in 2001; a number so small is a position in a log.
    const FIRST: u64 = 1_000_000_000;
    let now = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(u64::MAX);
    if !(FIRST..=now).contains(&second) {
        return Err(Exit::Config.error(format!(
            "the cursor file is that of the Python original, but its {second} is not the time of an entry of the journal; \
             remove the cursor file to read the journal from its beginning"
        )));
    }
    log::warn!("journal: going on after second {second}, where the Python original has left off");
    Ok(second + 1)
}
