//! `cargo xtask`: what developers need beside the tools.

use std::io::{BufWriter, Write};

use clap::Parser;
use xtask::log::{Generator, Stamps};

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
    }
}
