//! `--since-last`: selects the rows from the end of the last digest to the last commit of the sink.
//!
//! mls-mail commits the end of a digest together with the mail, in the ledger of mls-mail. For
//! counters, the end is in the metrics file ([`crate::counters`]). The end is a position in the
//! file of failures and a position in the file of logins. These positions select the rows; dates do
//! not. So a row that is recorded late is also in exactly one digest. A suspicious login is in the
//! first digest after it was found ([`crate::reported`]).

use std::io;
use std::path::Path;

use anyhow::Context;
use chrono::{DateTime, DurationRound, FixedOffset, NaiveDateTime, TimeDelta};
use mls_attempts::AttemptSource;
use mls_config::moment::DayOrMinute;
use mls_config::zone::Zone;
use mls_diag::{Exit, OnFile, OrExit};
use mls_event::Finding;
use mls_rotation::{Chain, Committed, Layout, Point, Position};
use mls_state::cursor_file::CursorFile;
use mls_state::mail_cursor::MailCursor;
use mls_state::regular;
use serde::{Deserialize, Serialize};

use crate::period::Period;
use crate::reported::Reported;
use crate::suspicion::{LoginInput, LoginWindow};

/// The end of a digest: the cursor that mls-mail commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DigestEnd {
    until: DateTime<FixedOffset>,
    /// The position in the file; null for standard input, or if there is no file.
    #[serde(default)]
    data: Option<Position>,
    /// The position in the file of logins; null if no digest has read such a file.
    #[serde(default)]
    logins: Option<Position>,
    /// The reported findings; null in the ledger of an earlier version.
    #[serde(default)]
    reported: Option<Reported>,
    /// The total number of logins that the server could not check, until the end of the digest.
    #[serde(default)]
    unchecked: u64,
}

/// The digest that is made in this run.
#[derive(Debug)]
pub(crate) struct NextDigest {
    /// The sequence number of the last commit. If another digest was committed in the meantime,
    /// mls-mail refuses this digest.
    base: u64,
    /// The end of the digest, with the findings that earlier digests reported.
    end: DigestEnd,
    /// The number of logins that the server could not check and that no earlier digest reported.
    pub(crate) newly_unchecked: u64,
}

