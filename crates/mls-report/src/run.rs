//! Makes the report that the arguments describe, and writes it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use mls_attempts::{AttemptSource, ReadOptions, ReadSummary};
use mls_config::Config;
use mls_config::moment::Day;
use mls_diag::{Exit, OnFile, OrExit};
use mls_event::Outcome;
use mls_machine::Machine;
use mls_rotation::{Chain, ChainFile, Point};
use mls_state::atomic;
use mls_state::cursor_file::{CursorFile, warn_if_missing};
use mls_stream::ndjson::Writer;

use crate::account::{AccountLog, AccountReport};
use crate::args::{Args, Format};
use crate::attachment::Attachment;
use crate::counters::Counters;
use crate::html::Medium;
use crate::login_counter::LoginCounter;
use crate::message::Message;
use crate::period::{Period, PeriodPart};
use crate::report::{About, Report};
use crate::since_last::{DigestInput, LastDigest, NextDigest, SinceLast};
use crate::suspicion::{LoginInput, LoginWatch, LoginWindow, Sought};
use crate::tally::Tally;
use crate::words::number;
use crate::{html, prometheus, text};

/// Runs the tool.
///
/// # Errors
/// Exit 66 or 77 if FILE cannot be opened, 74 if reading or writing fails, 78 if a cursor file is damaged.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let job = ReportRun { now: args.zone.timezone.now(), machine: Machine::this(), args, config };
    let mut scope = job.scope()?;
    if let Some(user) = &job.args.account {
        return job.report_account(scope, user);
    }
    let report = job.report(&mut scope)?;
    let top = job.args.top.into();
    let counters = scope.counters.as_ref().zip(scope.digest.as_ref());
    let output = match job.args.format {
        Format::Text => text::render(&report, top, None).into_bytes(),
        Format::Html => html::render(&report, top, None, Medium::Page)?.into_bytes(),
        Format::Json => (serde_json::to_string(&report)? + "\n").into_bytes(),
        Format::Prometheus => match counters {
            Some((earlier, digest)) => {
                let end = digest.end(&report.suspicious_logins);
                prometheus::render_counters(&report, earlier, &end, top)?.into_bytes()
            }
            None => prometheus::render(&report).into_bytes(),
        },
        Format::Mail => job.message(&scope, &report)?,
    };
    job.write(&output)?;
    mls_diag::summary(format_args!(
        "reported {} {}",
        mls_diag::count(report.attempts, "failed login", "failed logins"),
        report.period.label
    ));
    Ok(())
}

pub(crate) struct ReportRun {
    pub(crate) args: Args,
    pub(crate) config: Config,
    pub(crate) now: DateTime<FixedOffset>,
    pub(crate) machine: Machine,
}

/// The inputs and the period of the report.
pub(crate) struct Scope {
    /// More than one if the command line names several files.
    sources: Vec<AttemptSource>,
    /// Successful logins of a second input.
    logins: Option<LoginInput>,
    /// Rotated files of earlier digests. The rules read them too.
    earlier: Chain,
    period: Period,
    /// With `--since-last`, the cursor to commit.
    pub(crate) digest: Option<NextDigest>,
    /// Number of logins of the period that the server could not check. The sink has counted them.
    unchecked: u64,
    /// With `--since-last --format prometheus`, the counters of the last run.
    counters: Option<Counters>,
}

