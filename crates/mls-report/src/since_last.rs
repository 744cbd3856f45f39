//! `--since-last`: selects the rows from the end of the last digest to the last commit of the sink.
//!
//! mls-mail commits the end of a digest together with the mail, in its ledger. For counters, the
//! file of the metrics holds the end ([`crate::counters`]). The position of a row in the file
//! decides which digest has it, not its date. So a row that is recorded late is also in exactly one
//! digest. A finding is in a digest if no earlier digest has reported it ([`crate::reported`]).

use std::io;
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, DurationRound, FixedOffset, NaiveDateTime, TimeDelta};
use mls_attempts::AttemptSource;
use mls_config::moment::Moment;
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit};
use mls_event::Finding;
use mls_rotation::{Chain, Committed, Layout, Point, Position};
use mls_state::cursor_file::CursorFile;
use mls_state::mail_cursor::MailCursor;
use mls_state::regular;
use serde::{Deserialize, Serialize};

use crate::period::Period;
use crate::reported::Reported;

/// The end of a digest: the cursor that mls-mail commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestEnd {
    until: DateTime<FixedOffset>,
    /// The position in the file; null for an input that cannot be found again.
    #[serde(default)]
    data: Option<Position>,
    /// The reported findings; null in the ledger of an earlier version.
    #[serde(default)]
    reported: Option<Reported>,
    /// The total number of logins that the server could not check, up to this end.
    #[serde(default)]
    unchecked: u64,
}

/// The digest that is made in this run.
#[derive(Debug)]
pub(crate) struct NextDigest {
    /// The commit that it starts from.
    base: u64,
    until: DateTime<FixedOffset>,
    data: Option<Position>,
    /// The findings that earlier digests reported.
    pub(crate) reported: Reported,
    /// The total number of logins that the server could not check.
    unchecked: u64,
    /// The number of these logins that no earlier digest reported.
    pub(crate) newly_unchecked: u64,
}

impl NextDigest {
    /// The cursor that mls-mail commits with the digest, if the digest reports these findings.
    pub(crate) fn cursor(&self, findings: &[Finding<'_>]) -> anyhow::Result<MailCursor> {
        let cursor = serde_json::to_value(self.end(findings))?;
        Ok(MailCursor { base: self.base, until: self.until, cursor })
    }

    /// Returns the end of the digest, if the digest reports these findings.
    pub(crate) fn end(&self, findings: &[Finding<'_>]) -> DigestEnd {
        let until = self.until;
        let reported = Some(self.reported.with(findings, until));
        let (data, unchecked) = (self.data.clone(), self.unchecked);
        DigestEnd { until, data, reported, unchecked }
    }
}

#[derive(Debug)]
pub(crate) struct LastDigest {
    /// The number of its commit.
    pub(crate) base: u64,
    /// Its end; `None` if there was no digest.
    pub(crate) end: Option<DigestEnd>,
    /// Where the first digest begins.
    pub(crate) first: FirstBegin,
}

/// Where the first digest begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstBegin {
    /// At the beginning of the newest file that has rows.
    NewestRows,
    /// At the current end of the file.
    Now,
}

impl LastDigest {
    /// Reads the last digest that mls-mail committed to this ledger.
    pub(crate) fn load(ledger: &Path) -> anyhow::Result<Self> {
        let file = CursorFile::load(ledger)?.unwrap_or_else(CursorFile::start);
        let end = serde_json::from_value(file.cursor)
            .with_context(|| {
                let path = ledger.display();
                format!("{path} does not hold the end of a digest; remove it to report all data")
            })
            .or_exit(Exit::Config)?;
        Ok(Self { base: file.sequence, end, first: FirstBegin::NewestRows })
    }
}

#[derive(Debug)]
pub(crate) struct DigestInput {
    pub(crate) source: AttemptSource,
    /// Rotated files of earlier digests, which the rules need.
    pub(crate) earlier: Chain,
    pub(crate) period: Period,
}

/// Selects the rows after the last digest.
pub(crate) struct SinceLast<'a> {
    pub(crate) last: LastDigest,
    pub(crate) zone: Zone,
    pub(crate) now: DateTime<FixedOffset>,
    /// The cursor file of the sink.
    pub(crate) committed: Option<&'a CursorFile>,
}

