//! The sink: rows and cursor committed together.
//!
//! The cursor file S always describes a prefix of F that is whole, and it does so before the first byte is written after
//! that prefix. So whatever is found behind it was never committed, and whatever differs before it was changed by somebody
//! else.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use mls_cli::cursor_file::{CursorFile, Data};
use mls_cli::lock::Lock;
use mls_cli::ndjson::Reader;
use mls_cli::sink::{self, Sink};
use mls_cli::{Exit, OrExit, atomic};
use mls_event::Auth;
use serde_json::Value;

use crate::encode::Rows;
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

/// The file, from `begin` on.
struct Open {
    rows: Rows<File>,
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
        let committed = self.settle(committed).with_context(|| format!("preparing {}", self.path.display()))?;
        let file = open(&self.path)?;
        let mut rows = Rows::new(file, self.style);
        if committed.data.as_ref().is_none_or(|data| data.length == 0) {
            rows.header()?;
        }
        self.open = Some(Open { rows, committed, in_doubt: false });
        Ok(())
    }

    fn event(&mut self, event: &Auth<'_>) -> anyhow::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        open.rows.event(event).with_context(|| format!("appending to {}", self.path.display())).or_exit(Exit::IoErr)
    }

    fn commit(&mut self, cursor: Value) -> anyhow::Result<()> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let name = self.path.display();
        open.rows.flush().with_context(|| format!("appending to {name}")).or_exit(Exit::IoErr)?;
        let file = open.rows.inner();
        let length = file.metadata().with_context(|| format!("looking at {name}")).or_exit(Exit::IoErr)?.len();
        let unchanged = open.committed.data.as_ref().is_some_and(|data| data.length == length);
        if unchanged && open.committed.cursor == cursor {
            return Ok(());
        }
        open.in_doubt = true;
        if !unchanged {
            file.sync_data().with_context(|| format!("syncing {name}")).or_exit(Exit::IoErr)?;
        }
        let data = Data::describe(file, length).with_context(|| format!("reading {name} back")).or_exit(Exit::IoErr)?;
        let rotated = open.committed.rotated.clone();
        let next = CursorFile { rotated, ..CursorFile::next(open.committed.sequence, cursor, Some(data)) };
        next.store(&self.cursor_path)?;
        mls_cli::info!("{name}: committed {length} bytes as commit {}", next.sequence);
        (open.committed, open.in_doubt) = (next, false);
        Ok(())
    }
}

impl Appender {
    /// Brings F and S into step before anything is appended, and returns what S then says.
    fn settle(&self, committed: Option<CursorFile>) -> anyhow::Result<CursorFile> {
        let length = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(Exit::CantCreat.error("it is not a regular file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error.into()),
        };
        let mut committed = committed.unwrap_or_else(CursorFile::start);
        let keep = match &committed.data {
            Some(data) if data.length <= length && *data == Data::describe(&open(&self.path)?, data.length)? => {
                if length > data.length {
                    self.move_surplus_aside(data.length)?;
                }
                return Ok(committed);
            }
            Some(data) if length == 0 => {
                let file = self.path.display();
                mls_cli::info!(
                    "{file} was emptied or moved away with {} committed bytes: a new one is begun",
                    data.length
                );
                0
            }
            None if length == 0 => 0,
            data => match self.otherwise {
                Otherwise::Adopt => self.adopt(length)?,
                Otherwise::Reset => {
                    self.move_aside()?;
                    0
                }
                Otherwise::Refuse => return Err(self.refusal(data.as_ref().map(|data| data.length), length)),
            },
        };
        let file = open(&self.path)?;
        atomic::sync_directory(&atomic::directory_of(&self.path))?;
        if keep == 0 {
            committed.rotated.splice(0..0, committed.data.take());
            committed.rotated.truncate(ROTATED_REMEMBERED);
        }
        let settled = CursorFile { data: Some(Data::describe(&file, keep)?), ..committed };
        settled.store(&self.cursor_path)?;
        Ok(settled)
    }

    fn refusal(&self, committed: Option<u64>, length: u64) -> anyhow::Error {
        let (file, cursor) = (self.path.display(), self.cursor_path.display());
        let why = match committed {
            None => format!("{file} has {length} bytes, but {cursor} does not say which of them were committed"),
            Some(committed) if length < committed => {
                format!("{file} has {length} bytes, but {committed} were committed: somebody has shortened it")
            }
            Some(committed) => {
                format!("the first {committed} bytes of {file} are not what was committed: somebody has edited it")
            }
        };
        Exit::Config.error(format!(
            "{why}; run once with --adopt to append to it as it is, or with --reset to move it to {file}.recovered-… and \
             begin a new one"
        ))
    }

    /// Bytes from `committed` on, which a run that died has left, go to a file of their own.
    fn move_surplus_aside(&self, committed: u64) -> anyhow::Result<()> {
        let file = open(&self.path)?;
        let (mut copy, name) = self.recovered()?;
        let mut surplus = File::open(&self.path)?;
        io::Seek::seek(&mut surplus, io::SeekFrom::Start(committed))?;
        let moved = io::copy(&mut surplus, &mut copy)?;
        copy.flush()?;
        copy.sync_all()?;
        atomic::sync_directory(&atomic::directory_of(&name))?;
        file.set_len(committed)?;
        file.sync_all()?;
        mls_cli::warn!(
            "{}: {moved} bytes behind the last commit, which a run that died has left, are now in {}; their lines are read \
             from the log again",
            self.path.display(),
            name.display()
        );
        Ok(())
    }

    fn move_aside(&self) -> anyhow::Result<()> {
        let (_, name) = self.recovered()?;
        fs::rename(&self.path, &name)?;
        mls_cli::warn!("{} is now {}", self.path.display(), name.display());
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
                    return Err(error).with_context(|| format!("creating {name}")).or_exit(Exit::CantCreat);
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
        mls_cli::warn!("{} is taken as it is, with {length} bytes", self.path.display());
        Ok(file.metadata()?.len())
    }

    /// Takes back what this run has written after its last commit, so that only a run that was killed leaves some.
    fn roll_back(&mut self) {
        let Some(open) = &mut self.open else { return };
        if open.in_doubt {
            return;
        }
        let committed = open.committed.data.as_ref().map_or(0, |data| data.length);
        // Rows still in the buffer are written by the writer's destructor, so it goes first.
        self.open = None;
        let cut = File::options().write(true).open(&self.path).and_then(|file| file.set_len(committed));
        if let Err(error) = cut {
            mls_cli::warn!("{}: uncommitted rows could not be taken back: {error}", self.path.display());
        }
    }
}

/// Opens F for appending and reading back.
fn open(path: &Path) -> anyhow::Result<File> {
    let file = File::options().read(true).append(true).create(true).mode(0o640).open(path);
    file.with_context(|| format!("opening {}", path.display())).or_exit(Exit::CantCreat)
}
