//! What is read: failures, and logins beside them.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, FixedOffset};
use mls_attempts::AttemptSource;
use mls_config::Config;
use mls_diag::Exit;
use mls_state::cursor_file::{CursorFile, warn_if_missing};

use crate::Args;

/// The input of failures, which may hold logins too, and a second input of logins.
pub(crate) struct Sources {
    pub(crate) failures: AttemptSource,
    pub(crate) logins: Option<AttemptSource>,
    /// Whether anything in them, now or later, can be a login.
    pub(crate) may_hold_logins: bool,
}

impl Sources {
    /// Both inputs, up to what their sinks have committed.
    pub(crate) fn open(args: &Args, config: &Config) -> anyhow::Result<Self> {
        let failures = failures(args, config)?;
        let logins = logins(args, config)?;
        let may_hold_logins = logins.is_some()
            || matches!(failures, AttemptSource::Stdin)
            || (config.logins.record && args.file.is_none());
        Ok(Self { failures, logins, may_hold_logins })
    }

    /// Leaves out rotated files from before `horizon`.
    pub(crate) fn since(self, horizon: Option<DateTime<FixedOffset>>) -> Self {
        let Some(horizon) = horizon else { return self };
        Self {
            failures: self.failures.since(horizon),
            logins: self.logins.map(|logins| logins.since(horizon)),
            ..self
        }
    }
}

fn failures(args: &Args, config: &Config) -> anyhow::Result<AttemptSource> {
    let named = args.file.as_ref().or(config.paths.csv_filename.as_ref());
    let Some(path) = named.filter(|path| *path != Path::new("-")) else {
        return match args.committed_by {
            Some(_) => {
                Err(Exit::Usage.error("--committed-by needs a FILE that the sink appends to"))
            }
            None => Ok(AttemptSource::Stdin),
        };
    };
    let committed = match &args.committed_by {
        Some(cursor) => {
            warn_if_missing(cursor);
            Some(CursorFile::load(cursor)?.unwrap_or_else(CursorFile::start))
        }
        None if args.file.is_none() => committed(config.paths.csv_cursor())?,
        None => return Ok(AttemptSource::File { path: path.clone(), length: None }),
    };
    if let Some(source) = AttemptSource::recorded(path, committed.as_ref())? {
        return Ok(source);
    }
    File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Err(Exit::TempFail.error(format!("{} was created a moment ago; try again", path.display())))
}

/// The record of logins, if there is one. Another FILE is of another server, perhaps.
fn logins(args: &Args, config: &Config) -> anyhow::Result<Option<AttemptSource>> {
    if let Some(path) = &args.logins {
        return Ok(Some(AttemptSource::File { path: path.clone(), length: None }));
    }
    let is_recorded = config.logins.record && args.file.is_none();
    let Some(path) = config.paths.logins_filename.as_ref().filter(|_| is_recorded) else {
        return Ok(None);
    };
    let committed = committed(config.paths.logins_cursor())?;
    AttemptSource::recorded(path, committed.as_ref())
}

/// What a sink has committed, if it has committed anything.
fn committed(cursor: Option<PathBuf>) -> anyhow::Result<Option<CursorFile>> {
    let cursor = cursor.filter(|path| path.exists());
    let cursor = cursor.map_or(Ok(None), |path| CursorFile::load(&path))?;
    Ok(cursor.filter(|cursor| cursor.data.is_some()))
}
