//! `--since-last`: from where the last digest ended to what the sink has committed now.
//!
//! mls-mail commits the end of a digest together with the mail, in its ledger. Rows are assigned to digests by their place in
//! the file, not by their dates, so that a row that came late is in exactly one digest too.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, DurationRound, FixedOffset, NaiveDateTime, TimeDelta};
use mls_attempts::AttemptSource;
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit};
use mls_state::cursor_file::CursorFile;
use mls_state::mail_cursor::MailCursor;
use serde::{Deserialize, Serialize};

use crate::period::{Moment, Period};
use crate::place::{self, Place};

/// Where a digest ends: the cursor that mls-mail commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct DigestEnd {
    until: DateTime<FixedOffset>,
    /// How much of the file was read; null for an input that cannot be found again.
    data: Option<Place>,
}

/// Reads what no digest had yet.
pub(crate) struct SinceLast<'a> {
    pub(crate) ledger: &'a Path,
    pub(crate) zone: Zone,
    pub(crate) now: DateTime<FixedOffset>,
    /// What the sink of the file has committed.
    pub(crate) committed: Option<&'a CursorFile>,
}

impl SinceLast<'_> {
    /// The input, the period and the cursor of the next digest.
    pub(crate) fn select(
        &self,
        source: AttemptSource,
    ) -> anyhow::Result<(AttemptSource, Period, MailCursor)> {
        let ledger = CursorFile::load(self.ledger)?.unwrap_or_else(CursorFile::start);
        let last: Option<DigestEnd> = serde_json::from_value(ledger.cursor)
            .with_context(|| {
                let path = self.ledger.display();
                format!("{path} does not say where a digest ended; remove it to report all data")
            })
            .or_exit(Exit::Config)?;
        let until = self.now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(self.now);
        let (source, period, data) = match source {
            AttemptSource::Stdin => {
                (source, self.by_dates(last.as_ref(), Some(until), until), None)
            }
            AttemptSource::File { path, length, .. } => {
                self.select_files(&path, length, last.as_ref(), until)?
            }
        };
        let cursor = serde_json::to_value(DigestEnd { until, data })?;
        Ok((source, period, MailCursor { base: ledger.sequence, until, cursor }))
    }

    /// The files from the one that the last digest ended in to the one that is being written.
    fn select_files(
        &self,
        path: &Path,
        length: Option<u64>,
        last: Option<&DigestEnd>,
        until: DateTime<FixedOffset>,
    ) -> anyhow::Result<(AttemptSource, Period, Option<Place>)> {
        let chain = place::chain(path)?;
        let data = Place::of_end(&chain, length)?;
        let newest = chain.len() - 1;
        let Some(end) = &data else {
            // Offsets in a compressed file are not those of its lines.
            log::warn!("{} is compressed: the dates of its rows decide", path.display());
            let source = AttemptSource::File { rotated: Vec::new(), path: path.into(), length };
            return Ok((source, self.by_dates(last, Some(until), until), None));
        };
        let (path, length) = (chain[newest].clone(), Some(end.length()));
        let begin = match last {
            None => Some((newest, 0)),
            Some(DigestEnd { data: Some(begin), .. }) => begin.find(&chain)?,
            Some(DigestEnd { data: None, .. }) => None,
        };
        let (oldest, period) = if let Some((oldest, offset)) = begin {
            let last = last.map(|last| self.naive(last.until));
            (oldest, Period::after(offset, last, self.naive(until)))
        } else {
            log::warn!(
                "{} is not the file that the last digest ended in: the dates of its rows decide",
                path.display()
            );
            // The end of the file is known, so that no date is too late.
            (0, self.by_dates(last, None, until))
        };
        let rotated = self.with_lengths(&chain[oldest..newest])?;
        Ok((AttemptSource::File { rotated, path, length }, period, data))
    }

    /// Rotated files and how much of each counts: the sink may have left rows that it did not commit.
    fn with_lengths(&self, rotated: &[PathBuf]) -> anyhow::Result<Vec<(PathBuf, Option<u64>)>> {
        let with_length = |path: &PathBuf| {
            let committed = self.committed.iter().flat_map(|it| it.data.iter().chain(&it.rotated));
            Ok((path.clone(), place::committed_length(path, committed)?))
        };
        rotated.iter().map(with_length).collect()
    }

    fn by_dates(
        &self,
        last: Option<&DigestEnd>,
        until: Option<DateTime<FixedOffset>>,
        now: DateTime<FixedOffset>,
    ) -> Period {
        let minute = |at| Moment::Minute(self.naive(at));
        let since = last.map(|last| minute(last.until));
        Period::between(since, until.map(minute), self.naive(now))
    }

    fn naive(&self, at: DateTime<FixedOffset>) -> NaiveDateTime {
        self.zone.show(&at).naive_local()
    }
}