impl NextDigest {
    /// The cursor that mls-mail commits with a digest that reports these findings.
    pub(crate) fn cursor(&self, findings: &[Finding<'_>]) -> anyhow::Result<MailCursor> {
        let cursor = serde_json::to_value(self.end(findings))?;
        Ok(MailCursor { base: self.base, until: self.end.until, cursor })
    }

    /// Returns the end of a digest that reports these findings.
    pub(crate) fn end(&self, findings: &[Finding<'_>]) -> DigestEnd {
        let reported = self.reported().map(|reported| reported.with(findings, self.end.until));
        DigestEnd { reported, ..self.end.clone() }
    }

    /// Returns the findings that earlier digests reported.
    pub(crate) fn reported(&self) -> Option<&Reported> {
        self.end.reported.as_ref()
    }
}

#[derive(Debug)]
pub(crate) struct LastDigest {
    /// The sequence number of the commit.
    pub(crate) base: u64,
    /// The end of the last digest; `None` if there was no digest.
    pub(crate) end: Option<DigestEnd>,
    /// Where the first digest begins: if true, at the current end of the file; if false, at the
    /// beginning of the newest file that has rows.
    pub(crate) begins_now: bool,
}

impl LastDigest {
    /// Reads the last digest that mls-mail committed to this ledger.
    pub(crate) fn load(ledger: &Path) -> anyhow::Result<Self> {
        let file = CursorFile::load(ledger)?.unwrap_or_else(CursorFile::start);
        let end = serde_json::from_value(file.cursor)
            .with_context(|| {
                let path = ledger.display();
                format!(
                    "{path} does not say where the last digest ended; if you remove this file, \
                     mails that wait are lost, and the next digest begins at the first row of the \
                     newest CSV that has rows"
                )
            })
            .or_exit(Exit::Config)?;
        Ok(Self { base: file.sequence, end, begins_now: false })
    }
}

#[derive(Debug)]
pub(crate) struct DigestInput {
    pub(crate) source: AttemptSource,
    /// Successful logins of a second input.
    pub(crate) logins: Option<LoginInput>,
    /// Rotated files of earlier digests. The rules need the failures in these files.
    pub(crate) earlier: Chain,
    pub(crate) period: Period,
}

pub(crate) struct SinceLast<'a> {
    pub(crate) last: LastDigest,
    pub(crate) zone: Zone,
    pub(crate) now: DateTime<FixedOffset>,
    /// The cursor file of the sink.
    pub(crate) committed: Option<&'a CursorFile>,
}

impl SinceLast<'_> {
    /// Returns the input and the period of the next digest, and the data to commit with the digest.
    /// `logins` is the second input; `None` if there is only one input.
    pub(crate) fn select(
        &self,
        source: AttemptSource,
        logins: Option<AttemptSource>,
    ) -> anyhow::Result<(DigestInput, NextDigest)> {
        let last = self.last.end.as_ref();
        let mut until = self.now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(self.now);
        let (mut selection, data) = match source {
            AttemptSource::File { path, .. } => {
                let (selection, data) = self.select_files(&path, last, until)?;
                if data.is_none() {
                    // There is no file, so this digest counts nothing. The next digest must begin
                    // where this digest begins.
                    until = last.map_or(until, |last| last.until);
                }
                (selection, data)
            }
            AttemptSource::Stdin | AttemptSource::Rotated { .. } => {
                let period = self.by_dates(last, Some(until), until);
                (DigestInput { source, logins: None, earlier: Chain::default(), period }, None)
            }
        };
        let mut logins_end = last.and_then(|last| last.logins.clone());
        if let Some(logins) = logins {
            let (logins, end) = self.select_logins(logins, last, &selection.period)?;
            selection.logins = Some(logins);
            logins_end = end.or(logins_end);
        }
        let counted = self.committed.map(|committed| &committed.unchecked);
        let unchecked = counted.map_or(0, |counted| counted.total);
        let before = last.map_or(0, |last| last.unchecked);
        let newly_unchecked = counted.map_or(0, |counted| counted.after(before));
        let reported = match last {
            None if self.last.begins_now => Reported::until(until),
            None => Reported::default(),
            Some(last) => last.reported.clone().unwrap_or_else(|| Reported::until(last.until)),
        };
        let reported = Some(reported);
        let end = DigestEnd { until, data, logins: logins_end, reported, unchecked };
        Ok((selection, NextDigest { base: self.last.base, end, newly_unchecked }))
    }

