//! Turns blocks of lines into records: finds the few lines that matter, and reads only these.

mod joined;

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use bstr::ByteSlice;
use chrono::{DateTime, Datelike, FixedOffset, TimeDelta};
use ipnet::IpNet;
use mls_config::config::{Filter, Logins, ServerZone};
use mls_config::zone::Zone;
use mls_event::{
    Auth, Body, JOURNAL_SOURCE, Outcome, Timestamp, clean, long_docker_lines, without_nul,
};
use mls_stream::blocks::BlockPosition;

use crate::clock::{Clock, LastHour};
use crate::grammar::{self, DOVECOT, POSTFIX, Pieces};
use crate::input::{BlockInput, LineTime};
use crate::journal::JournalEntry;
use crate::partial::{self, MAX_JOINED, WaitingLines};
use crate::repetition::{self, Repetition};
use crate::search::{BLOB, Search};
use crate::session::refused_commands;
use crate::stats::Stats;
use crate::unreadable::{UnreadableLine, source_of};
use crate::year::AssumedYear;
use crate::{Args, Daemon, docker, dovecot, envelope};

/// Reads blocks of lines and appends records. Each thread has its own scanner.
#[derive(Clone)]
pub struct Scanner {
    search: Search,
    daemons: Vec<Daemon>,
    outcomes: Vec<Outcome>,
    zone: Zone,
    server_zones: Vec<ServerZone>,
    reference_time: Option<DateTime<FixedOffset>>,
    /// The time when an input without frames was written.
    written_at: Option<DateTime<FixedOffset>>,
    require_year: bool,
    server: Option<String>,
    ignore_nets: Vec<IpNet>,
    ignore_users: Vec<String>,
    with_stats: bool,
    stats: Stats,
    unreadable: Vec<UnreadableLine>,
    assumed_years: Vec<AssumedYear>,
    /// The last hour in stamps of servers that are not in `server_zones`.
    last_hour: LastHour,
    /// Whether an input without frames is journal entries. Its first line decides.
    pub(crate) is_journal: Option<bool>,
}

struct LineHeader<'a> {
    time: Option<LineTime<'a>>,
    server: Option<Cow<'a, str>>,
    program: Cow<'a, str>,
    pid: Option<u32>,
    repeated: u32,
    pos: Option<String>,
}

impl Scanner {
    /// A scanner with the settings of the command line and the configuration.
    ///
    /// # Errors
    /// Exit 70 if the search cannot be built.
    pub fn new(args: &Args, filter: &Filter) -> anyhow::Result<Self> {
        let daemons =
            if args.daemon.is_empty() { Daemon::ALL.to_vec() } else { args.daemon.clone() };
        // If the outcomes depend on the configuration, `run` has already set them in `args`.
        let outcomes = args.outcome.outcomes(&Logins::default());
        Ok(Self {
            search: Search::new(&daemons, &outcomes)?,
            stats: Stats::new(args.stats && daemons.contains(&Daemon::Postfix)),
            daemons,
            outcomes,
            zone: args.zone.timezone,
            server_zones: args.server_zone.clone(),
            reference_time: args.reference_time,
            written_at: None,
            require_year: args.require_year,
            server: args.server.clone(),
            ignore_nets: [args.ignore_net.as_slice(), &filter.ignore_networks].concat(),
            ignore_users: [args.ignore_user.as_slice(), &filter.ignore_users].concat(),
            with_stats: args.stats || log::log_enabled!(log::Level::Info),
            unreadable: Vec::new(),
            assumed_years: Vec::new(),
            last_hour: LastHour::default(),
            is_journal: None,
        })
    }

    /// Sets when an input without frames was written; `None` if this time is unknown.
    #[must_use]
    pub fn written_at(self, written_at: Option<DateTime<FixedOffset>>) -> Self {
        Self { written_at, ..self }
    }

