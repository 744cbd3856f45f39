//! The `xtask` program: what a release needs besides the tools.

use std::path::PathBuf;

use clap::Parser;

/// Release tasks
#[derive(Debug, Parser)]
enum Task {
    /// Write manual pages and shell completions, in the folders that /usr/share has for them
    Man {
        /// Directory for the folders; created if it is missing
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
