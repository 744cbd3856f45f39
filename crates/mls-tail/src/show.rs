//! Prints the cursor for human readers.

use mls_diag::count;
use mls_state::cursor_file::CursorFile;
use mls_stream::ndjson::Writer;

use crate::cursor::{Cursor, Generation};

pub(crate) fn print(committed: Option<&CursorFile>) -> anyhow::Result<()> {
    let text = match committed {
        None => "no cursor yet; the next run starts at the beginning of the log\n".into(),
        Some(committed) => describe(committed)?,
    };
    let mut out = Writer::stdout()?;
    out.with(|buffer| buffer.extend_from_slice(text.as_bytes()))?;
    out.flush()
}

fn bytes(number: u64) -> String {
    count(number, "byte", "bytes")
}

fn describe(committed: &CursorFile) -> anyhow::Result<String> {
    let mut lines = vec![format!("commit {}, written {}", committed.sequence, committed.written)];
    lines.extend(
        committed.data.iter().map(|data| format!("committed data: {}", bytes(data.length))),
    );
    let unchecked = &committed.unchecked;
    lines.extend(unchecked.hours.last_key_value().map(|(hour, _)| {
        format!(
            "logins that the mail server could not check: {}, the last after {hour}",
            unchecked.total
        )
    }));
    let cursor = Cursor::committed(Some(committed))?;
    lines.extend(
        cursor.legacy.iter().map(|offset| format!("position of the Python original: {offset}")),
    );
    lines.extend(cursor.journal.iter().map(|entry| format!("journal: up to {entry}")));
    for (path, log) in &cursor.logs {
        lines.push(path.clone());
        for known in &log.generations {
            lines.push(format!("  {}: {} read, {}", known.name, bytes(known.offset), state(known)));
        }
    }
    Ok(lines.join("\n") + "\n")
}

fn state(known: &Generation) -> &'static str {
    match (known.is_gone, known.is_rotated, known.is_read) {
        (true, ..) => "its file is not there any more",
        (_, true, true) => "rotated, read to its end",
        (_, true, false) => "rotated, not read to its end",
        (_, false, true) => "the log itself, read to its end",
        (_, false, false) => "the log itself, not read to its end",
    }
}
