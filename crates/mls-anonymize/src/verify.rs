//! Whether what was written says the same as what was read, and says it of nobody.

use std::collections::{BTreeSet, HashSet};
use std::io::BufRead;
use std::net::IpAddr;

use aho_corasick::AhoCorasick;
use anyhow::Context as _;
use bstr::ByteSlice;
use mls_config::zone::Zone;
use mls_csv::row::Decoder;
use mls_diag::{Exit, OrExit};
use mls_event::{Alert, Auth, Enrichment, Record};
use mls_parse::envelope;
use mls_parse::grammar::Pieces;

use crate::anonymizer::Anonymizer;
use crate::class::Class;
use crate::common_words;
use crate::pseudonym_map::PseudonymMap;
use crate::text::{ESCAPE, is_escape};

/// The first thing in a line of a log that should be the same, or its pseudonym, and is not.
pub(crate) fn line(read: &[u8], written: &[u8], names: &mut Anonymizer) -> Option<&'static str> {
    let (read, written) = (read.trim_end_with(|c| c == '\n'), written.trim_end_with(|c| c == '\n'));
    let (read, written) = match (envelope::open(read), envelope::open(written)) {
        (Some(read), Some(written)) => (read, written),
        (None, None) => return None,
        _ => return Some("what stands before the message"),
    };
    if (read.stamp, read.program, read.pid, read.repeated)
        != (written.stamp, written.program, written.pid, written.repeated)
    {
        return Some("time, program, process or repetition");
    }
    let mut host = Vec::new();
    if let Some(name) = read.host {
        names.pseudonyms.host(mls_event::clean(name).as_bytes(), &mut host);
    }
    if written.host.unwrap_or_default() != host {
        return Some("the server's name");
    }
    let before = mls_parse::pieces(read.program, read.message);
    let after = mls_parse::pieces(written.program, written.message);
    let context = crate::text::LineContext { host: read.host, dovecot: false };
    let expected = before.map(|pieces| Said::expected(&pieces, names, context));
    (expected != after.map(|pieces| Said::read(&pieces))).then_some("what the parser reads in it")
}

/// What a message says of an attempt.
#[derive(PartialEq, Eq)]
struct Said {
    facts: (mls_event::Outcome, u32, Option<u16>, Option<String>),
    ip: Option<IpAddr>,
    texts: [Option<Vec<u8>>; 4],
}

impl Said {
    fn read(pieces: &Pieces<'_>) -> Self {
        let text =
            |text: Option<&[u8]>| text.map(|text| mls_event::clean(text).into_owned().into_bytes());
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

    /// What should be read after anonymizing: the pseudonyms of what is read before.
    fn expected(
        pieces: &Pieces<'_>,
        names: &mut Anonymizer,
        context: crate::text::LineContext<'_>,
    ) -> Self {
        let mut said = Self::read(pieces);
        let mut replaced = |text: &Option<Vec<u8>>,
                            how: fn(
            &mut Anonymizer,
            &str,
            crate::text::LineContext<'_>,
            &mut Vec<u8>,
        )| {
            text.as_ref().map(|text| {
                let mut out = Vec::new();
                how(names, &text.to_str_lossy(), context, &mut out);
                out
            })
        };
        said.texts = [
            replaced(&said.texts[0], |names, name, _, out| {
                names.pseudonyms.host(name.as_bytes(), out);
            }),
            replaced(&said.texts[1], |names, name, _, out| names.pseudonyms.user(name, out)),
            replaced(&said.texts[2], Anonymizer::reason),
            replaced(&said.texts[3], |names, name, _, out| names.mechanism(name, out)),
        ];
        said.ip = said.ip.map(|ip| names.pseudonyms.address(ip));
        said
    }
}

/// As [`line`], for records: of members that are kept.
pub(crate) fn record(read: &[u8], written: &[u8]) -> Option<&'static str> {
    match (Record::parse(read), Record::parse(written)) {
        (Ok(Record::Auth(read)), Ok(Record::Auth(written))) => {
            (facts(read) != facts(written)).then_some("a member that is kept")
        }
        (Ok(Record::Alert(read)), Ok(Record::Alert(written))) => {
            let kept = |alert: &Alert<'_>| {
                let country = alert.country_code.as_deref().map(str::to_owned);
                let threshold = alert.threshold.as_deref().map(str::to_owned);
                (alert.date.at(), alert.kind, alert.attempts, threshold, country)
            };
            (kept(&read) != kept(&written)).then_some("a member that is kept")
        }
        (Ok(Record::Other(read)), Ok(Record::Other(written))) if read == written => None,
        (Err(_), Err(_)) => None,
        _ => Some("the record's type"),
    }
}

