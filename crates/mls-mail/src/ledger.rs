//! The ledger: the accepted messages, the recipients that have them, and the position where the
//! next digest begins.
//!
//! A message is accepted in one step: its bytes are in the queue, and the ledger names the message,
//! its recipients and the cursor that it commits. From then on, mls-mail delivers it, in this run
//! or in a later one. A recipient waits until the server has accepted the message for this
//! recipient. Each step replaces the whole ledger.
//!
//! The ledger is a [cursor file](CursorFile) with more fields, so mls-report and mls-alert can read
//! its cursor. The queue is the directory `LEDGER.queue`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Local};
use lettre::Address;
use mls_diag::{Exit, OnFile, OrExit};
use mls_state::atomic;
use mls_state::cursor_file::{CursorFile, sha256};
use mls_state::lock::Lock;
use mls_state::mail_cursor::MailCursor;
use mls_state::regular;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backlog::AlertBacklog;
use crate::message::Message;
use crate::smtp::DeliveryOutcome;

/// The largest number of messages in the ledger.
const REMEMBERED: usize = 100;

const MAX_WAITING: usize = 30;

/// The ledger, locked while it is in use.
pub(crate) struct Ledger {
    pub(crate) path: PathBuf,
    content: LedgerContent,
    _lock: Lock,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerContent {
    /// The number of the commit, and the cursor of mls-report or mls-alert.
    #[serde(flatten)]
    commit: CursorFile,
    /// The last messages, oldest first.
    #[serde(default)]
    messages: Vec<LedgerEntry>,
    #[serde(default)]
    alerts: AlertBacklog,
}

impl LedgerContent {
    pub(crate) fn parse(text: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(text)
    }
}

/// A message that was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LedgerEntry {
    pub(crate) message_id: String,
    /// For human readers.
    pub(crate) subject: String,
    /// The time when the message was accepted.
    pub(crate) accepted: DateTime<Local>,
    /// Whether the message commits a cursor or alerts. No other message reports these data, so
    /// mls-mail tries again even if the server refuses the message.
    commits: bool,
    pub(crate) waiting: Vec<String>,
    /// The recipients that have the message.
    pub(crate) delivered: Vec<String>,
    /// The recipients that the server refused permanently, while it accepted other recipients.
    #[serde(default)]
    refused: Vec<String>,
}

pub(crate) struct NewMessage<'a> {
    pub(crate) message_id: String,
    pub(crate) subject: String,
    pub(crate) bytes: &'a [u8],
    pub(crate) recipients: &'a [String],
    pub(crate) commits: bool,
}

impl Ledger {
    /// Opens the ledger at `path`, or begins a new ledger. Exit 75 if another process uses the
    /// ledger. Exit 78 if it is damaged, because without a ledger messages could be sent twice. The
    /// message of this error says with `removed` what happens if somebody removes the ledger.
    pub(crate) fn open(path: &Path, removed: &str) -> anyhow::Result<Self> {
        let lock = Lock::take(path)?;
        let damaged = || {
            format!(
                "ledger {} is damaged; restore it from a backup, or remove it (then mails that \
                 wait are lost, and {removed})",
                path.display()
            )
        };
        let content = match regular::if_there(regular::read(path)).on_file("reading", path)? {
            None => LedgerContent {
                commit: CursorFile::start(),
                messages: Vec::new(),
                alerts: AlertBacklog::default(),
            },
            Some(text) => {
                LedgerContent::parse(&text).with_context(damaged).or_exit(Exit::Config)?
            }
        };
        let ledger = Self { path: path.to_owned(), content, _lock: lock };
        ledger.remove_orphans()?;
        Ok(ledger)
    }

    /// The sequence number that the next commit must start from.
    pub(crate) fn sequence(&self) -> u64 {
        self.content.commit.sequence
    }

    pub(crate) fn cursor(&self) -> &Value {
        &self.content.commit.cursor
    }

    pub(crate) fn alerts(&mut self) -> &mut AlertBacklog {
        &mut self.content.alerts
    }

    /// The messages with waiting recipients, oldest first.
    pub(crate) fn waiting(&self) -> Vec<LedgerEntry> {
        let waiting = self.content.messages.iter().filter(|entry| !entry.waiting.is_empty());
        waiting.cloned().collect()
    }

