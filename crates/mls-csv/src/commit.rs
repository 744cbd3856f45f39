//! The sink: rows and cursor committed together.
//!
//! The cursor file S always describes a prefix of F that is whole, and it does so before the first byte is written after
//! that prefix. So whatever is found behind it was never committed, and whatever differs before it was changed by somebody
//! else.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_diag::{Exit, OrExit};
use mls_event::Auth;
use mls_state::atomic;
use mls_state::cursor_file::{CursorFile, Data};
use mls_state::lock::Lock;
use mls_stream::ndjson::Reader;
use mls_stream::sink::{self, Sink};
use serde_json::Value;

use crate::encode::Rows;
use crate::heading;
use crate::row::Style;

/// What to do with a file that is not what was committed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Otherwise {
    Refuse,
    Adopt,
    Reset,
}

/// More rotations than these between two looks of another reader are not to be expected.
const ROTATED_REMEMBERED: usize = 16;

/// Appends the events of a framed stream to `path`, committing them together with the cursor in `cursor_path`.
pub(crate) fn run(
    reader: Reader,
    path: PathBuf,
    cursor_path: PathBuf,
    otherwise: Otherwise,
    style: Style,
) -> anyhow::Result<()> {
    let _lock = Lock::take(&path)?;
    // A source that finds it damaged ends without a record, and "empty input" would be the exit code of the whole pipeline.
    // `begin` loads it again: what counts is what it says then.
    CursorFile::load(&cursor_path)?;
    let mut appender = Appender { path, cursor_path, otherwise, style, open: None };
    let result = sink::drain(reader, &mut appender);
    if result.is_err() {
        appender.roll_back();
    }
    result
}

struct Appender {
    path: PathBuf,
    cursor_path: PathBuf,
    otherwise: Otherwise,
    style: Style,
    open: Option<Open>,
}

/// F, with what is written to it at its end; refuses where somebody else has changed its length.
struct Growing {
    file: File,
    length: u64,
    /// Nothing more is written: the CSV writer's destructor flushes what it has, and that is taken back.
    closed: Cell<bool>,
}

impl Write for Growing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed.get() {
            return Ok(bytes.len());
        }
        if self.file.metadata()?.len() != self.length {
            return Err(io::Error::other(Changed));
        }
        let n = self.file.write(bytes)?;
        self.length += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Somebody has moved, removed or changed F while rows were appended to it.
#[derive(Debug, thiserror::Error)]
#[error(
    "somebody has changed, moved or removed it meanwhile; the next run goes on from the last commit"
)]
struct Changed;

/// The file, from `begin` on.
struct Open {
    rows: Rows<Growing>,
    /// What the cursor file says.
    committed: CursorFile,
    /// A commit has begun and not succeeded: which of F and S reached the disk is unknown, and a second sync would report
    /// success (fsync(2), and the PostgreSQL project's findings of 2018). Nothing more is written; the next start looks.
    in_doubt: bool,
}

impl Sink for Appender {
    fn begin(&mut self, base: u64) -> anyhow::Result<()> {
        let committed = CursorFile::load(&self.cursor_path)?;
        let sequence = committed.as_ref().map_or(0, |cursor| cursor.sequence);
        if base != sequence {
            return Err(Exit::TempFail.error(format!(
                "the log was read from commit {base}, but {} is at commit {sequence}: another pipeline has committed \
                 since; nothing was written, the next run goes on from there",
                self.cursor_path.display()
            )));
        }
        let (file, committed) =
            self.settle(committed).with_context(|| format!("preparing {}", self.path.display()))?;
        let length = committed.data.as_ref().map_or(0, |data| data.length);
        self.open = Some(Open {
            rows: Rows::new(Growing { file, length, closed: Cell::new(false) }, self.style),
            committed,
            in_doubt: false,
        });
        Ok(())
    }

    fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let result =
            open.rows.event(event).with_context(|| format!("appending to {}", self.path.display()));
        let exit = exit_of(&result);
        result.or_exit(exit)
    }

    fn commit(&mut self, cursor: Value) -> anyhow::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let name = self.path.display();
        let result = open.rows.flush().with_context(|| format!("appending to {name}"));
        let exit = exit_of(&result);
        result.or_exit(exit)?;
        let Growing { file, length, .. } = open.rows.inner();
        let length = *length;
        if !is_at(file, &self.path, length)
            .with_context(|| format!("looking at {name}"))
            .or_exit(Exit::IoErr)?
        {
            return Err(Changed)
                .with_context(|| format!("committing {name}"))
                .or_exit(Exit::TempFail);
        }
        let unchanged = open.committed.data.as_ref().is_some_and(|data| data.length == length);
        if unchanged && open.committed.cursor == cursor {
            return Ok(());
        }
        open.in_doubt = true;
        if !unchanged {
            file.sync_data().with_context(|| format!("syncing {name}")).or_exit(Exit::IoErr)?;
        }
        let data = Data::describe(file, length)
            .with_context(|| format!("reading {name} back"))
            .or_exit(Exit::IoErr)?;
        let rotated = open.committed.rotated.clone();
        let next =
            CursorFile { rotated, ..CursorFile::next(open.committed.sequence, cursor, Some(data)) };
        next.store(&self.cursor_path)?;
        log::info!("{name}: committed {length} bytes as commit {}", next.sequence);
        (open.committed, open.in_doubt) = (next, false);
        Ok(())
    }
}