    /// Reads whole lines and appends the records of attempts to `out`. If `lines` is empty, a line
    /// was skipped because it is too long. In this case, each line that waits for its last part is
    /// counted as unreadable.
    pub fn block(&mut self, lines: &[u8], place: BlockPosition<'_>, out: &mut Vec<u8>) {
        if lines.is_empty() {
            return self.end(place);
        }
        if self.with_stats {
            self.stats.lines += memchr::memchr_iter(b'\n', lines).count() as u64;
            self.stats.lines += u64::from(!lines.ends_with(b"\n"));
        }
        self.stats.is_plain |= place.segment.is_none();
        self.stats.recognize(lines);
        let journal = match place.segment {
            Some(segment) => segment.source == JOURNAL_SOURCE,
            None => *self.is_journal.get_or_insert(lines.starts_with(b"{")),
        };
        if let Some(sum) = &mut self.stats.refused_commands {
            *sum = sum.saturating_add(refused_commands(lines));
        }
        let written_at = place.segment.map(|segment| segment.mtime.at()).or(self.written_at);
        let reference = self
            .reference_time
            .unwrap_or_else(|| written_at.unwrap_or_else(|| self.zone.now()) + CLOCKS_DIFFER);
        let input = BlockInput {
            lines,
            place,
            clock: Clock::new(self.zone, reference),
            is_time_assumed: self.reference_time.is_none() && written_at.is_none(),
        };

        let mut waiting = WaitingLines::after(place.before);
        let mut cut = long_docker_lines(lines).into_iter().peekable();
        let mut at = 0;
        while at < lines.len() {
            // While a line waits for its last part, read line by line.
            if waiting.is_empty() {
                while cut.next_if(|start| *start < at).is_some() {}
                let end = cut.peek().copied().unwrap_or(lines.len());
                at = self.search(&input, journal, at..end, out);
                if at == lines.len() {
                    break;
                }
            }
            let end = input.line_end(at);
            if !self.part(&input, &mut waiting, at..end, out) {
                self.search(&input, journal, at..end, out);
            }
            at = end + 1;
        }
    }

    /// The hot loop: searches a whole block for texts, and reads only the lines that have one. If a
    /// line is the first part of a longer line, stops before it and returns its offset. Else
    /// returns the end of `range`.
    fn search(
        &mut self,
        input: &BlockInput<'_>,
        journal: bool,
        range: Range<usize>,
        out: &mut Vec<u8>,
    ) -> usize {
        let lines = &input.lines[..range.end];
        let mut from = range.start;
        let (mut joined, mut known) = (Vec::new(), HashMap::new());
        while let Some(found) = self.search.find_at(journal, lines, from) {
            let start =
                memchr::memrchr(b'\n', &lines[..found.start()]).map_or(0, |newline| newline + 1);
            let end = input.line_end(found.end());
            let (line, words) = (without_nul(&lines[start..end]), found.as_bytes());
            let start = end - line.len();
            from = end;
            if partial::WORDS.iter().any(|part| part.as_bytes() == words)
                && partial::read(line).is_some_and(|line| line.goes_on)
            {
                return start;
            }
            // This line is a part of an earlier line and was read with it.
            if joined.contains(&start) {
                continue;
            }
            if journal
                && line.contains_str(partial::IN_ENTRIES)
                && let Some(places) = self.cut_entry(input, start..end, &mut known, out)
            {
                joined.extend(places);
            } else if repetition::WORDS.iter().any(|count| count.as_bytes() == words)
                && let Some(repetition) = Repetition::read(line)
            {
                self.repetition(input, start, &repetition, out);
            } else if self.search.is_candidate(&lines[start..found.start()], words, line, journal) {
                self.candidate(input, start, line, journal, out);
            }
        }
        range.end
    }

    fn candidate(
        &mut self,
        input: &BlockInput<'_>,
        start: usize,
        line: &[u8],
        journal: bool,
        out: &mut Vec<u8>,
    ) {
        self.stats.candidates += 1;
        let read = if line.len() > MAX_CANDIDATE {
            Err(TOO_LONG)
        } else if journal && !docker::is_line(line) {
            self.entry(line, input, out)
        } else {
            self.line(input, line, start, out)
        };
        if let Err(why) = read {
            self.reject(line, input, start, why);
        }
    }

    fn line(
        &mut self,
        input: &BlockInput<'_>,
        line: &[u8],
        start: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let text = docker::DockerLine::parse(line).map(|docker| docker.to_text());
        // Without an envelope it is unknown which program wrote the line.
        let envelope = envelope::open(text.as_deref().unwrap_or(line)).ok_or(NO_ENVELOPE)?;
        let header = LineHeader {
            time: self.time(envelope.host, envelope.stamp, input, start),
            server: envelope.host.map(clean),
            program: clean(envelope.program),
            pid: envelope.pid,
            repeated: envelope.repeated,
            pos: input.pos(start),
        };
        self.message(header, envelope.message, out)
    }

