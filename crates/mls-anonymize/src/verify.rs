//! `--verify`: checks that the result has the same data as the original, and that it identifies
//! nobody.

use std::collections::{BTreeSet, HashSet};
use std::io::BufRead;
use std::net::IpAddr;
use std::path::Path;

use aho_corasick::AhoCorasick;
use anyhow::Context as _;
use bstr::ByteSlice;
use mls_config::zone::Zone;
use mls_diag::{Exit, OrExit};
use mls_event::{Alert, Auth, Enrichment, Record, clean};
use mls_parse::grammar::Pieces;
use mls_parse::{docker, envelope};
use mls_rows::row::Decoder;

use crate::anonymizer::Anonymizer;
use crate::class::Class;
use crate::common_words;
use crate::pseudonym_map::PseudonymMap;
use crate::text::{ESCAPE, LineContext, is_escape};

/// Compares what mls-parse reads from the original line `read` and from the result `written`.
/// Returns the name of the first part that differs.
pub(crate) fn meaning(read: &[u8], written: &[u8]) -> Option<&'static str> {
    match (docker::DockerLine::parse(read), docker::DockerLine::parse(written)) {
        (Some(read), Some(written)) if read.time == written.time => {
            let text = |line: &docker::DockerLine<'_>| line.log.trim_end_matches('\n').to_owned();
            return meaning(text(&read).as_bytes(), text(&written).as_bytes());
        }
        (None, None) => {}
        _ => return Some("Docker's JSON around the line"),
    }
    let (read, written) = match (envelope::open(read), envelope::open(written)) {
        (Some(read), Some(written)) => (read, written),
        (None, None) => return None,
        _ => return Some("the text before the message"),
    };
    if (read.stamp, read.program, read.pid, read.repeated)
        != (written.stamp, written.program, written.pid, written.repeated)
    {
        return Some("the time, program, process ID or number of repetitions");
    }
    let outcome = |envelope: &envelope::Envelope<'_>| {
        Some(mls_parse::pieces(envelope.program, envelope.message)?.outcome)
    };
    (outcome(&read) != outcome(&written)).then_some("what mls-parse reads in the line")
}

/// Compares the original line `read` with the result `written`. Returns the name of the first wrong
/// part. Each part must be unchanged or a pseudonym, and the lines must have the same [`meaning`].
pub(crate) fn line(
    read: &[u8],
    written: &[u8],
    anonymizer: &mut Anonymizer,
) -> Option<&'static str> {
    let (read, written) = (read.trim_end_with(|c| c == '\n'), written.trim_end_with(|c| c == '\n'));
    if let (Some(read), Some(written)) =
        (docker::DockerLine::parse(read), docker::DockerLine::parse(written))
    {
        return line(read.log.as_bytes(), written.log.as_bytes(), anonymizer);
    }
    let (read, written) = (envelope::open(read)?, envelope::open(written)?);
    let mut pseudonym = |name: &[u8]| {
        let mut host = Vec::new();
        anonymizer.pseudonyms.host(clean(name).as_bytes(), &mut host);
        host
    };
    let hosts: Vec<_> =
        read.outer_hosts.iter().copied().chain(read.host).map(&mut pseudonym).collect();
    if !written.outer_hosts.iter().copied().chain(written.host).eq(hosts.iter().map(Vec::as_slice))
    {
        return Some("the server's name");
    }
    let before = mls_parse::pieces(read.program, read.message);
    let after = mls_parse::pieces(written.program, written.message);
    let context = LineContext { host: read.host, ..LineContext::default() };
    let expected = before.map(|pieces| ReadAttempt::expected(&pieces, anonymizer, context));
    (expected != after.map(|pieces| ReadAttempt::read(&pieces)))
        .then_some("what mls-parse reads in the line")
}

/// The data that the parser reads from a message.
#[derive(PartialEq, Eq)]
struct ReadAttempt {
    facts: (mls_event::Outcome, u32, Option<u16>, Option<String>),
    ip: Option<IpAddr>,
    texts: [Option<Vec<u8>>; 4],
}