    /// The time when the last message with a cursor was accepted.
    pub(crate) fn last_commit(&self) -> Option<DateTime<Local>> {
        let mut last = self.content.messages.iter().rev().filter(|entry| entry.commits);
        last.next().map(|entry| entry.accepted)
    }

    /// Accepts a message: writes it to the queue and to the ledger. Returns the recipients that
    /// must get the message. No recipient gets a Message-ID twice.
    pub(crate) fn accept(
        &mut self,
        new: &NewMessage<'_>,
        cursor: Option<MailCursor>,
    ) -> anyhow::Result<Vec<String>> {
        if let Some(MailCursor { base, cursor, .. }) = cursor {
            self.check_base(base)?;
            self.content.commit = CursorFile::next(base, cursor, None);
        }
        let messages = &mut self.content.messages;
        let at = messages.iter().position(|entry| entry.message_id == new.message_id);
        let entry = at.map_or_else(
            || LedgerEntry {
                message_id: new.message_id.clone(),
                subject: new.subject.clone(),
                accepted: Local::now(),
                commits: new.commits,
                waiting: Vec::new(),
                delivered: Vec::new(),
                refused: Vec::new(),
            },
            |at| messages.remove(at),
        );
        let missing = |address: &&String| {
            !entry.delivered.contains(address) && !entry.refused.contains(address)
        };
        let waiting: Vec<_> = new.recipients.iter().filter(missing).cloned().collect();
        if !waiting.is_empty() {
            self.write_to_queue(new)?;
        }
        self.content.messages.push(LedgerEntry { waiting: waiting.clone(), ..entry });
        self.drop_surplus();
        self.store()?;
        Ok(waiting)
    }

    /// Refuses a message or a stream that does not start from the last commit.
    pub(crate) fn check_base(&self, base: u64) -> anyhow::Result<()> {
        if base == self.sequence() {
            return Ok(());
        }
        Err(Exit::TempFail.error(format!(
            "another run has written {} at the same time: the input starts from commit {base}, but \
             the file is at commit {}; run the whole pipeline again",
            self.path.display(),
            self.sequence()
        )))
    }

    /// Commits a new cursor together with all changes so far.
    pub(crate) fn commit(&mut self, cursor: Value) -> anyhow::Result<()> {
        self.content.commit = CursorFile::next(self.sequence(), cursor, None);
        self.store()
    }

    /// Reads a waiting message.
    pub(crate) fn read_message(&self, message_id: &str) -> anyhow::Result<Message> {
        let path = self.queue_file(message_id);
        let text = regular::read(&path).on_file("reading the queued message", &path);
        Message::parse(&text.or_exit(Exit::IoErr)?).on_file("reading the queued message", &path)
    }

    /// Updates the waiting recipients of a message after a try. A recipient that has received the
    /// message no longer waits. A recipient that the server refuses permanently no longer waits in
    /// two cases: another recipient has received the message, so the refused address is probably
    /// wrong; or the message commits neither a cursor nor alerts. If nobody has received the
    /// message, but the server has accepted a later message, the server probably refuses the
    /// content. So mls-mail gives the message up.
    pub(crate) fn settle(
        &mut self,
        message_id: &str,
        outcome: &DeliveryOutcome,
    ) -> anyhow::Result<()> {
        let messages = &mut self.content.messages;
        let Some(at) = messages.iter().position(|entry| entry.message_id == message_id) else {
            return Ok(());
        };
        let is_later_delivered = messages[at + 1..].iter().any(|later| !later.delivered.is_empty());
        let entry = &mut messages[at];
        entry.delivered.extend(outcome.delivered.iter().map(ToString::to_string));
        // The outcome of the second try includes the outcome of the first try.
        entry.delivered.sort();
        entry.delivered.dedup();
        let names = |list: &[(Address, String)]| -> Vec<String> {
            list.iter().map(|(address, _)| address.to_string()).collect()
        };
        entry.waiting = names(&outcome.deferred);
        if !entry.delivered.is_empty() {
            entry.refused.extend(names(&outcome.refused));
            entry.refused.sort();
            entry.refused.dedup();
        } else if entry.commits {
            entry.waiting.extend(names(&outcome.refused));
        }
        if is_later_delivered && outcome.deferred.is_empty() && !entry.waiting.is_empty() {
            entry.give_up();
        }
        self.store()
    }