    /// When a line was written, by the clock of its server.
    fn time<'s>(
        &mut self,
        server: Option<&[u8]>,
        stamp: Option<&'s [u8]>,
        input: &BlockInput<'_>,
        start: usize,
    ) -> Option<LineTime<'s>> {
        let zone = self.server_zones.iter().find(|it| server.is_some_and(|name| it.is_of(name)));
        let Some(zone) = zone else { return input.time(&mut self.last_hour, stamp, start) };
        let input = BlockInput { clock: input.clock.in_zone(zone.zone), ..*input };
        input.time(&mut LastHour::default(), stamp, start)
    }

    fn entry(
        &mut self,
        line: &[u8],
        input: &BlockInput<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let entry = JournalEntry::parse(line).ok_or("not a journal entry")?;
        let Some(message) = entry.message().filter(|_| !entry.is_later_part()) else {
            let program = clean(&entry.program().unwrap_or_default()).into_owned();
            let is_hidden = !entry.is_later_part() && self.is_of_a_server(&program);
            return if is_hidden { Err(IS_HIDDEN) } else { Ok(()) };
        };
        self.entry_message(&entry, &message, input, out)
    }

    fn entry_message(
        &mut self,
        entry: &JournalEntry,
        message: &[u8],
        input: &BlockInput<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        // Some entries do not name their program.
        let program = entry.program().unwrap_or_default();
        let host = entry.host();
        let mut header = LineHeader {
            time: entry.date(self.zone).map(|date| LineTime { date, assumed_at: None }),
            server: host.as_deref().map(clean),
            program: clean(&program),
            pid: entry.pid(),
            repeated: 1,
            pos: input.place.segment.and_then(|_| entry.pos()),
        };
        let mut text = message;
        if let Some(inner) = envelope::open_message(&program, message, entry.is_container()) {
            header.server = inner.host.map(clean).or(header.server);
            header.program = clean(inner.program);
            (header.pid, header.repeated) = (inner.pid, inner.repeated);
            text = inner.message;
        }
        self.message(header, text, out)
    }

    /// Appends the record of a message if it is an attempt with one of the outcomes.
    fn message(
        &mut self,
        mut header: LineHeader<'_>,
        message: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        if message.starts_with(b"[") && message.ends_with(BLOB.as_bytes()) {
            let is_hidden = self.is_of_a_server(&header.program);
            return if is_hidden { Err(IS_HIDDEN) } else { skip(message) };
        }
        let Some(daemon) = Daemon::of(&header.program, message) else {
            let is_attempt = self.daemons.iter().any(|daemon| daemon.is_likely(message))
                // If the program is in an unusual place, `program` is the level, perhaps with JSON
                // before it.
                || (header.program.ends_with("warning") && looks_like_postfix(message));
            return if is_attempt { Err(NOT_ITS_PROGRAM) } else { skip(message) };
        };
        if !self.daemons.contains(&daemon) {
            return skip(message);
        }
        let forms: &[_] = match daemon {
            Daemon::Postfix => &POSTFIX,
            Daemon::Dovecot => &DOVECOT,
        };
        let Some(pieces) = grammar::pieces(message, forms) else {
            let looks_like_one = match daemon {
                Daemon::Postfix => looks_like_postfix(message),
                Daemon::Dovecot => !dovecot::has_no_attempt(message),
            };
            return if looks_like_one { Err(NOT_ITS_FORM) } else { skip(message) };
        };
        if !self.outcomes.contains(&pieces.outcome) {
            if self.with_stats && pieces.outcome == Outcome::Error {
                let mechanism = pieces.mechanism.map(grammar::mechanism);
                self.stats.event(pieces.outcome, mechanism.as_deref());
            }
            return Ok(());
        }
        let LineTime { date, assumed_at } = header.time.take().ok_or(NO_DATE)?;
        let record = self.record(date, header, &pieces);
        if self.ignores(&record) {
            self.stats.ignored += 1;
            return Ok(());
        }
        if self.with_stats {
            self.stats.event(record.outcome, record.mechanism.as_deref());
        }
        if let Some(offset) = assumed_at {
            let year = record.date.at().year();
            if self.assumed_years.iter().all(|known| known.year != year) {
                self.assumed_years.push(AssumedYear { year, offset });
            }
            if self.require_year {
                return Ok(());
            }
        }
        record.write_line(out);
        Ok(())
    }

    /// Whether `program` is one of the programs that log attempts. If journalctl has left out the
    /// message, only the program shows that the entry may be an attempt.
    fn is_of_a_server(&self, program: &str) -> bool {
        self.daemons.iter().any(|daemon| match daemon {
            Daemon::Postfix => program.ends_with("smtpd"),
            Daemon::Dovecot => program.starts_with("dovecot"),
        })
    }

    fn record<'a>(
        &self,
        date: Timestamp<'a>,
        header: LineHeader<'a>,
        pieces: &Pieces<'a>,
    ) -> Auth<'a> {
        let service = match pieces.process {
            // A log file that Dovecot writes itself names only the process.
            Some(process) if process == header.program => Cow::Owned(format!("dovecot/{process}")),
            Some(process) => Cow::Owned(format!("{}/{process}", header.program)),
            None => header.program,
        };
        Auth {
            date,
            server: header.server.or_else(|| self.server.clone().map(Cow::Owned)),
            service: Some(service),
            pid: header.pid,
            outcome: pieces.outcome,
            attempts: pieces.attempts.saturating_mul(header.repeated),
            mechanism: pieces.mechanism.map(grammar::mechanism),
            ip: pieces.ip,
            port: pieces.port,
            client: pieces.client.map(clean),
            user: pieces.user.map(clean),
            reason: pieces.reason.map(clean),
            queue_id: pieces.queue_id.map(Cow::Borrowed),
            pos: header.pos.map(Cow::Owned),
            enrichment: None,
        }
    }

    fn ignores(&self, record: &Auth<'_>) -> bool {
        record.ip.is_some_and(|ip| self.ignore_nets.iter().any(|net| net.contains(&ip)))
            || record
                .user
                .as_deref()
                .is_some_and(|user| self.ignore_users.iter().any(|ignored| ignored == user))
    }

    fn reject(&mut self, line: &[u8], input: &BlockInput<'_>, start: usize, why: &'static str) {
        self.stats.unparsable += 1;
        self.unreadable.push(UnreadableLine {
            source: source_of(input.place.segment).to_owned(),
            offset: input.place.offset + start as u64,
            why,
            line: line.to_vec(),
        });
    }

    /// The lines that could not be read since the last call.
    pub(crate) fn take_unreadable(&mut self) -> Vec<UnreadableLine> {
        std::mem::take(&mut self.unreadable)
    }

    /// The years that were assumed since the last call.
    pub(crate) fn take_assumed_years(&mut self) -> Vec<AssumedYear> {
        std::mem::take(&mut self.assumed_years)
    }

    /// The counts so far.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// The largest length of a line to read. Lines of syslog have at most a few thousand bytes. A limit
