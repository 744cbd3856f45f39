//! The inputs: failures, and logins.

use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use mls_attempts::AttemptSource;
use mls_config::Config;
use mls_diag::{Exit, OnFile, OrExit};
use mls_rotation::{Chain, FileStat, Layout, Point, Position};
use mls_state::cursor_file::{CursorFile, Fingerprint, warn_if_missing};
use mls_state::regular;

use crate::Args;

/// The input of failures, and a second input of logins. Standard input may contain both.
pub(crate) struct AlertInputs {
    pub(crate) failures: AttemptSource,
    pub(crate) logins: Option<AttemptSource>,
    /// Whether an input can contain a login, now or later.
    pub(crate) may_hold_logins: bool,
    /// The ends of the inputs. They are read before the inputs are opened, to miss no change.
    pub(crate) progress: InputEnds,
}

/// The ends of the inputs. If an end has changed, there is more to read.
pub(crate) type InputEnds = Vec<InputEnd>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InputEnd {
    Committed(Option<Fingerprint>),
    /// The metadata of a file that has no cursor file, to detect changes.
    File(Option<FileStat>),
}

impl AlertInputs {
    /// Opens both inputs. If a sink writes an input, the input ends at the last commit.
    pub(crate) fn open(args: &Args, config: &Config) -> anyhow::Result<Self> {
        let progress = Self::progress(args, config)?;
        let failures = AlertInput::of_failures(args, config)?;
        let may_hold_logins = failures.is_none()
            || args.logins.is_some()
            || (config.logins.record && args.file.is_none());
        let failures = failures.map_or(Ok(AttemptSource::Stdin), |input| {
            // With `--follow`, the file may be created later.
            let nothing =
                || AttemptSource::Rotated { chain: Chain::default(), begin: Point::default() };
            let found = input.open(args.follow)?.or_else(|| args.follow.then(nothing));
            found.map_or_else(|| input.missing(), Ok)
        })?;
        let logins = AlertInput::of_logins(args, config)
            .map_or(Ok(None), |input| input.open(args.follow))?;
        Ok(Self { failures, logins, may_hold_logins, progress })
    }

    pub(crate) fn progress(args: &Args, config: &Config) -> anyhow::Result<InputEnds> {
        let inputs = [AlertInput::of_failures(args, config)?, AlertInput::of_logins(args, config)];
        inputs.into_iter().flatten().map(|input| input.end()).collect()
    }

    /// Leaves out rotated files that were last written before `horizon`.
    pub(crate) fn since(self, horizon: Option<DateTime<FixedOffset>>) -> Self {
        let Some(horizon) = horizon else { return self };
        Self {
            failures: self.failures.since(horizon),
            logins: self.logins.map(|logins| logins.since(horizon)),
            ..self
        }
    }
}

/// Returns the position of `point` (`None`: of the end) in `source`. Returns `None` if `source`
/// cannot be read again.
pub(crate) fn position(
    source: &AttemptSource,
    point: Option<Point>,
) -> anyhow::Result<Option<Position>> {
    let AttemptSource::Rotated { chain, .. } = source else { return Ok(None) };
    let position = match point {
        Some(point) => chain.position(point).map(Some),
        None => chain.end(),
    };
    position.with_context(|| chain.reading()).or_exit(Exit::IoErr)
}

/// Returns `source` from `position` on; `None` if `source` no longer has this position.
pub(crate) fn after(
    source: AttemptSource,
    position: &Position,
) -> anyhow::Result<Option<AttemptSource>> {
    let AttemptSource::Rotated { chain, .. } = source else { return Ok(None) };
    let begin = chain.find(position).with_context(|| chain.reading()).or_exit(Exit::IoErr)?;
    Ok(begin.map(|begin| AttemptSource::Rotated { chain, begin }))
}

enum AlertInput {
    /// The whole file, without its rotated files.
    File(PathBuf),
    /// A file that a sink appends to, with its rotated files.
    Record { path: PathBuf, cursor: Option<PathBuf>, is_cursor_named: bool },
}

