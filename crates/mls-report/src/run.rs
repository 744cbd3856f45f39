//! From arguments to what was asked for.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, DurationRound, FixedOffset, TimeDelta};
use mls_config::Config;
use mls_diag::{Exit, OrExit};
use mls_state::atomic;
use mls_state::cursor_file::{CursorFile, warn_if_missing};
use mls_stream::ndjson::Writer;

use crate::args::{Args, Format};
use crate::aside::Aside;
use crate::attachment::Attachment;
use crate::input::Source;
use crate::mail::Post;
use crate::period::{Day, Moment, Period};
use crate::place::{self, Place};
use crate::report::{About, Report};
use crate::sent::{End, Pending, Sent, Since};
use crate::server::Server;
use crate::smtp::Fate;
use crate::tally::Tally;
use crate::{alert, html, period, prometheus, text};

/// While somebody waits for a digest, the next one is made so long after it: most digests are for a day.
const PATIENCE: TimeDelta = TimeDelta::hours(20);

/// Runs the tool.
///
/// # Errors
/// Exit 66 or 77 where FILE cannot be opened, 74 where reading or writing fails, 78 where the configuration does not do; with
/// `--mail` 75 where the mail could not be delivered yet, and 69 where the server refuses it.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let (cursor, chain) = (OnceCell::new(), OnceCell::new());
    let job = Job { now: args.timezone.now(), server: Server::this(), args, config, cursor, chain };
    if job.args.test_mail {
        job.test_mail()
    } else if job.args.alert {
        alert::run(&job)
    } else if job.args.mail {
        job.mail()
    } else {
        job.print()
    }
}

/// What one run works with.
pub(crate) struct Job {
    pub(crate) args: Args,
    pub(crate) config: Config,
    pub(crate) now: DateTime<FixedOffset>,
    pub(crate) server: Server,
    /// What the sink had committed, and which files there were, when it was first asked for: one picture for the whole run.
    cursor: OnceCell<Option<CursorFile>>,
    chain: OnceCell<Vec<PathBuf>>,
}

/// What one report is about.
struct Stretch {
    source: Source,
    period: Period,
}

impl Job {
    /// The input, up to where it is committed.
    pub(crate) fn source(&self) -> anyhow::Result<Source> {
        let named = self.args.file.as_ref().or(self.config.paths.csv_filename.as_ref());
        let path = named.filter(|path| *path != Path::new("-")).cloned();
        match path {
            None if self.args.committed_by.is_some() => {
                Err(Exit::Usage.error("--committed-by needs a FILE that the sink appends to"))
            }
            None => Ok(Source::Stdin),
            Some(path) => {
                let length = self
                    .committed()?
                    .map(|cursor| cursor.data.as_ref().map_or(0, |data| data.length));
                Ok(Source::File { rotated: Vec::new(), path, length })
            }
        }
    }

    /// What `--committed-by` says.
    fn committed(&self) -> anyhow::Result<Option<&CursorFile>> {
        if self.cursor.get().is_none() {
            let _ = self.cursor.set(self.load_committed()?);
        }
        Ok(self.cursor.get().and_then(Option::as_ref))
    }

    /// The CSV and what it was rotated to, see [`place::chain`].
    fn chain(&self, path: &Path) -> anyhow::Result<&[PathBuf]> {
        if self.chain.get().is_none() {
            let _ = self.chain.set(place::chain(path)?);
        }
        Ok(self.chain.get().map_or(&[], Vec::as_slice))
    }

    fn load_committed(&self) -> anyhow::Result<Option<CursorFile>> {
        if let Some(path) = &self.args.committed_by {
            warn_if_missing(path);
            return Ok(Some(CursorFile::load(path)?.unwrap_or_else(CursorFile::start)));
        }
        // The CSV of the configuration is that of its sink, unless it was made by hand, without one. What the Python original
        // has left says nothing of a CSV.
        let cursor =
            self.config.paths.csv_cursor().filter(|path| self.args.file.is_none() && path.exists());
        let cursor = cursor.map_or(Ok(None), |path| CursorFile::load(&path))?;
        Ok(cursor.filter(|cursor| cursor.data.is_some()))
    }

    fn print(&self) -> anyhow::Result<()> {
        let stretch = if self.args.since_last {
            let sent = Sent::open(self.state_dir()?)?;
            self.between(&Since { begin: sent.last().cloned(), end: self.end()? })?
        } else {
            self.stretch()?
        };
        let report = self.report(&stretch)?;
        let top = self.args.top.into();
        let text = match self.args.format {
            Format::Text => {
                let name = report.csv.as_ref().and_then(|csv| csv.name.as_ref());
                text::render(
                    &report,
                    top,
                    name.map(|name| format!("Please see attached: {name}")).as_deref(),
                )
            }
            Format::Html => html::render(&report, top, None)?,
            Format::Json => serde_json::to_string(&report)? + "\n",
            Format::Prometheus => prometheus::render(&report),
        };
        self.put(text.as_bytes())
    }

