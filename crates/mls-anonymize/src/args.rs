//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::class::Class;

/// Replace addresses and names in a log, so that you can share it
///
/// Reads a mail log, NDJSON records or CSV from standard input and recognizes the format by the first
/// line. Writes the same lines with a pseudonym for each address, host name and user name. Programs
/// can still read the result.
#[derive(Debug, Parser)]
#[command(name = "mls-anonymize", version, after_help = EXAMPLES)]
pub struct Args {
    /// Read FILE; decompress it if its name ends in .gz
    #[arg(long, short, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,

    /// Write to FILE, completely or not at all; compress it if its name ends in .gz
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Read the key, 64 hexadecimal digits, from FILE. The same key gives the same pseudonyms in each
    /// run and on each machine. Without this option, each run uses a new random key
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// Do not replace these classes
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) keep: Vec<Class>,

    /// Replace queue IDs too
    #[arg(long)]
    pub(crate) queue_ids: bool,

    /// Also replace text that matches the patterns in FILE. Each line holds a CLASS and a regular
    /// expression. mls-anonymize replaces the first group of the expression, or the whole match if
    /// there is no group
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,

    /// Write a list of the pseudonyms and their originals to FILE, readable only by you; compress it
    /// if its name ends in .gz
    #[arg(long, value_name = "FILE")]
    pub(crate) map: Option<PathBuf>,

    /// Check the result first: the parser must find the same logins in it, and no replaced text may
    /// be left in it. Otherwise write nothing and exit with 65
    #[arg(long)]
    pub(crate) verify: bool,

    /// Let --verify accept the words and phrases in FILE, one on each line, even if they are also
    /// names
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub(crate) allow_words: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  mls-anonymize --verify < /var/log/mail.log > share.log
  mls-anonymize --verify --map share.map --input mail.log.2.gz --output share.log.gz
  (umask 077; openssl rand -hex 32 > key); mls-anonymize --key-file key < mail.log | mls-parse | jq -r .ip
  mls-parse < mail.log | mls-anonymize --key-file key --keep host > share.ndjson";

impl mls_cli::Args for Args {
    const STRICT: bool = true;
}
