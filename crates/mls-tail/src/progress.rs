//! A progress bar for a person who waits at a terminal.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

use crate::open_log::OpenLog;

/// Shows a bar only for at least this number of bytes. For fewer bytes, a bar would disappear at
/// once.
const WORTH_SHOWING: u64 = 64 << 20;

/// A progress bar on stderr, if stderr is a terminal and there is much to read.
#[derive(Default)]
pub(crate) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Shows how many unread bytes the first `readable` files have. The decompressed size of a
    /// compressed file is unknown: for logs, five times its compressed size is usual.
    pub(crate) fn start(&mut self, log: &OpenLog<'_>, readable: usize) {
        let files = log.chain.files.iter().zip(&log.held).take(readable);
        let left = files.map(|(file, held)| {
            let size = file.stat.size * if file.compression.is_some() { 5 } else { 1 };
            match held.map(|k| &log.generations()[k]) {
                Some(known) if known.has_nothing_new_in(file) => 0,
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