    fn mail(&self) -> anyhow::Result<()> {
        let post = self.post()?;
        if !self.args.since_last && self.is_dry() {
            return self.put(&self.compose(&post, &self.stretch()?, None)?.1);
        }
        let mut sent = Sent::open(self.state_dir()?)?;
        if !self.args.since_last {
            return self
                .send(&post, &mut sent, &self.stretch()?, None, None)?
                .into_result(&post.server);
        }
        let mut first = Ok(());
        for Pending { message_id, since } in sent.pending() {
            let fate =
                self.send(&post, &mut sent, &self.between(&since)?, Some(message_id), None)?;
            if self.is_dry() {
                return Ok(());
            }
            let asked = fate.asked;
            first = first.and(fate.into_result(&post.server));
            if !asked && first.is_err() {
                return first;
            }
        }
        // Nobody shall go without the next digest because somebody else has not got this one, but it has its time: until then
        // those who only try once more do not make it.
        if first.is_err() && sent.last().is_some_and(|last| self.now - last.until < PATIENCE) {
            return first;
        }
        let since = Since { begin: sent.last().cloned(), end: self.end()? };
        let fate = self.send(&post, &mut sent, &self.between(&since)?, None, Some(since))?;
        first.and(fate.into_result(&post.server))
    }

    /// Sends one digest to those who have not got it, and says what became of that.
    fn send(
        &self,
        post: &Post,
        sent: &mut Sent,
        stretch: &Stretch,
        message_id: Option<String>,
        since: Option<Since>,
    ) -> anyhow::Result<Fate> {
        let (message_id, message) = self.compose(post, stretch, message_id)?;
        if self.is_dry() {
            self.put(&message)?;
            return Ok(Fate::default());
        }
        let mut to = post.addresses();
        let everybody: Vec<_> = to.iter().map(ToString::to_string).collect();
        let waiting = sent.enter(&message_id, &everybody, since)?;
        let label = &stretch.period.label;
        if waiting.is_empty() {
            log::warn!(
                "the digest {label} was sent before with the same content: it is not sent again"
            );
            sent.settle(&message_id, &Fate::default())?;
            return Ok(Fate::default());
        }
        to.retain(|address| waiting.contains(&address.to_string()));
        let settle = |fate: &Fate| sent.settle(&message_id, fate);
        let fate = post.server.deliver(&post.sender.email, to, message, settle)?;
        for address in &fate.delivered {
            log::info!("the digest {label} was sent to {address}");
        }
        Ok(fate)
    }

    /// The mail of a report, and its Message-ID.
    fn compose(
        &self,
        post: &Post,
        stretch: &Stretch,
        message_id: Option<String>,
    ) -> anyhow::Result<(String, Vec<u8>)> {
        let report = self.report(stretch)?;
        let attachment = match &stretch.source {
            Source::File { path, length, .. } if report.csv.is_some() => {
                Attachment::read(path, *length, self.config.report.attach_csv)?
            }
            _ => Attachment::None,
        };
        let (top, sentence) = (self.args.top.into(), attachment.sentence());
        let forms = (
            text::render(&report, top, sentence.as_deref()),
            html::render(&report, top, sentence.as_deref())?,
        );
        let Period { from, to, offset, label, .. } = &stretch.period;
        let content =
            format!("{} {from:?} {to:?} {offset:?} {}", self.server.name, report.attempts);
        let message_id = message_id.unwrap_or_else(|| post.message_id(&content));
        let subject = post.subject(report.attempts, label);
        let message = post.report(&subject, message_id.clone(), self.now, forms, attachment)?;
        Ok((message_id, message))
    }

    fn test_mail(&self) -> anyhow::Result<()> {
        let post = self.post()?;
        let text = format!(
            "This is a test of mls-report on {}.\n\nIf you can read it, digests will reach you.\n",
            self.server.name
        );
        let subject = format!("test mail from {}", self.server.name);
        self.send_plain(&post, &subject, &self.now.to_rfc3339(), text)?.into_result(&post.server)
    }

    /// Sends a message of plain text, whose Message-ID comes from `content`.
    pub(crate) fn send_plain(
        &self,
        post: &Post,
        subject: &str,
        content: &str,
        text: String,
    ) -> anyhow::Result<Fate> {
        let message = post.plain(subject, post.message_id(content), self.now, text)?;
        if self.is_dry() {
            self.put(&message)?;
            return Ok(Fate::default());
        }
        post.server.deliver(&post.sender.email, post.addresses(), message, |_| Ok(()))
    }

    pub(crate) fn post(&self) -> anyhow::Result<Post> {
        Post::new(&self.config.report, &self.server, self.args.smtp_timeout)
    }

