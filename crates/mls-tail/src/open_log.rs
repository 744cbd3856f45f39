//! A log whose files are open, and the state of these files in the cursor.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use mls_diag::{Exit, OrExit};
use mls_event::Gap;
use mls_rotation::{Chain, ChainFile, Committed, FileStat, Layout};

use crate::cursor::{Cursor, Generation, LogState};
use crate::journal::Selection;
use crate::legacy;
use crate::recognize::recognize;
use crate::switch;

/// If an incomplete compressed file has not changed for this time, mls-tail reads it anyway.
const GIVEN_UP: Duration = Duration::from_hours(1);

/// The largest number of tries to open the files. A try fails if a file changes meanwhile.
const TRIES: u32 = 50;

pub(crate) struct Opening<'a> {
    pub(crate) layout: &'a Layout,
    pub(crate) committed_by: Option<&'a Path>,
    /// The paths of all logs of this run. Their state must not move to another log.
    pub(crate) names: &'a HashSet<String>,
    /// The journal, if an earlier run may have read it instead of the log.
    pub(crate) journal: Option<&'a Selection>,
}

/// One log during one pass.
pub(crate) struct OpenLog<'a> {
    /// The absolute path of the log. It names the log in the cursor and in segments.
    pub(crate) name: &'a str,
    pub(crate) cursor: &'a mut Cursor,
    pub(crate) chain: Chain,
    /// For each file of the chain, the index of its generation.
    pub(crate) held: Vec<Option<usize>>,
}