type Replace = fn(&mut Anonymizer, &str, LineContext<'_>, &mut Vec<u8>);

impl ReadAttempt {
    fn read(pieces: &Pieces<'_>) -> Self {
        let text = |text: Option<&[u8]>| text.map(|text| clean(text).into_owned().into_bytes());
        Self {
            facts: (
                pieces.outcome,
                pieces.attempts,
                pieces.port,
                pieces.process.map(str::to_owned),
            ),
            ip: pieces.ip,
            texts: [
                text(pieces.client),
                text(pieces.user),
                text(pieces.reason),
                pieces
                    .mechanism
                    .map(|name| mls_parse::grammar::mechanism(name).into_owned().into_bytes()),
            ],
        }
    }

    /// The data that the parser must read from the result: the pseudonyms of the data in the original.
    fn expected(
        pieces: &Pieces<'_>,
        anonymizer: &mut Anonymizer,
        context: LineContext<'_>,
    ) -> Self {
        let mut said = Self::read(pieces);
        let replace: [Replace; 4] = [
            |names, name, _, out| names.pseudonyms.host(name.as_bytes(), out),
            |names, name, _, out| names.pseudonyms.user(name, out),
            Anonymizer::reason,
            |names, name, _, out| names.mechanism(name, out),
        ];
        for (text, replace) in said.texts.iter_mut().zip(replace) {
            if let Some(text) = text {
                replace(anonymizer, &std::mem::take(text).to_str_lossy(), context, text);
            }
        }
        said.ip = said.ip.map(|ip| anonymizer.pseudonyms.address(ip));
        said
    }
}

/// Compares the members that do not change in a record. Returns the first difference.
pub(crate) fn record(read: &[u8], written: &[u8]) -> Option<&'static str> {
    match (Record::parse(read), Record::parse(written)) {
        (Ok(Record::Auth(read)), Ok(Record::Auth(written))) => {
            (facts(read) != facts(written)).then_some("a value that must stay the same")
        }
        (Ok(Record::Alert(read)), Ok(Record::Alert(written))) => {
            let kept = |alert: &Alert<'_>| {
                let country = alert.country_code.as_deref().map(str::to_owned);
                let threshold = alert.threshold.as_deref().map(str::to_owned);
                (alert.date.at(), alert.kind, alert.attempts, threshold, country)
            };
            (kept(&read) != kept(&written)).then_some("a value that must stay the same")
        }
        (Ok(Record::Other(read)), Ok(Record::Other(written))) if read == written => None,
        (Err(_), Err(_)) => None,
        _ => Some("the record's type"),
    }
}

/// Compares the cells that do not change in a row. Returns the difference.
pub(crate) fn row(read: &[u8], written: &[u8]) -> Option<&'static str> {
    let kept = |line| Decoder::new(Zone::default()).decode(line).ok().flatten().map(facts);
    (kept(read) != kept(written)).then_some("a cell that must stay the same")
}

/// An event without the members that are replaced.
fn facts(auth: Auth<'_>) -> String {
    let kept = Auth {
        server: None,
        client: None,
        user: None,
        ip: None,
        reason: None,
        mechanism: None,
        enrichment: auth.enrichment.map(|added| Enrichment {
            hostname: None,
            asn: None,
            aso: None,
            ..added
        }),
        ..auth
    };
    format!("{kept:?}")
}

/// Searches the result for originals.
///
/// Finds addresses, mail addresses, host and domain names, user names and secrets that occur as
/// words, in upper or lower case. Ignores a name that consists of [common words](common_words), or
/// is one of `kept` or `allowed`. Ignores a name of fewer than five characters that contains no
/// full stop and no `@`. Ignores an address that is also a pseudonym. Exit 65 with the first line
/// that contains an original, or if a replaced address is its own pseudonym.
pub(crate) fn find_originals(
    written: impl BufRead,
    map: &PseudonymMap,
    kept: &HashSet<String>,
    allowed: &HashSet<String>,
) -> anyhow::Result<()> {
    if let Some((ip, _)) = map.of(Class::Ip).find(|(original, pseudonym)| original == pseudonym) {
        return Err(Exit::DataErr.error(format!(
            "with this key, the pseudonym of {ip} is the same address; use another key: if you \
             gave no --key-file, run mls-anonymize again; else make a new key file"
        )));
    }
    let addresses = addresses_to_find(map);
    let names = names_to_find(map, kept, allowed);
    let search = AhoCorasick::builder().ascii_case_insensitive(true).build(&names);
    let search = search.context("searching for originals").or_exit(Exit::Software)?;
    for (n, line) in (1..).zip(written.split(b'\n')) {
        let line = line.context("reading the temporary file").or_exit(Exit::IoErr)?;
        let name =
            search.find_overlapping_iter(&line).find(|found| stands_alone(&line, found.range()));
        if let Some(found) = name {
            let (name, line) = (names[found.pattern()], line.to_str_lossy());
            return Err(Exit::DataErr.error(format!(
                "output line {n}: {name:?} was replaced in another line, but not in this line. If \
                 this text is not a name, add the text to the file of --allow-words. If this text \
                 is a name, add a pattern to the file of --rules. The line: {line}"
            )));
        }
        if let Some(ip) = addresses_in(&line).find(|ip| addresses.contains(ip)) {
            let line = line.to_str_lossy();
            return Err(Exit::DataErr.error(format!(
                "output line {n}: the address {ip} was replaced in another line, but not in this \
                 line; add a pattern to the file of --rules. The line: {line}"
            )));
        }
    }
    Ok(())
}

