//! The `testdata` program: writes the generated data.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::Parser;
use testdata::csv::{self, Variety};
use testdata::ipdb;
use testdata::log::{Generator, Stamps};
use testdata::mmdb::MmdbWriter;
use testdata::server::{Options, Server};

/// Generate input for tests and benchmarks: the same options always give the same bytes
#[derive(Debug, Parser)]
enum Task {
    /// Write a mail log to standard output
    Log {
        /// Number of lines
        #[arg(long, default_value_t = 1_000_000)]
        lines: u64,
        /// Seed of the random numbers
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Format of the timestamps
        #[arg(long, value_enum, default_value_t = Stamps::Rfc3339)]
        stamps: Stamps,
    },
    /// Write a CSV of failed logins to standard output; the last day is 30 June 2026
    Csv {
        /// Number of rows
        #[arg(long, default_value_t = 1_000_000)]
        rows: u64,
        /// Number of days that the rows are spread over
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=1000))]
        days: u32,
        /// How often addresses and users repeat
        #[arg(long, value_enum, default_value_t = Variety::Usual)]
        variety: Variety,
        /// Seed of the random numbers
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Write the logins of a mail server with users and attackers, and the list of compromised accounts:
    /// mail.log, records.ndjson (both outcomes, enriched), truth.tsv, and IP databases in ipdb
    Server {
        /// Directory for the files; created if it is missing
        directory: PathBuf,
        #[command(flatten)]
        options: Options,
    },
    /// Write IP databases of the size of the published ones: CSV files, and an MMDB file of the AS databases
    Ipdb {
        /// Directory for the files; created if it is missing
        directory: PathBuf,
        /// Seed of the random numbers
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
}

fn main() -> anyhow::Result<()> {
    match Task::parse() {
        Task::Log { lines, seed, stamps } => write_log(lines, &mut Generator::new(seed, stamps)),
        Task::Csv { rows, days, variety, seed } => {
            let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
            csv::write(seed, rows, days, variety, &mut out)?;
            Ok(out.flush()?)
        }
        Task::Server { directory, options } => write_server(&directory, &Server::new(options)),
        Task::Ipdb { directory, seed } => write_databases(&directory, seed),
    }
}

fn write_log(lines: u64, generator: &mut Generator) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, std::io::stdout().lock());
    let mut line = Vec::new();
    for _ in 0..lines {
        line.clear();
        generator.line(&mut line);
        out.write_all(&line)?;
    }
    Ok(out.flush()?)
}

fn write_server(directory: &Path, server: &Server) -> anyhow::Result<()> {
    server.save_databases(&directory.join("ipdb"))?;
    let file = |name: &str| -> anyhow::Result<BufWriter<File>> {
        Ok(BufWriter::with_capacity(1 << 20, File::create(directory.join(name))?))
    };
    let (mut log, mut records, mut truth) =
        (file("mail.log")?, file("records.ndjson")?, file("truth.tsv")?);
    server.write_log(&mut log)?;
    server.write_records(&mut records)?;
    server.write_truth(&mut truth)?;
    log.flush()?;
    records.flush()?;
    Ok(truth.flush()?)
}

fn write_databases(directory: &Path, seed: u64) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)?;
    let mut mmdb = MmdbWriter::new(6);
    for family in 0..2 {
        ipdb::save(directory, seed, 0, family)?;
        for range in ipdb::save(directory, seed, 1, family)? {
            mmdb.range(&range, family);
        }
    }
    Ok(File::create(directory.join("asn.mmdb"))?.write_all(&mmdb.file())?)
}
