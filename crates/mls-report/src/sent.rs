//! What was sent: the record in `state_dir` that keeps an attempt from being in two digests, or in none.
//!
//! A digest is entered before it is sent, with those who wait for it, and each of them is struck out when the server has
//! taken the mail. A run that finds one that somebody still waits for sends that first, the same stretch of the file under
//! the same Message-ID.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use lettre::Address;
use mls_cli::cursor_file::Data;
use mls_cli::lock::Lock;
use mls_cli::{Exit, OrExit, atomic};
use serde::{Deserialize, Serialize};

use crate::smtp::Fate;

const VERSION: u32 = 1;

/// How many digests are remembered.
const REMEMBERED: usize = 100;

/// The file, held against other processes while it is in use.
pub(crate) struct Sent {
    path: PathBuf,
    record: Record,
    _lock: Lock,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// Where the last `--since-last` digest ended that was sent.
    last: Option<End>,
    /// The last ones, oldest first.
    digests: Vec<Digest>,
}

/// Where a `--since-last` digest ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) until: DateTime<FixedOffset>,
    /// How much of the file had been read; null where it cannot be gone back to.
    pub(crate) data: Option<Data>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Digest {
    message_id: String,
    /// Who has not got it.
    waiting: Vec<String>,
    /// Whether anybody has.
    delivered: bool,
    /// For `--since-last`.
    end: Option<End>,
}

impl Sent {
    /// Reads `report.sent` in `directory`.
    ///
    /// # Errors
    /// 75 where another process has it, 78 where it is damaged: going on without it could send everything twice.
    pub(crate) fn open(directory: &Path) -> anyhow::Result<Self> {
        let path = directory.join("report.sent");
        let lock = Lock::take(&path)?;
        let record = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Record { version: VERSION, last: None, digests: Vec::new() }
            }
            text => serde_json::from_slice(&text.with_context(|| format!("reading {}", path.display()))?)
                .map_err(anyhow::Error::from)
                .and_then(|record: Record| {
                    anyhow::ensure!(record.version == VERSION, "it has version {}, not {VERSION}", record.version);
                    Ok(record)
                })
                .with_context(|| {
                    format!(
                        "{} cannot be used; remove it, and the next digest begins where the data does",
                        path.display()
                    )
                })
                .or_exit(Exit::Config)?,
        };
        Ok(Self { path, record, _lock: lock })
    }

    /// Where the last `--since-last` digest ended.
    pub(crate) fn last(&self) -> Option<&End> {
        self.record.last.as_ref()
    }

    /// Message-ID and end of a `--since-last` digest that somebody still waits for.
    pub(crate) fn pending(&self) -> Option<(String, End)> {
        self.record.digests.iter().find_map(|digest| Some((digest.message_id.clone(), digest.end.clone()?)))
    }

    /// Enters a digest, and returns who waits for it: nobody where all have got it.
    pub(crate) fn enter(
        &mut self,
        message_id: &str,
        recipients: &[String],
        end: Option<End>,
    ) -> anyhow::Result<Vec<String>> {
        if let Some(digest) = self.record.digests.iter().find(|digest| digest.message_id == message_id) {
            return Ok(digest.waiting.clone());
        }
        self.record.digests.push(Digest {
            message_id: message_id.to_owned(),
            waiting: recipients.to_vec(),
            delivered: false,
            end,
        });
        let mut surplus = self.record.digests.len().saturating_sub(REMEMBERED);
        self.record.digests.retain(|digest| {
            let keep = surplus == 0 || digest.end.is_some();
            surplus -= usize::from(!keep);
            keep
        });
        self.store()?;
        Ok(recipients.to_vec())
    }

    /// Strikes out those who have got it, and, once anybody has, those whom the server refuses for good: nobody shall go
    /// without the next digest because another address is dead.
    pub(crate) fn settle(&mut self, message_id: &str, fate: &Fate) -> anyhow::Result<()> {
        let Some(digest) = self.record.digests.iter_mut().find(|digest| digest.message_id == message_id) else {
            return Ok(());
        };
        digest.delivered |= !fate.delivered.is_empty();
        let waits =
            |address: &&Address| !digest.delivered || fate.deferred.iter().any(|(deferred, _)| deferred == *address);
        let fates = fate.delivered.iter().chain(fate.refused.iter().chain(&fate.deferred).map(|(address, _)| address));
        digest.waiting = fates.filter(waits).map(ToString::to_string).collect();
        if digest.waiting.is_empty()
            && let Some(end) = digest.end.take()
        {
            self.record.last = Some(end);
        }
        self.store()
    }

    fn store(&self) -> anyhow::Result<()> {
        let mut text = serde_json::to_string_pretty(&self.record)?;
        text.push('\n');
        atomic::write(&self.path, text.as_bytes(), 0o640)
            .with_context(|| format!("writing {}", self.path.display()))
            .or_exit(Exit::IoErr)
    }
}
