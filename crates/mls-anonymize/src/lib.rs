//! `mls-anonymize` makes a copy of a log that you can share and that still works as a log.
//!
//! ```text
//! mls-anonymize --verify < mail.log > share.log
//! ```
//!
//! # Reads and writes
//! mls-anonymize reads a mail log, NDJSON records or the CSV of `mls-csv`. It recognizes the format
//! by the first line that is not blank. It writes the same lines, but with a pseudonym for
//! everything that identifies somebody. `mls-parse`, pflogsumm and fail2ban read the result like the
//! original: `mls-anonymize | mls-parse` equals `mls-parse | mls-anonymize`.
//!
//! # What is replaced
//! | class | what | by |
//! |---|---|---|
//! | `ip` | IP addresses anywhere in a line | an address; addresses with common first bits get pseudonyms with common first bits, see [`address`] |
//! | `host` | host and domain names (also of the server), names in HELO | one label for the last two labels, one for each other label, and `.invalid`; so a subdomain stays a subdomain |
//! | `user` | login names, local parts of mail addresses | `u` and twelve letters or digits |
//! | `message-id`, `session`, `subject` | message-IDs, Dovecot's session IDs, text that header and body checks quote | `m`, `d`, `s` and twelve letters or digits |
//! | `challenge` | base64 in the reason of a failure | if it encodes text: base64 of the anonymized text; otherwise base64 of the same length |
//! | `secret` | passwords, their hashes and SASL responses in debug logs of Dovecot, Postfix and saslauthd; `--keep` cannot keep them, and `--map` does not contain them | `p` and twelve letters or digits |
//! | `asn` | the columns and members `asn` and `aso`, which would reveal the first bits of an address | nothing (null) |
//!
//! mls-anonymize keeps timestamps, programs, process IDs, mechanisms, status words, numbers,
//! countries, and (without `--queue-ids`) queue IDs. It also keeps loopback addresses, `localhost`
//! and `unknown`, because they identify nobody. `--keep` keeps more classes, and `--rules` adds
//! patterns. The `evidence` of an alert becomes null.
//!
//! The text after `sasl_username=` is one name, whatever it looks like. In free text, mls-anonymize
//! recognizes names by their shape (a dot, an `@`) or by their context (`from=<…>`,
//! `NAME[ADDRESS]`, `: EHLO NAME`, `/home/NAME`, `unknown user: "NAME"`). It does not recognize a
//! name without such a shape or context. If the name was replaced in another line, `--verify` finds
//! it. `--rules` can replace it.
//!
//! # Pseudonyms
//! A pseudonym is a keyed function of the text (HMAC-SHA-256 or Crypto-PAn). Each class has its own
//! key. HKDF derives this key from the key of `--key-file`, or from a random key. Without the key,
//! nobody can compute a pseudonym or find its original. Readers can still see that two lines
//! contain the same address, name or network; this makes the result useful. A person who can add
//! lines to the log can learn the pseudonyms of the texts in these lines.
//!
//! # Verifying
//! With `--verify`, mls-anonymize writes the result only if three conditions are true:
//!
//! - the parser reads the same from each line of the original and of the result, except that the
//!   result has pseudonyms;
//! - no replaced address, mail address, host or domain name, user name or secret occurs in the
//!   result as a word, in upper or lower case;
//! - no replaced address is its own pseudonym.
//!
//! `--allow-words FILE` lists words that may occur. mls-anonymize does not search for names that
//! are also common words of a log (`status`, `postfix`), or programs or mechanisms in this log. It
//! does not search for names of fewer than five characters that contain no full stop and no `@`.
//! Verifying keeps each different original in memory, and the result in an unnamed temporary file.
//!
//! # Guarantees
//! mls-anonymize writes the files of `--output` and `--map` completely or not at all. It reports
//! these lines and omits them:
//!
//! - a line longer than 1 MiB;
//! - a line of a container in parts, if its last part is missing or its parts take more than 64 KiB
//!   of the log;
//! - a line that mls-parse would read in another way after its names are replaced.
//!
//! If Kubernetes or Docker has cut a line of a container into parts, the result has one line, because
//! a cut can be within a name. If a log begins in the middle of such a line, half of a name can stay.
//! Without `--map` and `--verify`, memory does not grow with the log.

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

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;

mod args;
mod common_words;
mod input_format;
mod output;
mod parts;
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
use key::PseudonymKey;
use output::written;
use parts::Joiner;
use pseudonym::Pseudonyms;
use pseudonym_map::PseudonymMap;
use rules::Rules;

