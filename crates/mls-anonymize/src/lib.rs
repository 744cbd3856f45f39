//! `mls-anonymize` makes a copy of a log that you can share and that still works as a log.
//!
//! ```text
//! mls-anonymize --verify < mail.log > share.log
//! ```
//!
//! # Reads and writes
//! mls-anonymize reads a mail log, NDJSON records or the CSV of `mls-csv`; the first line that is
//! not blank decides. It writes the same lines with a pseudonym for everything that identifies
//! somebody. `mls-parse`, pflogsumm and fail2ban read the same in the result as in the original,
//! under that mapping: `mls-anonymize | mls-parse` equals `mls-parse | mls-anonymize`.
//!
//! # What is replaced
//! | class | what | by |
//! |---|---|---|
//! | `ip` | addresses, wherever they stand | addresses that share the same first bits: see [`address`] |
//! | `host` | host and domain names, the server's too; what a client said in HELO | a label for each but the last two, which are one, and `.invalid`: subdomains stay subdomains |
//! | `user` | login names, local parts of mail addresses | `u` and twelve letters or digits |
//! | `message-id`, `session`, `subject` | message-IDs, Dovecot's sessions, what header and body checks quote | `m`, `d`, `s` and twelve letters or digits |
//! | `challenge` | base64 in the reason of a failure | the same with what is replaced in it; base64 of the same length if it is not text |
//! | `secret` | passwords, their hashes and SASL responses in debug logs of Dovecot, Postfix and saslauthd; `--keep` cannot keep them, and `--map` does not contain them | `p` and twelve letters or digits |
//! | `asn` | the columns and members `asn` and `aso`, which would tell an address's first bits | nothing (null) |
//!
//! It keeps timestamps, programs, process IDs, queue IDs (unless `--queue-ids`), mechanisms, status
//! words, numbers and countries. It also keeps loopback addresses, `localhost` and `unknown`, which
//! identify nobody. `--keep` keeps more classes, `--rules` adds patterns.
//!
//! The text after `sasl_username=` is one name, whatever it looks like. In free text, mls-anonymize
//! recognizes names by their shape (a dot, an `@`) or by their context (`from=<…>`,
//! `NAME[ADDRESS]`, `: EHLO NAME`, `/home/NAME`, `unknown user: "NAME"`). It cannot distinguish a
//! bare word that is somebody's name from other words. `--verify` finds such words if they were
//! replaced elsewhere, and `--rules` replaces them.
//!
//! # Pseudonyms
//! A pseudonym is a keyed function of the text (HMAC-SHA-256 or Crypto-PAn). Each class has its own
//! key, derived (HKDF) from that of `--key-file`, or from a random key. Nobody without the key can
//! compute a pseudonym or find its original. Readers can still see that two lines name the same
//! address, name or network; this makes the result useful. Anyone who can add lines to the log can
//! learn the pseudonyms of the texts in these lines.
//!
//! # Verifying
//! With `--verify`, mls-anonymize writes nothing unless all of these hold:
//!
//! - the parser reads the same in each line of the original and of the result, under the mapping;
//! - no replaced address, mail address, host or domain name, user name or secret occurs in the
//!   result as a word, in any case;
//! - no public address is its own pseudonym.
//!
//! `--allow-words FILE` lists words that may occur. Names that the log keeps anyway as words
//! (`status`, `postfix`) and user names of fewer than five characters are not searched for. The
//! search includes classes that `--keep` keeps: it refuses a user name that a client made of an
//! address. Verifying keeps every different original in memory, and the result in a temporary file
//! without a name.
//!
//! # Guarantees
//! `--output` and `--map` are written completely or not at all. Lines longer than 1 MiB are reported
//! and left out. Without `--map` and `--verify`, memory does not grow with the log.

pub mod address;
pub mod anonymizer;
pub mod class;
pub mod csv_row;
pub mod key;
pub mod line;
pub mod pseudonym;
pub mod pseudonym_map;
pub mod record;
pub mod rules;
pub mod text;

mod args;
mod common_words;
mod input_format;
mod output;
mod secrets;
mod verify;

pub use args::Args;

use std::collections::HashSet;
use std::fs::Permissions;
use std::io::{self, BufReader, Seek, Write};
use std::os::unix::fs::PermissionsExt;

use anyhow::Context;
use mls_config::Config;
use mls_diag::{Exit, OrExit, diag};
use mls_stream::blocks::{Batch, Block, Blocks};

use anonymizer::Anonymizer;
use input_format::InputFormat;
use key::Key;
use output::written;
use pseudonym::Pseudonyms;
use pseudonym_map::PseudonymMap;
use rules::Rules;

