//! Lines of logs and entries of the journal.

use std::cell::RefCell;
use std::io::Write;
use std::sync::LazyLock;

use clap::Parser;
use mls_anonymize::anonymizer::Anonymizer;
use mls_anonymize::key::PseudonymKey;
use mls_anonymize::pseudonym::Pseudonyms;
use mls_anonymize::rules::Rules;
use mls_event::{
    Auth, Body, JOURNAL_SOURCE, MAX_BEFORE, MAX_LINE, Record, Segment, Timestamp, last_lines,
};
use mls_parse::clock::Clock;
use mls_parse::{Args, Scanner};
use mls_stream::blocks::BlockPosition;

/// The number of inputs for one scanner. A scanner stores every line that it cannot read, so its
/// memory grows.
const USES: u32 = 256;

thread_local! {
    /// A new scanner to clone, because constructing one takes longer than most inputs.
    static UNUSED: Scanner = Scanner::new(
        &Args::parse_from([
            "mls-parse",
            "--outcome=failure,success,aborted,error",
            "--stats",
            "--timezone=+02:00",
            "--reference-time=2026-12-01T00:00:00Z",
        ]),
        &mls_config::config::Filter::default(),
    )
    .expect("a scanner");

    static SCANNER: RefCell<(Scanner, u32)> = RefCell::new((UNUSED.with(Clone::clone), 0));
}

fn with_scanner(run: impl FnOnce(&mut Scanner)) {
    SCANNER.with_borrow_mut(|(scanner, uses)| {
        *uses += 1;
        if *uses >= USES {
            (*scanner, *uses) = (UNUSED.with(Clone::clone), 0);
        }
        run(scanner);
    });
}

fn segment(source: &str, offset: usize, length: usize, before: &str) -> Segment<'static> {
    Segment {
        source: source.to_owned(),
        generation: "0123456789abcdef".to_owned(),
        offset: offset as u64,
        length: length as u64,
        mtime: Timestamp::parse("2026-11-21T07:11:22Z").expect("a time"),
        before: before.to_owned(),
    }
}

fn parse(
    scanner: &mut Scanner,
    source: &str,
    lines: &[u8],
    offset: usize,
    before: &[u8],
) -> Vec<u8> {
    let segment = segment(source, offset, lines.len(), "");
    let place = BlockPosition { segment: Some(&segment), offset: offset as u64, before };
    let mut out = Vec::new();
    scanner.block(lines, place, &mut out);
    out
}

/// Each line must be an `auth` record that is the same after parsing and printing, without control
/// characters (for terminals).
fn assert_printed(records: &[u8]) {
    for line in records.split_inclusive(|b| *b == b'\n') {
        let text = line.strip_suffix(b"\n").expect("a record is a whole line");
        assert!(text.len() < MAX_LINE, "a record of {} bytes", text.len());
        let Ok(Record::Auth(auth)) = Record::parse(text) else {
            panic!("not an auth record: {}", String::from_utf8_lossy(text))
        };
        assert_eq!(Auth::as_written(text).as_ref(), Some(&auth));
        let mut again = Vec::new();
        auth.write_line(&mut again);
        assert_eq!(String::from_utf8_lossy(line), String::from_utf8_lossy(&again));
        let shown = str::from_utf8(text).expect("records are UTF-8");
        assert!(!shown.contains(char::is_control), "{shown:?}");
    }
}

/// One read of all lines and two reads of half the lines must give the same records.
fn scan(source: &str, lines: &[u8]) {
    with_scanner(|scanner| {
        let all = parse(scanner, source, lines, 0, b"");
        assert_printed(&all);
        // `before` has at most `MAX_BEFORE` bytes, so the first part must be shorter.
        let middle = lines.len() / 2;
        let newline = lines[middle..].iter().position(|b| *b == b'\n');
        let Some(cut) = newline.map(|n| middle + n + 1).filter(|cut| *cut < MAX_BEFORE) else {
            return;
        };
        // mls-parse joins the parts of a journal entry only if one call reads all of them.
        if source == JOURNAL_SOURCE && memchr::memmem::find(lines, b"CONTAINER_PARTIAL_").is_some()
        {
            return;
        }
        let (first, second) = lines.split_at(cut);
        let mut parts = parse(scanner, source, first, 0, b"");
        parts.extend(parse(scanner, source, second, cut, &last_lines(first)));
        assert_eq!(String::from_utf8_lossy(&parts), String::from_utf8_lossy(&all));
    });
}