impl Appender {
    /// Brings F and S into step before anything is appended, and returns F and what S then says.
    fn settle(&self, committed: Option<CursorFile>) -> anyhow::Result<(File, CursorFile)> {
        let length = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(Exit::CantCreat.error("it is not a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        let mut committed = committed.unwrap_or_else(CursorFile::start);
        let keep = match &committed.data {
            Some(data)
                if data.length <= length
                    && *data == Data::describe(&open(&self.path)?, data.length)? =>
            {
                if length > data.length {
                    self.move_surplus_aside(data.length)?;
                }
                return Ok((open(&self.path)?, committed));
            }
            Some(data) if length == 0 => {
                let file = self.path.display();
                log::info!(
                    "{file} was emptied or moved away with {} committed bytes: a new one is begun",
                    data.length
                );
                0
            }
            None if length == 0 => 0,
            _ if self.otherwise != Otherwise::Reset && heading::is_originals(&self.path)? => {
                return Err(heading::convert_first(&self.path));
            }
            // Converted; the position is where the original has left off.
            None if committed.legacy_offset().is_some() && heading::is_ours(&self.path)? => {
                self.adopt(length)?
            }
            data => match self.otherwise {
                Otherwise::Adopt => self.adopt(length)?,
                Otherwise::Reset => {
                    self.move_aside()?;
                    0
                }
                Otherwise::Refuse => {
                    return Err(self.refusal(data.as_ref().map(|data| data.length), length));
                }
            },
        };
        let file = open(&self.path)?;
        atomic::sync_directory(&atomic::directory_of(&self.path))?;
        if keep == 0 {
            committed.rotated.splice(0..0, committed.data.take());
            committed.rotated.truncate(ROTATED_REMEMBERED);
        }
        let mut settled = CursorFile { data: Some(Data::describe(&file, keep)?), ..committed };
        settled.store(&self.cursor_path)?;
        if keep == 0 {
            // A commit of its own, or each run that finds nothing would leave a header behind the commit.
            Rows::new(&file, self.style).header()?;
            file.sync_data()?;
            settled.data = Some(Data::describe(&file, file.metadata()?.len())?);
            settled.store(&self.cursor_path)?;
        }
        Ok((file, settled))
    }

    fn refusal(&self, committed: Option<u64>, length: u64) -> anyhow::Error {
        let (file, cursor) = (self.path.display(), self.cursor_path.display());
        let why = match committed {
            None => format!(
                "{file} has {length} bytes, but {cursor} does not say which of them were committed"
            ),
            Some(committed) if length < committed => {
                format!(
                    "{file} has {length} bytes, but {committed} were committed: somebody has shortened it"
                )
            }
            Some(committed) => {
                format!(
                    "the first {committed} bytes of {file} are not what was committed: somebody has edited it"
                )
            }
        };
        Exit::Config.error(format!(
            "{why}; run once with --adopt to append to it as it is, or with --reset to move it to {file}.recovered-… and \
             begin a new one"
        ))
    }

    /// Bytes from `committed` on, which a run that died or somebody else has left, go to a file of their own.
    fn move_surplus_aside(&self, committed: u64) -> anyhow::Result<()> {
        let file = open(&self.path)?;
        let (mut copy, name) = self.recovered()?;
        let mut surplus = File::open(&self.path)?;
        io::Seek::seek(&mut surplus, io::SeekFrom::Start(committed))?;
        let copied =
            io::copy(&mut surplus, &mut copy).and_then(|moved| copy.sync_all().map(|()| moved));
        let moved = copied.inspect_err(|_| {
            // All of it is still in F: a part of it for each try would take the room that the disk lacks.
            let _ = fs::remove_file(&name);
        })?;
        atomic::sync_directory(&atomic::directory_of(&name))?;
        file.set_len(committed)?;
        file.sync_all()?;
        log::warn!(
            "{}: {moved} bytes behind the last commit are now in {}: a run that died has left them, whose lines are read from the log \
             again, or somebody else",
            self.path.display(),
            name.display()
        );
        Ok(())
    }

    fn move_aside(&self) -> anyhow::Result<()> {
        let (_, name) = self.recovered()?;
        fs::rename(&self.path, &name)?;
        log::warn!("{} is now {}", self.path.display(), name.display());
        Ok(())
    }

    /// A new file beside F that no other has the name of.
    fn recovered(&self) -> anyhow::Result<(File, PathBuf)> {
        let now = chrono::Local::now().format("%Y%m%dT%H%M%S");
        for n in 0.. {
            let mut name = self.path.as_os_str().to_owned();
            name.push(format!(".recovered-{now}-{n}"));
            match File::options().write(true).create_new(true).mode(0o640).open(&name) {
                Ok(file) => return Ok((file, name.into())),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    let name = Path::new(&name).display();
                    return Err(error)
                        .with_context(|| format!("creating {name}"))
                        .or_exit(Exit::CantCreat);
                }
            }
        }
        unreachable!("u32 names were taken")
    }

    /// Makes sure that the next row begins on a line of its own, and returns the length.
    fn adopt(&self, length: u64) -> anyhow::Result<u64> {
        let mut file = open(&self.path)?;
        let mut last = [b'\n'];
        if length > 0 {
            file.read_exact_at(&mut last, length - 1)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
        file.sync_all()?;
        log::warn!("{} is taken as it is, with {length} bytes", self.path.display());
        Ok(file.metadata()?.len())
    }

    /// Takes back what this run has written after its last commit, so that only a run that was killed leaves some.
    fn roll_back(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.in_doubt {
            return;
        }
        let committed = open.committed.data.as_ref().map_or(0, |data| data.length);
        let Growing { file, length, closed } = open.rows.inner();
        closed.set(true);
        // What somebody else has changed is left alone, and what was moved is cut where it is now.
        let cut = match file.metadata() {
            Ok(metadata) if metadata.len() == *length => file.set_len(committed),
            Ok(_) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = cut {
            log::warn!(
                "{}: uncommitted rows could not be taken back: {error}",
                self.path.display()
            );
        }
    }
}

/// Whether `path` still leads to `file`, which still has the length that was written.
fn is_at(file: &File, path: &Path, length: u64) -> io::Result<bool> {
    let (here, there) = (file.metadata()?, fs::metadata(path));
    let there = match there {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        there => there?,
    };
    Ok(here.len() == length && (here.dev(), here.ino()) == (there.dev(), there.ino()))
}

/// The exit code of an error of the file: [`Changed`] is over with the next run.
fn exit_of(result: &anyhow::Result<()>) -> Exit {
    let is_changed = |cause: &(dyn std::error::Error + 'static)| {
        cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
            .is_some_and(<dyn std::error::Error + Send + Sync>::is::<Changed>)
    };
    match result {
        Err(error) if error.chain().any(is_changed) => Exit::TempFail,
        _ => Exit::IoErr,
    }
}

/// Opens F for appending and reading back.
fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::options().read(true).append(true).create(true).mode(0o640).open(path);
    file.with_context(|| format!("opening {}", path.display())).or_exit(Exit::CantCreat)
}
