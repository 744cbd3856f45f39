//! From blocks of lines to records: finds the few lines that matter, and reads only those.

use std::borrow::Cow;

use bstr::ByteSlice;
use chrono::{DateTime, FixedOffset, TimeDelta};
use ipnet::IpNet;
use mls_config::config::Filter;
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit};
use mls_event::{Auth, Body, JOURNAL_SOURCE, Outcome, Timestamp, clean};
use mls_stream::blocks::Place;
use regex::bytes::Regex;

use crate::clock::Clock;
use crate::grammar::{self, Attempt, DOVECOT, POSTFIX};
use crate::journal::Entry;
use crate::rejects::Reject;
use crate::stats::Stats;
use crate::{Args, Daemon};
use crate::{docker, dovecot, envelope};

/// Reads blocks of lines and appends records. Each thread has one of its own.
#[derive(Clone)]
pub struct Scanner {
    candidates: Regex,
    journal_candidates: Regex,
    daemons: Vec<Daemon>,
    outcomes: Vec<Outcome>,
    zone: Zone,
    reference_time: Option<DateTime<FixedOffset>>,
    ignore_nets: Vec<IpNet>,
    ignore_users: Vec<String>,
    with_stats: bool,
    stats: Stats,
    rejected: Vec<Reject>,
    /// Whether a plain stream is journal entries; its first line decides.
    pub(crate) journal: Option<bool>,
}

/// A message and where it comes from, whatever was around it.
struct Source<'a> {
    date: Option<Timestamp<'a>>,
    server: Option<Cow<'a, str>>,
    program: Cow<'a, str>,
    pid: Option<u32>,
    repeated: u32,
    pos: Option<String>,
}