impl AlertInput {
    /// Returns the input of failures; `None` for standard input.
    fn of_failures(args: &Args, config: &Config) -> anyhow::Result<Option<Self>> {
        let named = args.file.as_ref().or(config.paths.csv_filename.as_ref());
        let path = named.filter(|path| *path != Path::new("-")).cloned();
        Ok(match (path, &args.committed_by) {
            (None, Some(_)) => {
                return Err(Exit::Usage
                    .error("--committed-by needs FILE, the CSV file that mls-csv writes"));
            }
            (None, None) => None,
            (Some(path), Some(cursor)) => {
                Some(Self::Record { path, cursor: Some(cursor.clone()), is_cursor_named: true })
            }
            (Some(path), None) if args.file.is_some() => Some(Self::File(path)),
            (Some(path), None) => {
                let cursor = config.paths.csv_cursor();
                Some(Self::Record { path, cursor, is_cursor_named: false })
            }
        })
    }

    /// Returns the CSV of logins; `None` if there is no such input. If FILE is given without
    /// `--logins`, the CSV of the configuration is not used: FILE may come from another server.
    fn of_logins(args: &Args, config: &Config) -> Option<Self> {
        if let Some(path) = &args.logins {
            return Some(Self::File(path.clone()));
        }
        let is_recorded = config.logins.record && args.file.is_none();
        let path = config.paths.logins_filename.clone().filter(|_| is_recorded)?;
        let cursor = config.paths.logins_cursor();
        Some(Self::Record { path, cursor, is_cursor_named: false })
    }

    /// Opens the input; `None` if there is no file. With `follow`, the input ends after the last
    /// complete line of the file.
    fn open(&self, follow: bool) -> anyhow::Result<Option<AttemptSource>> {
        let mut source = self.open_all(follow)?;
        if let Some(AttemptSource::Rotated { chain, .. }) = source.as_mut().filter(|_| follow) {
            let end = chain.end().with_context(|| chain.reading()).or_exit(Exit::IoErr)?;
            if let (Some(newest), Some(end)) = (chain.files.last_mut(), end) {
                newest.limit_to(end.prefix.length);
            }
        }
        Ok(source)
    }

    fn open_all(&self, follow: bool) -> anyhow::Result<Option<AttemptSource>> {
        match self {
            // Only a regular file can be read again later.
            Self::File(path) if follow && path.is_file() => {
                let chain = Chain::open(path, &Layout { live_only: true, ..Layout::default() })?;
                Ok(Some(AttemptSource::Rotated { chain, begin: Point::default() }))
            }
            Self::File(path) => Ok(Some(AttemptSource::File { path: path.clone(), length: None })),
            Self::Record { path, cursor, is_cursor_named } => {
                if let Some(cursor) = cursor.as_ref().filter(|_| *is_cursor_named) {
                    warn_if_missing(cursor);
                }
                AttemptSource::recorded(path, self.committed()?.as_ref())
            }
        }
    }

    /// Returns the cursor file; `None` if no sink writes the input.
    fn committed(&self) -> anyhow::Result<Option<CursorFile>> {
        let Self::Record { cursor: Some(cursor), is_cursor_named, .. } = self else {
            return Ok(None);
        };
        let committed = CursorFile::load(cursor)?;
        if *is_cursor_named {
            return Ok(Some(committed.unwrap_or_else(CursorFile::start)));
        }
        // The state file of the Python original has only a position in the log. It does not say
        // which rows of the CSV are committed.
        Ok(committed.filter(|committed| committed.data.is_some()))
    }

    fn end(&self) -> anyhow::Result<InputEnd> {
        let (Self::File(path) | Self::Record { path, .. }) = self;
        Ok(match self.committed()? {
            Some(committed) => InputEnd::Committed(committed.data),
            None => InputEnd::File(std::fs::metadata(path).ok().map(|found| FileStat::of(&found))),
        })
    }

    fn missing(&self) -> anyhow::Result<AttemptSource> {
        let (Self::File(path) | Self::Record { path, .. }) = self;
        regular::open(path).on_file("opening", path)?;
        Err(Exit::TempFail
            .error(format!("{} did not exist when this run started; try again", path.display())))
    }
}