impl<'a> OpenLog<'a> {
    /// Opens the log's files and recognizes them. Tries again if a file has changed meanwhile.
    pub(crate) fn open(
        name: &'a str,
        cursor: &'a mut Cursor,
        opening: &Opening<'_>,
    ) -> anyhow::Result<Self> {
        for _ in 0..TRIES {
            // Read the commit first, then open the files. Then the files contain all committed
            // bytes, even if the sink commits meanwhile.
            let committed = opening.committed_by.map(Committed::load).transpose()?;
            let mut chain = Chain::open(Path::new(name), opening.layout)?;
            let state = cursor.logs.entry(name.to_owned()).or_default();
            if let Some(committed) = committed {
                let known = &state.generations;
                committed.limit(&mut chain, |file| {
                    known.iter().any(|known| known.has_nothing_new_in(file))
                })?;
            }
            let files: Vec<&ChainFile> = chain.files.iter().collect();
            let held = recognize(&files, &state.generations).or_exit(Exit::IoErr)?;
            if chain.is_unchanged() {
                let mut log = Self { name, cursor, chain, held };
                log.take_over_moved(opening.names).or_exit(Exit::IoErr)?;
                log.adopt_legacy(opening)?;
                log.switch_from_journal(opening)?;
                return Ok(log);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Err(Exit::TempFail
            .error("the log and its rotated files change all the time; try again later"))
    }

    /// Whether the log has no file and never had one.
    pub(crate) fn is_unknown(&self) -> bool {
        self.chain.files.is_empty()
            && self.chain.unsupported.is_empty()
            && self.state().is_none_or(|state| state.generations.is_empty())
    }

    fn state(&self) -> Option<&LogState> {
        self.cursor.logs.get(self.name)
    }

    pub(crate) fn state_mut(&mut self) -> &mut LogState {
        self.cursor.logs.entry(self.name.to_owned()).or_default()
    }

    pub(crate) fn generations(&self) -> &[Generation] {
        self.state().map_or(&[], |state| &state.generations)
    }

    /// The last lines that were read. The caller must call
    /// [`restore_last_lines`](Self::restore_last_lines) first.
    pub(crate) fn last_lines(&self) -> &str {
        self.state().and_then(|state| state.last_lines.text()).unwrap_or_default()
    }

    /// If the cursor does not contain the text of the last lines, reads them again from the log.
    /// Returns a gap if no file has these lines any more.
    pub(crate) fn restore_last_lines(&mut self) -> std::io::Result<Option<Gap>> {
        let mut last = std::mem::take(&mut self.state_mut().last_lines);
        let read = self.generations().iter().enumerate().rev().filter(|(_, it)| it.offset > 0);
        // Stop at a missing file: older files do not have the lines directly before the position.
        let is_there = last.restore(read.map_while(|(k, generation)| {
            let n = self.held.iter().position(|held| *held == Some(k))?;
            Some((&self.chain.files[n], generation))
        }));
        self.state_mut().last_lines = last;
        Ok((!is_there?).then(|| Gap {
            source: self.name.to_owned(),
            generation: None,
            offset: None,
            reason: "the first parts of a split line were read, but no file has them any more, so \
                this line cannot be read"
                .into(),
        }))
    }

    /// Recognizes files that were read under an old path of the log, because the log was renamed or
    /// its directory was moved. If no other log has the old path now, all state of the old path
    /// moves to this log. Otherwise only the state of the recognized files moves.
    fn take_over_moved(&mut self, names: &HashSet<String>) -> std::io::Result<()> {
        let others: Vec<String> =
            self.cursor.logs.keys().filter(|name| !names.contains(*name)).cloned().collect();
        for other in others {
            if self.held.iter().all(Option::is_some) {
                return Ok(());
            }
            let Some(mut theirs) = self.cursor.logs.remove(&other) else { continue };
            let open = self.held.iter().enumerate().filter(|(_, held)| held.is_none());
            let open: Vec<usize> = open.map(|(n, _)| n).collect();
            let files: Vec<&ChainFile> = open.iter().map(|n| &self.chain.files[*n]).collect();
            let mut taken = vec![None; theirs.generations.len()];
            for (n, held) in open.iter().zip(recognize(&files, &theirs.generations)?) {
                if let Some(k) = held {
                    taken[k] = Some(*n);
                }
            }
            if taken.iter().all(Option::is_none) {
                self.cursor.logs.insert(other, theirs);
                continue;
            }
            let has_moved = self.is_at(&other);
            let generations = std::mem::take(&mut theirs.generations);
            for (generation, taken) in generations.into_iter().zip(taken) {
                if taken.is_none() && !has_moved {
                    theirs.generations.push(generation);
                    continue;
                }
                let k = self.state_mut().add(generation);
                if let Some(n) = taken {
                    self.held[n] = Some(k);
                }
            }
            log::info!(
                "{}: it has the same lines as {other}; continuing where reading of {other} ended",
                self.name
            );
            if has_moved {
                let state = self.state_mut();
                state.unsupported.append(&mut theirs.unsupported);
                if state.last_lines.is_empty() {
                    state.last_lines = theirs.last_lines;
                }
            } else if !theirs.generations.is_empty() {
                self.cursor.logs.insert(other, theirs);
            }
        }
        Ok(())
    }

    /// Whether the path `other` does not exist, or now belongs to a file of this log.
    fn is_at(&self, other: &str) -> bool {
        fs::metadata(other).map_or(true, |metadata| {
            let stat = FileStat::of(&metadata);
            self.chain.files.iter().any(|file| file.stat.is_same_file(&stat))
        })
    }

    fn adopt_legacy(&mut self, opening: &Opening<'_>) -> anyhow::Result<()> {
        let is_committed = self.chain.files.iter().any(|file| file.stat.size > 0);
        if opening.committed_by.is_some() && !is_committed {
            // The sink has not committed the file yet, so nothing can be read. Keep the position.
            return Ok(());
        }
        if let Some(offset) = self.cursor.legacy.filter(|_| !self.chain.files.is_empty()) {
            let state = self.cursor.logs.entry(self.name.to_owned()).or_default();
            self.held = legacy::adopt(state, &self.chain.files, offset)?;
            self.cursor.legacy = None;
        }
        Ok(())
    }

    /// If an earlier run read the journal, continues in the log after the last message of that run.
    fn switch_from_journal(&mut self, opening: &Opening<'_>) -> anyhow::Result<()> {
        let second = switch::first_second(self.cursor, false);
        let (Some(journal), Some(second), false) =
            (opening.journal, second, self.chain.files.is_empty())
        else {
            return Ok(());
        };
        let messages = switch::messages_read(self.cursor, journal, second)?;
        if messages.is_empty() {
            log::warn!(
                "{}: the journal no longer has the entries that were read last; reading the log \
                from the time of the last entry, so failures within two seconds of it may be \
                recorded twice",
                self.name
            );
        }
        let state = self.cursor.logs.entry(self.name.to_owned()).or_default();
        self.held = switch::adopt(state, &self.chain.files, second, messages)?;
        self.cursor.journal = None;
        Ok(())
    }

    /// Returns the index of the oldest incomplete compressed file. A program may still be writing
    /// this file. Warns once about the file and stores it in `reported`.
    pub(crate) fn first_incomplete(
        &self,
        reported: &mut Option<FileStat>,
    ) -> std::io::Result<Option<usize>> {
        for (n, (file, held)) in self.chain.files.iter().zip(&self.held).enumerate() {
            let Some(method) = file.compression else { continue };
            let is_read = held.is_some_and(|k| self.generations()[k].has_nothing_new_in(file));
            if is_read || age(&file.stat) >= GIVEN_UP {
                continue;
            }
            if reported.as_ref() == Some(&file.stat) {
                return Ok(Some(n));
            }
            let mut lines = file.lines()?;
            lines.skip_to(u64::MAX)?;
            if lines.damage().is_some() {
                *reported = Some(file.stat.clone());
                log::warn!(
                    "{} is an incomplete {} file; mls-tail reads it when it is complete, or after \
                    an hour without a change",
                    file.path.display(),
                    method.name()
                );
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// Lines that no file has any more, and files of an unsupported compression.
    pub(crate) fn gaps(&mut self, layout: &Layout) -> Vec<Gap> {
        let searched = self.searched();
        let name = self.name.to_owned();
        let gap =
            |generation, offset, reason| Gap { source: name.clone(), generation, offset, reason };
        let (held, chain) = (&self.held, &self.chain);
        let state = self.cursor.logs.entry(self.name.to_owned()).or_default();
        let mut gaps = Vec::new();
        for (k, known) in state.generations.iter_mut().enumerate() {
            let is_gone = !held.contains(&Some(k));
            // The log itself can get more lines after it was read. If it is missing, such lines may
            // be lost. A rotated file usually gets no more lines. With `live_only`, the log is
            // missing after each rotation. This is no gap if all its lines were read.
            let is_whole =
                known.is_read && !known.has_half_line && (known.is_rotated || layout.live_only);
            let is_lost = is_gone && !known.is_gone && !is_whole;
            known.is_gone = is_gone;
            if is_lost {
                let reason = format!(
                    "the file that was read up to byte {} no longer exists (removed, truncated, \
                    or edited); any lines after this byte are lost; {searched}",
                    known.offset
                );
                gaps.push(gap(Some(known.name.clone()), Some(known.offset), reason));
                state.last_lines.lose();
            }
        }
        for (path, stat) in &chain.unsupported {
            // A file that is compressed keeps the time of its last change. So this time shows
            // whether the file was read before the compression.
            let was_read = state
                .generations
                .iter()
                .any(|known| known.is_read && known.is_rotated && known.file.mtime == stat.mtime);
            if !was_read && !state.unsupported.contains(stat) {
                state.unsupported.push(stat.clone());
                let reason = format!(
                    "{} has a compression that mls-tail cannot read; its lines are missing until \
                    you compress it with gzip, xz, bzip2 or zstd",
                    path.display()
                );
                gaps.push(gap(None, None, reason));
            }
        }
        state.unsupported.retain(|stat| chain.unsupported.iter().any(|(_, there)| there == stat));
        gaps
    }

    /// Describes the files in which mls-tail searched for the missing lines.
    fn searched(&self) -> String {
        const SHOWN: usize = 8;
        let files = &self.chain.files;
        let names = files.iter().rev().take(SHOWN).map(|file| file.path.display().to_string());
        let names = names.collect::<Vec<_>>().join(", ");
        let compared = match files.len() {
            0 => "the log has no file".to_owned(),
            n if n > SHOWN => {
                format!("{names} and {} more do not have the missing lines", n - SHOWN)
            }
            _ => format!("these files do not have the missing lines: {names}"),
        };
        let directory = &self.chain.directory;
        let is_there = if directory.exists() { "" } else { ", which does not exist" };
        format!(
            "{compared}; mls-tail searched rotated files in {}{is_there}; if rotation moves or \
            names files in another way, see --olddir ([paths] mail_log_olddir) and --rotated-as",
            directory.display()
        )
    }
}

/// The time between now and the last change of a file, never negative.
fn age(stat: &FileStat) -> Duration {
    let nanoseconds = Utc::now().timestamp_nanos_opt().unwrap_or(0).abs_diff(stat.mtime);
    Duration::from_nanos(nanoseconds)
}