impl ReportRun {
    pub(crate) fn scope(&self) -> anyhow::Result<Scope> {
        let committed = self.committed()?;
        if !self.args.since_last {
            let sources = match &self.args.files[..] {
                [_, _, ..] => self.several()?,
                _ => {
                    vec![Self::with_rotated(self.source(committed.as_ref())?, committed.as_ref())?]
                }
            };
            let period = self.period_of_dates()?;
            let counted = committed.iter().flat_map(|committed| &committed.unchecked.hours);
            let inside = counted
                .filter(|(hour, _)| period.part_of(hour, Point::default()) == PeriodPart::Inside);
            let unchecked = inside.map(|(_, count)| count).sum();
            let logins = sources.first().map(|source| self.logins(source)).transpose()?.flatten();
            let window = LoginWindow::of(&period, self.args.zone.timezone);
            let logins = logins.map(|source| LoginInput { source, window });
            let earlier = Chain::default();
            let (digest, counters) = (None, None);
            return Ok(Scope { sources, logins, earlier, period, digest, unchecked, counters });
        }
        if self.args.files.len() > 1 {
            return Err(Exit::Usage.error("with --since-last, give only one FILE"));
        }
        let counters = (self.args.format == Format::Prometheus)
            .then(|| Counters::load(self.metrics_file()?))
            .transpose()?;
        let last = match &counters {
            Some(counters) => counters.last(),
            None => LastDigest::load(&self.ledger()?)?,
        };
        let since_last = SinceLast {
            last,
            zone: self.args.zone.timezone,
            now: self.now,
            committed: committed.as_ref(),
        };
        let source = self.source(committed.as_ref())?;
        if counters.is_some() && matches!(source, AttemptSource::Stdin) {
            return Err(Exit::Usage.error(
                "--since-last with --format prometheus needs FILE: standard input has no position",
            ));
        }
        let logins = self.logins(&source)?;
        let (DigestInput { source, logins, earlier, period }, digest) =
            since_last.select(source, logins)?;
        let (sources, unchecked) = (vec![source], digest.newly_unchecked);
        Ok(Scope { sources, logins, earlier, period, digest: Some(digest), unchecked, counters })
    }

    /// The metrics file. The next run adds to its counters.
    fn metrics_file(&self) -> anyhow::Result<&Path> {
        let default = self.config.paths.metrics_file.as_deref();
        self.args.output.as_deref().or(default).ok_or_else(|| {
            Exit::Usage.error("--since-last with --format prometheus needs --output or --config")
        })
    }

    /// The input, up to the last commit of the sink that writes the input.
    fn source(&self, committed: Option<&CursorFile>) -> anyhow::Result<AttemptSource> {
        let named = self.args.files.first().or(self.config.paths.csv_filename.as_ref());
        match named.filter(|path| *path != Path::new("-")) {
            None if self.args.committed_by.is_some() => {
                Err(Exit::Usage
                    .error("--committed-by needs FILE, the CSV file that mls-csv writes"))
            }
            None => Ok(AttemptSource::Stdin),
            Some(path) => Ok(AttemptSource::File {
                path: path.clone(),
                length: committed.map(|cursor| cursor.data.as_ref().map_or(0, |data| data.length)),
            }),
        }
    }

    /// Adds the rotated files, if the source is a regular file.
    fn with_rotated(
        source: AttemptSource,
        committed: Option<&CursorFile>,
    ) -> anyhow::Result<AttemptSource> {
        let AttemptSource::File { path, .. } = &source else { return Ok(source) };
        if !path.is_file() {
            return Ok(source);
        }
        Ok(AttemptSource::recorded(path, committed)?.unwrap_or(source))
    }

    /// All files of the command line, each once.
    fn several(&self) -> anyhow::Result<Vec<AttemptSource>> {
        if self.args.committed_by.is_some() || self.args.logins.is_some() {
            return Err(Exit::Usage.error("with --committed-by or --logins, give only one FILE"));
        }
        let (mut sources, mut known) = (Vec::new(), HashSet::new());
        for path in &self.args.files {
            if path == Path::new("-") {
                return Err(Exit::Usage
                    .error("standard input (-) cannot be read together with other files"));
            }
            let file = AttemptSource::File { path: path.clone(), length: None };
            match Self::with_rotated(file, None)? {
                // The pattern `x.csv*` of a shell also names the rotated files. Read each file only
                // once.
                AttemptSource::Rotated { mut chain, begin } => {
                    let identity =
                        |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
                    chain.files.retain(|file| known.insert(identity(&file.path)));
                    if !chain.files.is_empty() {
                        sources.push(AttemptSource::Rotated { chain, begin });
                    }
                }
                source => sources.push(source),
            }
        }
        Ok(sources)
    }

    /// The cursor file of the sink that writes the input; `None` if there is no cursor file.
    fn committed(&self) -> anyhow::Result<Option<CursorFile>> {
        if let Some(path) = &self.args.committed_by {
            warn_if_missing(path);
            return Ok(Some(CursorFile::load(path)?.unwrap_or_else(CursorFile::start)));
        }
        // The configuration names the CSV and the cursor file of its sink. A CSV that was written
        // by hand has no cursor file. The state file of the Python original is ignored, because it
        // has no position in the CSV.
        let default = self.config.paths.csv_cursor();
        let default = default.filter(|path| self.args.files.is_empty() && path.exists());
        let cursor = default.map_or(Ok(None), |path| CursorFile::load(&path))?;
        Ok(cursor.filter(|cursor| cursor.data.is_some()))
    }

