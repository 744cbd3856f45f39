//! Reads alert records and sends mails about them.
//!
//! The first alert is mailed at once. Later alerts wait until `--alert-interval` has passed since
//! the last mail, and the next mail reports all of them. A suspicious login waits only for the
//! interval after the last mail about a suspicious login. The ledger contains the alerts that wait.
//! If the input ends or this process dies, the next run mails these alerts.

use std::io::{BufRead, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::{DateTime, Local, TimeDelta};
use mls_diag::{Exit, OrExit, count};
use mls_event::{MAX_LINE, Record};
use mls_state::alerted::Alerted;
use mls_stream::signals;
use mls_stream::unreadable::NOT_ALERTS;

use crate::ledger::Ledger;
use crate::mailer::Mailer;

/// How long to wait for more alerts, so that simultaneous alerts are in one mail.
const QUIET: Duration = Duration::from_millis(300);

/// The longest wait for more alerts.
const MAX_QUIET: Duration = Duration::from_secs(1);

/// If the server has not accepted a mail, the time until the next try.
const RETRY: TimeDelta = TimeDelta::minutes(1);

/// The largest number of lines that wait while a mail is delivered.
const MAX_LINES_AHEAD: usize = 1000;

/// Mails the alerts of `input` until it ends.
pub(crate) fn run(
    input: impl BufRead + Send + 'static,
    mailer: &Mailer,
    mut ledger: Ledger,
    interval: TimeDelta,
) -> anyhow::Result<()> {
    let alerted = Alerted::from_cursor(ledger.cursor().clone())
        .with_context(|| {
            let path = ledger.path.display();
            format!("{path} is not a ledger of alerts; give another file with --ledger")
        })
        .or_exit(Exit::Config)?;
    let (send, lines) = sync_channel(MAX_LINES_AHEAD);
    std::thread::spawn(move || read_lines(input, &send));
    let mut result = mailer.deliver_waiting(&mut ledger)?.into_result();
    let (is_open, tried) = (false, Local::now());
    let mut collector =
        Collector { mailer, ledger, alerted, interval, is_open, tried, taken: 0, mails: 0 };
    loop {
        let (is_end, has_alerts) = collector.collect(&lines)?;
        if has_alerts {
            collector.commit()?;
        }
        if collector.is_due() {
            result = collector.mail()?;
        }
        if is_end {
            collector.report();
            if collector.is_open {
                return Err(Exit::TempFail.error(mls_stream::sink::CUT_OFF));
            }
            return result;
        }
        if let Err(error) = &result {
            log::warn!("{error:#}");
        }
    }
}

struct Collector<'a> {
    mailer: &'a Mailer,
    ledger: Ledger,
    alerted: Alerted,
    interval: TimeDelta,
    /// Whether `begin` of a framed stream was read, and `end` was not.
    is_open: bool,
    /// The time of the last try to deliver.
    tried: DateTime<Local>,
    /// The number of alerts read, and the number of mails about them.
    taken: u64,
    mails: u64,
}

impl Collector<'_> {
    /// Reads lines until there is something to do. Returns whether the input has ended, and whether
    /// there was an alert.
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

    /// Reads a line. Returns whether it is an alert.
    fn take(&mut self, line: &[u8]) -> anyhow::Result<bool> {
        match Record::parse(line) {
            Ok(Record::Begin(begin)) => {
                self.ledger.check_base(begin.base)?;
                self.is_open = true;
                signals::drain_until_end_of_input();
                // Store now the time from which suspicious logins are reported: it must not depend
                // on the time of the first alert.
                if self.alerted.begin(chrono::Utc::now().timestamp()) {
                    self.commit()?;
                }
            }
            Ok(Record::End(_)) => self.is_open = false,
            Ok(Record::Alert(alert)) => {
                self.alerted.record(&alert);
                self.ledger.alerts().add(&alert);
                self.taken += 1;
                return Ok(true);
            }
            Ok(Record::Auth(_)) => return Err(Exit::DataErr.error(NOT_ALERTS)),
            Ok(_) => {}
            Err(why) => mls_diag::diag::bad_record("stdin", why),
        }
        Ok(false)
    }

    /// Stores the new alerts on disk.
    fn commit(&mut self) -> anyhow::Result<()> {
        self.alerted.forget_old(chrono::Utc::now().timestamp());
        self.ledger.commit(self.alerted.to_cursor())
    }

    /// The time until there is something to mail; `None` if nothing waits.
    fn due_in(&mut self) -> Option<Duration> {
        let next = if self.ledger.waiting().is_empty() {
            self.ledger.alerts().due(self.interval)?
        } else {
            self.tried + RETRY
        };
        Some((next - Local::now()).to_std().unwrap_or_default())
    }

    fn is_due(&mut self) -> bool {
        self.due_in().is_some_and(|wait| wait.is_zero())
    }

    /// Delivers the waiting mails, then a mail about the new alerts. The inner result says whether
    /// the server accepted the mails. Fails if the ledger cannot accept the mail. In this case,
    /// only the ledger on disk has the alerts, so the caller must not write the ledger again.
    fn mail(&mut self) -> anyhow::Result<anyhow::Result<()>> {
        self.tried = Local::now();
        if let Err(error) = self.deliver_waiting() {
            return Ok(Err(error));
        }
        let due = self.ledger.alerts().due(self.interval);
        if due.is_none_or(|due| due > Local::now()) {
            return Ok(Ok(()));
        }
        let alerts = self.ledger.alerts().take();
        let mut message =
            self.mailer.plain(&alerts.subject(&self.mailer.machine), &alerts.body())?;
        self.mailer.accept(&mut self.ledger, &mut message, true)?;
        self.mails += 1;
        Ok(self.deliver_waiting())
    }

    fn report(&mut self) {
        let wait = self.ledger.alerts().len();
        log::debug!(
            "read {} and made {} about them; {} for the next mail",
            count(self.taken, "alert", "alerts"),
            count(self.mails, "mail", "mails"),
            count(wait, "alert waits", "alerts wait"),
        );
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
                Err(Exit::DataErr.error(format!("stdin: a line is longer than {MAX_LINE} bytes")))
            }
            Ok(_) => Ok(line),
            Err(error) => Err(error).context("reading stdin").or_exit(Exit::IoErr),
        };
        if lines.send(line).is_err() {
            return;
        }
    }
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
            ledger: Ledger::open(&path, "").unwrap(),
            alerted: Alerted::default(),
            interval: TimeDelta::zero(),
            is_open: false,
            tried: Local::now(),
            taken: 0,
            mails: 0,
        };
        // Because of this link, the directory of the queue cannot be created.
        let queue = directory.path().join("alerts.ledger.queue");
        std::os::unix::fs::symlink("nowhere", &queue).unwrap();
        let alert = r#"{"v":1,"type":"alert","date":"2026-06-01T10:30:00+02:00","kind":"ip","key":"192.0.2.1","attempts":20}"#;
        assert!(collector.take(alert.as_bytes()).unwrap());
        collector.commit().unwrap();
        assert!(collector.mail().is_err());
        drop(collector);
        assert_eq!(Ledger::open(&path, "").unwrap().alerts().len(), 1);
    }
}
