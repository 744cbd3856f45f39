//! From arguments to what was asked for.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, DurationRound, FixedOffset, TimeDelta};
use mls_cli::cursor_file::{CursorFile, Data};
use mls_cli::ndjson::Writer;
use mls_cli::{Config, Exit, OrExit, atomic};

use crate::args::{Args, Format};
use crate::aside::Aside;
use crate::attachment::Attachment;
use crate::input::Source;
use crate::mail::Post;
use crate::period::{Day, Moment, Period, Place};
use crate::report::{About, Report};
use crate::sent::{End, Sent};
use crate::server::Server;
use crate::tally::Tally;
use crate::{alert, html, place, prometheus, text};

/// Runs the tool.
///
/// # Errors
/// Exit 66 or 77 where FILE cannot be opened, 74 where reading or writing fails, 78 where the configuration does not do; with
/// `--mail` 75 where the mail could not be delivered yet, and 69 where the server refuses it.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let job = Job { now: args.timezone.now(), server: Server::this(), args, config };
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
}

/// What one report is about.
struct Stretch {
    source: Source,
    period: Period,
}

impl Job {
    /// The input, up to where it is committed.
    pub(crate) fn source(&self) -> anyhow::Result<Source> {
        let named = self.args.file.as_ref().or(self.config.paths.csv.as_ref());
        let path = named.filter(|path| *path != Path::new("-")).cloned();
        match path {
            None if self.args.committed_by.is_some() => {
                Err(Exit::Usage.error("--committed-by needs a FILE that the sink appends to"))
            }
            None => Ok(Source::Stdin),
            Some(path) => {
                let length = self.committed()?.map(|cursor| cursor.data.map_or(0, |data| data.length));
                Ok(Source::File { rotated: None, path, length })
            }
        }
    }

    /// What `--committed-by` says.
    fn committed(&self) -> anyhow::Result<Option<CursorFile>> {
        if let Some(path) = &self.args.committed_by {
            return Ok(Some(CursorFile::load(path)?.unwrap_or_else(CursorFile::start)));
        }
        // The CSV of the configuration is that of its sink, unless it was made by hand, without one.
        let cursor = self.config.paths.csv_cursor().filter(|_| self.args.file.is_none());
        cursor.filter(|path| path.exists()).map_or(Ok(None), |path| CursorFile::load(&path))
    }