impl Scanner {
    /// A scanner for what the command line and the configuration ask for.
    ///
    /// # Errors
    /// Exit 70 where the search cannot be built.
    pub fn new(args: &Args, filter: &Filter) -> anyhow::Result<Self> {
        let words = args.daemon.iter().flat_map(|daemon| grammar::words(*daemon, &args.outcome));
        let words = words.map(regex::escape).reduce(|a, b| format!("{a}|{b}"));
        let words = words.unwrap_or_else(|| r"[^\s\S]".into());
        // A message that is not UTF-8 is an array of bytes in the journal's JSON: its words cannot be seen.
        let journal_words = format!(r#"{words}|"MESSAGE" ?: ?\["#);
        Ok(Self {
            candidates: Regex::new(&words).or_exit(Exit::Software)?,
            journal_candidates: Regex::new(&journal_words).or_exit(Exit::Software)?,
            daemons: args.daemon.clone(),
            outcomes: args.outcome.clone(),
            zone: args.timezone,
            reference_time: args.reference_time,
            ignore_nets: [args.ignore_net.as_slice(), &filter.ignore_networks].concat(),
            ignore_users: [args.ignore_user.as_slice(), &filter.ignore_users].concat(),
            with_stats: args.stats,
            stats: Stats::default(),
            rejected: Vec::new(),
            journal: None,
        })
    }

    /// Reads whole lines and appends the records of those that are attempts to `out`.
    pub fn block(&mut self, lines: &[u8], place: Place<'_>, out: &mut Vec<u8>) {
        if self.with_stats {
            self.stats.lines += memchr::memchr_iter(b'\n', lines).count() as u64;
            self.stats.lines += u64::from(!lines.ends_with(b"\n"));
        }
        let journal = match place.segment {
            Some(segment) => segment.source == JOURNAL_SOURCE,
            None => *self.journal.get_or_insert(lines.starts_with(b"{")),
        };
        let reference = self.reference_time.unwrap_or_else(|| {
            place.segment.map_or_else(|| self.zone.now(), |segment| segment.mtime.at())
                + CLOCKS_DIFFER
        });
        let clock = Clock::new(self.zone, reference);

        // The hot loop: a substring search over the whole block, and a look only at the lines that it finds.
        let mut from = 0;
        while let Some(found) =
            if journal { &self.journal_candidates } else { &self.candidates }.find_at(lines, from)
        {
            let start =
                memchr::memrchr(b'\n', &lines[..found.start()]).map_or(0, |newline| newline + 1);
            let end = memchr::memchr(b'\n', &lines[found.end()..])
                .map_or(lines.len(), |n| found.end() + n);
            self.stats.candidates += 1;
            let line = &lines[start..end];
            if line.len() > MAX_CANDIDATE {
                self.reject(line, place, start, "longer than any line of a mail server");
            } else if journal && !is_docker(line) {
                self.entry(line, place, out);
            } else {
                self.line(line, place, start, &clock, out);
            }
            from = end;
        }
    }

    fn line(
        &mut self,
        line: &[u8],
        place: Place<'_>,
        start: usize,
        clock: &Clock,
        out: &mut Vec<u8>,
    ) {
        let line = line.trim_start_with(|c| c == '\0');
        let text = docker::Line::parse(line).map(|docker| docker.to_text());
        let Some(envelope) = envelope::open(text.as_deref().unwrap_or(line)) else {
            // Without an envelope it is unknown who wrote the line.
            self.reject(line, place, start, NO_ENVELOPE);
            return;
        };
        let source = Source {
            date: envelope.stamp.and_then(|stamp| clock.read(stamp)),
            server: envelope.host.map(clean),
            program: clean(envelope.program),
            pid: envelope.pid,
            repeated: envelope.repeated,
            pos: place
                .segment
                .map(|segment| format!("{}:{}", segment.generation, place.offset + start as u64)),
        };
        if let Err(why) = self.message(source, envelope.message, out) {
            self.reject(line, place, start, why);
        }
    }

    fn entry(&mut self, line: &[u8], place: Place<'_>, out: &mut Vec<u8>) {
        let Some(entry) = Entry::parse(line) else {
            self.reject(line, place, 0, "not a journal entry");
            return;
        };
        let (Some(program), Some(message)) = (entry.program(), entry.message()) else { return };
        let host = entry.host();
        let mut source = Source {
            date: entry.date(self.zone),
            server: host.as_deref().map(clean),
            program: clean(&program),
            pid: entry.pid(),
            repeated: 1,
            pos: place.segment.and_then(|_| entry.pos()),
        };
        let mut text = &message[..];
        if let Some(inner) = envelope::open_message(&program, &message, entry.is_container()) {
            source.server = inner.host.map(clean).or(source.server);
            source.program = clean(inner.program);
            (source.pid, source.repeated) = (inner.pid, inner.repeated);
            text = inner.message;
        }
        if let Err(why) = self.message(source, text, out) {
            self.reject(line, place, 0, why);
        }
    }

    /// Appends the record of a message, if it is an attempt that was asked for.
    fn message(
        &mut self,
        source: Source<'_>,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let Some(daemon) =
            Daemon::of(&source.program, message).filter(|daemon| self.daemons.contains(daemon))
        else {
            return skipped(message);
        };
        let forms = match daemon {
            Daemon::Postfix => &POSTFIX,
            Daemon::Dovecot => &DOVECOT,
        };
        let Some(attempt) = grammar::read(message, forms) else {
            let looks_like_one = match daemon {
                Daemon::Postfix => looks_like_postfix(message),
                Daemon::Dovecot => !dovecot::has_no_attempt(message),
            };
            return if looks_like_one { Err(NOT_ITS_FORM) } else { skipped(message) };
        };
        let Some(date) = source.date else { return Err("a time stamp that is no time") };
        if !self.outcomes.contains(&attempt.outcome) {
            if self.with_stats && attempt.outcome == Outcome::Error {
                self.stats.event(attempt.outcome, attempt.mechanism.as_deref());
            }
            return Ok(());
        }
        if self.ignores(&attempt) {
            self.stats.ignored += 1;
            return Ok(());
        }
        if self.with_stats {
            self.stats.event(attempt.outcome, attempt.mechanism.as_deref());
        }
        let service = match attempt.process {
            // A log file of Dovecot's own names the process only.
            Some(process) if process == source.program => Cow::Owned(format!("dovecot/{process}")),
            Some(process) => Cow::Owned(format!("{}/{process}", source.program)),
            None => source.program,
        };
        let auth = Auth {
            date,
            server: source.server,
            service: Some(service),
            pid: source.pid,
            outcome: attempt.outcome,
            attempts: attempt.attempts.saturating_mul(source.repeated),
            mechanism: attempt.mechanism,
            ip: attempt.ip,
            port: attempt.port,
            client: attempt.client,
            user: attempt.user,
            reason: attempt.reason,
            queue_id: attempt.queue_id.map(Cow::Borrowed),
            pos: source.pos.map(Cow::Owned),
            enrichment: None,
        };
        auth.write_line(out);
        Ok(())
    }

    fn ignores(&self, attempt: &Attempt<'_>) -> bool {
        attempt.ip.is_some_and(|ip| self.ignore_nets.iter().any(|net| net.contains(&ip)))
            || attempt
                .user
                .as_deref()
                .is_some_and(|user| self.ignore_users.iter().any(|ignored| ignored == user))
    }

    fn reject(&mut self, line: &[u8], place: Place<'_>, start: usize, why: &'static str) {
        self.stats.unparsable += 1;
        self.rejected.push(Reject {
            source: place.segment.map_or("stdin", |segment| &segment.source).to_owned(),
            offset: place.offset + start as u64,
            why,
            line: line.to_vec(),
        });
    }

    /// The lines that could not be read since it was asked last.
    pub(crate) fn take_rejected(&mut self) -> Vec<Reject> {
        std::mem::take(&mut self.rejected)
    }

    /// What was seen so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// syslog lines have at most a few thousand bytes. JSON may make three of each, and a record must stay below its own limit.
const MAX_CANDIDATE: usize = 64 * 1024;

/// How far a stamp may be ahead of the time at which its line was written. A log is written to by other machines too, whose
/// clocks may be fast, or in another zone: from UTC-12 to UTC+14 these are up to 26 hours apart. A line that is dated a year
/// early is lost to every digest. The price: in a log that holds a whole year, those of its first 26 hours get the next one.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(26);

/// Whether a line of JSON is Docker's and not the journal's.
fn is_docker(line: &[u8]) -> bool {
    docker::Line::parse(line).is_some()
}

const NO_ENVELOPE: &str = "no time stamp and program that can be read stand in front of the message; if the stamp is in \
                           the language of a locale, write the log with LC_ALL=C (LC_ALL=C journalctl …)";

const NOT_ITS_FORM: &str = "the words of a login attempt, but not its form";

/// Whether a message that Postfix's server has written begins like an attempt. Other messages quote what clients sent, after
/// more words than a client and words that end in a colon.
fn looks_like_postfix(message: &[u8]) -> bool {
    message.split_once_str(": SASL ").is_some_and(|(front, _)| {
        let words = front.rsplit_once_str(" ").map_or(&b""[..], |(words, _client)| words);
        words.is_empty() || words.split_str(" ").all(|word| word.ends_with(b":"))
    })
}

/// A line that has the words and is something else, for people who debug.
#[expect(clippy::unnecessary_wraps, reason = "its callers return what it returns")]
fn skipped(message: &[u8]) -> Result<(), &'static str> {
    log::debug!("no attempt: {}", String::from_utf8_lossy(message));
    Ok(())
}
