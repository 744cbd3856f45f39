//! Alert records in, mails about them out.
//!
//! The first alert is mailed at once. Until the interval since that mail is over, further ones are collected; then one mail
//! has all of them. What was not mailed when the input ends, or when this process dies, is in the ledger, and the next run
//! mails it.

use std::io::{BufRead, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Local, TimeDelta};
use mls_diag::{Exit, OrExit};
use mls_event::{Alert, AlertKind, MAX_LINE, Record, display_text};
use mls_state::alerted::Alerted;

use crate::ledger::{AlertBacklog, Ledger};
use crate::mailer::Mailer;

/// How many alerts a mail lists.
const MAX_LISTED: usize = 1000;

/// How long to wait for more alerts, so that those of one moment are in one mail.
const QUIET: Duration = Duration::from_millis(300);

/// The longest wait of this kind.
const MAX_QUIET: Duration = Duration::from_secs(1);

/// How soon a mail is tried again that the server did not take.
const RETRY: TimeDelta = TimeDelta::minutes(1);

/// How many lines may wait while a mail is being delivered.
const MAX_LINES_AHEAD: usize = 1000;

/// How long alerts are remembered, in seconds: longer than any threshold.
const KEEP: i64 = 31 * 86400;

/// Mails the alerts of `input` until it ends.
pub(crate) fn run(
    input: impl BufRead + Send + 'static,
    mailer: &Mailer,
    mut ledger: Ledger,
    interval: TimeDelta,
) -> anyhow::Result<()> {
    let alerted = Alerted::from_cursor(ledger.cursor().clone())
        .context("the ledger does not hold what has alerted: use another --ledger")
        .or_exit(Exit::Config)?;
    let (send, lines) = sync_channel(MAX_LINES_AHEAD);
    std::thread::spawn(move || read_lines(input, &send));
    let mut result = mailer.deliver_waiting(&mut ledger)?.into_result();
    let (stream, tried) = (Stream::Unknown, Local::now());
    let mut collector = Collector { mailer, ledger, alerted, interval, stream, tried };
    loop {
        let (is_end, has_alerts) = collector.collect(&lines)?;
        if has_alerts {
            collector.commit()?;
        }
        if collector.is_due() {
            result = collector.mail()?;
        }
        if is_end {
            return collector.stream.check_end().and(result);
        }
        if let Err(error) = &result {
            log::warn!("{error:#}");
        }
    }
}

/// Where the lines of a stream stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Unknown,
    /// `begin` was read, and `end` was not.
    Framed,
    Ended,
}

impl Stream {
    fn check_end(self) -> anyhow::Result<()> {
        match self {
            Self::Framed => Err(Exit::TempFail.error(mls_stream::sink::CUT_OFF)),
            Self::Unknown | Self::Ended => Ok(()),
        }
    }
}

struct Collector<'a> {
    mailer: &'a Mailer,
    ledger: Ledger,
    alerted: Alerted,
    interval: TimeDelta,
    stream: Stream,
    /// When delivering was tried last.
    tried: DateTime<Local>,
}

impl Collector<'_> {
    /// Takes the lines that arrive until there is something to do: whether the input has ended, and whether there was an alert.
    fn collect(
        &mut self,
        lines: &Receiver<anyhow::Result<Vec<u8>>>,
    ) -> anyhow::Result<(bool, bool)> {
        let due = self.due_in().map(|wait| Instant::now() + wait);
        let mut first_alert: Option<Instant> = None;
        loop {
            let until = first_alert.map(|first| (first + MAX_QUIET).min(Instant::now() + QUIET));
            let line =
                match until.or(due).map(|until| until.saturating_duration_since(Instant::now())) {
                    Some(Duration::ZERO) => Err(RecvTimeoutError::Timeout),
                    Some(wait) => lines.recv_timeout(wait),
                    None => lines.recv().map_err(|_| RecvTimeoutError::Disconnected),
                };
            match line {
                Ok(line) => {
                    if self.take(&line?)? {
                        first_alert.get_or_insert_with(Instant::now);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok((false, first_alert.is_some())),
                Err(RecvTimeoutError::Disconnected) => return Ok((true, first_alert.is_some())),
            }
        }
    }

    /// Takes a line; true if it is an alert.
    fn take(&mut self, line: &[u8]) -> anyhow::Result<bool> {
        match Record::parse(line) {
            Ok(Record::Begin(begin)) => {
                self.ledger.check_base(begin.base)?;
                self.stream = Stream::Framed;
            }
            Ok(Record::End(_)) => self.stream = Stream::Ended,
            Ok(Record::Alert(alert)) => {
                self.add(&alert);
                return Ok(true);
            }
            Ok(_) => {}
            Err(why) => mls_diag::diag::bad_record("stdin", why),
        }
        Ok(false)
    }

    fn add(&mut self, alert: &Alert<'_>) {
        let key = alert.key.as_deref().unwrap_or_default();
        self.alerted.record(alert.kind.name(), key, alert.date.at().timestamp());
        let backlog = self.ledger.alerts();
        if backlog.lines.len() < MAX_LISTED {
            backlog.lines.push(sentence(alert));
        } else {
            backlog.more += 1;
        }
        backlog.suspicious += u64::from(is_suspicious_login(alert.kind));
    }

    /// Makes the alerts so far durable.
    fn commit(&mut self) -> anyhow::Result<()> {
        self.alerted.forget_before(chrono::Utc::now().timestamp() - KEEP);
        self.ledger.commit(self.alerted.to_cursor())
    }

    /// How long until there is something to mail; `None` if nothing waits.
    fn due_in(&mut self) -> Option<Duration> {
        let next = if !self.ledger.waiting().is_empty() {
            self.tried + RETRY
        } else if self.ledger.alerts().is_empty() {
            return None;
        } else {
            self.ledger.alerts().mailed.map_or_else(Local::now, |mailed| mailed + self.interval)
        };
        Some((next - Local::now()).to_std().unwrap_or_default())
    }

    fn is_due(&mut self) -> bool {
        self.due_in().is_some_and(|wait| wait.is_zero())
    }

    /// Delivers what waits, then a mail about the alerts that no mail has yet; the inner result is that of the mail server.
    ///
    /// # Errors
    /// If the mail cannot be accepted. The ledger on disk still has its alerts, and this process must not replace them.
    fn mail(&mut self) -> anyhow::Result<anyhow::Result<()>> {
        self.tried = Local::now();
        if let Err(error) = self.deliver_waiting() {
            return Ok(Err(error));
        }
        let backlog = self.ledger.alerts();
        let is_early = backlog.mailed.is_some_and(|mailed| Local::now() - mailed < self.interval);
        if backlog.is_empty() || is_early {
            return Ok(Ok(()));
        }
        let alerts = std::mem::take(backlog);
        backlog.mailed = Some(Local::now());
        let mut message =
            self.mailer.plain(&subject(&alerts, self.mailer.machine()), &body(&alerts))?;
        self.mailer.accept(&mut self.ledger, &mut message, true)?;
        Ok(self.deliver_waiting())
    }

    fn deliver_waiting(&mut self) -> anyhow::Result<()> {
        self.mailer.deliver_waiting(&mut self.ledger)?.into_result()
    }
}

fn read_lines(input: impl BufRead, lines: &SyncSender<anyhow::Result<Vec<u8>>>) {
    let mut input = input;
    loop {
        let mut line = Vec::new();
        let read = input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut line);
        let line = match read {
            Ok(0) => return,
            Ok(n) if n > MAX_LINE => {
                Err(Exit::DataErr.error(format!("stdin: a line of more than {MAX_LINE} bytes")))
            }
            Ok(_) => Ok(line),
            Err(error) => Err(error).context("reading stdin").or_exit(Exit::IoErr),
        };
        if lines.send(line).is_err() {
            return;
        }
    }
}

