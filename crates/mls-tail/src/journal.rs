//! The systemd journal as a log, read through journalctl(1).
//!
//! The cursor is the journal's own. Reading begins with the entry that it names: if that is not there any more, entries that
//! were never read may have gone with it (`journalctl --vacuum-size`), which is a gap.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use mls_config::config::JournalMatch;
use mls_diag::{Exit, OrExit};
use mls_event::{Gap, JOURNAL_SOURCE, Segment, Timestamp};
use mls_stream::ndjson::{OutputClosed, Reader};
use rustix::event::{PollFd, PollFlags, poll};
use serde::Deserialize;

use crate::cursor::Cursor;
use crate::legacy;
use crate::output::{CHECKPOINT_EVERY, Output};
use crate::signal::Stop;
use crate::tail::Outcome;

/// Entries that belong to mail: syslog's facility `mail`, whatever the program is called, and all that the units of Postfix and
/// Dovecot say.
const MATCHES: [&str; 5] = [
    "SYSLOG_FACILITY=2",
    "_SYSTEMD_UNIT=postfix.service",
    "_SYSTEMD_UNIT=postfix@-.service",
    "_SYSTEMD_UNIT=dovecot.service",
    "_SYSTEMD_SLICE=system-postfix.slice",
];

/// Which journal is read, and what of it beyond [`MATCHES`].
#[derive(Clone, Copy)]
pub(crate) struct Selection<'a> {
    /// `None` for the journal of this machine.
    pub(crate) directory: Option<&'a Path>,
    /// Docker's journald driver writes no facility, and the unit is Docker's own: only the administrator knows which
    /// containers write mail logs.
    pub(crate) matches: &'a [JournalMatch],
}

/// So many bytes of entries make a segment.
const SEGMENT: usize = 256 * 1024;

/// Reads the journal from `cursor` on, and returns where it ended.
pub(crate) fn read(
    cursor: Cursor,
    out: &mut Output,
    stop: &Stop,
    follow: bool,
    selection: Selection<'_>,
) -> anyhow::Result<Outcome> {
    let mut child = start(&cursor, follow, selection)?;
    let entries = child
        .stdout
        .take()
        .map(OwnedFd::from)
        .ok_or_else(|| Exit::Software.error("journalctl without output"))?;
    let ready = entries.try_clone()?;
    let mut reader = Reader::pipe(entries, "journalctl")?;
    let from = cursor.journal.clone();
    let mut batch = Batch { from, cursor, out, lines: Vec::new(), since: Instant::now() };
    while !stop.is_set() {
        let pause = || {
            batch.send()?;
            wait(&ready, stop, batch.out)?;
            if stop.is_set() {
                // Or its next entry would be waited for.
                let _ = child.kill();
            }
            Ok(())
        };
        let Some(line) = reader.next(pause)? else { break };
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => batch.add(line, entry)?,
            Err(_) if stop.is_set() => {}
            Err(why) => mls_diag::diag::bad_record("an entry of journalctl", why),
        }
    }
    batch.send()?;
    let outcome = finish(child, stop)?;
    if outcome == Outcome::Done && batch.from.take().is_some() {
        batch.gap()?;
        batch.send()?;
    }
    Ok(outcome)
}

/// What this stage needs to know of an entry; the rest is mls-parse's.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
}

/// Whether two cursors are of the same entry. It keeps boot, times and hash (`b`, `m`, `t`, `x`) where it is copied to another
/// file, as by `journalctl --flush`, and gets another number there (sd-journal.c, `sd_journal_get_cursor`).
fn same_entry(one: &str, other: &str) -> bool {
    let entry = |cursor| str::split_once(cursor, ";b=").map_or(cursor, |(_, entry)| entry);
    entry(one) == entry(other)
}

/// A field of a cursor.
fn field<'a>(cursor: &'a str, name: &str) -> Option<&'a str> {
    cursor.split(';').find_map(|field| field.strip_prefix(name))
}

/// Boot and microseconds since then.
fn uptime(cursor: &str) -> Option<(&str, u64)> {
    Some((field(cursor, "b=")?, u64::from_str_radix(field(cursor, "m=")?, 16).ok()?))
}

/// Entries on their way out.
struct Batch<'a> {
    /// The entry that was read last, by an earlier run, until it is found or known to have gone. Nothing is sent before.
    from: Option<String>,
    cursor: Cursor,
    out: &'a mut Output,
    lines: Vec<u8>,
    since: Instant,
}

