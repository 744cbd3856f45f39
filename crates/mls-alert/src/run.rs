//! From arguments to records, and what is remembered of them.

use std::cell::RefCell;

use chrono::{DateTime, FixedOffset, Utc};
use mls_attempts::{Attempt, AttemptSource, Clock, LoginReader};
use mls_config::Config;
use mls_config::config::Alert as Settings;
use mls_diag::{Exit, count, summary};
use mls_event::{Alert, Begin, End, Outcome};
use mls_state::alerted::FIRST_LOOK_BACK;
use mls_stream::ndjson::Writer;

use crate::Args;
use crate::cursor::AlertCursor;
use crate::detector::Detector;
use crate::source::Sources;
use crate::suspicious::{Suspicious, horizon};
use crate::thresholds::Thresholds;

const NOTHING_TO_LOOK_FOR: &str = "no threshold, and no logins: give --ip 20/10m or --logins FILE, or set [alert] or [logins] in the configuration";

/// Runs the tool.
///
/// # Errors
/// Exit 64 without a threshold and without logins, 66 or 77 if a file cannot be opened, 74 if reading or writing fails, 75 if
/// another process uses the cursor file or the stream stops before its `end`, 78 if the cursor file is damaged.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let mut sources = Sources::open(&args, &config)?;
    let cursor = cursor(&args, &config, &sources)?;
    let now = Utc::now().timestamp();
    let mut alerted =
        cursor.as_ref().map_or_else(|| Ok(Default::default()), AlertCursor::alerted)?;
    let is_first = cursor.is_some() && alerted.begin(now);
    let thresholds = Thresholds::new(&Settings {
        ip: args.ip.or(config.alert.ip),
        user: args.user.or(config.alert.user),
        total: args.total.or(config.alert.total),
    });
    let has_thresholds = thresholds.longest().is_some();
    if !has_thresholds && !sources.may_hold_logins {
        return Err(Exit::Usage.error(NOTHING_TO_LOOK_FOR));
    }
    let zone = args.timezone;
    let rules = sources.may_hold_logins.then(|| Suspicious::new(&config.suspicious, zone));
    let since = cursor.as_ref().map(|_| now - FIRST_LOOK_BACK);
    let detector = Detector { zone, thresholds, suspicious: rules, alerted, since };
    let horizon = match (&cursor, &detector.suspicious) {
        (None, _) => None,
        (Some(_), Some(_)) => horizon(&config, zone),
        (Some(_), None) => detector
            .first_counted()
            .and_then(|first| Some(zone.show(&DateTime::from_timestamp(first, 0)?))),
    };
    sources = sources.since(horizon);
    let mut out = Writer::stdout()?;
    if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.is_framed()) {
        out.record(&Begin { base: cursor.sequence })?;
    }
    let watch = Watch {
        clock: Clock::new(zone),
        horizon_text: horizon
            .map_or_else(String::new, |at| at.format("%Y-%m-%d %H:%M").to_string()),
        horizon,
        logins: sources.logins.map(|source| LoginReader::start(source, zone)).transpose()?,
        output: Output { detector, cursor, out, is_dirty: is_first, counts: Counts::default() },
    };
    let counts = watch.read(&sources.failures)?;
    if !has_thresholds && counts.logins == 0 && matches!(sources.failures, AttemptSource::Stdin) {
        return Err(Exit::Usage.error(NOTHING_TO_LOOK_FOR));
    }
    counts.report();
    Ok(())
}

fn cursor(args: &Args, config: &Config, sources: &Sources) -> anyhow::Result<Option<AlertCursor>> {
    let default = if args.framed { "alerts.ledger" } else { "alerts.cursor" };
    // Standard input is not read again: only a flag asks to remember what it held.
    let is_remembered = args.framed || !matches!(sources.failures, AttemptSource::Stdin);
    let of_config = config.paths.state_dir.as_ref().filter(|_| is_remembered);
    let path =
        args.cursor_file.clone().or_else(|| of_config.map(|directory| directory.join(default)));
    if args.framed && path.is_none() {
        return Err(Exit::Usage.error("--framed needs a --cursor-file, or a --config"));
    }
    path.map(|path| AlertCursor::open(path, args.framed)).transpose()
}