    /// Whether a message is shown and not sent.
    pub(crate) fn is_dry(&self) -> bool {
        self.args.dry_run || self.args.output.is_some()
    }

    pub(crate) fn state_dir(&self) -> anyhow::Result<&Path> {
        self.config
            .paths
            .state_dir
            .as_deref()
            .ok_or_else(|| Exit::Usage.error("give --config: it names the state_dir"))
    }

    /// What `--date`, or `--since` and `--until`, name.
    fn stretch(&self) -> anyhow::Result<Stretch> {
        let now = self.now.naive_local();
        let period = match (self.args.since, self.args.until) {
            (None, None) => Period::day(self.args.date.unwrap_or(Day::Today), now),
            (since, until) => Period::between(since, until, now),
        };
        if let (Some(from), Some(to)) = (period.from, period.to)
            && from >= to
        {
            return Err(
                Exit::Usage.error(format!("nothing lies between --since {from} and --until {to}"))
            );
        }
        Ok(Stretch { source: self.source()?, period })
    }

    /// Where a digest ends that is made now.
    fn end(&self) -> anyhow::Result<End> {
        let until = self.now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(self.now);
        let data = match self.source()? {
            Source::Stdin => None,
            Source::File { path, length, .. } => Place::of_end(self.chain(&path)?, length)?,
        };
        Ok(End { until, data })
    }

    /// What lies between the end of one digest and that of the next, in however many files it is by now.
    fn between(&self, since: &Since) -> anyhow::Result<Stretch> {
        let naive = |end: &End| self.args.timezone.show(&end.until).naive_local();
        let (last, until) = (since.begin.as_ref().map(naive), naive(&since.end));
        let source = self.source()?;
        let (Source::File { path, length, .. }, Some(end)) = (&source, &since.end.data) else {
            let period =
                Period::between(last.map(Moment::Minute), Some(Moment::Minute(until)), until);
            return Ok(Stretch { source, period });
        };
        let chain = self.chain(path)?;
        let found = end.find(chain)?;
        let (newest, length) =
            found.map_or((chain.len() - 1, *length), |(newest, length)| (newest, Some(length)));
        let (path, chain) = (chain[newest].clone(), &chain[..=newest]);
        let begin = match &since.begin {
            _ if found.is_none() => None,
            None => Some((newest, 0)),
            Some(End { data: Some(begin), .. }) => begin.find(chain)?,
            Some(End { data: None, .. }) => None,
        };
        if begin.is_none() {
            let what = if found.is_none() {
                "what the digest was made from"
            } else {
                "the file that the last digest ended in"
            };
            log::warn!("{} is not {what}: the dates of its rows decide", path.display());
        }
        let cursor = self.committed()?;
        let committed =
            || cursor.iter().flat_map(|cursor| cursor.data.iter().chain(&cursor.rotated));
        let oldest = begin.map_or(0, |(oldest, _)| oldest);
        let rotated = chain[oldest..newest].iter();
        let rotated =
            rotated.map(|path| Ok((path.clone(), place::committed_length(path, committed())?)));
        let source =
            Source::File { rotated: rotated.collect::<anyhow::Result<_>>()?, path, length };
        let period = if let Some((_, offset)) = begin {
            Period::after(offset, last, until)
        } else {
            let to = found.is_none().then_some(Moment::Minute(until));
            Period::between(last.map(Moment::Minute), to, until)
        };
        Ok(Stretch { source, period })
    }

    fn report(&self, stretch: &Stretch) -> anyhow::Result<Report> {
        let Stretch { source, period } = stretch;
        let zone = self.args.timezone;
        let (mut tally, mut aside) = (Tally::new(period), Aside::start()?);
        let extent = source.read(zone, |row, offset| {
            let place = period.place(row.date, offset);
            tally.add(row, place);
            if place == period::Place::Inside {
                aside.add(row);
            }
        })?;
        let names = aside.finish()?;
        let about = About {
            period,
            extent: &extent,
            file_name: source.file_name(),
            server: self.server.clone(),
            interval: self.config.systemd.extraction_schedule.clone(),
            generated: self.now,
            zone,
            top: self.args.top.into(),
        };
        Ok(Report::new(&tally, &names, about))
    }

    /// Writes what was asked for to where it was asked for.
    fn put(&self, bytes: &[u8]) -> anyhow::Result<()> {
        if let Some(path) = &self.args.output {
            // The collector that reads metrics is another user; reports and mails are not for everybody.
            let mode = if self.args.format == Format::Prometheus { 0o644 } else { 0o640 };
            let written = atomic::write(path, bytes, mode);
            return written
                .with_context(|| format!("writing {}", path.display()))
                .or_exit(Exit::CantCreat);
        }
        let mut out = Writer::stdout()?;
        out.with(|buffer| buffer.extend_from_slice(bytes))?;
        out.flush()
    }
}
