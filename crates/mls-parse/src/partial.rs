//! Joins lines that Kubernetes or Docker has cut after 16 KiB. A runtime of Kubernetes also cuts
//! text without a newline. Lines of stderr may come between the parts of a line of stdout.
//!
//! - Kubernetes (CRI) marks the last part of a line with `F`, and all other parts with `P`.
//! - Docker's json-file driver writes an object for each part. Only the last part ends in a
//!   newline.
//! - Docker's journald driver writes an entry for each part, all entries at once. If the entries
//!   are in two blocks, they are not joined: the line is counted as unreadable.

use std::borrow::Cow;
use std::collections::HashMap;

use memchr::memmem::Finder;
use mls_event::{ContainerStream, without_nul};

use crate::envelope::cri;
use crate::journal::JournalEntry;
use crate::{docker, stamp};

/// The texts by which the search finds parts of lines of Kubernetes. For parts of Docker's lines,
/// see [`mls_event::long_docker_lines`].
pub(crate) const WORDS: [&str; 2] = ["stdout P", "stderr P"];

/// The largest length of a line in parts: the number of bytes of the log from its first part to the
/// end of its last part. `before` of a segment can contain this many bytes. If a line is longer,
/// `before` says only that it is too long, so the next run does not count the line again.
pub(crate) const MAX_JOINED: usize = mls_event::MAX_PARTS_BEFORE;

/// A text in each journal entry that Docker's journald driver has written for a part of a line.
pub(crate) const IN_ENTRIES: &str = "PARTIAL_MESSAGE\"";

/// The parts of a line that were read, if the last part was not read yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitingParts {
    /// The front of the first part, and the texts of all parts: at most [`MAX_JOINED`] + 1 bytes.
    pub(crate) line: Vec<u8>,
    /// The number of bytes in the log from the first part on. Lines of the other stream count, too.
    length: usize,
    /// Whether the line is too long. Such a line was already counted, and is not read.
    pub(crate) is_long: bool,
}

impl WaitingParts {
    fn add(&mut self, part: &ContainerLine<'_>) {
        if self.line.is_empty() {
            self.line.extend_from_slice(&part.front);
        }
        let room = (MAX_JOINED + 1).saturating_sub(self.line.len());
        self.line.extend_from_slice(&part.text[..part.text.len().min(room)]);
    }
}

/// For each stream, the line that waits for its last part.
#[derive(Clone, Debug, Default)]
pub(crate) struct WaitingLines([Option<WaitingParts>; 2]);

impl WaitingLines {
    /// Finds the lines in [`last_lines`](mls_event::last_lines) that wait for their last part.
    pub(crate) fn after(last_lines: &[u8]) -> Self {
        let mut waiting = Self::default();
        let lines = last_lines.strip_suffix(b"\n").unwrap_or(last_lines);
        for line in lines.split(|byte| *byte == b'\n') {
            let is_long = |stream: &ContainerStream| {
                stream.long_parts().strip_suffix(b"\n").is_some_and(|long| long == line)
            };
            if let Some(stream) = ContainerStream::ALL.into_iter().find(is_long) {
                waiting.0[stream as usize] =
                    Some(WaitingParts { is_long: true, ..WaitingParts::default() });
            } else if let Some(part) = read(line) {
                waiting.add(&part, line.len() + 1);
                if !part.goes_on {
                    waiting.take(part.stream);
                }
            } else {
                waiting = Self::default();
            }
        }
        waiting
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(Option::is_none)
    }

    /// Adds a container's line of `length` bytes. Returns whether it is a part of a longer line.
    pub(crate) fn add(&mut self, part: &ContainerLine<'_>, length: usize) -> bool {
        let waiting = &mut self.0[part.stream as usize];
        let is_part = waiting.is_some() || part.goes_on;
        if is_part {
            waiting.get_or_insert_default().add(part);
        }
        self.0.iter_mut().flatten().for_each(|parts| parts.length += length);
        is_part
    }

