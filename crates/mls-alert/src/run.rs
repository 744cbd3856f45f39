//! From arguments to records, and what is remembered of them.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_attempts::{Attempt, AttemptSource};
use mls_config::Config;
use mls_config::config::{Alert as Thresholds, Paths};
use mls_diag::{Exit, OrExit, count};
use mls_event::{Begin, End, Outcome};
use mls_state::alerted::Alerted;
use mls_state::cursor_file::{CursorFile, warn_if_missing};
use mls_state::lock::Lock;
use mls_stream::ndjson::Writer;

use crate::Args;
use crate::detector::Detector;

/// Runs the tool.
///
/// # Errors
/// Exit 64 without a threshold, 66 or 77 if FILE cannot be opened, 74 if reading or writing fails, 75 if another process
/// uses the cursor file or the stream stops before its `end`, 78 if the cursor file is damaged.
pub fn run(args: Args, config: Config) -> anyhow::Result<()> {
    let source = source(&args, &config.paths)?;
    let Config { alert, paths, .. } = config;
    let thresholds = Thresholds {
        ip: args.ip.or(alert.ip),
        user: args.user.or(alert.user),
        total: args.total.or(alert.total),
    };
    let default = if args.framed { "alerts.ledger" } else { "alerts.cursor" };
    // Standard input is not read again: only a flag asks to remember what it held.
    let is_remembered = args.framed || !matches!(source, AttemptSource::Stdin);
    let of_config = paths.state_dir.as_ref().filter(|_| is_remembered);
    let path = args.cursor_file.or_else(|| of_config.map(|directory| directory.join(default)));
    let cursor = path.map(|path| AlertCursor::open(path, args.framed)).transpose()?;
    if args.framed && cursor.is_none() {
        return Err(Exit::Usage.error("--framed needs a --cursor-file, or a --config"));
    }
    let alerted = cursor.as_ref().map(AlertCursor::alerted).transpose()?;
    let detector = Detector::new(&thresholds, args.timezone, alerted).ok_or_else(|| {
        Exit::Usage.error("no threshold: give --ip 20/10m, or set [alert] in the configuration")
    })?;
    let mut out = Writer::stdout()?;
    if let Some(cursor) = cursor.as_ref().filter(|cursor| cursor.is_framed()) {
        out.record(&Begin { base: cursor.sequence })?;
    }
    let output = RefCell::new(Output { detector, cursor, out, written: 0, is_dirty: false });
    let read = source.follow(
        args.timezone,
        |attempt, _| output.borrow_mut().add(attempt),
        || output.borrow_mut().commit(),
    );
    // A stream that was cut off has alerts all the same, and nobody counts its attempts again.
    let mut output = output.into_inner();
    if output.cursor.as_ref().is_some_and(AlertCursor::is_framed) {
        output.out.record(&End {})?;
    }
    output.commit()?;
    let summary = read?;
    mls_diag::summary(format_args!(
        "raised {} in {}",
        count(output.written, "alert", "alerts"),
        count(summary.rows, "attempt", "attempts")
    ));
    Ok(())
}

/// The input, up to what its sink has committed.
fn source(args: &Args, paths: &Paths) -> anyhow::Result<AttemptSource> {
    let path =
        args.file.as_ref().or(paths.csv_filename.as_ref()).filter(|path| *path != Path::new("-"));
    let Some(path) = path else {
        return match args.committed_by {
            Some(_) => {
                Err(Exit::Usage.error("--committed-by needs a FILE that the sink appends to"))
            }
            None => Ok(AttemptSource::Stdin),
        };
    };
    let length =
        committed(args, paths)?.map(|cursor| cursor.data.as_ref().map_or(0, |data| data.length));
    Ok(AttemptSource::File { path: path.clone(), length })
}

fn committed(args: &Args, paths: &Paths) -> anyhow::Result<Option<CursorFile>> {
    if let Some(path) = &args.committed_by {
        warn_if_missing(path);
        return Ok(Some(CursorFile::load(path)?.unwrap_or_else(CursorFile::start)));
    }
    let default = paths.csv_cursor().filter(|path| args.file.is_none() && path.exists());
    let cursor = default.map_or(Ok(None), |path| CursorFile::load(&path))?;
    Ok(cursor.filter(|cursor| cursor.data.is_some()))
}

/// The cursor file: what has alerted.
struct AlertCursor {
    path: PathBuf,
    /// Held unless the reader of the records writes the file.
    lock: Option<Lock>,
    sequence: u64,
    cursor: serde_json::Value,
}

impl AlertCursor {
    fn open(path: PathBuf, framed: bool) -> anyhow::Result<Self> {
        let lock = if framed { None } else { Some(Lock::take(&path)?) };
        let CursorFile { sequence, cursor, .. } =
            CursorFile::load(&path)?.unwrap_or_else(CursorFile::start);
        Ok(Self { path, lock, sequence, cursor })
    }

    fn is_framed(&self) -> bool {
        self.lock.is_none()
    }

    fn alerted(&self) -> anyhow::Result<Alerted> {
        Alerted::from_cursor(self.cursor.clone())
            .with_context(|| {
                let path = self.path.display();
                format!("{path} does not hold what has alerted; remove it to alert from now on")
            })
            .or_exit(Exit::Config)
    }

    fn store(&mut self, alerted: &Alerted) -> anyhow::Result<()> {
        let next = CursorFile::next(self.sequence, alerted.to_cursor(), None);
        next.store(&self.path)?;
        self.sequence = next.sequence;
        Ok(())
    }
}

/// Where alerts go.
struct Output {
    detector: Detector,
    cursor: Option<AlertCursor>,
    out: Writer,
    written: u64,
    /// Whether there are alerts that the cursor file does not have.
    is_dirty: bool,
}

impl Output {
    fn add(&mut self, attempt: &Attempt<'_>) -> anyhow::Result<()> {
        if attempt.outcome != Outcome::Failure {
            return Ok(());
        }
        for alert in self.detector.add(attempt) {
            self.out.record(&alert)?;
            self.written += 1;
            self.is_dirty = true;
        }
        Ok(())
    }

    /// Writes everything out, and remembers it unless the reader does.
    fn commit(&mut self) -> anyhow::Result<()> {
        self.out.flush()?;
        if let Some(cursor) =
            self.cursor.as_mut().filter(|cursor| self.is_dirty && !cursor.is_framed())
        {
            cursor.store(self.detector.alerted())?;
        }
        self.is_dirty = false;
        Ok(())
    }
}
