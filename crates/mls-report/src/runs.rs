//! Counts that do not fit in memory. A *run* is a temporary file of sorted keys and their counts.
//!
//! The files are in the directory that `TMPDIR` names, or in `/tmp`. They have no name, so the
//! system removes them even if the process is killed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};

use crate::counter::Count;

/// The number of runs that are merged into one. It limits the number of open files and of buffers.
const FAN_IN: usize = 16;

/// The size of the buffer of a run, in bytes.
const BUFFER: usize = 16 * 1024;

/// Sorted runs by level. [`FAN_IN`] runs of a level are merged into one run of the next level.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    levels: Vec<Vec<File>>,
}

impl Runs {
    pub(crate) fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Adds a run. The caller must pass the entries in the order of their keys, each key once.
    pub(crate) fn add<V: Count>(&mut self, entries: &[(&str, &V)]) -> io::Result<()> {
        let mut run = RunWriter::new()?;
        for (key, value) in entries {
            run.write(key, *value)?;
        }
        let mut file = run.finish()?;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let runs = &mut self.levels[level];
            runs.push(file);
            if runs.len() < FAN_IN {
                break;
            }
            let mut merged = RunWriter::new()?;
            merge(std::mem::take(runs), |key, value: &V| merged.write(key, value))?;
            file = merged.finish()?;
        }
        Ok(())
    }

    /// Calls `each` once for each key, in the order of the keys.
    pub(crate) fn merge<V: Count>(
        self,
        each: impl FnMut(&str, &V) -> io::Result<()>,
    ) -> io::Result<()> {
        // The runs of higher levels are older.
        merge(self.levels.into_iter().rev().flatten().collect(), each)
    }
}

/// Writes a run: for each key the length of the key, the key, and the value.
struct RunWriter {
    file: BufWriter<File>,
    bytes: Vec<u8>,
}

impl RunWriter {
    fn new() -> io::Result<Self> {
        let file = BufWriter::with_capacity(BUFFER, tempfile::tempfile()?);
        Ok(Self { file, bytes: Vec::new() })
    }

    fn write<V: Count>(&mut self, key: &str, value: &V) -> io::Result<()> {
        let length = u16::try_from(key.len()).map_err(io::Error::other)?;
        self.bytes.clear();
        self.bytes.extend(length.to_le_bytes());
        self.bytes.extend(key.as_bytes());
        value.write(&mut self.bytes);
        self.file.write_all(&self.bytes)
    }

    fn finish(self) -> io::Result<File> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    }
}

fn merge<V: Count>(
    files: Vec<File>,
    mut each: impl FnMut(&str, &V) -> io::Result<()>,
) -> io::Result<()> {
    // The heap returns the greatest item first, but the merge needs the smallest key first.
    let (mut runs, mut heads) = (Vec::new(), BinaryHeap::new());
    for file in files {
        let (mut run, mut key) = (BufReader::with_capacity(BUFFER, file), Vec::new());
        if let Some(value) = read_entry::<V>(&mut run, &mut key)? {
            heads.push(Reverse((key, runs.len())));
            runs.push((run, value));
        }
    }
    let (mut key, mut sum) = (Vec::new(), None::<V>);
    let mut each =
        |key: &[u8], value: &V| each(str::from_utf8(key).map_err(io::Error::other)?, value);
    while let Some(mut head) = heads.peek_mut() {
        let Reverse((smallest, number)) = &mut *head;
        let (run, value) = &mut runs[*number];
        match &mut sum {
            Some(sum) if *smallest == key => sum.merge(value),
            _ => {
                if let Some(sum) = sum.replace(std::mem::take(value)) {
                    each(&key, &sum)?;
                }
                key.clone_from(smallest);
            }
        }
        match read_entry(run, smallest)? {
            Some(next) => *value = next,
            None => drop(PeekMut::pop(head)),
        }
    }
    sum.map_or(Ok(()), |sum| each(&key, &sum))
}

/// Reads the next key of a run into `key`, and returns its value; `None` at the end of the run.
fn read_entry<V: Count>(run: &mut BufReader<File>, key: &mut Vec<u8>) -> io::Result<Option<V>> {
    let mut length = [0; 2];
    match run.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    key.resize(u16::from_le_bytes(length).into(), 0);
    run.read_exact(key)?;
    V::read(run).map(Some)
}