/// Reads failures, and between them the logins of a second input.
struct Watch {
    clock: Clock,
    /// Attempts from before this moment do not matter.
    horizon: Option<DateTime<FixedOffset>>,
    /// The same as dates of a CSV are written: comparing text is faster.
    horizon_text: String,
    logins: Option<LoginReader>,
    output: Output,
}

impl Watch {
    fn read(self, failures: &AttemptSource) -> anyhow::Result<Counts> {
        let zone = self.output.detector.zone;
        let watch = RefCell::new(self);
        let read = failures.follow(
            zone,
            |attempt, _| watch.borrow_mut().attempt(attempt),
            || watch.borrow_mut().output.commit(),
        );
        // A stream that was cut off has alerts all the same, and nobody counts its attempts again.
        let mut watch = watch.into_inner();
        watch.logins_before(None)?;
        let logins = watch.logins.map_or(Ok(()), |logins| logins.finish().map(drop));
        let mut output = watch.output;
        if output.cursor.as_ref().is_some_and(AlertCursor::is_framed) {
            output.out.record(&End {})?;
        }
        output.commit()?;
        read.and(logins)?;
        Ok(output.counts)
    }

    fn attempt(&mut self, attempt: &Attempt<'_>) -> anyhow::Result<()> {
        self.output.counts.add(attempt.outcome, attempt.attempts);
        if attempt.date < self.horizon_text.as_str() {
            return Ok(());
        }
        let Some(observation) = self.clock.observation(attempt) else { return Ok(()) };
        self.logins_before(Some(observation.at))?;
        let alerts = self.output.detector.attempt(attempt, &observation);
        self.output.write(&alerts)
    }

    fn logins_before(&mut self, end: Option<DateTime<FixedOffset>>) -> anyhow::Result<()> {
        let Self { logins: Some(logins), output, horizon, .. } = self else { return Ok(()) };
        while let Some(login) = logins.next_before(end) {
            output.counts.add(Outcome::Success, 1);
            if horizon.is_none_or(|horizon| login.observation.at >= horizon) {
                let alerts = output.detector.login(&login);
                output.write(&alerts)?;
            }
        }
        Ok(())
    }
}

/// Where alerts go.
struct Output {
    detector: Detector,
    cursor: Option<AlertCursor>,
    out: Writer,
    /// Whether there is something that the cursor file does not have.
    is_dirty: bool,
    counts: Counts,
}

impl Output {
    fn write(&mut self, alerts: &[Alert<'_>]) -> anyhow::Result<()> {
        for alert in alerts {
            self.out.record(alert)?;
            self.is_dirty = true;
            self.counts.alerts += 1;
            self.counts.suspicious += u64::from(alert.kind.is_suspicious_login());
        }
        Ok(())
    }

    /// Writes everything out, and remembers it unless the reader does.
    fn commit(&mut self) -> anyhow::Result<()> {
        self.out.flush()?;
        if let Some(cursor) =
            self.cursor.as_mut().filter(|cursor| self.is_dirty && !cursor.is_framed())
        {
            self.detector.alerted.forget_old(Utc::now().timestamp());
            cursor.store(&self.detector.alerted)?;
        }
        self.is_dirty = false;
        Ok(())
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    failures: u64,
    logins: u64,
    alerts: u64,
    suspicious: u64,
}

impl Counts {
    fn add(&mut self, outcome: Outcome, attempts: u64) {
        match outcome {
            Outcome::Failure => self.failures += attempts,
            Outcome::Success => self.logins += attempts,
            Outcome::Aborted | Outcome::Error => {}
        }
    }

    fn report(self) {
        summary(format_args!(
            "raised {}, {} of them about suspicious logins, in {} and {}",
            count(self.alerts, "alert", "alerts"),
            self.suspicious,
            count(self.failures, "failure", "failures"),
            count(self.logins, "login", "logins"),
        ));
    }
}