pub(crate) fn lines(bytes: &[u8]) {
    scan("/var/log/mail.log", bytes);
}

pub(crate) fn journal(bytes: &[u8]) {
    scan(JOURNAL_SOURCE, bytes);
}

/// Each part of an envelope is inside the line, and the message is at its end.
pub(crate) fn envelope(line: &[u8]) {
    let Some(envelope) = mls_parse::envelope::open(line) else { return };
    let range = line.as_ptr_range();
    let parts = [envelope.stamp, envelope.host, Some(envelope.program), Some(envelope.message)];
    for part in
        parts.into_iter().flatten().chain(envelope.outer_hosts).filter(|part| !part.is_empty())
    {
        let part = part.as_ptr_range();
        assert!(range.start <= part.start && part.end <= range.end);
    }
    assert!(
        envelope.message.is_empty()
            || envelope.message.as_ptr_range().end == range.end
            || line.ends_with(b"]")
            || line.ends_with(b"\r"),
        "something is missing after the message"
    );
    let _ = mls_parse::pieces(envelope.program, envelope.message);
}

/// If the bytes can be read as a time, the time is the same after it is printed and parsed.
pub(crate) fn clock(stamp: &[u8]) {
    static CLOCKS: LazyLock<[Clock; 2]> = LazyLock::new(|| {
        let reference = Timestamp::parse("2026-12-01T00:00:00Z").expect("a time").at();
        ["+02:00", "Europe/Paris"].map(|zone| Clock::new(zone.parse().expect("a zone"), reference))
    });
    for clock in &*CLOCKS {
        if let Some(read) = clock.read(stamp) {
            assert_eq!(Timestamp::parse(read.as_str()).expect("RFC 3339"), read);
        }
    }
}

static KEY: LazyLock<PseudonymKey> = LazyLock::new(|| {
    // A key file must be readable only by its owner, so use a temporary file.
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all("0123456789abcdef".repeat(4).as_bytes()).expect("room for a key");
    PseudonymKey::load(file.path()).expect("a key")
});

fn anonymizer() -> Anonymizer {
    Anonymizer::new(Pseudonyms::new(&KEY, &[]), Rules::default(), false)
}

/// Parsing an anonymized line must give the same records as anonymizing the records of the line. A
/// line may be omitted only if it has no record.
pub(crate) fn anonymize(bytes: &[u8]) {
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let (mut names, mut written) = (anonymizer(), Vec::new());
    let is_written = mls_anonymize::fuzz::log_line(line, &mut names, &mut written);
    assert!(!written.contains(&b'\n'), "a line became several");
    with_scanner(|scanner| {
        let read = parse(scanner, "/var/log/mail.log", line, 0, b"");
        if !is_written && read.is_empty() {
            return;
        }
        let mut expected = Vec::new();
        for record in read.split_inclusive(|b| *b == b'\n') {
            let record = record.strip_suffix(b"\n").expect("a whole line");
            names.record(record, &mut expected).expect("a record");
            expected.push(b'\n');
        }
        let found = parse(scanner, "/var/log/mail.log", &written, 0, b"");
        assert_eq!(String::from_utf8_lossy(&found), String::from_utf8_lossy(&expected));
    });
}

/// An anonymized log, record or row passes `--verify`.
pub(crate) fn verify(bytes: &[u8]) {
    mls_anonymize::fuzz::verify(bytes, anonymizer());
}