/// Runs the tool.
///
/// # Errors
/// The error that ends the run early, with its exit code.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, _config: Config) -> anyhow::Result<()> {
    let key = args.key_file.as_deref().map_or_else(Key::random, Key::load)?;
    let rules = args.rules.as_deref().map(Rules::load).transpose()?.unwrap_or_default();
    let mut pseudonyms = Pseudonyms::new(&key, &args.keep)?;
    pseudonyms.map = (args.verify || args.map.is_some()).then(PseudonymMap::default);
    let mut names = Anonymizer::new(pseudonyms, rules, args.queue_ids);
    let source =
        args.input.as_deref().map_or_else(|| "stdin".into(), |path| path.display().to_string());
    let allowed = args.allow_words.as_deref().map(verify::load_allowed_words).transpose()?;
    let allowed = allowed.unwrap_or_default();
    let mut blocks = match &args.input {
        Some(path) => Blocks::new(output::open(path)?, &source),
        None => Blocks::stdin()?,
    };
    if args.output.is_none() && args.input.is_none() && !args.verify {
        blocks.watch_stdout()?;
    }
    let Some(map) = &args.map else {
        return share(&args, &mut blocks, &source, &mut names, &allowed);
    };
    let name = map.display();
    // An older one keeps its mode when it is replaced.
    if map.is_file() {
        let private = std::fs::set_permissions(map, Permissions::from_mode(0o600));
        private.with_context(|| format!("making {name} private"))?;
    }
    // Begun before anything is written, so that there is no log without its map.
    output::write(Some(map), 0o600, |out| {
        share(&args, &mut blocks, &source, &mut names, &allowed)?;
        let (mut out, map) = (io::BufWriter::new(out), names.take_map().unwrap_or_default());
        let map = map.write(&mut out).and_then(|()| out.flush());
        map.with_context(|| format!("writing the map {name}")).or_exit(Exit::CantCreat)
    })
}

/// Writes the log to where it goes.
fn share(
    args: &Args,
    blocks: &mut Blocks,
    source: &str,
    names: &mut Anonymizer,
    allowed: &HashSet<String>,
) -> anyhow::Result<()> {
    let output = args.output.as_deref();
    if !args.verify {
        return output::write(output, 0o640, |out| anonymize(blocks, source, names, out, None));
    }
    // Nobody sees what has not been verified: it has no name until it is.
    let mut spool =
        tempfile::tempfile().context("making a temporary file").or_exit(Exit::CantCreat)?;
    let mut kept = HashSet::new();
    anonymize(blocks, source, names, &mut spool, Some(&mut kept))?;
    spool.rewind().context("reading what was written")?;
    if let Some(map) = &names.pseudonyms.map {
        verify::nothing_is_left(BufReader::with_capacity(1 << 20, &spool), map, &kept, allowed)?;
    }
    spool.rewind().context("reading what was written")?;
    output::write(output, 0o640, |out| written(io::copy(&mut spool, out).map(drop)))
}

/// Writes what stands for the lines of `blocks` to `out`. With `kept`, each is verified, and words that stay are added to it.
fn anonymize(
    blocks: &mut Blocks,
    source: &str,
    names: &mut Anonymizer,
    out: &mut dyn Write,
    mut kept: Option<&mut HashSet<String>>,
) -> anyhow::Result<()> {
    let (mut format, mut buffer, mut number) = (None, Vec::new(), 0_u64);
    let mut batch = Batch::default();
    while let Some(next) = blocks.next(batch, || written(out.flush()))? {
        for block in next.blocks() {
            let Block::Lines(lines, _) = block else {
                return Err(Exit::DataErr.error(format!(
                    "{source}: a framed stream; give the log itself, or what mls-parse makes of it"
                )));
            };
            buffer.clear();
            // Editors put a mark in front (U+FEFF), which is part of no format.
            let lines =
                lines.strip_prefix("\u{feff}".as_bytes()).filter(|_| number == 0).unwrap_or(lines);
            let first = lines
                .split(|b| *b == b'\n')
                .find(|line| format.is_none() && !line.trim_ascii().is_empty());
            format = format.or_else(|| first.map(InputFormat::of));
            for line in lines.split_inclusive(|b| *b == b'\n') {
                number += 1;
                // Blank lines in front tell nothing.
                let format = format.get_or_insert(InputFormat::Log);
                let start = buffer.len();
                if let Err(why) = format.line(line, names, &mut buffer) {
                    diag::bad_record(format_args!("{source}, line {number}"), why);
                    continue;
                }
                if let Some(kept) = &mut kept {
                    if let Some(what) = format.difference(line, &buffer[start..], names) {
                        let line = String::from_utf8_lossy(line.trim_ascii_end());
                        return Err(Exit::DataErr.error(format!(
                            "{source}, line {number}: {what} would change: {line}"
                        )));
                    }
                    verify::kept_words(line, kept);
                }
            }
            written(out.write_all(&buffer))?;
        }
        batch = next;
    }
    written(out.flush())
}