    /// The lines that have become too long since the last call.
    pub(crate) fn too_long(&mut self) -> impl Iterator<Item = &WaitingParts> {
        let parts = self.0.iter_mut().flatten();
        let parts = parts.filter(|parts| !parts.is_long && parts.length > MAX_JOINED);
        parts.map(|parts| {
            parts.is_long = true;
            &*parts
        })
    }

    pub(crate) fn take(&mut self, stream: ContainerStream) -> Option<WaitingParts> {
        self.0[stream as usize].take()
    }

    /// Removes all waiting lines. Returns only the lines that are not too long, because lines that
    /// are too long were already counted.
    pub(crate) fn take_all(&mut self) -> impl Iterator<Item = WaitingParts> + use<> {
        std::mem::take(self).0.into_iter().flatten().filter(|parts| !parts.is_long)
    }
}

pub(crate) struct ContainerLine<'a> {
    pub(crate) stream: ContainerStream,
    /// The text before the container's text, such as the time stamp.
    front: Cow<'a, [u8]>,
    text: Cow<'a, [u8]>,
    /// Whether another part of the line must follow.
    pub(crate) goes_on: bool,
}

/// The largest number of entries of a container in which to search for the parts of a line.
const MAX_ENTRIES: usize = 100;

/// The parts of a line in journal entries.
pub(crate) struct JoinedEntry {
    pub(crate) message: Vec<u8>,
    /// The last part; `None` if it was not found, or if the line is too long.
    pub(crate) last: Option<JournalEntry>,
    /// The offset of each part after the first one.
    pub(crate) places: Vec<usize>,
}

impl JoinedEntry {
    /// Joins the line that begins with the entry `first`. The other parts are in `lines` from `at`
    /// on. Entries of other programs may come between the parts. `known` contains parsed entries by
    /// offset, so each entry is parsed only once.
    pub(crate) fn join(
        first: &JournalEntry,
        lines: &[u8],
        mut at: usize,
        known: &mut HashMap<usize, Option<JournalEntry>>,
    ) -> Option<Self> {
        let mut message = first.message()?.into_owned();
        let (mut last, mut places) = (None, Vec::new());
        let container = Finder::new(first.container()?);
        for _ in 0..MAX_ENTRIES {
            let Some(found) = lines.get(at..).and_then(|lines| container.find(lines)) else {
                break;
            };
            let found = at + found;
            let start = memchr::memrchr(b'\n', &lines[..found]).map_or(0, |newline| newline + 1);
            at = memchr::memchr(b'\n', &lines[found..]).map_or(lines.len(), |end| found + end);
            let entry = || JournalEntry::parse(&lines[start..at]);
            let entry = known.entry(start).or_insert_with(entry).as_ref();
            let Some(entry) = entry.filter(|entry| entry.continues(first)) else { continue };
            message.extend_from_slice(&entry.message()?);
            places.push(start);
            if !entry.goes_on() {
                last = known.remove(&start).flatten();
                break;
            }
            if message.len() > MAX_JOINED {
                break;
            }
        }
        let last = last.filter(|_| message.len() <= MAX_JOINED);
        Some(Self { message, last, places })
    }
}