    fn ledger(&self) -> anyhow::Result<PathBuf> {
        let ledger = self.args.ledger.clone();
        ledger
            .or_else(|| self.config.paths.in_state_dir("mail.ledger"))
            .ok_or_else(|| Exit::Usage.error("--since-last needs --ledger or --config"))
    }

    /// The period of `--date`, or of `--since` and `--until`.
    fn period_of_dates(&self) -> anyhow::Result<Period> {
        let now = self.now.naive_local();
        let period = match (self.args.since, self.args.until) {
            (None, None) if self.args.account.is_some() && self.args.date.is_none() => {
                Period::between(None, None, now)
            }
            (None, None) => Period::day(self.args.date.unwrap_or(Day::Today), now),
            (since, until) => Period::between(since, until, now),
        };
        match (period.from, period.to) {
            (Some(from), Some(to)) if from >= to => Err(Exit::Usage.error(
                "--since is not before --until: give an earlier --since or a later --until",
            )),
            _ => Ok(period),
        }
    }

    pub(crate) fn report(&self, scope: &mut Scope) -> anyhow::Result<Report> {
        let mut watch = self.watch(scope, None)?;
        let Scope { sources, period, .. } = &*scope;
        let (mut tally, mut logins) = (Tally::new(period), LoginCounter::start()?);
        tally.errors = scope.unchecked;
        let (mut extent, reading) = (ReadSummary::default(), self.reading());
        for source in sources {
            let read = source.read(&reading, |attempt, point| {
                let part = period.part_of(attempt.date, point);
                watch.attempt(attempt, part == PeriodPart::Inside);
                let server = tally.servers.observe(attempt, part);
                if attempt.outcome == Outcome::Error && part == PeriodPart::Inside {
                    tally.errors += attempt.attempts;
                }
                if attempt.outcome != Outcome::Failure {
                    return;
                }
                tally.add(attempt, server, part);
                if part == PeriodPart::Inside {
                    logins.add(attempt);
                }
            })?;
            extent = ReadSummary {
                rows: extent.rows + read.rows,
                bytes: extent.bytes + read.bytes,
                csv: read.csv,
            };
        }
        let logins = logins.finish()?;
        let watched = watch.finish(extent.csv)?;
        let about = About {
            period,
            extent: &extent,
            file_name: sources.last().and_then(AttemptSource::file_name),
            logins: watched,
            server: self.machine.clone(),
            title: self.args.title.clone(),
            interval: self.config.systemd.extraction_schedule.clone(),
            generated: self.now,
            zone: self.args.zone.timezone,
            // For counters, list all names. A name that has a series must be counted in each run,
            // even if it is not among the first `--top` names of this run.
            top: if scope.counters.is_some() { usize::MAX } else { self.args.top.into() },
        };
        Report::new(tally, logins, about)
            .context("counting with temporary files (TMPDIR names their directory)")
            .or_exit(Exit::IoErr)
    }

    fn report_account(&self, mut scope: Scope, user: &str) -> anyhow::Result<()> {
        let mut watch = self.watch(&mut scope, Some(AccountLog::new(user)))?;
        let reading = self.reading();
        let mut csv = true;
        for source in &scope.sources {
            let read = source.read(&reading, |attempt, point| {
                let part = scope.period.part_of(attempt.date, point);
                watch.attempt(attempt, part == PeriodPart::Inside);
            })?;
            csv = read.csv;
        }
        let logins = watch.finish(csv)?;
        let account = AccountReport::new(&logins, &scope.period)?;
        let output = match self.args.format {
            Format::Text => account.text(),
            Format::Json => account.json(),
            _ => return Err(Exit::Usage.error("--account supports only --format text and json")),
        };
        self.write(output.as_bytes())
    }