/// As [`record`], for rows.
pub(crate) fn row(read: &[u8], written: &[u8]) -> Option<&'static str> {
    let mut decoders = [Decoder::new(Zone::default()), Decoder::new(Zone::default())];
    let [read, written] = [read, written]
        .into_iter()
        .zip(&mut decoders)
        .map(|(line, decoder)| decoder.decode(line).ok().flatten().map(facts))
        .collect::<Vec<_>>()
        .try_into()
        .ok()?;
    (read != written).then_some("a cell that is kept")
}

/// An event without what is replaced.
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

/// Looks for what was replaced in what was written.
///
/// Host and domain names, mail addresses and user names count where they stand as words, in any case. Those that consist of
/// [words that the log keeps](words) are no sign of anything, and neither are user names, and names of one label, of less than
/// five characters. An address counts unless it is the pseudonym of another.
///
/// # Errors
/// Exit 65 with the first line that has one.
pub(crate) fn nothing_is_left(
    written: impl BufRead,
    map: &PseudonymMap,
    kept: &HashSet<String>,
) -> anyhow::Result<()> {
    let mut addresses: HashSet<IpAddr> =
        map.of(Class::Ip).filter_map(|(original, _)| original.parse().ok()).collect();
    for (_, pseudonym) in map.of(Class::Ip) {
        if let Ok(ip) = pseudonym.parse() {
            addresses.remove(&ip);
        }
    }
    let says_something = |name: &&str| {
        let long = name.chars().count() >= 5 || name.contains(['@', '.']);
        long && !common_words::are_kept(name.as_bytes()) && !kept.contains(&name.to_lowercase())
    };
    let names = map
        .of(Class::Host)
        .chain(map.of(Class::User))
        .filter(|(original, pseudonym)| original != pseudonym);
    let all: BTreeSet<&str> = names.map(|(original, _)| original).filter(says_something).collect();
    // Where a@b.example or c.b.example stands, b.example stands as a word, too. A kilobyte each is saved.
    let end_is_among_them = |name: &&str| {
        let end = name.rsplit_once('@').or_else(|| name.split_once('.'));
        end.is_some_and(|(_, end)| all.contains(end))
    };
    let names: Vec<&str> = all.iter().copied().filter(|name| !end_is_among_them(name)).collect();
    let search = AhoCorasick::builder().ascii_case_insensitive(true).build(&names);
    let search = search.context("looking for what was replaced").or_exit(Exit::Software)?;
    for (n, line) in (1..).zip(written.split(b'\n')) {
        let line = line.context("reading what was written").or_exit(Exit::IoErr)?;
        let name =
            search.find_overlapping_iter(&line).find(|found| stands_alone(&line, found.range()));
        let left = name.map(|found| names[found.pattern()].to_owned());
        let left = left.or_else(|| {
            addresses_in(&line).find(|ip| addresses.contains(ip)).map(|ip| ip.to_string())
        });
        if let Some(left) = left {
            let line = line.to_str_lossy();
            return Err(Exit::DataErr
                .error(format!("line {n}: {left} was replaced and is still there: {line}")));
        }
    }
    Ok(())
}

/// Whether what stands at `range` is no part of a longer word.
fn stands_alone(line: &[u8], range: std::ops::Range<usize>) -> bool {
    let in_word = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || *b >= 0x80);
    let (first, last) = (line.get(range.start), line.get(range.end - 1));
    let escaped = range.start >= ESCAPE && is_escape(&line[range.start - ESCAPE..]);
    let begins =
        !in_word(first) || range.start == 0 || escaped || !in_word(line.get(range.start - 1));
    begins && (!in_word(last) || !in_word(line.get(range.end)))
}

/// Every address in a line, however it stands there. What stands behind a `v` is a version.
fn addresses_in(line: &[u8]) -> impl Iterator<Item = IpAddr> {
    let runs = line.split(|b| !(b.is_ascii_hexdigit() || matches!(b, b':' | b'.' | b'v')));
    runs.filter(|run| run.len() >= 3).filter_map(|run| {
        let text = run.to_str().ok()?.trim_end_matches('.');
        let text = if text.ends_with("::") { text } else { text.trim_end_matches(':') };
        text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
    })
}

/// Adds the words of a line that stay and that somebody may be called: the program, and the mechanism.
pub(crate) fn kept_words(line: &[u8], kept: &mut HashSet<String>) {
    let Some(envelope) = envelope::open(line.trim_end_with(|c| c == '\n')) else { return };
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
