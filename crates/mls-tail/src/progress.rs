//! A bar for somebody who waits at a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::known::Known;
use crate::siblings::Sibling;

/// Less than this is read before a bar could be looked at.
const WORTH_SHOWING: u64 = 64 << 20;

/// A progress bar on stderr where that is a terminal and there is much to read; else nothing.
#[derive(Default)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows what there is to read. What a gzip file will unpack to is not known; five times its size is usual for logs.
    pub(crate) fn start(&mut self, files: &[Sibling], held: &[Option<usize>], known: &[Known]) {
        let left = files.iter().zip(held).map(|(file, held)| {
            let size = if file.compressed { file.seen.size * 5 } else { file.seen.size };
            match held.map(|k| &known[k]) {
                Some(known) if known.nothing_new(file) => 0,
                Some(known) => size.saturating_sub(known.offset),
                None => size,
            }
        });
        let left = left.sum();
        if left < WORTH_SHOWING || !std::io::stderr().is_terminal() {
            return;
        }
        let template = "{bar:40} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        self.0 = Some(ProgressBar::new(left).with_style(style));
    }

    pub(crate) fn advance(&self, bytes: u64) {
        if let Some(bar) = &self.0 {
            bar.inc(bytes);
        }
    }

    pub(crate) fn finish(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}