fn addresses_to_find(map: &PseudonymMap) -> HashSet<IpAddr> {
    let mut addresses: HashSet<IpAddr> =
        map.of(Class::Ip).filter_map(|(original, _)| original.parse().ok()).collect();
    for (_, pseudonym) in map.of(Class::Ip) {
        if let Ok(ip) = pseudonym.parse() {
            addresses.remove(&ip);
        }
    }
    addresses
}

fn names_to_find<'m>(
    map: &'m PseudonymMap,
    kept: &HashSet<String>,
    allowed: &HashSet<String>,
) -> Vec<&'m str> {
    let counts = |name: &&str| {
        let long = name.chars().count() >= 5 || name.contains(['@', '.']);
        let lower = name.to_lowercase();
        long && !common_words::are_kept(name.as_bytes())
            && !kept.contains(&lower)
            && !allowed.contains(lower.trim())
    };
    let names =
        [Class::Host, Class::User, Class::Secret].into_iter().flat_map(|class| map.of(class));
    let all: BTreeSet<&str> = names
        .filter(|(original, pseudonym)| original != pseudonym)
        .map(|(original, _)| original)
        .filter(counts)
        .collect();
    // A search for b.example also finds a@b.example and c.b.example, because b.example is a word in
    // both. So do not search for the longer names: each would need about a kilobyte of memory.
    let contains_another = |name: &&str| {
        let end = name.rsplit_once('@').or_else(|| name.split_once('.'));
        end.is_some_and(|(_, end)| all.contains(end))
    };
    all.iter().copied().filter(|name| !contains_another(name)).collect()
}

/// Reads a file of words, one on each line, that may occur in the result. Skips blank lines and
/// lines that begin with `#`. Exit 66 if the file cannot be read.
pub(crate) fn load_allowed_words(path: &Path) -> anyhow::Result<HashSet<String>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("reading the allowed words {}", path.display()))?;
    let words = text.lines().map(|line| line.trim().to_lowercase());
    Ok(words.filter(|word| !word.is_empty() && !word.starts_with('#')).collect())
}

/// Whether the text at `range` is not part of a longer word.
fn stands_alone(line: &[u8], range: std::ops::Range<usize>) -> bool {
    let in_word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
    let (first, last) = (line.get(range.start), line.get(range.end - 1));
    let escaped = range.start >= ESCAPE && is_escape(&line[range.start - ESCAPE..]);
    let begins =
        !in_word(first) || range.start == 0 || escaped || !in_word(line.get(range.start - 1));
    begins && (!in_word(last) || !in_word(line.get(range.end)))
}

/// All addresses in a line. Numbers after a `v` are a version, not an address.
fn addresses_in(line: &[u8]) -> impl Iterator<Item = IpAddr> {
    let runs = line.split(|b| !(b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'v')));
    runs.filter(|run| run.len() >= 3).filter_map(|run| {
        let text = run.to_str().ok()?.trim_end_matches('.');
        let text = if text.ends_with("::") { text } else { text.trim_end_matches(':') };
        text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
    })
}

/// Adds the program and the mechanism of a line, and their parts, to `kept`. These words stay in
/// the result, even if they are also names of people.
pub(crate) fn kept_words(line: &[u8], kept: &mut HashSet<String>) {
    let line = line.trim_end_with(|c| c == '\n');
    if let Some(docker) = docker::DockerLine::parse(line) {
        return kept_words(docker.log.as_bytes(), kept);
    }
    let Some(envelope) = envelope::open(line) else { return };
    let mechanism = mls_parse::pieces(envelope.program, envelope.message)
        .and_then(|pieces| pieces.mechanism)
        .unwrap_or_default();
    for text in [envelope.program, mechanism] {
        for word in [text].into_iter().chain(text.split(|b| matches!(b, b'/' | b'-'))) {
            let word = word.to_str_lossy();
            if !kept.contains(&*word) {
                kept.insert(word.to_lowercase());
            }
        }
    }
}
