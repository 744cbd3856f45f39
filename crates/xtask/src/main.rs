//! The `xtask` program: release tasks.

use std::path::PathBuf;

use clap::Parser;

/// Release tasks
#[derive(Debug, Parser)]
enum Task {
    /// Write manual pages and shell completions, in subdirectories as in /usr/share
    Man {
        /// Directory for the subdirectories; created if it is missing
        directory: PathBuf,
        /// Date in the footer of the pages, such as 2026-06-01
        #[arg(long, default_value = "")]
        date: String,
    },
}

fn main() -> anyhow::Result<()> {
    let Task::Man { directory, date } = Task::parse();
    xtask::man::write(&directory, &date)
}
