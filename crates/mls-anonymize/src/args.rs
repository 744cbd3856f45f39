//! The command line.

use std::path::PathBuf;

use clap::Parser;
use mls_cli::{Common, Strict};

use crate::class::Class;

/// Make a log that can be shared and still works as a log
///
/// Reads a mail log, NDJSON records or the CSV (its first line decides) on standard input and writes the same with a pseudonym
/// in the place of every address, name and user.
#[derive(Debug, Parser)]
#[command(name = "mls-anonymize", version, after_help = EXAMPLES)]
pub struct Args {
    /// Read FILE, decompressed if its name ends in .gz
    #[arg(long, short, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// Write FILE, compressed if its name ends in .gz: the whole of it, or nothing if anything goes wrong
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Take the key from FILE, 64 hexadecimal digits: the same pseudonyms in every run and on every machine that has it. Without
    /// it, a random key of this run
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// Leave these as they are
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub keep: Vec<Class>,

    /// Replace queue IDs too
    #[arg(long)]
    pub queue_ids: bool,

    /// Replace also what FILE describes: a line for each pattern, CLASS and a regular expression, whose first group, or the
    /// whole of it, is replaced
    #[arg(long, value_name = "FILE")]
    pub rules: Option<PathBuf>,

    /// Write what was replaced by what to FILE, which only you may read, compressed if its name ends in .gz
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,

    /// Write nothing unless the parser reads the same from both and nothing that was replaced is left; else exit 65
    #[arg(long)]
    pub verify: bool,

    /// Let --verify accept the words and phrases in FILE, one on each line, though somebody has such a name
    #[arg(long, value_name = "FILE", requires = "verify")]
    pub allow_words: Option<PathBuf>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub strict: Strict,

    #[command(flatten)]
    #[expect(missing_docs, reason = "the help text would be shown")]
    pub common: Common,
}

const EXAMPLES: &str = "\
Examples:
  mls-anonymize --verify < /var/log/mail.log > share.log
  mls-anonymize --verify --map share.map --input mail.log.2.gz --output share.log.gz
  (umask 077; openssl rand -hex 32 > key); mls-anonymize --key-file key < mail.log | mls-parse | jq -r .ip
  mls-parse < mail.log | mls-anonymize --key-file key --keep host > share.ndjson";

impl mls_cli::Args for Args {
    fn common(&self) -> &Common {
        &self.common
    }

    fn strict(&self) -> bool {
        self.strict.strict
    }
}