impl Batch<'_> {
    fn add(&mut self, line: &[u8], entry: Entry) -> anyhow::Result<()> {
        // A clock that was set back leads to what an older file has of later times.
        if let Some((boot, last)) = self.from.as_deref().and_then(uptime)
            && uptime(&entry.cursor).is_some_and(|(this, at)| this == boot && at < last)
        {
            return Ok(());
        }
        (self.cursor.legacy, self.cursor.journal) = (None, Some(entry.cursor));
        let now = self.cursor.journal.as_deref().unwrap_or_default();
        if let Some(from) = self.from.take() {
            if same_entry(&from, now) {
                // What other files have of the same moment has been read before it.
                self.lines.clear();
                self.cursor.journal_gone = false;
                return Ok(());
            }
            if field(&from, "t=") == field(now, "t=") && self.lines.len() < SEGMENT {
                self.from = Some(from);
            } else {
                self.gap()?;
            }
        }
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        if self.lines.len() >= SEGMENT || self.since.elapsed() >= CHECKPOINT_EVERY {
            self.send()
        } else {
            Ok(())
        }
    }

    fn send(&mut self) -> anyhow::Result<()> {
        if self.from.is_some() {
            return Ok(());
        }
        self.since = Instant::now();
        if !self.lines.is_empty() {
            let segment = Segment {
                source: JOURNAL_SOURCE.into(),
                generation: JOURNAL_SOURCE.into(),
                offset: 0,
                length: self.lines.len() as u64,
                mtime: Timestamp::from(chrono::Utc::now().fixed_offset()),
                before: String::new(),
            };
            self.out.bytes(&segment, &[&self.lines])?;
            self.lines.clear();
            self.cursor.journal_gone = false;
        }
        self.out.done(&self.cursor)
    }

    /// The last entry that was read is not there. It is told once; where no entry follows, its cursor stays, which still says
    /// what is older.
    fn gap(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.cursor.journal_gone, true) {
            return Ok(());
        }
        let reason =
            "the last entry that was read is not there any more; entries after it may be lost";
        log::warn!("journal: {reason}");
        let (source, generation, offset, reason) =
            (JOURNAL_SOURCE.into(), None, None, reason.into());
        self.out.gap(&Gap { source, generation, offset, reason })
    }
}

fn start(cursor: &Cursor, follow: bool, selection: Selection<'_>) -> anyhow::Result<Child> {
    let mut command = Command::new("journalctl");
    command.args(["--output=json", "--all", "--no-pager", "--quiet"]);
    if follow {
        // Without --merge, journalctl shows new entries of the current boot only. It reads the boot's identifier in /proc, which
        // a sandbox hides (ProcSubset=pid), or shows the host's in a container.
        command.args(["--follow", "--no-tail", "--merge"]);
    }
    if let Some(directory) = selection.directory {
        command.arg("--directory").arg(directory);
    }
    if let Some(cursor) = &cursor.journal {
        command.arg(format!("--cursor={cursor}"));
    }
    if let Some(offset) = cursor.legacy {
        command.arg(format!("--since=@{}", legacy::next_second(offset)?));
    }
    // --merge takes entries of other machines as well.
    let machine = std::fs::read_to_string("/etc/machine-id").ok();
    let machine = machine.filter(|_| follow && selection.directory.is_none());
    command
        .args(matches(selection.matches, machine.as_deref()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.spawn().context("starting journalctl").or_exit(Exit::Unavailable)
}

/// The words that select entries: `+` is "or" (journalctl(1)), and each alternative is of one machine if that is given.
fn matches(more: &[JournalMatch], machine: Option<&str>) -> Vec<String> {
    let alternatives = MATCHES.into_iter().chain(more.iter().map(JournalMatch::as_str));
    let machine = machine.map(|id| format!("_MACHINE_ID={}", id.trim()));
    let mut words = Vec::new();
    for alternative in alternatives {
        if !words.is_empty() {
            words.push("+".to_owned());
        }
        words.push(alternative.to_owned());
        words.extend(machine.clone());
    }
    words
}

/// Waits until there is an entry or a signal; an error if the reader of the output has gone.
fn wait(entries: &OwnedFd, stop: &Stop, out: &Output) -> anyhow::Result<()> {
    let out = out.as_fd();
    let mut fds = vec![
        PollFd::from_borrowed_fd(out, PollFlags::empty()),
        PollFd::from_borrowed_fd(entries.as_fd(), PollFlags::IN),
    ];
    fds.extend(stop.as_fd().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
    let _ = poll(&mut fds, None);
    if fds[0].revents().contains(PollFlags::ERR) { Err(OutputClosed.into()) } else { Ok(()) }
}

fn finish(mut child: Child, stop: &Stop) -> anyhow::Result<Outcome> {
    if stop.is_set() {
        // It may have got the signal itself.
        let _ = child.kill();
        let _ = child.wait();
        return Ok(Outcome::Stopped);
    }
    let status = child.wait().context("waiting for journalctl").or_exit(Exit::Unavailable)?;
    if status.success() {
        Ok(Outcome::Done)
    } else {
        Err(Exit::Unavailable.error(format!("journalctl: {status}")))
    }
}