    fn print(&self) -> anyhow::Result<()> {
        let stretch = if self.args.since_last {
            let sent = Sent::open(self.state_dir()?)?;
            self.since_last(sent.last(), &self.end()?)?
        } else {
            self.stretch()?
        };
        let report = self.report(&stretch)?;
        let top = self.args.top.into();
        let text = match self.args.format {
            Format::Text => {
                let name = report.csv.as_ref().and_then(|csv| csv.name.as_ref());
                text::render(&report, top, name.map(|name| format!("Please see attached: {name}")).as_deref())
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
            return self.send(&post, &mut sent, &self.stretch()?, None, None);
        }
        if let Some((message_id, end)) = sent.pending() {
            let stretch = self.since_last(sent.last(), &end)?;
            self.send(&post, &mut sent, &stretch, Some(message_id), Some(end))?;
            if self.is_dry() {
                return Ok(());
            }
        }
        let end = self.end()?;
        let stretch = self.since_last(sent.last(), &end)?;
        self.send(&post, &mut sent, &stretch, None, Some(end))
    }

    /// Sends one digest to those who have not got it.
    fn send(
        &self,
        post: &Post,
        sent: &mut Sent,
        stretch: &Stretch,
        message_id: Option<String>,
        end: Option<End>,
    ) -> anyhow::Result<()> {
        let (message_id, message) = self.compose(post, stretch, message_id)?;
        if self.is_dry() {
            return self.put(&message);
        }
        let mut to = post.addresses();
        let everybody: Vec<_> = to.iter().map(ToString::to_string).collect();
        let waiting = sent.enter(&message_id, &everybody, end)?;
        let label = &stretch.period.label;
        if waiting.is_empty() {
            mls_cli::warn!("the digest {label} was sent before with the same content: it is not sent again");
            return Ok(());
        }
        // Those who were taken out of the configuration since need not wait any longer.
        if waiting.iter().any(|address| everybody.contains(address)) {
            to.retain(|address| waiting.contains(&address.to_string()));
        }
        let fate = post.server.deliver(&post.sender.email, to, message)?;
        sent.settle(&message_id, &fate)?;
        for address in &fate.delivered {
            mls_cli::info!("the digest {label} was sent to {address}");
        }
        fate.into_result(&post.server)
    }

    /// The mail of a report, and its Message-ID.
    fn compose(&self, post: &Post, stretch: &Stretch, message_id: Option<String>) -> anyhow::Result<(String, Vec<u8>)> {
        let report = self.report(stretch)?;
        let attachment = match &stretch.source {
            Source::File { path, length, .. } if report.csv.is_some() => {
                Attachment::read(path, *length, self.config.report.attach_csv)?
            }
            _ => Attachment::None,
        };
        let (top, sentence) = (self.args.top.into(), attachment.sentence());
        let forms = (text::render(&report, top, sentence.as_deref()), html::render(&report, top, sentence.as_deref())?);
        let Period { from, to, offset, label, .. } = &stretch.period;
        let content = format!("{} {from:?} {to:?} {offset:?} {}", self.server.name, report.attempts);
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
        self.send_plain(&post, &format!("test mail from {}", self.server.name), &self.now.to_rfc3339(), text)
    }

    /// Sends a message of plain text, whose Message-ID comes from `content`.
    pub(crate) fn send_plain(&self, post: &Post, subject: &str, content: &str, text: String) -> anyhow::Result<()> {
        let message = post.plain(subject, post.message_id(content), self.now, text)?;
        if self.is_dry() {
            return self.put(&message);
        }
        post.server.deliver(&post.sender.email, post.addresses(), message)?.into_result(&post.server)
    }

    pub(crate) fn post(&self) -> anyhow::Result<Post> {
        Post::new(&self.config.report, &self.server, self.args.smtp_timeout)
    }

    /// Whether a message is shown and not sent.
    fn is_dry(&self) -> bool {
        self.args.dry_run || self.args.output.is_some()
    }

    pub(crate) fn state_dir(&self) -> anyhow::Result<&Path> {
        self.config.paths.state_dir.as_deref().ok_or_else(|| Exit::Usage.error("give --config: it names the state_dir"))
    }

    /// What `--date`, or `--since` and `--until`, name.
    fn stretch(&self) -> anyhow::Result<Stretch> {
        let now = self.now.naive_local();
        let period = match (self.args.since, self.args.until) {
            (None, None) => Period::day(self.args.date.unwrap_or(Day::Today), now),
            (since, until) => Period::between(since, until, now),
        };
        Ok(Stretch { source: self.source()?, period })
    }

    /// Where a digest ends that is made now.
    fn end(&self) -> anyhow::Result<End> {
        let until = self.now.duration_trunc(TimeDelta::minutes(1)).unwrap_or(self.now);
        let data = match self.source()? {
            Source::Stdin => None,
            Source::File { path, length, .. } => place::of_end(&path, length)?,
        };
        Ok(End { until, data })
    }

    /// What lies between the end of one digest and that of the next.
    fn since_last(&self, last: Option<&End>, end: &End) -> anyhow::Result<Stretch> {
        let naive = |end: &End| self.args.timezone.show(&end.until).naive_local();
        let from = last.map(|last| Moment::Minute(naive(last)));
        let (source, until) = (self.source()?, naive(end));
        let by_date = Period::between(from, Some(Moment::Minute(until)), until);
        let (Source::File { path, .. }, Some(data)) = (&source, &end.data) else {
            return Ok(Stretch { source, period: by_date });
        };
        let mut path = path.clone();
        if !place::is_known(&path, data)? {
            // A digest that is to be sent again may have ended in a file that was rotated since.
            let Some(rotated) = place::find_rotated(&path, data) else {
                mls_cli::warn!("{} is not what the digest was made from: the dates of its rows decide", path.display());
                return Ok(Stretch { source, period: by_date });
            };
            path = rotated;
        }
        let begin = match last {
            None => Some((None, 0)),
            Some(End { data: Some(data), .. }) if place::is_known(&path, data)? => Some((None, data.length)),
            Some(End { data: Some(data), .. }) => {
                self.rotated(&path, data)?.map(|rotated| (Some(rotated), data.length))
            }
            Some(End { data: None, .. }) => None,
        };
        let (rotated, period) = if let Some((rotated, offset)) = begin {
            (rotated, Period::after(offset, last.map(naive), until))
        } else {
            let shown = path.display();
            mls_cli::warn!("{shown} is not the file that the last digest ended in: the dates of its rows decide");
            (None, Period::between(from, None, until))
        };
        Ok(Stretch { source: Source::File { rotated, path, length: Some(data.length) }, period })
    }

    /// The file that `data` describes the beginning of, rotated away from `path`, and how much of it is committed.
    fn rotated(&self, path: &Path, data: &Data) -> anyhow::Result<Option<(PathBuf, u64)>> {
        let Some(rotated) = place::find_rotated(path, data) else { return Ok(None) };
        for committed in self.committed()?.into_iter().flat_map(|cursor| cursor.rotated) {
            if committed.length >= data.length && place::is_known(&rotated, &committed)? {
                return Ok(Some((rotated, committed.length)));
            }
        }
        let end = place::of_end(&rotated, None)?;
        Ok(end.map(|end| (rotated, end.length)))
    }

    fn report(&self, stretch: &Stretch) -> anyhow::Result<Report> {
        let Stretch { source, period } = stretch;
        let zone = self.args.timezone;
        let (mut tally, mut aside) = (Tally::new(period), Aside::start()?);
        let extent = source.read(zone, |row, offset| {
            let place = period.place(row.date, offset);
            tally.add(row, place);
            if place == Place::Inside {
                aside.add(row);
            }
        })?;
        let names = aside.finish()?;
        let about = About {
            period,
            extent: &extent,
            file_name: source.file_name(),
            server: self.server.clone(),
            interval: Some(self.config.systemd.extraction_schedule.clone()).filter(|interval| !interval.is_empty()),
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
            return written.with_context(|| format!("writing {}", path.display())).or_exit(Exit::CantCreat);
        }
        let mut out = Writer::stdout()?;
        out.with(|buffer| buffer.extend_from_slice(bytes))?;
        out.flush()
    }
}
