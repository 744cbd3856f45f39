//! Continues after a change of `mail_log` from a file to the journal, or from the journal to a
//! file.
//!
//! Both sources have the same messages in the same order, but a position in one source says nothing
//! about the other source. So mls-tail takes the last message from the old source and searches it
//! in the new source, within a few seconds of its time. It continues after that message. If the
//! message is missing, mls-tail reads the messages of that second and of the second before again.
//! So no message is lost, but failures within these two seconds may be recorded twice.

use std::io;

use chrono::{DateTime, Datelike, Local, NaiveDateTime, TimeZone};
use mls_diag::{Exit, OrExit};
use mls_rotation::{ChainFile, Piece};

use crate::cursor::{Cursor, LogState};
use crate::journal::{self, Selection};
use crate::legacy::{begin_at, mark};

/// The largest difference between the clock of the log and the clock of the journal, in seconds.
const MARGIN: i64 = 1;

const NANOSECONDS: i64 = 1_000_000_000;

/// The second from which to read after a change of the source: the journal if `reads_journal`, else
/// a log. `None` if the source has not changed, or if nothing was read.
pub(crate) fn first_second(cursor: &Cursor, reads_journal: bool) -> Option<i64> {
    let journal = cursor.journal.as_deref().and_then(journal_second);
    let log = cursor.logs.values().filter_map(log_second).max();
    let (own, other) = if reads_journal { (journal, log) } else { (log, journal) };
    let other = other.filter(|_| cursor.legacy.is_none())?;
    own.is_none_or(|own| own < other).then_some(other - MARGIN)
}

/// The second of the entry that a journal cursor names. The field `t` is in microseconds.
fn journal_second(cursor: &str) -> Option<i64> {
    let time = cursor.split(';').find_map(|field| field.strip_prefix("t="))?;
    Some(i64::from_str_radix(time, 16).ok()? / 1_000_000)
}

/// The second of the last line that was read from a log. If the line has no time, this is the
/// second of the last change of the file.
fn log_second(log: &LogState) -> Option<i64> {
    let changed = log.generations.iter().map(|known| known.file.mtime).max()? / NANOSECONDS;
    let lines = log.last_lines.text().unwrap_or_default();
    let last = lines.lines().rfind(|line| !line.is_empty());
    last.and_then(|line| line_second(line.as_bytes(), changed)).or(Some(changed))
}

/// The second of a line that begins with a time of RFC 3339 or of syslog (`Jan  5 06:25:01`). A
/// syslog time has no year: takes the latest year for which it is at most a day after `changed`.
fn line_second(line: &[u8], changed: i64) -> Option<i64> {
    let text = line.get(..line.len().min(40))?.utf8_chunks().next()?.valid();
    let word = text.split_whitespace().next()?;
    if let Ok(time) = DateTime::parse_from_rfc3339(word) {
        return Some(time.timestamp());
    }
    let year = DateTime::from_timestamp(changed, 0)?.with_timezone(&Local).year();
    let in_year = |year: i32| {
        let text = format!("{year} {}", text.get(..15)?);
        let time = NaiveDateTime::parse_from_str(&text, "%Y %b %e %H:%M:%S").ok()?;
        Some(Local.from_local_datetime(&time).earliest()?.timestamp())
    };
    [year + 1, year, year - 1].into_iter().filter_map(in_year).find(|time| *time <= changed + 86400)
}

/// The cursor of the last journal entry that was already read as a line of a log.
pub(crate) fn last_entry_read(
    cursor: &Cursor,
    selection: &Selection,
    second: i64,
) -> anyhow::Result<Option<String>> {
    let entries = journal::entries(selection, second)?;
    let texts = cursor.logs.values().filter_map(|log| log.last_lines.text());
    let mut lines: Vec<&str> = texts.flat_map(str::lines).collect();
    let until = second + 3 * MARGIN;
    let near = entries
        .into_iter()
        .filter(|entry| journal_second(&entry.cursor).is_some_and(|second| second <= until));
    let read = near.filter(|entry| {
        let message = entry.as_logged();
        let found = message.and_then(|text| lines.iter().position(|line| line.ends_with(&text)));
        found.map(|n| lines.swap_remove(n)).is_some()
    });
    Ok(read.last().map(|entry| entry.cursor))
}

