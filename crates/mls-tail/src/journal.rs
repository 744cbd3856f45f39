//! The systemd journal as a log, read through journalctl(1).
//!
//! The cursor is the journal's own. Reading begins with the entry that it names: if that is not there any more, entries that
//! were never read may have gone with it (`journalctl --vacuum-size`), which is a gap.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use mls_cli::ndjson::{OutputClosed, Reader};
use mls_cli::{Exit, OrExit};
use mls_event::{Gap, JOURNAL_SOURCE, Segment, Timestamp};
use rustix::event::{PollFd, PollFlags, poll};
use serde::Deserialize;

use crate::known::Cursor;
use crate::original;
use crate::output::Output;
use crate::signal::Stop;
use crate::tail::Outcome;

/// Entries that belong to mail: syslog's facility `mail`, whatever the program is called, and all that the units of Postfix and
/// Dovecot say. `+` is "or" (journalctl(1)).
const MATCHES: [&str; 9] = [
    "SYSLOG_FACILITY=2",
    "+",
    "_SYSTEMD_UNIT=postfix.service",
    "+",
    "_SYSTEMD_UNIT=postfix@-.service",
    "+",
    "_SYSTEMD_UNIT=dovecot.service",
    "+",
    "_SYSTEMD_SLICE=system-postfix.slice",
];

/// So many bytes of entries make a segment.
const SEGMENT: usize = 256 * 1024;

const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// Reads the journal from `cursor` on, and returns where it ended.
pub(crate) fn read(
    cursor: Cursor,
    out: &mut Output,
    stop: &Stop,
    follow: bool,
    directory: Option<&Path>,
) -> anyhow::Result<Outcome> {
    let mut child = start(&cursor, follow, directory)?;
    let entries =
        child.stdout.take().map(OwnedFd::from).ok_or_else(|| Exit::Software.error("journalctl without output"))?;
    let ready = entries.try_clone()?;
    let mut reader = Reader::pipe(entries, "journalctl")?;
    let mut batch =
        Batch { from: cursor.journal.clone(), cursor, out, lines: Vec::new(), first: None, since: Instant::now() };
    while !stop.is_set() {
        let pause = || {
            batch.send()?;
            wait(&ready, stop, batch.out)
        };
        let Some(line) = reader.next(pause)? else { break };
        match serde_json::from_slice::<Entry>(line) {
            Ok(entry) => batch.add(line, entry)?,
            Err(why) => mls_cli::diag::bad_record("an entry of journalctl", why),
        }
    }
    batch.send()?;
    if batch.from.is_some() && batch.first.is_none() && !stop.is_set() {
        batch.gap("no entry is there any more, not even the last one that was read")?;
        // It is told once; what comes is new.
        batch.cursor.journal = None;
        batch.send()?;
    }
    finish(child, stop)
}

/// What this stage needs to know of an entry; the rest is mls-parse's.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
}

/// Entries on their way out.
struct Batch<'a> {
    /// The entry that was read last, by an earlier run.
    from: Option<String>,
    cursor: Cursor,
    out: &'a mut Output,
    lines: Vec<u8>,
    /// The first entry of this run.
    first: Option<String>,
    since: Instant,
}

impl Batch<'_> {
    fn add(&mut self, line: &[u8], entry: Entry) -> anyhow::Result<()> {
        if self.first.is_none() {
            self.first = Some(entry.cursor.clone());
            match &self.from {
                Some(from) if *from == entry.cursor => return Ok(()),
                Some(_) => {
                    self.gap("the last entry that was read is not there any more; entries after it may be lost")?;
                }
                None => {}
            }
        }
        self.lines.extend_from_slice(line);
        self.lines.push(b'\n');
        (self.cursor.journal, self.cursor.original) = (Some(entry.cursor), None);
        if self.lines.len() >= SEGMENT || self.since.elapsed() >= CHECKPOINT_EVERY { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> anyhow::Result<()> {
        self.since = Instant::now();
        if !self.lines.is_empty() {
            let segment = Segment {
                source: JOURNAL_SOURCE.into(),
                generation: JOURNAL_SOURCE.into(),
                offset: 0,
                length: self.lines.len() as u64,
                mtime: Timestamp::from(chrono::Utc::now().fixed_offset()),
            };
            self.out.bytes(&segment, &[&self.lines])?;
            self.lines.clear();
        }
        self.out.done(&self.cursor)
    }

    fn gap(&mut self, reason: &str) -> anyhow::Result<()> {
        mls_cli::warn!("journal: {reason}");
        let (source, generation, offset, reason) = (JOURNAL_SOURCE.into(), None, None, reason.into());
        self.out.gap(&Gap { source, generation, offset, reason })
    }
}

fn start(cursor: &Cursor, follow: bool, directory: Option<&Path>) -> anyhow::Result<Child> {
    let mut command = Command::new("journalctl");
    command.args(["--output=json", "--all", "--no-pager", "--quiet"]);
    if follow {
        command.args(["--follow", "--no-tail"]);
    }
    if let Some(directory) = directory {
        command.arg("--directory").arg(directory);
    }
    if let Some(cursor) = &cursor.journal {
        command.arg(format!("--cursor={cursor}"));
    }
    if let Some(offset) = cursor.original {
        command.arg(format!("--since=@{}", original::next_second(offset)?));
    }
    command.args(MATCHES).stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().context("starting journalctl").or_exit(Exit::Unavailable)
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
    if status.success() { Ok(Outcome::Done) } else { Err(Exit::Unavailable.error(format!("journalctl: {status}"))) }
}
