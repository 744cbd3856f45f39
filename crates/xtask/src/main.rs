//! `cargo xtask`: what developers need beside the tools.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
#[cfg(not(feature = "man"))]
use std::process::Command;

#[cfg(not(feature = "man"))]
use anyhow::{Context, ensure};
use clap::Parser;
use xtask::csv::{self, Logins};
use xtask::ipdb;
use xtask::log::{Generator, Stamps};
use xtask::mmdb::Mmdb;

/// Development tasks
#[derive(Debug, Parser)]
enum Task {
    /// Write a mail log to standard output, the same for the same options
    Log {
        /// How many lines
        #[arg(long, default_value_t = 1_000_000)]
        lines: u64,
        /// Another seed, another log
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The time stamps' form
        #[arg(long, value_enum, default_value_t = Stamps::Rfc3339)]
        stamps: Stamps,
    },
    /// Write a CSV of failed logins up to 30 June 2026 to standard output, the same for the same options
    Csv {
        /// How many rows
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// Over how many days
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
        days: u32,
        /// Who logs in
        #[arg(long, value_enum, default_value_t = Logins::Usual)]
        logins: Logins,
        /// Another seed, another CSV
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Write IP databases of the size of the published ones, the same for the same seed: as CSV, and the AS ones as MMDB too
    Ipdb {
        /// Directory that they are written to
        directory: PathBuf,
        /// Another seed, other databases
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Write manual pages and shell completions, in the folders that /usr/share has for them
    Man {
        /// Directory that they are written to
        directory: PathBuf,
        /// What stands at the foot of the pages, such as 2026-06-01
        #[arg(long, default_value = "")]
        date: String,
    },
}

/// Calls the tools by name, so it is built together with all of them, and not for the other tasks.
#[cfg(feature = "man")]
fn man(directory: &Path, date: &str) -> anyhow::Result<()> {
    xtask::man::write(directory, date)
}

#[cfg(not(feature = "man"))]
fn man(directory: &Path, date: &str) -> anyhow::Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut with_tools = Command::new(cargo);
    with_tools.args([
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--features",
        "man",
        "--",
        "man",
        "--date",
        date,
    ]);
    let status = with_tools.arg(directory).status().context("starting cargo")?;
    ensure!(status.success(), "xtask with the tools: {status}");
    Ok(())
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Log { lines, seed, stamps } => {
            let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
            let mut generator = Generator::new(seed, stamps);
            let mut line = Vec::new();
            for _ in 0..lines {
                line.clear();
                generator.line(&mut line);
                out.write_all(&line)?;
            }
            Ok(out.flush()?)
        }
        Task::Csv { rows, days, logins, seed } => {
            let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
            csv::write(seed, rows, days, logins, &mut out)?;
            Ok(out.flush()?)
        }
        Task::Ipdb { directory, seed } => {
            std::fs::create_dir_all(&directory)?;
            let mut mmdb = Mmdb::new(6);
            for family in 0..2 {
                ipdb::save(&directory, seed, 0, family)?;
                for range in ipdb::save(&directory, seed, 1, family)? {
                    mmdb.range(&range, family);
                }
            }
            Ok(File::create(directory.join("asn.mmdb"))?.write_all(&mmdb.file())?)
        }
        Task::Man { directory, date } => man(&directory, &date),
    }
}