/// The messages that were read from the journal since `second`.
pub(crate) fn messages_read(
    cursor: &Cursor,
    selection: &Selection,
    second: i64,
) -> anyhow::Result<Vec<String>> {
    let entries = journal::entries(selection, second)?;
    let last = cursor.journal.as_deref().unwrap_or_default();
    let Some(last) = entries.iter().position(|entry| journal::same_entry(&entry.cursor, last))
    else {
        return Ok(vec![]);
    };
    Ok(entries[..=last].iter().filter_map(journal::JournalEntry::as_logged).collect())
}

/// Changes `log` as if mls-tail had read all lines before `second`, and all lines up to the last of
/// `messages`. Returns, for each file, the index of its generation.
pub(crate) fn adopt(
    log: &mut LogState,
    files: &[ChainFile],
    second: i64,
    mut messages: Vec<String>,
) -> anyhow::Result<Vec<Option<usize>>> {
    log.generations.clear();
    let mut held = vec![None; files.len()];
    for (file, held) in files.iter().zip(&mut held) {
        let position = position(file, second, &mut messages).or_exit(Exit::IoErr)?;
        let is_read = position.is_none();
        let at = mark(file, position.unwrap_or(u64::MAX)).or_exit(Exit::IoErr)?;
        if at.end > 0 {
            let k = begin_at(log, file, &at);
            log.generations[k].is_read = is_read;
            *held = Some(k);
        }
        if !is_read {
            break;
        }
    }
    Ok(held)
}

/// The position at which to continue: after the last line that is in `messages`. If no line is in
/// `messages`, at the first line of `second` or later. If all lines are older, the end of the log
/// itself, or `None` for a rotated file.
fn position(file: &ChainFile, second: i64, messages: &mut Vec<String>) -> io::Result<Option<u64>> {
    let changed = file.stat.mtime / NANOSECONDS;
    if changed < second && file.is_rotated {
        return Ok(None);
    }
    let mut first = None;
    let mut lines = file.lines()?;
    loop {
        let mut offset = lines.position();
        let block = match lines.next()? {
            None if first.is_none() && !file.is_rotated => return Ok(Some(offset)),
            None => return Ok(first),
            Some(Piece::Lines(block)) => block,
            Some(_) => continue,
        };
        for line in block.split_inclusive(|byte| *byte == b'\n') {
            let start = offset;
            offset += line.len() as u64;
            let Some(time) = line_second(line, changed).filter(|time| *time >= second) else {
                continue;
            };
            first.get_or_insert(start);
            let line = line.trim_ascii_end();
            let found = messages.iter().position(|text| line.ends_with(text.as_bytes()));
            if let Some(n) = found {
                messages.swap_remove(n);
                first = Some(offset);
            }
            if messages.is_empty() || time > second + 3 * MARGIN {
                return Ok(first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::last_lines::LastLines;

    #[test]
    fn the_second_of_a_line_is_the_second_of_its_time_stamp() {
        let changed = DateTime::parse_from_rfc3339("2026-01-02T00:00:00Z").unwrap().timestamp();
        let local = |text: &str| {
            let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap();
            Some(Local.from_local_datetime(&time).unwrap().timestamp())
        };
        let read = |line: &str| line_second(line.as_bytes(), changed);
        assert_eq!(read("2026-01-01T00:00:00.9+00:00 vm x"), Some(changed - 86400));
        assert_eq!(read("Dec 31 10:00:00 vm postfix"), local("2025-12-31 10:00:00"));
        assert_eq!(read("Jan  1 10:00:00 vm postfix"), local("2026-01-01 10:00:00"));
        assert_eq!(read("no time"), None);
        // A cut at any byte of the message must not cause a panic.
        assert_eq!(read("2026-01-01T00:00:00.9+00:00 vm x[1]: abé"), Some(changed - 86400));
    }

    #[test]
    fn a_switch_begins_at_the_time_of_the_source_that_was_read_last() {
        let journal = |t: i64| Some(format!("s=1;i=1;b=2;m=3;t={:x};x=4", t * 1_000_000));
        let mut cursor = Cursor { journal: journal(1000), ..Cursor::default() };
        assert_eq!(first_second(&cursor, false), Some(999));
        assert_eq!(first_second(&cursor, true), None);
        let log = LogState {
            last_lines: LastLines::Text("x\n1970-01-01T00:20:00Z vm y\n".into()),
            ..LogState::default()
        };
        cursor.logs.insert("/x".into(), log);
        assert_eq!(first_second(&cursor, true), None, "nothing was read of the log");
    }
}
