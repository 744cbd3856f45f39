//! One pass over the logs: writes the new lines and moves the cursor.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_rotation::{FileStat, Layout};

use crate::Args;
use crate::cursor::Cursor;
use crate::journal::Selection;
use crate::open_log::{OpenLog, Opening};
use crate::output::Output;
use crate::read::Delivery;
use crate::signal::Stop;

pub(crate) struct Tail {
    pub(crate) logs: Vec<PathBuf>,
    layout: Layout,
    may_be_missing: bool,
    /// The journal, if an earlier run may have read it instead of the logs.
    pub(crate) journal: Option<Selection>,
    committed_by: Option<PathBuf>,
    cursor: Cursor,
    pub(crate) delivery: Delivery,
    /// Why logs could not be read in the last pass.
    pub(crate) failures: Vec<anyhow::Error>,
    /// The incomplete compressed file that was reported last.
    reported_incomplete: Option<FileStat>,
    /// The missing logs that were already reported.
    reported_missing: HashSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PassEnd {
    /// All lines were read.
    Done,
    /// SIGTERM or SIGINT.
    Stopped,
    /// Some files were not read: a compressed file is not complete yet, or a file was truncated
    /// meanwhile. Newer files were not read either.
    Waiting,
}

impl Tail {
    /// Prepares the first pass. With `--follow`, a log may be missing, because it may be created
    /// later.
    pub(crate) fn new(
        args: &Args,
        logs: Vec<PathBuf>,
        layout: Layout,
        cursor: Cursor,
        out: Output,
        stop: Stop,
    ) -> Self {
        Self {
            logs,
            layout,
            may_be_missing: args.follow,
            journal: None,
            committed_by: args.committed_by.clone(),
            cursor,
            delivery: Delivery::new(out, stop),
            failures: Vec::new(),
            reported_incomplete: None,
            reported_missing: HashSet::new(),
        }
    }

    /// Makes the last [`pass`](Self::pass): reads to the end although a signal has arrived.
    pub(crate) fn last_pass(&mut self) -> anyhow::Result<PassEnd> {
        self.delivery.stop = Stop::never();
        self.pass()
    }

    /// Reads the new lines of all logs. If a log is missing or cannot be read (no permission), adds
    /// the error to `failures` and reads the other logs. Any other error ends the pass.
    pub(crate) fn pass(&mut self) -> anyhow::Result<PassEnd> {
        let mut outcome = PassEnd::Done;
        self.failures.clear();
        for log in self.logs.clone() {
            match self.read_log(&log) {
                Ok(PassEnd::Done) => {}
                Ok(PassEnd::Waiting) => outcome = PassEnd::Waiting,
                Ok(PassEnd::Stopped) => {
                    outcome = PassEnd::Stopped;
                    break;
                }
                Err(error) if matches!(Exit::of(&error), Exit::NoInput | Exit::NoPerm) => {
                    self.failures.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        self.delivery.progress.finish();
        self.cursor.forget();
        self.delivery.out.done(&self.cursor)?;
        Ok(outcome)
    }

    fn read_log(&mut self, path: &Path) -> anyhow::Result<PassEnd> {
        let name = path.to_str().ok_or_else(|| {
            Exit::Usage.error(format!("{}: the name of a log must be UTF-8", path.display()))
        })?;
        let names: HashSet<String> =
            self.logs.iter().filter_map(|log| log.to_str()).map(str::to_owned).collect();
        let opening = Opening {
            layout: &self.layout,
            committed_by: self.committed_by.as_deref(),
            names: &names,
            journal: self.journal.as_ref(),
        };
        let context = || format!("reading {name}");
        let mut log = OpenLog::open(name, &mut self.cursor, &opening).with_context(context)?;
        if log.is_unknown() {
            if !self.may_be_missing {
                return Err(Exit::NoInput
                    .error(format!("{name} does not exist; check LOG, or mail_log in [paths]")));
            }
            if self.reported_missing.insert(name.to_owned()) {
                log::warn!("{name} does not exist; waiting until it is created");
            }
        }
        let incomplete = log
            .first_incomplete(&mut self.reported_incomplete)
            .with_context(context)
            .or_exit(Exit::IoErr)?;
        if incomplete.is_none() {
            let gaps = log.gaps(&self.layout);
            gaps.iter().try_for_each(|gap| self.delivery.gap(gap))?;
        }
        // Files must be read in order, so newer files wait for an incomplete file.
        let readable = incomplete.unwrap_or(log.chain.files.len());
        self.delivery.progress.start(&log, readable);
        for n in 0..readable {
            let outcome = log.read_file(n, &mut self.delivery).with_context(context)?;
            if outcome != PassEnd::Done {
                return Ok(outcome);
            }
        }
        Ok(if incomplete.is_some() { PassEnd::Waiting } else { PassEnd::Done })
    }
}