    /// Selects the logins from the end of the last digest to the end of the newest file of logins.
    fn select_logins(
        &self,
        mut source: AttemptSource,
        last: Option<&DigestEnd>,
        period: &Period,
    ) -> anyhow::Result<(LoginInput, Option<Position>)> {
        let AttemptSource::Rotated { chain, .. } = &mut source else {
            let window = LoginWindow::of(period, self.zone);
            return Ok((LoginInput { source, window }, None));
        };
        let end = chain.end().with_context(|| chain.reading()).or_exit(Exit::IoErr)?;
        if let (Some(newest), Some(end)) = (chain.files.last_mut(), &end) {
            newest.limit_to(end.prefix.length);
        }
        let window = match last.and_then(|last| Some((last.until, last.logins.as_ref()?))) {
            None if last.is_none() && self.last.begins_now => {
                LoginWindow::From(end_of(chain, end.as_ref()))
            }
            // No digest has read logins: all logins are new.
            None => LoginWindow::From(Point::default()),
            Some((until, begin)) => {
                let found =
                    chain.find(begin).with_context(|| chain.reading()).or_exit(Exit::IoErr)?;
                if found.is_none() {
                    warn_of_dates(
                        chain.files.last().map_or(Path::new("logins"), |file| &file.path),
                    );
                }
                // The digest ends at the end of the file, so dates have no upper limit.
                let by_dates = LoginWindow::Between(Some(until), None);
                found.map_or(by_dates, LoginWindow::From)
            }
        };
        Ok((LoginInput { source, window }, end))
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
            let earlier = Chain::default();
            return Ok((DigestInput { source, logins: None, earlier, period }, None));
        }
        // Allow one more day: the machine that rotates the files may be in another time zone.
        let tomorrow = self.now.date_naive() + TimeDelta::days(1);
        let day = tomorrow.format("%Y%m%d").to_string().parse().unwrap_or(u64::MAX);
        if let Some(file) = chain.dated_after(day) {
            log::warn!(
                "{}: the date in this name is in the future. Files that are rotated before that \
                 date count as older, so digests miss their rows; rename the file",
                file.display()
            );
        }
        let end = chain.end().with_context(reading).or_exit(Exit::IoErr)?;
        if let (Some(newest), Some(end)) = (chain.files.last_mut(), &end) {
            // If a process is writing the last line now, this line belongs to the next digest.
            newest.limit_to(end.prefix.length);
        }
        let begin = match last {
            None if self.last.begins_now => Ok(Some(end_of(&chain, end.as_ref()))),
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
                warn_of_dates(path);
            }
            // The digest ends at the end of the file, so dates have no upper limit.
            (0, self.by_dates(last, None, until))
        };
        for (path, stat) in &chain.unsupported {
            if stat.mtime >= chain.files[first].stat.mtime {
                log::warn!(
                    "{}: its rows are missing in this digest, because its compression is not \
                    supported; decompress it, and make a report of its days with --since and \
                    --until",
                    path.display()
                );
            }
        }
        let files = chain.files.split_off(first);
        let source = AttemptSource::Rotated {
            chain: Chain { files, ..Chain::default() },
            begin: Point::default(),
        };
        Ok((DigestInput { source, logins: None, earlier: chain, period }, end))
    }

    /// Opens the CSV and its rotated files, up to the last commit of the sink.
    fn open(&self, path: &Path) -> anyhow::Result<Chain> {
        let layout = Layout::default();
        let chain = match self.committed {
            Some(cursor) => Chain::open_committed(path, &layout, &Committed::of(cursor))?,
            None => Chain::open(path, &layout)?,
        };
        let may_be_missing = self.last.begins_now && !path.exists();
        if chain.files.is_empty() && !may_be_missing {
            regular::open(path).on_file("opening", path)?;
            return Err(Exit::TempFail.error(format!(
                "{} did not exist when this run started; try again",
                path.display()
            )));
        }
        Ok(chain)
    }

    fn by_dates(
        &self,
        last: Option<&DigestEnd>,
        until: Option<DateTime<FixedOffset>>,
        now: DateTime<FixedOffset>,
    ) -> Period {
        let minute = |at| DayOrMinute::Minute(self.naive(at));
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

/// The beginning of the newest file with rows, else of the newest file.
fn newest_rows(chain: &Chain) -> io::Result<Option<Point>> {
    let file = match chain.newest_rows()? {
        Some(rows) => chain.newest_with_prefix(&rows)?,
        None => None,
    };
    Ok(Some(Point { file: file.unwrap_or(chain.files.len() - 1), offset: 0 }))
}

fn warn_of_dates(path: &Path) {
    log::warn!(
        "cannot find the end of the last digest in {} or its rotated files; rows are selected by \
         their dates, so the digest can miss rows or repeat rows",
        path.display()
    );
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "nobody else reads the files of a test")]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;

    use chrono::NaiveDate;
    use clap::Parser;
    use mls_config::Config;
    use mls_machine::Machine;
    use proptest::prelude::*;

    use super::*;
    use crate::args::Args;
    use crate::report::Report;
    use crate::run::{ReportRun, Scope};

    const FILES: [(&str, &str); 2] = [
        ("f.csv", "server,date,ip,user,hostname,reverse_dns_status,country_code,asn,aso\n"),
        (
            "logins.csv",
            "\"server\",\"date\",\"ip\",\"user\",\"hostname\",\"reverse_dns_status\",\
            \"country_code\",\"asn\",\"aso\"\n",
        ),
    ];

    #[derive(Clone, Debug)]
    enum Event {
        /// An address fails with three names.
        Failures {
            address: u8,
        },
        /// An address logs in, and the login is recorded `late` seconds later.
        Login {
            address: u8,
            user: u8,
            late: i64,
            has_seconds: bool,
        },
        Rotate {
            file: usize,
        },
        /// A digest is made, and mailed if `is_mailed` is true.
        Digest {
            is_mailed: bool,
        },
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            2 => (0..3_u8).prop_map(|address| Event::Failures { address }),
            4 => (0..3_u8, 0..4_u8, 0..150_i64, any::<bool>()).prop_map(
                |(address, user, late, has_seconds)| Event::Login { address, user, late, has_seconds }
            ),
            1 => (0..2_usize).prop_map(|file| Event::Rotate { file }),
            4 => any::<bool>().prop_map(|is_mailed| Event::Digest { is_mailed }),
        ]
    }

    /// The findings of a report: rule, user and day.
    fn findings(report: &Report) -> Vec<(&'static str, String, NaiveDate)> {
        let key =
            |it: &Finding<'_>| (it.rule.name(), it.user.to_string(), it.date.at().date_naive());
        report.suspicious_logins.iter().map(key).collect()
    }

    struct Site(tempfile::TempDir);

    impl Site {
        fn new() -> Self {
            let site = Self(tempfile::tempdir().unwrap());
            for (name, header) in FILES {
                fs::write(site.path(name), header).unwrap();
            }
            site
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).to_str().unwrap().to_owned()
        }

        fn append(&self, file: usize, row: &str) {
            let path = self.path(FILES[file].0);
            fs::write(&path, fs::read_to_string(&path).unwrap() + row).unwrap();
        }

        fn rotate(&self, file: usize) {
            let (name, header) = FILES[file];
            let rotated = |n: usize| self.path(&format!("{name}.{n}"));
            for n in (1..20).rev().filter(|n| fs::exists(rotated(*n)).unwrap()) {
                fs::rename(rotated(n), rotated(n + 1)).unwrap();
            }
            fs::rename(self.path(name), rotated(1)).unwrap();
            fs::write(self.path(name), header).unwrap();
        }

        fn report(&self, now: DateTime<FixedOffset>, period: &[&str]) -> (Report, Scope) {
            let (failures, logins) = (self.path("f.csv"), self.path("logins.csv"));
            let fixed = ["mls-report", "--timezone", "UTC", "--logins", &logins, &failures];
            let args = Args::parse_from(fixed.iter().chain(period));
            let machine = Machine { name: "mail.example".to_owned(), address: None };
            let job = ReportRun { args, config: Config::default(), now, machine };
            let mut scope = job.scope().unwrap();
            (job.report(&mut scope).unwrap(), scope)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        #[test]
        fn each_login_and_each_finding_is_in_one_digest_at_any_second(
            events in prop::collection::vec((0..40_i64, event()), 1..40)
        ) {
            let site = Site::new();
            let ledger = site.path("mail.ledger");
            let mut now = DateTime::parse_from_rfc3339("2026-06-01T23:50:00Z").unwrap();
            let (mut new_logins, mut named) = (0, BTreeSet::new());
            for (seconds, event) in events {
                now += TimeDelta::seconds(seconds);
                match event {
                    Event::Failures { address } => {
                        for name in ["x", "y", "z"] {
                            let date = now.format("%Y-%m-%d %H:%M");
                            site.append(0, &format!("m,{date},192.0.2.{address},{name},null,OK,,,\n"));
                        }
                    }
                    Event::Login { address, user, late, has_seconds } => {
                        let date = now - TimeDelta::seconds(late);
                        let format = if has_seconds { "%Y-%m-%d %H:%M:%S" } else { "%Y-%m-%d %H:%M" };
                        let date = date.format(format);
                        site.append(1, &format!("m,{date},192.0.2.{address},u{user},null,OK,,,\n"));
                        new_logins += 1;
                    }
                    Event::Rotate { file } => site.rotate(file),
                    Event::Digest { is_mailed } => {
                        let (whole, _) = site.report(now, &["--since", "2026-05-01"]);
                        let (digest, scope) = site.report(now, &["--since-last", "--ledger", &ledger]);
                        prop_assert_eq!(digest.successful_logins.map(|it| it.logins), Some(new_logins));
                        let mut due = findings(&whole);
                        due.retain(|finding| !named.contains(finding));
                        prop_assert_eq!(&findings(&digest), &due);
                        if is_mailed {
                            let next = scope.digest.unwrap();
                            let MailCursor { base, cursor, .. } =
                                next.cursor(&digest.suspicious_logins).unwrap();
                            let content = serde_json::to_string(&CursorFile::next(base, cursor, None));
                            fs::write(&ledger, content.unwrap()).unwrap();
                            named.extend(due);
                            new_logins = 0;
                        }
                    }
                }
            }
        }
    }
}