    /// Starts to look for suspicious logins, and reads the failures of earlier files.
    fn watch(&self, scope: &mut Scope, account: Option<AccountLog>) -> anyhow::Result<LoginWatch> {
        let logins = scope.logins.take();
        let reading = self.reading();
        let looks_back = logins.is_some();
        let sought = Sought {
            period: &scope.period,
            zone: reading.zone,
            settings: &self.config.suspicious,
            days: self.config.retention.logins_days.map(|days| days.get().into()),
            reported: scope.digest.as_ref().and_then(NextDigest::reported),
            account,
        };
        let horizon = sought.horizon();
        let mut watch = LoginWatch::start(sought, logins.map(|logins| (logins, reading.clone())))?;
        // Without logins, the rules find nothing. So the earlier failures are read only if there is
        // an input of logins.
        let files = scope.earlier.files.iter().filter(|_| looks_back);
        for file in files.filter(|file| horizon.is_none_or(|horizon| is_since(file, horizon))) {
            mls_attempts::read_rotated(file, &reading, |attempt| watch.attempt(attempt, false))?;
        }
        Ok(watch)
    }

    fn reading(&self) -> ReadOptions {
        ReadOptions { zone: self.args.zone.timezone, servers: self.args.server.clone() }
    }

    /// The successful logins: FILE of `--logins`, or the committed rows of the configured CSV.
    fn logins(&self, failures: &AttemptSource) -> anyhow::Result<Option<AttemptSource>> {
        if let Some(path) = &self.args.logins {
            let is_stdin = path == Path::new("-");
            return match failures {
                AttemptSource::Stdin if is_stdin => Err(Exit::Usage
                    .error("FILE and --logins cannot both be standard input: give a file name")),
                _ if is_stdin => Ok(Some(AttemptSource::Stdin)),
                _ if path.is_file() => AttemptSource::recorded(path, None),
                _ => Ok(Some(AttemptSource::File { path: path.clone(), length: None })),
            };
        }
        // If the command line names a FILE, ignore `logins_filename` in the configuration: FILE may
        // come from another server.
        if !self.config.logins.record || !self.args.files.is_empty() {
            return Ok(None);
        }
        let Some(live) = &self.config.paths.logins_filename else { return Ok(None) };
        let cursor = self.config.paths.logins_cursor().filter(|path| path.exists());
        let cursor = cursor.map_or(Ok(None), |path| CursorFile::load(&path))?;
        let source = AttemptSource::recorded(live, cursor.as_ref())?;
        if source.is_none() {
            log::warn!("{} does not exist: no login is recorded yet", live.display());
        }
        Ok(source)
    }

    pub(crate) fn message(&self, scope: &Scope, report: &Report) -> anyhow::Result<Vec<u8>> {
        let attachment = match scope.sources.last() {
            Some(source) if report.csv.is_some() => {
                Attachment::read(source, self.config.report.attach_csv)?
            }
            _ => Attachment::None,
        };
        let (top, sentence) = (self.args.top.into(), attachment.sentence());
        let findings = &report.suspicious_logins;
        let cursor = scope.digest.as_ref().map(|digest| digest.cursor(findings)).transpose()?;
        let Period { from, to, offset, label, .. } = &scope.period;
        let attempts = number(report.attempts, "failed login", "failed logins");
        let name = report.name();
        let prefix = &self.config.report.subject_prefix;
        let message = Message {
            subject: &match &report.verdict.subject {
                Some(verdict) => format!("{prefix} {verdict} on {name}: {attempts} {label}"),
                None => format!("{prefix} report on {name}: {attempts} {label}"),
            },
            content_id: &format!("{name} {from:?} {to:?} {offset:?} {}", report.attempts),
            name,
            date: self.now,
            text: text::render(report, top, sentence.as_deref()),
            html: html::render(report, top, sentence.as_deref(), Medium::Mail)?,
            attachment,
            cursor,
        };
        message.into_bytes()
    }

    /// Writes the report to standard output or to `--output`.
    fn write(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let counts_on = self.args.since_last && self.args.format == Format::Prometheus;
        let output = self.args.output.as_deref();
        if let Some(path) = if counts_on { Some(self.metrics_file()?) } else { output } {
            // The collector of metrics runs as another user, so everybody may read the metrics.
            // Other reports have names of people, so only the owner and the group may read them.
            let mode = if self.args.format == Format::Prometheus { 0o644 } else { 0o640 };
            return atomic::write(path, bytes, mode)
                .on_file("writing", path)
                .or_exit(Exit::CantCreat);
        }
        let mut out = Writer::stdout()?;
        out.with(|buffer| buffer.extend_from_slice(bytes))?;
        out.flush()
    }
}

/// Whether the file was last changed at `moment` or later.
fn is_since(file: &ChainFile, moment: DateTime<FixedOffset>) -> bool {
    moment.timestamp_nanos_opt().is_none_or(|moment| file.stat.mtime >= moment)
}