impl SinceLast<'_> {
    /// The input and the period of the next digest, and the data to commit with it.
    pub(crate) fn select(
        &self,
        source: AttemptSource,
    ) -> anyhow::Result<(DigestInput, NextDigest)> {
        let last = self.last.end.as_ref();
        let mut until = self.now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(self.now);
        let (selection, data) = match source {
            AttemptSource::File { path, .. } => {
                let (selection, data) = self.select_files(&path, last, until)?;
                if data.is_none() {
                    // Without a file nothing was counted, so the next digest must begin at the same
                    // time.
                    until = last.map_or(until, |last| last.until);
                }
                (selection, data)
            }
            AttemptSource::Stdin | AttemptSource::Rotated { .. } => {
                let period = self.by_dates(last, Some(until), until);
                (DigestInput { source, earlier: Chain::default(), period }, None)
            }
        };
        let counted = self.committed.map(|committed| &committed.unchecked);
        let unchecked = counted.map_or(0, |counted| counted.total);
        let before = last.map_or(0, |last| last.unchecked);
        let newly_unchecked = counted.map_or(0, |counted| counted.after(before));
        let reported = match last {
            None if self.last.first == FirstBegin::Now => Reported::until(until),
            None => Reported::default(),
            Some(last) => last.reported.clone().unwrap_or_else(|| Reported::until(last.until)),
        };
        let base = self.last.base;
        Ok((selection, NextDigest { base, until, data, reported, unchecked, newly_unchecked }))
    }

    /// Selects the files from the end of the last digest to the newest file.
    fn select_files(
        &self,
        path: &Path,
        last: Option<&DigestEnd>,
        until: DateTime<FixedOffset>,
    ) -> anyhow::Result<(DigestInput, Option<Position>)> {
        let reading = || format!("reading {} and its rotated files", path.display());
        let mut chain = self.open(path)?;
        if chain.files.is_empty() {
            // Nothing is recorded yet, so there is nothing to count.
            let source =
                AttemptSource::Rotated { chain: Chain::default(), begin: Point::default() };
            let period = self.by_dates(last, None, until);
            return Ok((DigestInput { source, earlier: Chain::default(), period }, None));
        }
        // A day of grace: the zone of the machine that rotates may be another one.
        let tomorrow = self.now.date_naive() + TimeDelta::days(1);
        let day = tomorrow.format("%Y%m%d").to_string().parse().unwrap_or(u64::MAX);
        if let Some(file) = chain.dated_after(day) {
            log::warn!(
                "{}: this name has a future date, so files that are rotated before that date count as older, \
                 and digests miss their rows; rename it",
                file.display()
            );
        }
        let end = chain.end().with_context(reading).or_exit(Exit::IoErr)?;
        if let (Some(newest), Some(end)) = (chain.files.last_mut(), &end) {
            // A line that is still being written belongs to the next digest.
            newest.limit_to(end.prefix.length);
        }
        let begin = match last {
            None if self.last.first == FirstBegin::Now => Ok(Some(end_of(&chain, end.as_ref()))),
            None => newest_rows(&chain),
            Some(DigestEnd { data: Some(begin), .. }) => chain.find(begin),
            Some(DigestEnd { data: None, .. }) => Ok(None),
        };
        let begin = begin.with_context(reading).or_exit(Exit::IoErr)?;
        let (first, period) = if let Some(Point { file, offset }) = begin {
            let last = last.map(|last| self.naive(last.until));
            (file, Period::after(offset, last, self.naive(until)))
        } else {
            if last.is_some_and(|last| last.data.is_some()) {
                log::warn!(
                    "cannot find the end of the last digest in {} or its rotated files; selecting rows by their dates",
                    path.display()
                );
            }
            // The end of the file is the end of the digest, so no date is too late.
            (0, self.by_dates(last, None, until))
        };
        for (path, stat) in &chain.unsupported {
            if stat.mtime >= chain.files[first].stat.mtime {
                log::warn!(
                    "{}: its rows are missing, because its compression is not supported; \
                    decompress it before the next digest",
                    path.display()
                );
            }
        }
        let files = chain.files.split_off(first);
        let source = AttemptSource::Rotated {
            chain: Chain { files, ..Chain::default() },
            begin: Point::default(),
        };
        Ok((DigestInput { source, earlier: chain, period }, end))
    }

    /// Opens the CSV and its rotated files, up to the last commit of the sink.
    fn open(&self, path: &Path) -> anyhow::Result<Chain> {
        let layout = Layout::default();
        let chain = match self.committed {
            Some(cursor) => Chain::open_committed(path, &layout, &Committed::of(cursor))?,
            None => Chain::open(path, &layout)?,
        };
        let may_be_missing = self.last.first == FirstBegin::Now && !path.exists();
        if chain.files.is_empty() && !may_be_missing {
            regular::open(path).with_context(|| format!("opening {}", path.display()))?;
            return Err(Exit::TempFail
                .error(format!("{} was created a moment ago; try again", path.display())));
        }
        Ok(chain)
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

fn end_of(chain: &Chain, end: Option<&Position>) -> Point {
    Point { file: chain.files.len() - 1, offset: end.map_or(0, |end| end.prefix.length) }
}

/// The beginning of the newest file that has rows.
fn newest_rows(chain: &Chain) -> io::Result<Option<Point>> {
    let file = match chain.newest_rows()? {
        Some(rows) => chain.newest_with_prefix(&rows)?,
        None => None,
    };
    Ok(Some(Point { file: file.unwrap_or(chain.files.len() - 1), offset: 0 }))
}
