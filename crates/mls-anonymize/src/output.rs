//! Files: opens the input, and writes the output and the map completely or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use mls_diag::denied::explained;
use mls_diag::{Exit, OnFile, OrExit};
use mls_state::atomic;
use mls_stream::ndjson::OutputClosed;

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz")
}

pub(crate) fn open(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    let file = File::open(path)
        .map_err(|error| explained(error, path))
        .with_context(|| format!("opening {}", path.display()))?;
    Ok(if is_gzip(path) {
        Box::new(MultiGzDecoder::new(io::BufReader::new(file)))
    } else {
        Box::new(file)
    })
}

/// Refuses to replace the file that is read, because the original would be lost. Exit 64 if one of
/// `outputs` is the file `input`, or the file that standard input reads.
pub(crate) fn refuse_input(
    input: Option<&Path>,
    outputs: [Option<&Path>; 2],
) -> anyhow::Result<()> {
    let input = match input {
        Some(path) => fs::metadata(path),
        None => File::from(io::stdin().as_fd().try_clone_to_owned()?).metadata(),
    };
    // If the input cannot be checked here, reading it reports the error.
    let Some(input) = input.ok().filter(fs::Metadata::is_file) else { return Ok(()) };
    let is_input = |path: &&Path| {
        fs::metadata(path).is_ok_and(|it| (it.dev(), it.ino()) == (input.dev(), input.ino()))
    };
    match outputs.into_iter().flatten().find(is_input) {
        Some(path) => Err(Exit::Usage.error(format!(
            "{} is also the input, and would be overwritten; give another --output or --map",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// Lets `fill` write to standard output or to `path`. If `fill` fails, the file does not change. A
/// new file gets `mode`.
pub(crate) fn write(
    path: Option<&Path>,
    mode: u32,
    fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Some(path) = path else {
        return fill(&mut File::from(io::stdout().as_fd().try_clone_to_owned()?));
    };
    // `write_with` only passes on I/O errors, which have no exit code. So keep the error of `fill`
    // here.
    let mut failed = None;
    let written = atomic::write_with(path, mode, |file| {
        let filled = if is_gzip(path) {
            let mut gzip = GzEncoder::new(&mut *file, Compression::default());
            fill(&mut gzip).and_then(|()| gzip.finish().map(drop).context("compressing"))
        } else {
            fill(file)
        };
        filled.map_err(|error| {
            failed = Some(error);
            io::Error::other("not written")
        })
    });
    match failed {
        Some(error) => Err(error),
        None => written.on_file("writing", path).or_exit(Exit::CantCreat),
    }
}

/// Converts the result of writing. If the reader has closed the pipe, the run ends without an error.
pub(crate) fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        result => result.context("writing the output").or_exit(Exit::IoErr),
    }
}
