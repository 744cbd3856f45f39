//! The systemd journal as a log, read through journalctl(1).
//!
//! The position is a cursor of journalctl, which names the entry that was read last. Reading begins
//! with that entry. If the journal no longer has it (`journalctl --vacuum-size`), later entries may
//! be lost too. mls-tail then writes a `gap` record.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::Context;
use mls_config::config::JournalMatch;
use mls_diag::{Exit, OrExit};
use mls_event::{Gap, JOURNAL_SOURCE, Segment, Timestamp};
use mls_stream::ndjson::Reader;
use serde::Deserialize;
use serde_json::Value;

use crate::cursor::Cursor;
use crate::legacy;
use crate::output::{CHECKPOINT_EVERY, Output};
use crate::signal::Stop;
use crate::switch;
use crate::tail::PassEnd;

/// Entries about mail: all entries with the syslog facility `mail` (2), and all entries of the
/// units of Postfix and Dovecot.
const MATCHES: [&str; 5] = [
    "SYSLOG_FACILITY=2",
    "_SYSTEMD_UNIT=postfix.service",
    "_SYSTEMD_UNIT=postfix@-.service",
    "_SYSTEMD_UNIT=dovecot.service",
    "_SYSTEMD_SLICE=system-postfix.slice",
];

/// The journal to read, and the entries to read in addition to [`MATCHES`].
#[derive(Clone)]
pub(crate) struct Selection {
    /// `None` for the journal of this machine.
    pub(crate) directory: Option<PathBuf>,
    /// Matches for more entries. The administrator must give them: entries of Docker's journald
    /// driver have no facility, and their unit is `docker.service`.
    pub(crate) matches: Vec<JournalMatch>,
    /// Whether an earlier run may have read a log file instead of the journal (`switch.rs`).
    pub(crate) may_switch: bool,
}

/// When the collected entries have this number of bytes, they are written as a segment.
const SEGMENT: usize = 256 * 1024;

pub(crate) fn read(
    mut cursor: Cursor,
    out: &mut Output,
    stop: &Stop,
    follow: bool,
    selection: &Selection,
) -> anyhow::Result<PassEnd> {
    let since = switch::first_second(&cursor, true).filter(|_| selection.may_switch);
    if let Some(second) = since {
        cursor.journal = switch::last_entry_read(&cursor, selection, second)?;
    }
    let machine = selection.directory.as_deref().map_or(Ok(None), only_machine)?;
    if cursor.journal.is_none() && !follow {
        warn_if_unreadable(selection.directory.as_deref());
    }
    let mut child = start(&cursor, since, follow, selection)?;
    let entries = child
        .stdout
        .take()
        .map(OwnedFd::from)
        .ok_or_else(|| Exit::Software.error("journalctl without output"))?;
    let ready = entries.try_clone()?;
    let mut reader = Reader::pipe(entries, "journalctl")?;
    let from = cursor.journal.clone();
    let is_switch = since.is_some();
    let directory = selection.directory.clone();
    let mut batch = EntryBatch {
        from,
        is_switch,
        directory,
        machine,
        cursor,
        out,
        lines: Vec::new(),
        since: Instant::now(),
    };
    while !stop.is_set() {
        let pause = || {
            batch.send()?;
            batch.out.wait(stop, Some(ready.as_fd()), None)?;
            if stop.is_set() {
                // If journalctl went on, the reader would wait for the next entry.
                let _ = child.kill();
            }
            Ok(())
        };
        let Some(line) = reader.next(pause)? else { break };
        match serde_json::from_slice::<JournalEntry>(line) {
            Ok(entry) => batch.add(line, entry)?,
            Err(_) if stop.is_set() => {}
            Err(why) => mls_diag::diag::bad_record("an entry of journalctl", why),
        }
    }
    batch.send()?;
    let outcome = finish(child, stop)?;
    if outcome == PassEnd::Done && batch.from.take().is_some() {
        batch.gap()?;
        batch.send()?;
    }
    Ok(outcome)
}

/// The part of an entry that this tool reads. mls-parse reads the rest.
#[derive(Deserialize)]
pub(crate) struct JournalEntry {
    #[serde(rename = "__CURSOR")]
    pub(crate) cursor: String,
    /// Text, or an array of bytes.
    #[serde(rename = "MESSAGE", default)]
    message: Value,
    #[serde(rename = "SYSLOG_PID")]
    syslog_pid: Option<String>,
    #[serde(rename = "_PID")]
    pid: Option<String>,
    #[serde(rename = "_MACHINE_ID")]
    machine: Option<String>,
}

