//! Where the anonymized log goes, and the map.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use mls_diag::{Exit, OrExit};
use mls_state::atomic;
use mls_stream::ndjson::OutputClosed;

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "gz")
}

/// The file to read.
pub(crate) fn open(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
    Ok(if is_gzip(path) {
        Box::new(MultiGzDecoder::new(io::BufReader::new(file)))
    } else {
        Box::new(file)
    })
}

/// Lets `fill` write to standard output, or to `path`, which gets all or nothing of it; a new file gets `mode`.
pub(crate) fn write<T>(
    path: Option<&Path>,
    mode: u32,
    fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let Some(path) = path else {
        return fill(&mut File::from(io::stdout().as_fd().try_clone_to_owned()?));
    };
    // The error of `fill` has an exit code, which must not be lost in an I/O error.
    let mut result = None;
    let written = atomic::write_with(path, mode, |file| {
        let filled = if is_gzip(path) {
            let mut gzip = GzEncoder::new(&mut *file, Compression::default());
            fill(&mut gzip).and_then(|value| gzip.finish().map(|_| value).context("compressing"))
        } else {
            fill(file)
        };
        let ok = filled.is_ok();
        result = Some(filled);
        if ok { Ok(()) } else { Err(io::Error::other("not written")) }
    });
    match (result, written) {
        (Some(Err(error)), _) => Err(error),
        (Some(Ok(value)), Ok(())) => Ok(value),
        (_, Err(error)) => Err(error)
            .with_context(|| format!("writing {}", path.display()))
            .or_exit(Exit::CantCreat),
        (None, Ok(())) => Err(Exit::Software.error("nothing was written")),
    }
}

/// The result of writing, where a reader that has gone is the end and no error.
pub(crate) fn written(result: io::Result<()>) -> anyhow::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(OutputClosed.into()),
        result => result.context("writing the output").or_exit(Exit::IoErr),
    }
}