/// is necessary, because one byte of a line can become three bytes of JSON, and the length of a
/// record is limited.
const MAX_CANDIDATE: usize = MAX_JOINED;

/// How much later a stamp may be than the last change of its log. Other machines write to the log,
/// too. Their clocks may be fast or in another zone, and zones are up to 26 hours apart (UTC-12 to
/// UTC+14). Without this margin, a line with such a stamp would get a date that is a year too
/// early, and no digest would count the line. The disadvantage: if a log contains a whole year, the
/// lines of its first 26 hours get a date that is a year too late.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::hours(26);

const NO_ENVELOPE: &str = "there is no readable time stamp and program before the message; if grep \
    has put file names in front, use grep -h; if the names of months are not English, write the \
    log with LC_ALL=C (LC_ALL=C journalctl …)";

const TOO_LONG: &str = "longer than any line of a mail server";

const IS_HIDDEN: &str =
    "journalctl has left out the message: use journalctl -o json --all, or mls-tail --journal";

const NO_DATE: &str = "the time stamp is missing or is not a time";

const NOT_ITS_PROGRAM: &str =
    "the message looks like a login attempt, but its program is not a mail server";

const NOT_ITS_FORM: &str = "the message does not have a known format";

/// Whether a message of Postfix's server begins like an attempt: only words that end in a colon,
/// and a client, come before `: SASL `. Other messages can quote `: SASL ` from a client, but have
/// other words before the quotation.
fn looks_like_postfix(message: &[u8]) -> bool {
    message.split_once_str(": SASL ").is_some_and(|(front, _)| {
        let words = front.rsplit_once_str(" ").map_or(&b""[..], |(words, _client)| words);
        words.is_empty() || words.split_str(" ").all(|word| word.ends_with(b":"))
    })
}

/// For debugging, logs a line that has the words of an attempt but is not an attempt.
#[expect(clippy::unnecessary_wraps, reason = "its callers return what it returns")]
fn skip(message: &[u8]) -> Result<(), &'static str> {
    log::debug!("not an attempt: {}", String::from_utf8_lossy(message));
    Ok(())
}