impl JournalEntry {
    /// How the line of this entry ends in a log file: `[PID]: MESSAGE`.
    pub(crate) fn as_logged(&self) -> Option<String> {
        let pid = self.syslog_pid.as_ref().or(self.pid.as_ref())?;
        Some(format!("[{pid}]: {}", self.message.as_str()?))
    }
}

/// The machine of the entries in a directory; `None` if no entry names a machine. Exit 78 if there
/// are several machines: an entry of one machine that arrives late is before the cursor, so
/// mls-tail would never read it.
fn only_machine(directory: &Path) -> anyhow::Result<Option<String>> {
    let output = Command::new("journalctl")
        .args(["--quiet", "--field=_MACHINE_ID", "--directory"])
        .arg(directory)
        .stderr(Stdio::null())
        .output()
        .context("starting journalctl")
        .or_exit(Exit::Unavailable)?;
    let machines = String::from_utf8_lossy(&output.stdout);
    let mut machines = machines.lines();
    let first = machines.next().map(str::to_owned);
    if machines.next().is_some() { Err(several_machines(directory)) } else { Ok(first) }
}

/// Warns if there is no journal, or if this user may not read all of it. The journalctl that reads
/// the entries does not warn, because it runs with `--quiet`.
fn warn_if_unreadable(directory: Option<&Path>) {
    let mut command = Command::new("journalctl");
    command.args(["--lines=0", "--no-pager"]);
    if let Some(directory) = directory {
        command.arg("--directory").arg(directory);
    }
    let Ok(output) = command.stdin(Stdio::null()).stdout(Stdio::null()).output() else { return };
    let words = String::from_utf8_lossy(&output.stderr);
    let (place, cure) = match directory {
        Some(directory) => (directory.display().to_string(), "check --journal-directory"),
        None => ("this machine".to_owned(), "start systemd-journald, or read a log file"),
    };
    if words.contains("No journal files were found") {
        log::warn!("journal: {place} has no journal files; {cure}");
    } else if words.contains("systemd-journal") {
        log::warn!(
            "journal: this user may not read all entries of {place}; run mls-tail as root, or add \
             the user to the group systemd-journal"
        );
    }
}

fn several_machines(directory: &Path) -> anyhow::Error {
    Exit::Config.error(format!(
        "{}: the directory has the journals of several machines, and entries that arrive late \
         would be lost; give each machine its own directory (systemd-journal-remote \
         --output=DIRECTORY) and its own pipeline (see maillogsentinel(7))",
        directory.display()
    ))
}

/// The entries from `second` to ten seconds later, oldest first.
pub(crate) fn entries(selection: &Selection, second: i64) -> anyhow::Result<Vec<JournalEntry>> {
    let mut command = command(false, selection);
    command.args([format!("--since=@{second}"), format!("--until=@{}", second + 10)]);
    let output = command
        .args(matches(&selection.matches, None))
        .stderr(Stdio::null())
        .output()
        .context("starting journalctl")
        .or_exit(Exit::Unavailable)?;
    let lines = output.stdout.split(|byte| *byte == b'\n');
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// Whether two cursors name the same entry. `journalctl --flush` copies entries to another file. In
/// the copy, boot, times and hash (`b`, `m`, `t`, `x`) are the same, but the number (`i`) differs
/// (sd-journal.c, `sd_journal_get_cursor`).
pub(crate) fn same_entry(one: &str, other: &str) -> bool {
    let entry = |cursor| str::split_once(cursor, ";b=").map_or(cursor, |(_, entry)| entry);
    entry(one) == entry(other)
}

fn field<'a>(cursor: &'a str, name: &str) -> Option<&'a str> {
    cursor.split(';').find_map(|field| field.strip_prefix(name))
}

/// The boot in a cursor, and the number of microseconds since that boot.
fn uptime(cursor: &str) -> Option<(&str, u64)> {
    Some((field(cursor, "b=")?, u64::from_str_radix(field(cursor, "m=")?, 16).ok()?))
}