/// Runs the tool.
///
/// # Errors
/// The error that ends the run early, with its exit code.
#[expect(clippy::needless_pass_by_value, reason = "the shape of every tool's run")]
pub fn run(args: Args, _config: Config) -> anyhow::Result<()> {
    let key = args.key_file.as_deref().map_or_else(PseudonymKey::random, PseudonymKey::load)?;
    let rules = args.rules.as_deref().map(Rules::load).transpose()?.unwrap_or_default();
    let mut pseudonyms = Pseudonyms::new(&key, &args.keep);
    pseudonyms.map = (args.verify || args.map.is_some()).then(PseudonymMap::default);
    let mut anonymizer = Anonymizer::new(pseudonyms, rules, args.queue_ids);
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
    output::refuse_input(args.input.as_deref(), [args.output.as_deref(), args.map.as_deref()])?;
    let Some(map) = &args.map else {
        return share(&args, &mut blocks, &source, &mut anonymizer, &allowed);
    };
    let name = map.display();
    // An existing file keeps its mode when it is replaced. So make an existing map private first.
    if map.is_file() {
        let private = std::fs::set_permissions(map, Permissions::from_mode(0o600));
        private.with_context(|| format!("setting mode 0600 on {name}"))?;
    }
    // Create the map before the log is written: if the map cannot be created, no log is written.
    output::write(Some(map), 0o600, |out| {
        share(&args, &mut blocks, &source, &mut anonymizer, &allowed)?;
        let mut out = io::BufWriter::new(out);
        let map = anonymizer.pseudonyms.map.take().unwrap_or_default();
        let map = map.write(&mut out).and_then(|()| out.flush());
        map.with_context(|| format!("writing the map {name}")).or_exit(Exit::CantCreat)
    })
}

/// Writes the anonymized log to the output. With `--verify`, checks the log first.
fn share(
    args: &Args,
    blocks: &mut Blocks,
    source: &str,
    anonymizer: &mut Anonymizer,
    allowed: &HashSet<String>,
) -> anyhow::Result<()> {
    let output = args.output.as_deref();
    if !args.verify {
        return output::write(output, 0o640, |out| {
            anonymize(blocks, source, anonymizer, out, None)
        });
    }
    // A temporary file without a name: nobody can see the result before it is verified.
    let mut spool =
        tempfile::tempfile().context("making a temporary file").or_exit(Exit::CantCreat)?;
    let mut kept = HashSet::new();
    anonymize(blocks, source, anonymizer, &mut spool, Some(&mut kept))?;
    spool.rewind().context("reading the temporary file")?;
    if let Some(map) = &anonymizer.pseudonyms.map {
        verify::find_originals(BufReader::with_capacity(1 << 20, &spool), map, &kept, allowed)?;
    }
    spool.rewind().context("reading the temporary file")?;
    output::write(output, 0o640, |out| written(io::copy(&mut spool, out).map(drop)))
}

/// Anonymizes the lines of `blocks` and writes them to `out`. If `kept` is given, verifies each
/// line, and adds its program and its mechanism to `kept`, because they are not replaced.
fn anonymize(
    blocks: &mut Blocks,
    source: &str,
    anonymizer: &mut Anonymizer,
    out: &mut dyn Write,
    mut kept: Option<&mut HashSet<String>>,
) -> anyhow::Result<()> {
    let (mut format, mut buffer, mut number) = (None, Vec::new(), 0_u64);
    let (mut batch, mut joiner) = (Batch::default(), Joiner::default());
    while let Some(next) = blocks.next(batch, || written(out.flush()))? {
        for block in next.blocks() {
            let Block::Lines(lines, _) = block else {
                return Err(Exit::DataErr.error(format!(
                    "{source}: cannot anonymize a framed stream; give the log itself, or run \
                     mls-tail without --framed"
                )));
            };
            buffer.clear();
            if lines.is_empty() {
                // A line that was too long is an empty block.
                joiner.end();
            }
            // Some editors write a byte order mark (U+FEFF) at the beginning of a file.
            let lines =
                lines.strip_prefix("\u{feff}".as_bytes()).filter(|_| number == 0).unwrap_or(lines);
            for line in lines.split_inclusive(|b| *b == b'\n') {
                number += 1;
                let text = line.trim_ascii_end();
                if format.is_none() && !text.is_empty() {
                    format = Some(InputFormat::of(text));
                }
                let Some(format) = &mut format else {
                    buffer.extend_from_slice(line);
                    continue;
                };
                let is_log = matches!(format, InputFormat::Log);
                let whole = if is_log { joiner.add(line) } else { Some(line.into()) };
                report_lost(&mut joiner, source, number);
                let Some(line) = whole.as_deref() else { continue };
                let start = buffer.len();
                if let Err(why) = format.line(line, anonymizer, &mut buffer) {
                    diag::bad_record(format_args!("{source}:{number}"), why);
                    continue;
                }
                if let Some(kept) = &mut kept {
                    if let Some(what) = format.difference(line, &buffer[start..], anonymizer) {
                        let line = String::from_utf8_lossy(line.trim_ascii_end());
                        return Err(Exit::DataErr.error(format!(
                            "{source}:{number}: mls-anonymize would change {what}; please report \
                             this line as a bug: {line}"
                        )));
                    }
                    verify::kept_words(line, kept);
                }
            }
            written(out.write_all(&buffer))?;
        }
        batch = next;
    }
    joiner.end();
    report_lost(&mut joiner, source, number);
    written(out.flush())
}

/// Reports the lines of containers that were lost up to the line `number`.
fn report_lost(joiner: &mut Joiner, source: &str, number: u64) {
    for _ in 0..joiner.take_lost() {
        let why = "a line of a container has no last part, or is longer than 64 KiB; the line is \
                   omitted";
        diag::bad_record(format_args!("{source}:{number}"), why);
    }
}