fn is_suspicious_login(kind: AlertKind) -> bool {
    !matches!(kind, AlertKind::Ip | AlertKind::User | AlertKind::Total)
}

/// `20 failed logins from 192.0.2.1 (20/10m) at 2026-06-01T10:30:00+02:00`
fn sentence(alert: &Alert<'_>) -> String {
    if let Some(evidence) = alert.evidence.as_deref().filter(|_| is_suspicious_login(alert.kind)) {
        return display_text(evidence).into_owned();
    }
    let key = display_text(alert.key.as_deref().unwrap_or("an unknown one")).into_owned();
    let key = match alert.kind {
        AlertKind::Ip => format!("from {key}"),
        AlertKind::User => format!("on {key}"),
        AlertKind::Total => "in total".to_owned(),
        _ => return format!("suspicious login of {key} at {}", alert.date),
    };
    let attempts = alert.attempts.unwrap_or_default();
    let threshold = display_text(alert.threshold.as_deref().unwrap_or("no threshold"));
    format!("{attempts} failed logins {key} ({threshold}) at {}", alert.date)
}

fn subject(alerts: &AlertBacklog, machine: &str) -> String {
    match (alerts.lines.len() as u64 + alerts.more, alerts.suspicious) {
        (1, _) => format!("alert: {}", alerts.lines[0]),
        (n, 0) => format!("{n} alerts from {machine}"),
        (n, logins) => format!("{logins} suspicious logins among {n} alerts from {machine}"),
    }
}

fn body(alerts: &AlertBacklog) -> String {
    let more = format!("and {} more: mls-alert prints all of them", alerts.more);
    let lines = alerts.lines.iter().map(String::as_str).chain((alerts.more > 0).then_some(&*more));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use mls_config::config::Report;

    use super::*;

    #[test]
    fn alerts_whose_mail_cannot_be_queued_stay_in_the_ledger_and_end_the_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alerts.ledger");
        let settings = Report {
            email: vec!["a@example.com".to_owned()],
            sender_override: Some("b@example.com".to_owned()),
            ..Report::default()
        };
        let mailer = Mailer::new(&settings, "mail".to_owned(), Duration::from_secs(1)).unwrap();
        let mut collector = Collector {
            mailer: &mailer,
            ledger: Ledger::open(&path).unwrap(),
            alerted: Alerted::default(),
            interval: TimeDelta::zero(),
            stream: Stream::Unknown,
            tried: Local::now(),
        };
        // No directory can be made in its place.
        let queue = directory.path().join("alerts.ledger.queue");
        std::os::unix::fs::symlink("nowhere", &queue).unwrap();
        let alert = r#"{"v":1,"type":"alert","date":"2026-06-01T10:30:00+02:00","kind":"ip","key":"192.0.2.1","attempts":20}"#;
        assert!(collector.take(alert.as_bytes()).unwrap());
        collector.commit().unwrap();
        assert!(collector.mail().is_err());
        drop(collector);
        assert_eq!(Ledger::open(&path).unwrap().alerts().lines.len(), 1);
    }
}