pub(crate) fn read(line: &[u8]) -> Option<ContainerLine<'_>> {
    let line = without_nul(line);
    let goes_on = ContainerStream::of_part(line).is_some();
    if let Some(docker) = docker::DockerLine::parse(line) {
        let stream = ContainerStream::of_name(docker.stream.as_bytes())?;
        let front = format!("{} ", docker.time).into_bytes().into();
        let text = match docker.log {
            Cow::Borrowed(text) => text.as_bytes().into(),
            Cow::Owned(text) => {
                let mut text = text.into_bytes();
                text.pop_if(|byte| *byte == b'\n');
                text.into()
            }
        };
        return Some(ContainerLine { stream, front, text, goes_on });
    }
    let part = cri(stamp::split(line)?.1)?;
    let front = Cow::Borrowed(&line[..line.len() - part.text.len()]);
    Some(ContainerLine { stream: part.stream, front, text: part.text.into(), goes_on })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use mls_config::config::Filter;
    use mls_event::last_lines;
    use mls_stream::blocks::BlockPosition;
    use serde_json::Value;

    use super::*;
    use crate::{Args, Scanner};

    /// A line of a server as Kubernetes logs it, in parts of `size` bytes.
    fn parts_of(message: &str, size: usize) -> String {
        let line = format!("postfix/smtpd[7]: warning: unknown[192.0.2.1]: {message}");
        let parts: Vec<_> = line.as_bytes().chunks(size).collect();
        let kind = |at: usize| if at + 1 < parts.len() { 'P' } else { 'F' };
        let text = |(at, part): (usize, &&[u8])| {
            format!("2026-06-01T00:00:45Z stdout {} {}\n", kind(at), String::from_utf8_lossy(part))
        };
        parts.iter().enumerate().map(text).collect()
    }

    /// Reads a log in blocks of at least `size` bytes. Returns the records and the number of
    /// unreadable lines.
    fn read_in_blocks(log: &[u8], size: usize) -> (String, usize) {
        let args = Args::parse_from(["mls-parse", "--timezone=UTC"]);
        let mut scanner = Scanner::new(&args, &Filter::default()).unwrap();
        let (mut out, mut at) = (Vec::new(), 0);
        while at < log.len() {
            let least = (at + size).min(log.len()) - 1;
            let newline = memchr::memchr(b'\n', &log[least..]);
            let end = newline.map_or(log.len(), |newline| least + newline + 1);
            let before = &last_lines(&log[..at]);
            let place = BlockPosition { segment: None, offset: at as u64, before };
            scanner.block(&log[at..end], place, &mut out);
            at = end;
        }
        let before = &last_lines(log);
        scanner.end(BlockPosition { segment: None, offset: log.len() as u64, before });
        (String::from_utf8(out).unwrap(), scanner.take_unreadable().len())
    }

    #[test]
    fn a_line_in_parts_is_read_or_counted_once_however_blocks_cut_the_log() {
        let failed = "SASL LOGIN authentication failed";
        let reason_of =
            |length: usize| format!("{failed}: #{}, sasl_username=u1", "x".repeat(length));
        let whole = "Jun  1 00:00:46 vm postfix/smtpd[7]: connect from unknown[192.0.2.1]\n";
        for size in [7, 300, 3000, 16 * 1024] {
            // The runtime writes a stamp before each part. The stamps count, and only `longest` is
            // too long.
            let most = |length: usize| reason_of(length.min(size * 1000));
            let longest = parts_of(&reason_of((size * 2000).min(100_000)), size);
            let cut = parts_of(&most(30_000), size);
            let cut = cut.rsplit_once("2026").unwrap().0;
            let log = [
                &parts_of(&reason_of(1000), size),
                whole,
                &parts_of(&most(40_000), size),
                &longest,
                whole,
                cut,
                whole,
                &parts_of(&format!("{failed}: x"), size),
                cut,
            ]
            .concat();
            // Each `#` becomes a byte that is not UTF-8.
            let log: Vec<_> = log.bytes().map(|b| if b == b'#' { 0xff } else { b }).collect();
            let expected = read_in_blocks(&log, log.len());
            let records = expected.0.lines().count();
            assert_eq!((records, expected.1), (3, 3), "parts of {size} bytes: {}", expected.0);
            for block in [1, 100, 2048, 5000, 17_000, 64 * 1024] {
                let found = read_in_blocks(&log, block);
                assert!(found == expected, "parts of {size} bytes in blocks of {block}: {found:?}");
            }
        }
    }

    #[test]
    fn parts_of_both_streams_are_joined_however_blocks_cut_the_log() {
        let part = |tag: &str, text: &str| format!("2026-06-01T00:00:45Z {tag} {text}\n");
        let failure = |user: &str| {
            format!(
                "postfix/smtpd[7]: warning: unknown[192.0.2.1]: SASL LOGIN authentication failed: x, \
                 sasl_username={user}"
            )
        };
        let [one, other] = [failure("u1"), failure("u2")];
        let noise = part("stderr F", &"x".repeat(900));
        let first = part("stdout P", &one[..70]);
        let last = part("stdout F", &one[70..]);
        let whole = part("stderr F", &other);
        let foreign = "Jun  1 00:00:45 mx cron[7]: x\n".to_owned();
        for (lines, users, unreadable) in [
            (vec![&first, &noise, &last], vec!["u1"], 0),
            (vec![&first, &whole, &last], vec!["u2", "u1"], 0),
            (
                vec![
                    &first,
                    &part("stderr P", &other[..80]),
                    &last,
                    &part("stderr F", &other[80..]),
                ],
                vec!["u1", "u2"],
                0,
            ),
            (
                vec![
                    &first,
                    &part("stderr P", &other[..80]),
                    &part("stderr F", &other[80..]),
                    &last,
                ],
                vec!["u2", "u1"],
                0,
            ),
            // No other part continues the line of stderr.
            (vec![&first, &part("stderr P", &other), &last], vec!["u1"], 1),
            (vec![&first, &foreign, &last], vec![], 1),
            (vec![&first, &foreign, &part("stdout F", &one)], vec!["u1"], 1),
            // The parts are too far apart: the line is counted once, and its rest is not read.
            (
                [&[&first][..], &[&noise; 100], &[&part("stdout F", &one), &whole]].concat(),
                vec!["u2"],
                1,
            ),
            ([&[&first][..], &[&noise; 60], &[&last, &whole]].concat(), vec!["u1", "u2"], 0),
        ] {
            let log: String = lines.into_iter().map(String::as_str).collect();
            for block in [1, 200, 400, 5000, log.len()] {
                let found = read_in_blocks(log.as_bytes(), block);
                let records = found.0.lines();
                let records = records.map(|line| serde_json::from_str::<Value>(line).unwrap());
                let names: Vec<_> =
                    records.map(|record| record["user"].as_str().unwrap().to_owned()).collect();
                assert_eq!(names, users, "blocks of {block}: {log}");
                assert_eq!(found.1, unreadable, "blocks of {block}: {log}");
            }
        }
    }

    #[test]
    fn parts_make_the_line_that_was_written() {
        let mut waiting = WaitingLines::after(
            b"2026-06-01T00:00:45Z stdout F x\n\
            2026-06-01T00:00:45Z stdout P ab\n\
            2026-06-01T00:00:46Z stdout P:x cd\n",
        );
        waiting.add(&read(b"2026-06-01T00:00:47Z stdout F ef").unwrap(), 32);
        let parts = waiting.take(ContainerStream::Stdout).unwrap();
        assert_eq!(parts.line, b"2026-06-01T00:00:45Z stdout P abcdef");
        assert!(WaitingLines::after(b"2026-06-01T00:00:45Z stdout F x\n").is_empty());
        assert!(WaitingLines::after(b"").is_empty());
    }

    proptest::proptest! {
        /// For any lines, blocks of any size give the same records and counts.
        #[test]
        fn blocks_of_any_size_give_the_same(
            lines in proptest::collection::vec(("stdout P|stderr P|stdout F|stderr F|other", 0..4_usize), 0..40),
            block in 1..20_000_usize,
        ) {
            let failure = "postfix/smtpd[7]: warning: x[192.0.2.1]: SASL LOGIN authentication failed: x";
            let (first, last) = failure.split_at(60);
            let long = "x".repeat(15_000);
            let texts = [first, last, failure, &long];
            let line = |(tag, text): &(String, usize)| {
                format!("2026-06-01T00:00:45Z {tag} {}\n", texts[*text])
            };
            let log = lines.iter().map(line).collect::<Vec<_>>().concat();
            let whole = read_in_blocks(log.as_bytes(), log.len());
            proptest::prop_assert_eq!(read_in_blocks(log.as_bytes(), block), whole, "{}", log);
        }
    }
}
