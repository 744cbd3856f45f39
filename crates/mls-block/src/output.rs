//! Writes the list to files, each replaced atomically, or to standard output.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use mls_config::config::BlockForm;
use mls_diag::denied::explained;
use mls_diag::{Exit, OrExit};
use mls_state::atomic;
use mls_stream::ndjson::Writer;

use crate::form;
use crate::list::BlockList;

/// The forms of the list, and the directory of their files.
pub(crate) struct ListOutput {
    pub(crate) directory: Option<PathBuf>,
    /// `--form`.
    pub(crate) asked: Vec<BlockForm>,
    pub(crate) forms: Vec<BlockForm>,
    pub(crate) jail: String,
}

impl ListOutput {
    fn forms(&self) -> &[BlockForm] {
        match (&self.asked[..], &self.forms[..]) {
            ([], []) => &[BlockForm::Plain],
            ([], forms) | (forms, _) => forms,
        }
    }

    /// The list in the first form of `--form`, else the plain list.
    pub(crate) fn text(&self, list: &BlockList, now: i64) -> String {
        let form = self.asked.first().copied().unwrap_or(BlockForm::Plain);
        form::render(form, list, now, &self.jail)
    }

    /// Replaces each file in the directory, if there is one.
    pub(crate) fn write(&self, list: &BlockList, now: i64) -> anyhow::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        if !directory.is_dir() {
            fs::create_dir(directory)
                .map_err(|error| explained(error, directory))
                .with_context(|| format!("creating {}", directory.display()))
                .or_exit(Exit::CantCreat)?;
        }
        for &form in self.forms() {
            let path = directory.join(form::file_name(form));
            let text = form::render(form, list, now, &self.jail);
            atomic::write(&path, text.as_bytes(), 0o644)
                .with_context(|| format!("writing {}", path.display()))
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
