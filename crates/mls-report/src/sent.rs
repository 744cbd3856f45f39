//! What was sent: the record in `state_dir` that keeps an attempt from being in two digests, or in none.
//!
//! A digest is entered before it is sent, with those who wait for it, and each of them is struck out when the server has
//! taken the mail. A run that finds digests that somebody still waits for sends these first, each the same stretch of the file
//! under the same Message-ID. The next one begins where the last one ends that was entered.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use mls_diag::{Exit, OrExit};
use mls_state::atomic;
use mls_state::lock::Lock;
use serde::{Deserialize, Serialize};

use crate::place::Place;
use crate::smtp::Fate;

/// In version 1, `last` was where the last digest ended that was sent.
const VERSION: u32 = 2;

/// How many digests are remembered.
const REMEMBERED: usize = 100;

/// How many of them can be waited for.
const MOST_PENDING: usize = 30;

/// The file, held against other processes while it is in use.
pub(crate) struct Sent {
    path: PathBuf,
    record: Record,
    _lock: Lock,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    /// Where the last `--since-last` digest ends.
    last: Option<End>,
    /// The last ones, oldest first.
    digests: Vec<Digest>,
}

/// Where a `--since-last` digest ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) until: DateTime<FixedOffset>,
    /// How much of the file had been read; null where it cannot be gone back to.
    pub(crate) data: Option<Place>,
}

/// What a `--since-last` digest is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Since {
    /// Where it begins; null for the first of all.
    pub(crate) begin: Option<End>,
    pub(crate) end: End,
}

/// A `--since-last` digest that somebody still waits for.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) message_id: String,
    pub(crate) since: Since,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Digest {
    message_id: String,
    /// Who has not got it.
    waiting: Vec<String>,
    /// Whether anybody has.
    delivered: bool,
    /// For `--since-last`, as long as somebody waits.
    #[serde(default)]
    since: Option<Since>,
    /// Of version 1, which had it in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

impl Record {
    fn of_this_version(mut self) -> anyhow::Result<Self> {
        if self.version == 1 {
            for digest in &mut self.digests {
                let end = digest.end.take();
                digest.since = end.map(|end| Since { begin: self.last.replace(end.clone()), end });
            }
            self.version = VERSION;
        }
        anyhow::ensure!(self.version == VERSION, "it has version {}, not {VERSION}", self.version);
        Ok(self)
    }
}

impl Digest {
    /// Nobody waits for it any longer, in vain.
    fn give_up(&mut self) {
        if let Some(since) = self.since.take() {
            log::warn!(
                "the digest up to {} is given up, and {} will not get it: mls-report --since … --until … prints it",
                since.end.until.format("%Y-%m-%d %H:%M"),
                self.waiting.join(", ")
            );
        }
        self.waiting.clear();
    }
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
            text => serde_json::from_slice(
                &text.with_context(|| format!("reading {}", path.display()))?,
            )
            .map_err(anyhow::Error::from)
            .and_then(Record::of_this_version)
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

    /// Where the last `--since-last` digest ends.
    pub(crate) fn last(&self) -> Option<&End> {
        self.record.last.as_ref()
    }

    /// The `--since-last` digests that somebody still waits for, oldest first.
    pub(crate) fn pending(&self) -> Vec<Pending> {
        let pending = |digest: &Digest| {
            Some(Pending { message_id: digest.message_id.clone(), since: digest.since.clone()? })
        };
        self.record.digests.iter().filter_map(pending).collect()
    }

    /// Enters a digest, and returns who waits for it: nobody where all have got it who are there to get it.
    pub(crate) fn enter(
        &mut self,
        message_id: &str,
        recipients: &[String],
        since: Option<Since>,
    ) -> anyhow::Result<Vec<String>> {
        if let Some(digest) =
            self.record.digests.iter().find(|digest| digest.message_id == message_id)
        {
            let mut waiting = digest.waiting.clone();
            waiting.retain(|address| recipients.contains(address));
            // Those who were taken out of the configuration since need not wait any longer; if that is all, and nobody has got
            // it, it goes to those who took their place.
            let others = waiting.is_empty() && !digest.waiting.is_empty() && !digest.delivered;
            return Ok(if others { recipients.to_vec() } else { waiting });
        }
        self.record.digests.push(Digest {
            message_id: message_id.to_owned(),
            waiting: recipients.to_vec(),
            delivered: false,
            since: since.clone(),
            end: None,
        });
        if let Some(since) = since {
            self.record.last = Some(since.end);
        }
        let surplus = self.pending().len().saturating_sub(MOST_PENDING);
        let pending = self.record.digests.iter_mut().filter(|digest| digest.since.is_some());
        pending.take(surplus).for_each(Digest::give_up);
        let mut surplus = self.record.digests.len().saturating_sub(REMEMBERED);
        self.record.digests.retain(|digest| {
            let keep = surplus == 0 || digest.since.is_some();
            surplus -= usize::from(!keep);
            keep
        });
        self.store()?;
        Ok(recipients.to_vec())
    }

    /// Strikes out those who have got it, and those whom the server refuses for good, once anybody has got it: another address is
    /// dead; or a later one: it is the content that the server refuses.
    pub(crate) fn settle(&mut self, message_id: &str, fate: &Fate) -> anyhow::Result<()> {
        let Some(at) =
            self.record.digests.iter().position(|digest| digest.message_id == message_id)
        else {
            return Ok(());
        };
        let later = self.record.digests[at + 1..].iter().any(|later| later.delivered);
        let digest = &mut self.record.digests[at];
        digest.delivered |= !fate.delivered.is_empty();
        let refused = fate.refused.iter().filter(|_| !digest.delivered);
        digest.waiting =
            fate.deferred.iter().chain(refused).map(|(address, _)| address.to_string()).collect();
        if later && fate.deferred.is_empty() && !digest.waiting.is_empty() {
            digest.give_up();
        }
        if digest.waiting.is_empty() {
            digest.since = None;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_given_up_where_too_many_are_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let mut sent = Sent::open(directory.path()).unwrap();
        let everybody = ["admin@example.com".to_owned()];
        let until = DateTime::parse_from_rfc3339("2026-06-01T23:59:00Z").unwrap();
        for n in 0..MOST_PENDING + 2 {
            let since = Since { begin: None, end: End { until, data: None } };
            assert_eq!(sent.enter(&n.to_string(), &everybody, Some(since)).unwrap(), everybody);
        }
        let pending: Vec<_> =
            sent.pending().into_iter().map(|pending| pending.message_id).collect();
        assert_eq!(pending, (2..MOST_PENDING + 2).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(sent.enter("0", &everybody, None).unwrap().is_empty());
    }
}
