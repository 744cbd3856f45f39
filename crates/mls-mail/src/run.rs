//! Reads arguments and standard input, and sends mail.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use chrono::{Local, TimeDelta};
use mls_config::Config;
use mls_config::config::Paths;
use mls_diag::{Exit, OrExit};
use mls_machine::Machine;
use mls_stream::input::warn_if_terminal;
use mls_stream::ndjson::Writer;

use crate::Args;
use crate::alerts;
use crate::ledger::Ledger;
use crate::mailer::Mailer;
use crate::message::Message;

/// The largest message in bytes.
const MAX_MESSAGE: u64 = 32 << 20;

/// While a message waits, mls-mail accepts a new digest only if the last digest was accepted at
/// least this long ago. Most digests cover a day.
const PATIENCE: TimeDelta = TimeDelta::hours(20);

/// Runs the tool.
///
/// # Errors
/// Exit 65 if the input is not a message, 69 if the server refuses the mail, 75 if the mail could
/// not be delivered yet, the input is cut off or another process uses the ledger, 78 if the
/// configuration names no recipient or the ledger is damaged.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let timeout = Duration::from_secs(args.smtp_timeout.into());
    let Config { report, paths, .. } = config;
    let mailer = Mailer::new(&report, Machine::this().name, timeout)?;
    let says_what_it_did = !args.dry_run;
    let result = work(args, &paths, &mailer);
    if says_what_it_did {
        mailer.summarize();
    }
    result
}

fn work(args: Args, paths: &Paths, mailer: &Mailer) -> anyhow::Result<()> {
    if args.test {
        return test(mailer, args.dry_run);
    }
    warn_if_terminal();
    let mut stdin = BufReader::new(io::stdin());
    let head = stdin.fill_buf().context("reading stdin").or_exit(Exit::IoErr)?;
    let is_records = head.starts_with(b"{");
    if args.dry_run {
        if is_records {
            return Err(Exit::Usage.error("--dry-run needs a message, not alert records"));
        }
        return print(mailer, read_message(stdin)?);
    }
    let default = if is_records { "alerts.ledger" } else { "mail.ledger" };
    let path: PathBuf = args
        .ledger
        .or_else(|| paths.in_state_dir(default))
        .ok_or_else(|| Exit::Usage.error("no ledger file is named: give --ledger or --config"))?;
    let removed = if is_records {
        "mls-alert reports the alerts of the last day again"
    } else {
        "the next digest begins at the first row of the newest CSV"
    };
    let mut ledger = Ledger::open(&path, removed)?;
    if is_records {
        let interval = TimeDelta::seconds(args.alert_interval.into());
        return alerts::run(stdin, mailer, ledger, interval);
    }
    if head.is_empty() {
        log::info!("standard input is empty; only messages that wait are delivered");
        return mailer.deliver_waiting(&mut ledger)?.into_result();
    }
    send(mailer, &mut ledger, read_message(stdin)?)
}

fn send(mailer: &Mailer, ledger: &mut Ledger, message: Message) -> anyhow::Result<()> {
    let waiting = mailer.deliver_waiting(ledger)?;
    let is_digest = message.cursor()?.is_some();
    // If one recipient cannot be reached, the other recipients still get the next digest at the
    // usual time. After a few minutes, systemd starts a failed run again. The new run must not send
    // a digest of these minutes. A digest that is not accepted commits nothing, so the next digest
    // has its attempts.
    let is_early = ledger.last_commit().is_some_and(|last| Local::now() - last < PATIENCE);
    match waiting.error {
        Some(error) if is_digest && (!waiting.has_answered || is_early) => Err(error),
        Some(error) => mailer.accept_and_deliver(ledger, message).and(Err(error)),
        None => mailer.accept_and_deliver(ledger, message),
    }
}

fn read_message(stdin: impl Read) -> anyhow::Result<Message> {
    let mut text = Vec::new();
    let mut stdin = stdin.take(MAX_MESSAGE + 1);
    stdin.read_to_end(&mut text).context("reading stdin").or_exit(Exit::IoErr)?;
    if text.len() as u64 > MAX_MESSAGE {
        return Err(
            Exit::DataErr.error(format!("stdin: the message is longer than {MAX_MESSAGE} bytes"))
        );
    }
    let message = Message::parse(&text).context("stdin")?;
    if message.get("Subject").is_none() {
        return Err(Exit::DataErr.error(
            "stdin is not a message, because it has no subject: a message begins with fields such as \
             Subject: hello, and a blank line ends them",
        ));
    }
    Ok(message)
}

fn print(mailer: &Mailer, mut message: Message) -> anyhow::Result<()> {
    mailer.complete(&mut message);
    let mut out = Writer::stdout()?;
    out.with(|buffer| buffer.extend_from_slice(&message.to_bytes()))?;
    out.flush()
}

fn test(mailer: &Mailer, dry_run: bool) -> anyhow::Result<()> {
    let machine = &mailer.machine;
    let text = format!(
        "This is a test of mls-mail on {machine} at {}.\n\nIf you can read this mail, digests will reach you.\n",
        Local::now().to_rfc3339()
    );
    let mut message = mailer.plain(&format!("test mail from {machine}"), &text)?;
    if dry_run {
        return print(mailer, message);
    }
    mailer.complete(&mut message);
    mailer.deliver_at_once(&message)
}
