//! Reads the arguments and writes the records.

use std::time::Instant;

use chrono::{DateTime, FixedOffset, Utc};
use mls_attempts::{AttemptSource, ReadOptions};
use mls_config::Config;
use mls_config::config::Alert as Settings;
use mls_diag::Exit;
use mls_state::alerted::{Alerted, FIRST_LOOK_BACK};
use mls_stream::ndjson::Writer;
use mls_stream::signals;

use crate::Args;
use crate::cursor::AlertCursor;
use crate::detector::AlertDetector;
use crate::follow;
use crate::output::{AlertWriter, Counts};
use crate::pass::{Late, Pass, PassCheckpoint};
use crate::source::AlertInputs;
use crate::suspicious::{Suspicious, horizon};
use crate::thresholds::Thresholds;

const NOTHING_TO_LOOK_FOR: &str = "there is no threshold and no file of logins: give --ip 20/10m or --logins FILE, or set ip in [alert] or record = yes in [logins] of the configuration";

/// Runs the tool.
///
/// # Errors
/// Exit 64 without a threshold and without logins, 66 or 77 if a file cannot be opened, 74 if
/// reading or writing fails, 75 if another process uses the cursor file or the stream stops before
/// its `end`, 78 if the cursor file is damaged.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let sources = AlertInputs::open(&args, &config)?;
    let is_stdin = matches!(sources.failures, AttemptSource::Stdin);
    if args.follow && is_stdin {
        return Err(Exit::Usage
            .error("--follow needs a FILE or --config; standard input is always read to its end"));
    }
    let cursor = cursor(&args, &config, is_stdin)?;
    let mut alerted =
        cursor.as_ref().map_or_else(|| Ok(Alerted::default()), AlertCursor::alerted)?;
    let is_first = cursor.is_some() && alerted.begin(Utc::now().timestamp());
    let thresholds = Settings {
        ip: args.ip.or(config.alert.ip),
        user: args.user.or(config.alert.user),
        total: args.total.or(config.alert.total),
        by_server: args.by_server || config.alert.by_server,
    };
    let has_thresholds = Thresholds::new(&thresholds).longest().is_some();
    if !has_thresholds && !sources.may_hold_logins {
        return Err(Exit::Usage.error(NOTHING_TO_LOOK_FOR));
    }
    let output = AlertWriter::new(Writer::stdout()?, cursor, alerted, is_first);
    let counts = AlertRun { args, config, thresholds }.run(sources, output)?;
    if !has_thresholds && counts.logins == 0 && is_stdin {
        return Err(Exit::Usage.error(NOTHING_TO_LOOK_FOR));
    }
    counts.report();
    Ok(())
}

fn cursor(args: &Args, config: &Config, is_stdin: bool) -> anyhow::Result<Option<AlertCursor>> {
    let default = if args.framed { "alerts.ledger" } else { "alerts.cursor" };
    // Standard input cannot be read again. So its alerts are remembered only with --cursor-file or
    // --framed.
    let is_remembered = args.framed || !is_stdin;
    let of_config = config.paths.state_dir.as_ref().filter(|_| is_remembered);
    let path =
        args.cursor_file.clone().or_else(|| of_config.map(|directory| directory.join(default)));
    if args.framed && path.is_none() {
        return Err(Exit::Usage.error("--framed needs --cursor-file or --config"));
    }
    path.map(|path| AlertCursor::open(path, args.framed)).transpose()
}

struct AlertRun {
    args: Args,
    config: Config,
    thresholds: Settings,
}

impl AlertRun {
    /// Runs one pass over the inputs. With `--follow`, runs another pass when there is new data.
    fn run(&self, mut sources: AlertInputs, mut output: AlertWriter) -> anyhow::Result<Counts> {
        let stop = self.args.follow.then(signals::termination).transpose()?;
        output.begin()?;
        let mut last = None;
        let read = loop {
            let (begun, progress) = (Instant::now(), sources.progress.clone());
            let read = self.look(sources, last, &mut output);
            let (Some(stop), true) = (&stop, read.is_ok()) else { break read.map(drop) };
            last = read?;
            // Pause as long as the pass took, so that passes take at most half of the time.
            let pause = begun.elapsed();
            let is_new = || Ok(AlertInputs::progress(&self.args, &self.config)? != progress);
            if !follow::wait(stop, pause, &output, is_new)? {
                break Ok(());
            }
            sources = AlertInputs::open(&self.args, &self.config)?;
        };
        // Write the alerts even if the stream was cut off: no later run counts its attempts again.
        output.end()?;
        read.map(|()| output.counts)
    }

    /// Reads the data after the checkpoint `last`. If this is not possible, reads all data. Returns
    /// the next checkpoint.
    fn look(
        &self,
        mut sources: AlertInputs,
        last: Option<PassCheckpoint>,
        output: &mut AlertWriter,
    ) -> anyhow::Result<Option<PassCheckpoint>> {
        let zone = self.args.zone.timezone;
        let reading = ReadOptions { zone, servers: self.args.server.clone() };
        let thresholds = Thresholds::new(&self.thresholds);
        let rules = sources.may_hold_logins.then(|| Suspicious::new(&self.config.suspicious));
        let since = output.cursor.as_ref().map(|_| Utc::now().timestamp() - FIRST_LOOK_BACK);
        let detector = AlertDetector { zone, thresholds, suspicious: rules, since };
        let horizon = self.horizon(&detector);
        let newest = last.as_ref().map(|last| last.newest).unwrap_or_default();
        // If the horizon has changed, read all data again, because the rules remember attempts
        // before the new horizon. Thresholds forget old attempts themselves.
        let is_right =
            |last: &PassCheckpoint| detector.suspicious.is_none() || last.horizon == horizon;
        if let Some(mut last) = last.filter(is_right) {
            last.detector.since = since;
            let next = Pass::resume(reading.clone(), last, sources, output);
            match next {
                Err(error) if error.is::<Late>() => {}
                Ok(None) => {}
                next => return next,
            }
            sources = AlertInputs::open(&self.args, &self.config)?;
        }
        let sources = sources.since(horizon);
        let newest = self.args.follow.then_some(newest);
        Pass::new(reading, horizon, detector, sources.logins, newest, output)?
            .read(&sources.failures)
    }

    /// Attempts before this moment are ignored; `None` if no attempt is too old.
    fn horizon(&self, detector: &AlertDetector) -> Option<DateTime<FixedOffset>> {
        if detector.suspicious.is_some() {
            // Without a cursor file, suspicious logins of any age are reported.
            detector.since.and_then(|_| horizon(&self.config, self.args.zone.timezone))
        } else {
            let first = DateTime::from_timestamp(detector.first_counted()?, 0)?;
            Some(self.args.zone.timezone.show(&first))
        }
    }
}
