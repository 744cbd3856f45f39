//! Writes the list to files, each replaced atomically, or to standard output.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use mls_config::config::BlockFormat;
use mls_diag::denied::explained;
use mls_diag::{Exit, OnFile, OrExit};
use mls_state::atomic;
use mls_stream::ndjson::Writer;

use crate::format;
use crate::list::BlockList;

pub(crate) struct ListOutput {
    pub(crate) directory: Option<PathBuf>,
    /// `--format`.
    pub(crate) asked: Vec<BlockFormat>,
    pub(crate) formats: Vec<BlockFormat>,
    pub(crate) jail: String,
}

impl ListOutput {
    fn formats(&self) -> &[BlockFormat] {
        match (&self.asked[..], &self.formats[..]) {
            ([], []) => &[BlockFormat::Plain],
            ([], formats) | (formats, _) => formats,
        }
    }

    /// The list in the first format of `--format`. Without `--format`, the plain list.
    pub(crate) fn text(&self, list: &BlockList, now: i64) -> String {
        let format = self.asked.first().copied().unwrap_or(BlockFormat::Plain);
        format::render(format, list, now, &self.jail)
    }

    pub(crate) fn write(&self, list: &BlockList, now: i64) -> anyhow::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        if !directory.is_dir() {
            fs::create_dir(directory)
                .map_err(|error| explained(error, directory))
                .on_file("creating", directory)
                .or_exit(Exit::CantCreat)?;
        }
        for &format in self.formats() {
            let path = directory.join(format::file_name(format));
            let text = format::render(format, list, now, &self.jail);
            atomic::write(&path, text.as_bytes(), 0o644)
                .on_file("writing", &path)
                .or_exit(Exit::CantCreat)?;
        }
        Ok(())
    }
}

pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut out = Writer::stdout()?;
    out.write_all(text.as_bytes())?;
    out.flush()
}