    /// Removes all waiting recipients of a message.
    pub(crate) fn forget(&mut self, message_id: &str) -> anyhow::Result<()> {
        for entry in &mut self.content.messages {
            if entry.message_id == message_id {
                entry.waiting.clear();
            }
        }
        self.store()
    }

    /// Gives up the oldest waiting messages, and forgets the oldest other messages, so that the
    /// ledger has a limited size.
    fn drop_surplus(&mut self) {
        let messages = &mut self.content.messages;
        let waiting = messages.iter().filter(|entry| !entry.waiting.is_empty()).count();
        let surplus = waiting.saturating_sub(MAX_WAITING);
        let waiting = messages.iter_mut().filter(|entry| !entry.waiting.is_empty());
        waiting.take(surplus).for_each(LedgerEntry::give_up);
        let mut surplus = messages.len().saturating_sub(REMEMBERED);
        messages.retain(|entry| {
            let keep = surplus == 0 || !entry.waiting.is_empty();
            surplus -= usize::from(!keep);
            keep
        });
    }

    fn store(&self) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(&self.content)?;
        text.push('\n');
        atomic::write(&self.path, text.as_bytes(), 0o640)
            .on_file("writing", &self.path)
            .or_exit(Exit::IoErr)?;
        self.remove_orphans()
    }

    fn queue(&self) -> PathBuf {
        self.path.with_added_extension("queue")
    }

    /// The name is a hash, because a Message-ID comes from outside and may contain `/`.
    fn queue_file(&self, message_id: &str) -> PathBuf {
        self.queue().join(format!("{}.eml", &sha256(message_id.as_bytes())[..32]))
    }

    fn write_to_queue(&self, new: &NewMessage<'_>) -> anyhow::Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let (queue, file) = (self.queue(), self.queue_file(&new.message_id));
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(&queue)
            .and_then(|()| atomic::write(&file, new.bytes, 0o640))
            .on_file("writing", &file)
            .or_exit(Exit::CantCreat)
    }

    /// Removes the files of messages without waiting recipients.
    fn remove_orphans(&self) -> anyhow::Result<()> {
        let queue = self.queue();
        let entries = regular::if_there(std::fs::read_dir(&queue));
        let entries = entries.on_file("reading", &queue).or_exit(Exit::IoErr)?;
        let wanted: Vec<_> =
            self.waiting().iter().map(|entry| self.queue_file(&entry.message_id)).collect();
        for entry in entries.into_iter().flatten() {
            let path = entry.on_file("reading", &queue)?.path();
            if !wanted.contains(&path) {
                let removed = std::fs::remove_file(&path);
                removed.on_file("removing", &path).or_exit(Exit::IoErr)?;
            }
        }
        Ok(())
    }
}

impl LedgerEntry {
    fn give_up(&mut self) {
        log::warn!(
            "message {:?} of {} could not be delivered to {}, and mls-mail does not try again; if \
             the message is a digest, mls-report --since … --until … prints the digest again",
            self.subject,
            self.accepted.format("%Y-%m-%d %H:%M"),
            self.waiting.join(", ")
        );
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_message_is_given_up_if_too_many_wait() {
        let directory = tempfile::tempdir().unwrap();
        let mut ledger = Ledger::open(&directory.path().join("mail.ledger"), "").unwrap();
        let recipients = ["admin@example.com".to_owned()];
        for n in 0..MAX_WAITING + 2 {
            let new = NewMessage {
                message_id: n.to_string(),
                subject: "digest".to_owned(),
                bytes: b"x",
                recipients: &recipients,
                commits: true,
            };
            assert_eq!(ledger.accept(&new, None).unwrap(), recipients);
        }
        let waiting: Vec<_> = ledger.waiting().into_iter().map(|entry| entry.message_id).collect();
        assert_eq!(waiting, (2..MAX_WAITING + 2).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(std::fs::read_dir(ledger.queue()).unwrap().count(), MAX_WAITING);
        assert!(ledger.read_message("0").is_err());
    }
}