struct EntryBatch<'a> {
    /// The cursor of the entry that an earlier run read last; `None` after this entry was found, or
    /// is known to be removed. While this is `Some`, nothing is sent.
    from: Option<String>,
    /// Whether a log was read before. If so, the first entry removes the position of the log.
    is_switch: bool,
    directory: Option<PathBuf>,
    /// The only machine of `directory`, when it is known.
    machine: Option<String>,
    cursor: Cursor,
    out: &'a mut Output,
    lines: Vec<u8>,
    since: Instant,
}

impl EntryBatch<'_> {
    fn add(&mut self, line: &[u8], entry: JournalEntry) -> anyhow::Result<()> {
        if let (Some(directory), Some(id)) = (&self.directory, &entry.machine) {
            let first = self.machine.get_or_insert_with(|| id.clone());
            if first != id {
                return Err(several_machines(directory));
            }
        }
        // If the clock was set back, journalctl can show older entries after newer ones. Skip
        // entries of the same boot that are older than the last entry that was read.
        if let Some((boot, last)) = self.from.as_deref().and_then(uptime)
            && uptime(&entry.cursor).is_some_and(|(this, at)| this == boot && at < last)
        {
            return Ok(());
        }
        (self.cursor.legacy, self.cursor.journal) = (None, Some(entry.cursor));
        if std::mem::take(&mut self.is_switch) {
            self.cursor.logs.clear();
        }
        let now = self.cursor.journal.as_deref().unwrap_or_default();
        if let Some(from) = self.from.take() {
            if same_entry(&from, now) {
                // The collected entries have the same time as this entry, and an earlier run has
                // read all of them.
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

    /// Reports once that the last entry that was read is missing. Until another entry is read, the
    /// cursor still names the missing entry, because this cursor shows which entries are older.
    fn gap(&mut self) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.cursor.journal_gone, true) {
            return Ok(());
        }
        let reason =
            "the journal no longer has the entry that was read last; entries after it may be lost";
        log::warn!("journal: {reason}");
        let (source, generation, offset, reason) =
            (JOURNAL_SOURCE.into(), None, None, reason.into());
        self.out.gap(&Gap { source, generation, offset, reason })
    }
}

fn command(follow: bool, selection: &Selection) -> Command {
    let mut command = Command::new("journalctl");
    command.args(["--output=json", "--all", "--no-pager", "--quiet"]);
    if follow {
        // Without --merge, journalctl shows only new entries of the current boot. It reads the ID
        // of the boot from /proc. There, a sandbox can hide the ID (ProcSubset=pid), and a
        // container sees the ID of its host.
        command.args(["--follow", "--no-tail", "--merge"]);
    }
    if let Some(directory) = &selection.directory {
        command.arg("--directory").arg(directory);
    }
    command
}

fn start(
    cursor: &Cursor,
    since: Option<i64>,
    follow: bool,
    selection: &Selection,
) -> anyhow::Result<Child> {
    let mut command = command(follow, selection);
    if let Some(cursor) = &cursor.journal {
        command.arg(format!("--cursor={cursor}"));
    } else if let Some(second) = since {
        log::warn!(
            "the journal does not contain the last line that was read from the log; continuing at \
            the time of this line, so failures within two seconds of this time may be recorded \
            twice"
        );
        command.arg(format!("--since=@{second}"));
    }
    if let Some(offset) = cursor.legacy {
        command.arg(format!("--since=@{}", legacy::next_second(offset)?));
    }
    // --merge shows entries of all machines, so select this machine.
    let machine = std::fs::read_to_string("/etc/machine-id").ok();
    let machine = machine.filter(|_| follow && selection.directory.is_none());
    command
        .args(matches(&selection.matches, machine.as_deref()))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command.spawn().context("starting journalctl").or_exit(Exit::Unavailable)
}

/// The arguments that select entries. `+` means "or" (journalctl(1)). If `machine` is given, each
/// alternative selects only entries of that machine.
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

fn finish(mut child: Child, stop: &Stop) -> anyhow::Result<PassEnd> {
    if stop.is_set() {
        // If the signal has already ended journalctl, this fails.
        let _ = child.kill();
        let _ = child.wait();
        return Ok(PassEnd::Stopped);
    }
    let status = child.wait().context("waiting for journalctl").or_exit(Exit::Unavailable)?;
    if status.success() {
        Ok(PassEnd::Done)
    } else {
        Err(Exit::Unavailable.error(format!("journalctl: {status}")))
    }
}
